"""The kit: one file with what a blank machine needs to bring a cluster back, and no secret in it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import ValidationError

from quorate.audit import canonical
from quorate.backups.catalogue import Count, Digest, Part
from quorate.errors import BadInput, Corrupt
from quorate.inventory import Cluster, Inventory

CONTENTS, README, INVENTORY = "kit.json", "README.md", "quorate.yaml"
FILES, TOOLS, WHEELS, RUNBOOKS = "files", "tools", "wheels", "runbooks"
REFERENCE = re.compile(r"^(env:|file:/|node:/|agent$|agent:)")
SECRET = re.compile(rb"PRIVATE KEY-----|AGE-SECRET-KEY-|AGE-PLUGIN-[A-Z0-9]+-1")
DAY_S = 86400.0


class Content(Part):
    size_bytes: Count
    sha256: Digest


class Kit(Part):
    """What is in the file beside this; `bring` says what is not in it, by where the inventory refers to it."""

    format: Literal["quorate/kit/v1"] = "quorate/kit/v1"
    made_at: datetime
    version: str
    python: str
    clusters: tuple[str, ...]
    bring: Mapping[str, str]
    contents: Mapping[str, Content]

    def encode(self) -> bytes:
        return canonical(self.model_dump(mode="json")).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Today:
    """What a kit would be made of now; `tools` is None where the stores did not all say which they have."""

    at: datetime
    version: str
    python: str
    contents: Mapping[str, Content]
    tools: frozenset[str] | None


def parse(text: bytes) -> Kit:
    try:
        return Kit.model_validate_json(text)
    except ValidationError as error:
        raise Corrupt(f"{CONTENTS} is not the list of a kit: {error.errors(include_url=False)[0]['msg']}") from error


def references(inventory: Inventory) -> dict[str, str]:
    """By its place in the inventory, whatever stands in for a secret."""
    return dict(sorted(referred(inventory.model_dump(mode="json"), "")))


def referred(value: Any, where: str) -> Iterator[tuple[str, str]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in pairs:
        yield from referred(each, f"{where}.{key}" if where else str(key))
    if isinstance(value, str) and REFERENCE.match(value):
        yield where, value


def paths(inventory: Inventory) -> tuple[str, ...]:
    """Files that the inventory names and that are no secrets: pinned host keys, authorities of stores."""
    found = [path for each in inventory.clusters.values() for path in pinned(each)]
    found += [store.s3.ca for store in inventory.stores.values() if store.s3 and store.s3.ca]
    return tuple(sorted(set(found)))


def pinned(cluster: Cluster) -> tuple[str, ...]:
    jump = cluster.ssh.jump
    return (cluster.ssh.known_hosts, *([jump.known_hosts] if jump and jump.known_hosts else []))


def harmless(name: str, data: bytes) -> bytes:
    """BadInput where a file holds what must never be in a kit."""
    if SECRET.search(data):
        raise BadInput(f"{name} holds a private key: no kit was written")
    return data


def differences(kit: Kit, today: Today, old_s: float) -> Iterator[str]:
    """What is not in the kit as it would be now."""
    age_s = (today.at - kit.made_at).total_seconds()
    if age_s > old_s:
        yield f"it is {age_s / DAY_S:.0f} days old, {old_s / DAY_S:.0f} may be"
    if kit.version != today.version:
        yield f"it brings Quorate {kit.version}, here is {today.version}"
    if kit.python != today.python:
        yield f"its wheels are for {kit.python}, here is {today.python}"
    for name in sorted(kit.contents.keys() | today.contents.keys()):
        before, now = kit.contents.get(name), today.contents.get(name)
        if name == README or name.startswith(f"{TOOLS}/") or before == now:
            continue
        yield f"{name} " + ("is not in it" if not before else "is not here any more" if not now else "has changed")
    if today.tools is None:
        yield "which tools the stores have is not known"
        return
    yield from (f"{name} is not in it" for name in sorted(today.tools - kit.contents.keys()))


def readme(kit: Kit, name: str) -> str:
    """What somebody reads at 3 a.m. who has this file and nothing else."""
    files = sorted(name for name in kit.contents if name.startswith(f"{FILES}/"))
    tools = sorted(name for name in kit.contents if name.startswith(f"{TOOLS}/"))
    return "\n".join(
        [
            f"# Quorate {kit.version}: the kit of {kit.made_at:%Y-%m-%d %H:%M}Z",
            "",
            f"For the clusters: {', '.join(kit.clusters)}. It needs {kit.python} and nothing from a network but",
            "the nodes and the store.",
            "",
            "## 1. Is it whole",
            "",
            f"    python3 -m zipfile -e {name} kit && cd kit  # or: unzip {name} -d kit && cd kit",
            "",
            f"`{CONTENTS}` lists every file with its sha256; `quorate kit check {name}` compares.",
            "",
            "## 2. Install, without a network",
            "",
            "    python3 -m venv venv",
            f"    venv/bin/pip install --no-index --find-links {WHEELS} quorate=={kit.version}",
            f"    venv/bin/quorate --config {INVENTORY} config validate",
            "",
            "## 3. Put files where the inventory names them",
            "",
            *(f"    install -D -m 600 {name} {name.removeprefix(FILES)}" for name in files),
            "",
            "## 4. Bring what is not in here",
            "",
            "No key, password or token is in this file. The inventory refers to them here:",
            "",
            *(f"- `{where}`: `{what}`" for where, what in kit.bring.items()),
            "",
            "## 5. Look, then plan, then restore",
            "",
            f"    venv/bin/quorate --config {INVENTORY} doctor",
            f"    venv/bin/quorate --config {INVENTORY}",
            f"    venv/bin/quorate --config {INVENTORY} plan restore CLUSTER",
            "",
            "A restore needs a daemon (`quorate up --detach`), and the daemon the program `temporal` in PATH,",
            "which is not in here. Without it, or where nothing of this works:",
            f"`{RUNBOOKS}/restore.md` is the same by hand.",
            "",
            "## Tools",
            "",
            *((tools and [f"- `{name}`: for a node that has none; `chmod 755` it" for name in tools]) or ["None."]),
            "",
        ]
    )
