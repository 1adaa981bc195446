"""A kit is gathered and written, read and compared."""

import hashlib
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from activities.streams.compression import expanded
from quorate.backups.catalogue import read
from quorate.backups.kit import (
    CONTENTS,
    FILES,
    INVENTORY,
    README,
    RUNBOOKS,
    TOOLS,
    WHEELS,
    Content,
    Kit,
    Today,
    harmless,
    parse,
    paths,
    readme,
    references,
)
from quorate.backups.toolbox import KeptTool
from quorate.backups.toolbox import parse as tool_of
from quorate.errors import BadInput, Corrupt, QuorateError
from worker.operations import version
from worker.wheels import pages, python, wheels, zipped

if TYPE_CHECKING:
    from quorate.ports import Store
    from worker.wiring import Wiring


@dataclass(frozen=True, slots=True)
class Made:
    kit: Kit
    findings: tuple[str, ...]


def export(wiring: "Wiring", target: Path, now: datetime) -> Made:
    """A file that is there is not written over; where a store is away the kit is made without its tools."""
    if target.exists():
        raise BadInput(f"{target} is there already: nothing was written")
    contents, findings = local(wiring)
    for name in {wiring.settings.store(each).place: each for each in wiring.settings.inventory.clusters}.values():
        try:
            contents |= tools(wiring.stores.at(wiring.settings.store(name)))
        except QuorateError as error:
            findings.append(f"without the tools of the store of {name}: {error}")
    if not any(name.startswith(f"{TOOLS}/") for name in contents):
        findings.append("no restore tool is in it: a backup keeps one in the store")
    inventory = wiring.settings.inventory
    kit = Kit(
        made_at=now.replace(microsecond=0),
        version=version(),
        python=python(),
        clusters=tuple(sorted(inventory.clusters)),
        bring=references(inventory),
        contents={name: summed(data) for name, data in contents.items()},
    )
    told = readme(kit, target.name).encode()
    kit = kit.model_copy(update={"contents": {**kit.contents, README: summed(told)}})
    write(target, zipped({**contents, README: told, CONTENTS: kit.encode()}, zipfile.ZIP_DEFLATED))
    return Made(kit, tuple(findings))


def local(wiring: "Wiring") -> tuple[dict[str, bytes], list[str]]:
    """What needs nobody's answer."""
    contents = {INVENTORY: harmless(str(wiring.settings.path), wiring.settings.path.read_bytes())}
    findings = []
    for path in paths(wiring.settings.inventory):
        try:
            contents[f"{FILES}{path}"] = harmless(path, Path(path).read_bytes())
        except OSError as error:
            findings.append(f"without {path}: {error.strerror}")
    contents |= {f"{WHEELS}/{name}": data for name, data in wheels().items()}
    contents |= {f"{RUNBOOKS}/{name}": path.read_bytes() for name, path in pages().items()}
    return contents, findings


def described(store: "Store") -> Iterator[KeptTool]:
    for each in store.ls(f"{TOOLS}/"):
        if each.key.endswith(".json"):
            yield tool_of(read(store, each.key), each.key)


def named(tool: KeptTool) -> str:
    return f"{TOOLS}/{tool.version}-{tool.architecture}/{tool.program}"


def tools(store: "Store") -> dict[str, bytes]:
    found = {}
    for tool in described(store):
        data = b"".join(expanded(store.get(tool.key), tool.key))
        if hashlib.sha256(data).hexdigest() != tool.sha256:
            raise Corrupt(f"{tool.key} is not the program that {tool.manifest_key} describes")
        found[named(tool)] = data
    return found


def today(wiring: "Wiring", now: datetime) -> Today:
    contents, _ = local(wiring)
    known: frozenset[str] | None = frozenset()
    for name in wiring.settings.inventory.clusters:
        try:
            there = frozenset(named(each) for each in described(wiring.stores.at(wiring.settings.store(name))))
            known = None if known is None else known | there
        except QuorateError:
            known = None
    return Today(now, version(), python(), {name: summed(data) for name, data in contents.items()}, known)


def opened(path: Path) -> Kit:
    """Corrupt unless every byte is as its list says, and nothing else is in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            kit = parse(archive.read(CONTENTS))
            return proved(kit, archive, path)
    except FileNotFoundError as error:
        raise BadInput(f"{path} is not there") from error
    except (OSError, KeyError, zipfile.BadZipFile, EOFError, ValueError) as error:
        raise Corrupt(f"{path} is no kit: {error}", next="quorate kit export FILE") from error


def proved(kit: Kit, archive: zipfile.ZipFile, path: Path) -> Kit:
    there = set(archive.namelist()) - {CONTENTS}
    changed = {name for name in there & kit.contents.keys() if summed(archive.read(name)) != kit.contents[name]}
    if wrong := sorted(changed | (there ^ kit.contents.keys())):
        raise Corrupt(f"{path} is not as it was written: {', '.join(wrong)}", next="quorate kit export FILE")
    return kit


def summed(data: bytes) -> Content:
    return Content(size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def write(target: Path, data: bytes) -> None:
    """Whole or not at all, and never over another one."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(data)
            os.fsync(file.fileno())
        os.link(part, target)
    except OSError as error:
        raise BadInput(f"{target}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def total(contents: Mapping[str, Content]) -> int:
    return sum(each.size_bytes for each in contents.values())
