"""Reading an inventory: every mistake at once, each with its line."""

from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from quorate.errors import BadInput
from quorate.inventory import Inventory

Loc = tuple[str | int, ...]


def parse(text: str, name: str) -> Inventory:
    """The inventory written in `text`; BadInput lists every mistake as `name:line: field: what`."""
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise BadInput(f"{name} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, yaml.MappingNode):
        raise BadInput(f"{name}: expected a mapping with apiVersion, state_dir, stores and clusters")
    lines = dict(walk(tree, ()))
    mistakes = [(line, f"{'.'.join(map(str, loc))}: appears twice") for loc, line in doubles(tree, ())]
    try:
        inventory = Inventory.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        mistakes += [mistake(detail, lines) for detail in error.errors(include_url=False)]
    except yaml.YAMLError as error:
        raise BadInput(f"{name} is not YAML: {' '.join(str(error).split())}") from error
    if mistakes:
        raise BadInput("\n".join(f"{name}:{line}: {what}" for line, what in sorted(mistakes)))
    return inventory


def mistake(detail: ErrorDetails, lines: dict[Loc, int]) -> tuple[int, str]:
    """The line, and field, what was found and what is allowed."""
    loc = detail["loc"]
    line = next((lines[loc[:n]] for n in range(len(loc), -1, -1) if loc[:n] in lines), 1)
    field = ".".join(map(str, loc)) or "inventory"
    return line, f"{field}: {allowed(detail)}{found(detail)}"


def allowed(detail: ErrorDetails) -> str:
    context: dict[str, Any] = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            return "no such field"
        case "missing":
            return "is missing"
        case "string_pattern_mismatch":
            return f"must match {context['pattern']}"
        case "literal_error":
            return f"must be {context['expected']}"
        case "value_error":
            return str(context["error"])
    return detail["msg"]


def found(detail: ErrorDetails) -> str:
    """What stands there, unless it is a whole mapping or may be a secret put in place of a reference."""
    value = detail["input"]
    if detail["type"] in {"missing", "extra_forbidden"} or isinstance(value, dict | list):
        return ""
    if "env:" in str(detail.get("ctx", {}).get("pattern", "")):
        return ", found something else (not shown: it may be a secret)"
    return f", found {value!r}"


def walk(node: yaml.Node, loc: Loc) -> list[tuple[Loc, int]]:
    """Every path in the document with its line, counted from one."""
    here = [(loc, node.start_mark.line + 1)]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here += [((*loc, key.value), key.start_mark.line + 1), *walk(value, (*loc, key.value))[1:]]
    if isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            here += walk(value, (*loc, index))
    return here


def doubles(node: yaml.Node, loc: Loc) -> list[tuple[Loc, int]]:
    """Keys that stand twice in one mapping, which YAML lets pass and the last one wins."""
    out: list[tuple[Loc, int]] = []
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                out.append(((*loc, key.value), key.start_mark.line + 1))
            seen.add(key.value)
            out += doubles(value, (*loc, key.value))
    if isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            out += doubles(value, (*loc, index))
    return out
