"""A restore tool in the store, as far as whoever pushes it to a node has to know it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoredTool:
    """`sha256` and `size_bytes` are of the program, `stored_sha256` of the object that it is packed in."""

    key: str
    program: str
    version: str
    size_bytes: int
    sha256: str
    stored_sha256: str
