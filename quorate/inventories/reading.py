"""Reading an inventory: every mistake at once, each with its line."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from quorate.errors import BadInput
from quorate.inventory import Inventory

Loc = tuple[str | int, ...]
# libyaml, which PyYAML's wheels bring along.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse(text: str, name: str) -> Inventory:
    """The inventory written in `text`; BadInput lists every mistake as `name:line: field: what`."""
    document, lines, mistakes = opened(text, name, "apiVersion, state_dir, stores and clusters")
    try:
        inventory = Inventory.model_validate(document)
    except ValidationError as error:
        mistakes += [mistake(detail, lines) for detail in telling(error.errors(include_url=False))]
        mistakes += [placed(loc, what, lines) for loc, what in between(document)]
    else:
        mistakes += [placed(loc, what, lines) for loc, what in zones(inventory)]
    refuse(name, mistakes)
    return inventory


def opened(text: str, name: str, fields: str) -> tuple[object, dict[Loc, int], list[tuple[int, str]]]:
    """The document, the line of every field, and what stands twice; BadInput for what is no mapping."""
    try:
        loader = LOADER(text)
        tree = loader.get_single_node()
        if not isinstance(tree, yaml.MappingNode):
            raise BadInput(f"{name}: expected a mapping with {fields}")
        twice = [(line, f"{'.'.join(map(str, loc))}: appears twice") for loc, line in doubles(tree, ())]
        lines = dict(walk(tree, ()))  # before it is made a document, which merges what is merged
        return loader.construct_document(tree), lines, twice
    except yaml.YAMLError as error:
        raise BadInput(f"{name} is not YAML: {' '.join(str(error).split())}") from error


def refuse(name: str, mistakes: list[tuple[int, str]]) -> None:
    if mistakes:
        raise BadInput("\n".join(f"{name}:{line}: {what}" for line, what in sorted(set(mistakes))))


def mistake(detail: ErrorDetails, lines: dict[Loc, int]) -> tuple[int, str]:
    """The line, and field, what was found and what is allowed."""
    return placed(detail["loc"], f"{allowed(detail)}{found(detail)}", lines)


def placed(loc: Loc, what: str, lines: dict[Loc, int]) -> tuple[int, str]:
    """At the line of the field, or of what it should stand in."""
    line = next((lines[loc[:n]] for n in range(len(loc), -1, -1) if loc[:n] in lines), 1)
    return line, f"{'.'.join(map(str, loc)) or 'inventory'}: {what}"


def telling(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without echoes: a list whose items are wrong is called too short, and `between` knows more of references."""
    locs = [detail["loc"] for detail in details]
    return [
        detail
        for detail in details
        if not (detail["type"] == "too_short" and any(inside(loc, detail["loc"]) for loc in locs))
        and not (detail["type"] == "value_error" and not detail["loc"])
    ]


def inside(inner: Loc, outer: Loc) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def between(document: object) -> Iterator[tuple[Loc, str]]:
    """Mistakes between fields: the models look for them only once every single field is right."""
    stores = section(document, "stores")
    members = {name: set(hosts(cluster)) for name, cluster in section(document, "clusters").items()}
    for name, cluster in section(document, "clusters").items():
        store = section(cluster, "backup").get("store")
        known = ", ".join(sorted(map(str, stores))) or "none"
        if isinstance(store, str) and store not in stores:
            yield ("clusters", name, "backup", "store"), f"is {store!r}; stores that exist: {known}"
        for copy in listed(section(cluster, "backup").get("copies")):
            if isinstance(copy, str) and copy not in stores:
                yield ("clusters", name, "backup", "copies"), f"has {copy!r}; stores that exist: {known}"
        if section(cluster, "backup").get("lock") and "directory" in section(stores, str(store)):
            yield ("clusters", name, "backup", "lock"), f"needs a store that can lock: {store} is a directory"
        if section(cluster, "backup").get("restore_within") and not section(cluster).get("sandbox"):
            yield ("clusters", name, "backup", "restore_within"), "needs a sandbox, where the backup is restored"
        host = section(cluster, "sandbox").get("host")
        if owner := next((each for each, hosts in members.items() if host in hosts), None):
            yield (
                ("clusters", name, "sandbox", "host"),
                f"is a member's, of {owner}: {host}; it must be of no cluster",
            )
        for what, values in shared(section(cluster).get("members")):
            yield ("clusters", name), f"two members have the {what} {', '.join(values)}"


