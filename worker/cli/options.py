"""What commands share: the options, the inventory that was asked for, how something is said."""

import gc
import json
import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quorate.errors import QuorateError
from quorate.ids import named

if TYPE_CHECKING:
    from worker.screen import Paint
    from worker.settings import Settings
    from worker.wiring import Wiring


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"


As = Annotated[Output, typer.Option("--output", "-o", help="table for people, json for scripts: one object.")]
Actor = Annotated[str, typer.Option("--as", metavar="NAME", help="Who asks; the name of the OS user if left out.")]
ClusterName = Annotated[str, typer.Argument(metavar="CLUSTER", help="A cluster of the inventory.")]
OperationId = Annotated[str, typer.Argument(metavar="OPERATION", help="As `quorate operations ls` shows it.")]
StoreName = Annotated[
    str, typer.Option("--store", metavar="NAME", help="One that has copies; where backups go first if left out.")
]
Patience = Annotated[
    str, typer.Option("--wait-timeout", metavar="DURATION", help="How long to wait, such as 90s, 30m, 1h.")
]


@dataclass(slots=True)
class Given:
    """The global options; `config` is None where the usual places are looked at."""

    config: Path | None = None

    def settings(self) -> "Settings":
        from worker.settings import load

        return load(self.config)

    def wiring(self) -> "Wiring":
        from worker.wiring import Wiring

        return Wiring(self.settings(), chain="cli")

    def command(self, text: str) -> str:
        """A command to run next, on the same inventory as this one."""
        if self.config is None or not text.startswith("quorate ") or " --config " in text:
            return text
        return text.replace("quorate ", f"quorate --config {self.config.resolve()} ")


def given(ctx: typer.Context) -> Given:
    found = ctx.find_object(Given)
    assert found is not None, "the root command sets it"
    return found


def paint() -> "Paint":
    """Colours on a terminal, unless NO_COLOR says otherwise."""
    from worker.screen import Paint

    return Paint(sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb")


def columns() -> int:
    """Of the terminal; 0 where there is none, and nothing needs to fit."""
    import shutil

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def say(text: str = "") -> None:
    print(text, flush=True)


def warn(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def say_json(data: dict[str, Any]) -> None:
    say(json.dumps(data, indent=2, ensure_ascii=False))


def plain(value: object) -> Any:
    """Dataclasses and models as what JSON knows."""
    from pydantic import TypeAdapter

    return TypeAdapter(type(value)).dump_python(value, mode="json")


def trouble(error: QuorateError, here: Given) -> dict[str, str]:
    """The error of the scripts' contract."""
    return {"kind": error.kind, "message": str(error), "next": here.command(error.next)}


@contextmanager
def contract(here: Given, output: Output, fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A script gets every field of its contract, also with an error; `fields` may be filled in on the way."""
    try:
        yield fields
    except QuorateError as error:
        if output is Output.JSON:
            say_json({**fields, "error": trouble(error, here)})
            raise typer.Exit(error.exit_code) from error
        raise


@contextmanager
def uncollected() -> Iterator[None]:
    """For a command that ends soon: nothing it loads is garbage, and to look for some takes a tenth of its time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def actor(option: str) -> str:
    import getpass

    return option or getpass.getuser()


def new_id(kind: str) -> str:
    """Of an operation that begins now."""
    return named(kind, time.time_ns() // 1_000_000, secrets.randbits(80))


def duration(text: str) -> float:
    from quorate.errors import BadInput
    from quorate.settings.fields import seconds

    try:
        value = seconds(float(text) if text.replace(".", "", 1).isdigit() else text)
    except ValueError as error:
        raise BadInput(f"{text!r}: {error}") from error
    return float(str(value))
