"""What single values of an inventory may be, and how a person writes them."""

from pathlib import PurePosixPath
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def seconds(value: object) -> object:
    """`15m`, `30s`, `2h`, `7d` as seconds; a bare number is seconds already."""
    if isinstance(value, str) and value[:-1].isdigit() and value[-1:] in UNITS_S:
        return float(value[:-1]) * UNITS_S[value[-1]]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise ValueError("expected a duration such as 30s, 15m, 2h or 7d")


def written(seconds_: float) -> str:
    """As a person writes it: 90s, 15m, 2h."""
    unit, size = next(((unit, size) for unit, size in reversed(UNITS_S.items()) if seconds_ % size == 0), ("s", 1))
    return f"{seconds_ / size:g}{unit}"


def url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not parts.port or parts.path.strip("/"):
        raise ValueError("expected http(s)://host:port")
    return value


def listening(value: str) -> str:
    parts = urlsplit(f"//{value}")
    try:
        port = parts.port
    except ValueError:
        port = None
    if not parts.hostname or port is None or parts.netloc != value or "@" in value:
        raise ValueError("expected host:port, such as 127.0.0.1:9642 or [::1]:9642")
    return value


def absolute(value: str) -> str:
    """A path that no shell and no `..` can turn into another one."""
    path = PurePosixPath(value)
    if not path.is_absolute() or ".." in path.parts or str(path) != value:
        raise ValueError("expected an absolute path without .. or a trailing slash")
    return value


Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")]
Unit = Annotated[str, Field(pattern=r"^[A-Za-z0-9@_.-]{1,200}\.service$")]
Path = Annotated[str, AfterValidator(absolute)]
Url = Annotated[str, AfterValidator(url)]
Duration = Annotated[float, BeforeValidator(seconds)]
Reference = Annotated[
    str,
    Field(
        pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$",
        description="env:NAME or file:/absolute/path, never the secret itself",
    ),
]
Identity = Annotated[
    str,
    Field(
        pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+|agent|agent:SHA256:[A-Za-z0-9+/]{43})$",
        description="env:NAME, file:/absolute/path, agent (any key of the SSH agent) or agent:SHA256:… (that one)",
    ),
]
Recipient = Annotated[
    str,
    Field(
        pattern=r"^(age1[0-9a-z]+|ssh-(ed25519|rsa) [A-Za-z0-9+/=]+( .*)?)$",
        description="age1… (age's own, or of a plugin) or an SSH public key (ssh-ed25519 …, ssh-rsa …)",
    ),
]
Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9.:-]{1,253}$")]
User = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]
Port = Annotated[int, Field(ge=1, le=65535)]
LockMode = Literal["compliance", "governance"]
Role = Literal["kube-apiserver", "kube-controller-manager", "kube-scheduler"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