def zones(inventory: Inventory) -> Iterator[tuple[Loc, str]]:
    """By this machine's own list of them: what travels as a payload must not depend on that, so only a file does."""
    asked = {name: each.backup.schedule for name, each in inventory.clusters.items() if each.backup.schedule}
    wanted = {name: each.time_zone for name, each in asked.items() if each.time_zone != "UTC"}
    known = available_timezones() if wanted else set()
    for name, zone in wanted.items():
        if zone not in known:
            allowed = "must be the name of a time zone, such as Europe/Zurich"
            yield ("clusters", name, "backup", "schedule", "time_zone"), f"{allowed}, found {zone!r}"


def shared(members: object) -> Iterator[tuple[str, list[str]]]:
    """What two members of a cluster have in common although they must not."""
    all_of = [member for member in members if isinstance(member, dict)] if isinstance(members, list) else []
    for key, what in (("name", "name"), ("host", "host"), ("peer_urls", "peer URL"), ("client_urls", "client URL")):
        values = [str(value) for member in all_of for value in listed(member.get(key))]
        if twice := sorted({value for value in values if values.count(value) > 1}):
            yield what, twice


def hosts(cluster: object) -> Iterator[str]:
    """By which members are reached, as names or addresses."""
    for member in filter(None, map(section, listed(section(cluster).get("members")))):
        yield str(member.get("host"))
        for url in (*listed(member.get("peer_urls")), *listed(member.get("client_urls"))):
            with suppress(ValueError):  # what is no URL is told elsewhere
                yield urlsplit(str(url)).hostname or ""


def listed(value: object) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def section(value: object, key: str = "") -> dict[str, Any]:
    """A mapping, or the one under its key; empty where something else stands."""
    inner = section(value).get(key) if key else value
    return inner if isinstance(inner, dict) else {}


def allowed(detail: ErrorDetails) -> str:
    context: dict[str, Any] = detail.get("ctx", {})
    pattern = context.get("pattern", "")
    said = {
        "extra_forbidden": "no such field",
        "missing": "is missing",
        "string_pattern_mismatch": f"must match {pattern}",
        "literal_error": f"must be {context.get('expected')}",
        "value_error": str(context.get("error")),
    }
    if "env:" in pattern:
        return "must be env:NAME or file:/absolute/path, never the secret itself"
    if "age1" in pattern:
        return "must be age1… (age's own, or of a plugin) or an SSH public key, never an identity"
    return said.get(detail["type"], detail["msg"])


def found(detail: ErrorDetails) -> str:
    """What stands there, unless it is a whole mapping or may be a secret put in place of a reference."""
    value = detail["input"]
    if detail["type"] in {"missing", "extra_forbidden"} or isinstance(value, dict | list):
        return ""
    if "env:" in str(detail.get("ctx", {}).get("pattern", "")) or {"ssh_key", "recipients"} & {*detail["loc"]}:
        return ", found something else (not shown: it may be a secret)"
    return f", found {value!r}"


def walk(node: yaml.Node, loc: Loc, above: tuple[yaml.Node, ...] = ()) -> list[tuple[Loc, int]]:
    """Every path in the document with its line, counted from one; an alias of what it stands in ends it."""
    here = [(loc, node.start_mark.line + 1)]
    if any(node is each for each in above):
        return here
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*loc, named(key))
            here += [(inner, key.start_mark.line + 1), *walk(value, inner, (*above, node))[1:]]
    if isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            here += walk(value, (*loc, index), (*above, node))
    return here


def doubles(node: yaml.Node, loc: Loc, above: tuple[yaml.Node, ...] = ()) -> list[tuple[Loc, int]]:
    """Keys that stand twice in one mapping, which YAML lets pass and the last one wins."""
    out: list[tuple[Loc, int]] = []
    if any(node is each for each in above):
        return out
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if named(key) in seen:
                out.append(((*loc, named(key)), key.start_mark.line + 1))
            seen.add(named(key))
            out += doubles(value, (*loc, named(key)), (*above, node))
    if isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            out += doubles(value, (*loc, index), (*above, node))
    return out


def named(key: yaml.Node) -> str:
    """A key as it is written; one that is itself a list or a mapping is refused later."""
    return key.value if isinstance(key, yaml.ScalarNode) else "?"
