"""The id of an operation: its kind and a ULID, so that ids sort by time and are safe in paths."""

ULID = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def named(kind: str, at_ms: int, chance: int) -> str:
    """`restore-01J…`, of one that begins then; `chance` are 80 bits of it."""
    number = at_ms << 80 | chance
    return f"{kind}-" + "".join(ULID[number >> shift & 31] for shift in range(125, -1, -5))


def begun(operation: str) -> float:
    """When, as the first ten letters of its ULID say: milliseconds. ValueError for what has none."""
    milliseconds = 0
    for letter in operation.rpartition("-")[2][:10]:
        milliseconds = milliseconds << 5 | ULID.index(letter)
    return milliseconds / 1000
