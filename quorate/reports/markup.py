"""HTML and SVG as values: whatever is not markup already is escaped, so nothing from outside can become any."""

import re
from html import escape

UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
VOID = frozenset({"meta", "br", "rect", "line", "circle", "path", "polyline"})


class Safe(str):
    """Text that is markup already; only `tag` and `join` make it."""

    __slots__ = ()


def text(value: object) -> Safe:
    return value if isinstance(value, Safe) else Safe(escape(visible(str(value)), quote=True))


def visible(said: str) -> str:
    """What would turn a line around, or hide in it, is shown by its number."""
    return UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", said)


def tag(name: str, /, *inside: object, **attributes: object) -> Safe:
    """`class_` is the attribute class, `stroke_width` is stroke-width; one that is None or False is left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"' if value is not True else f" {key.rstrip('_')}"
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in VOID and not inside:
        return Safe(f"<{name}{given}>" if name in {"meta", "br"} else f"<{name}{given}/>")
    return Safe(f"<{name}{given}>{join(*inside)}</{name}>")


def join(*parts: object, by: str = "") -> Safe:
    return Safe(by.join(text(part) for part in parts))
