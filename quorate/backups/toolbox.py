"""Restore tools in the store: kept by backups, for a node that has none."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from quorate.audit import canonical
from quorate.backups.catalogue import Count, Digest, Part, read
from quorate.errors import Corrupt
from quorate.members.etcd import minor
from quorate.nodes.image import Tool
from quorate.nodes.seen import NodeSeen
from quorate.nodes.stored import StoredTool
from quorate.ports import Store

SHELF = "tools"
_VERSION, _ARCHITECTURE = r"\d+\.\d+\.\d+", r"[a-z0-9_]+"


@dataclass(frozen=True, slots=True)
class Offer:
    """A restore tool on a node, as it said itself and as `uname -m` said of the node."""

    node: str
    path: str
    version: str
    architecture: str

    @property
    def program(self) -> Literal["etcdutl", "etcdctl"]:
        return "etcdctl" if Tool(self.path, self.version).program == "etcdctl" else "etcdutl"

    @property
    def name(self) -> str:
        return f"{SHELF}/{self.version}-{self.architecture}/{self.program}"


class KeptTool(Part):
    """One program. `stored_*` are of the object, `sha256` and `size_bytes` of what a node runs."""

    format: Literal["quorate/tool/v1"] = "quorate/tool/v1"
    key: str
    program: Literal["etcdutl", "etcdctl"]
    version: Annotated[str, Field(pattern=rf"^{_VERSION}$")]
    architecture: Annotated[str, Field(pattern=rf"^{_ARCHITECTURE}$")]
    size_bytes: Count
    sha256: Digest
    stored_bytes: Count
    stored_sha256: Digest
    cluster: str
    node: str
    path: str
    operation: str
    created_at: datetime

    @property
    def manifest_key(self) -> str:
        return f"{SHELF}/{self.version}-{self.architecture}/{self.program}.json"

    @property
    def stored(self) -> StoredTool:
        return StoredTool(self.key, self.program, self.version, self.size_bytes, self.sha256, self.stored_sha256)

    def encode(self) -> bytes:
        return canonical(self.model_dump(mode="json")).encode() + b"\n"


def parse(text: bytes, key: str) -> KeptTool:
    """Corrupt on anything that we would not have written at that key."""
    try:
        tool = KeptTool.model_validate_json(text)
    except ValidationError as error:
        raise Corrupt(
            f"{key} does not describe a restore tool: {error.errors(include_url=False)[0]['msg']}"
        ) from error
    beside = tool.key.startswith(f"{key.removesuffix('.json')}.")
    if tool.manifest_key != key or not beside or tool.encode() != text:
        raise Corrupt(f"{key} is not as it was written")
    return tool


def offers(path: str, nodes: Mapping[str, NodeSeen | str]) -> tuple[Offer, ...]:
    """Of the nodes that answered; what could not be part of a key is none."""
    there = (
        Offer(name, path, node.tools.get(path, ""), node.architecture)
        for name, node in nodes.items()
        if isinstance(node, NodeSeen)
    )
    return tuple(
        each
        for each in there
        if re.fullmatch(_VERSION, each.version) and re.fullmatch(_ARCHITECTURE, each.architecture)
    )


def lacked(offered: Iterable[Offer], running: str, keys: Iterable[str]) -> tuple[Offer, ...]:
    """One an architecture, of the minor version that runs, where the store has none."""
    keys = tuple(keys)
    wanted = {each.architecture: each for each in offered if minor(each.version) == minor(running)}
    return tuple(each for each in wanted.values() if not kept(keys, running, each.architecture))


def kept(keys: Iterable[str], version: str, architecture: str) -> str:
    """The manifest of a tool of this minor version for this architecture, or nothing."""
    known = re.compile(rf"{SHELF}/{re.escape(minor(version))}\.\d+-{re.escape(architecture)}/(etcdutl|etcdctl)\.json")
    return next((key for key in keys if known.fullmatch(key)), "")


def undescribed(keys: Iterable[str], offer: Offer) -> str:
    """The newest object of a program that has no manifest, or nothing: whoever put it died, or found it damaged."""
    beside = (key for key in keys if key.startswith(f"{offer.name}.") and key.endswith(".zst"))
    return max(beside, default="")


def find(store: Store, version: str, architecture: str) -> KeptTool | None:
    """The restore tool of this minor version for this architecture, if the store has it as it was stored."""
    sizes = {each.key: each.size_bytes for each in store.ls(shelf(version))}
    if not (key := kept(sizes, version, architecture)):
        return None
    tool = parse(read(store, key), key)
    if (found := sizes.get(tool.key)) != tool.stored_bytes:
        raise Corrupt(f"{tool.key} should have {tool.stored_bytes} bytes, found {found or 'nothing'}")
    return tool


def shelf(version: str) -> str:
    """Below which every tool of a minor version lies."""
    return f"{SHELF}/{minor(version)}."
