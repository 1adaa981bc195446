"""`quorate`: the only place that turns an error into a message and an exit code."""

import logging
import os
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

from quorate.errors import BadInput, Detached, QuorateError

if TYPE_CHECKING:
    from worker.cli.options import Given

# pydantic asks every distribution that is installed whether it is a plugin of its own: none of ours is, and it costs
# a tenth of the start of a command.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
# grpc's own threads read a connection and hand every message over; without them whoever waits for one reads it. Of a
# snapshot of 747 MiB that took 2.6 s of processor and 120,000 switches of thread, and takes 1.5 s and 25,000.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_client")

DEFECT = 1
DETACHED = 130


def main() -> None:
    """Ends without the interpreter's farewell: with threads of grpc or Temporal alive it aborts now and then."""
    code = answer(sys.argv[1:])
    if {"temporalio", "grpc"} & set(sys.modules):
        logging.shutdown()
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def answer(words: list[str]) -> int:
    """Exit codes are those of quorate/errors.py; 1 is a defect of ours, 130 an interrupt."""
    from worker.cli.options import Given

    here = Given()
    try:
        return run(words, here)
    except QuorateError as error:
        report(error, here, json=wants_json(words))
        return error.exit_code
    except KeyboardInterrupt:
        return DETACHED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader went away: nobody to tell
        return DEFECT
    except Exception as error:  # noqa: BLE001 - whatever else is raised is a defect, and said to be one
        return defect(error, here, json=wants_json(words))


def run(words: list[str], here: "Given") -> int:
    import typer
    from typer._click.exceptions import ClickException

    from worker.cli.app import app

    try:
        return int(app(words, standalone_mode=False, obj=here, prog_name="quorate") or 0)
    except ClickException as error:
        context = getattr(error, "ctx", None)
        usage = context.command_path if context else "quorate"
        raise BadInput(error.format_message(), next=f"{usage} --help") from None
    except typer.Abort:
        return DETACHED


def wants_json(words: list[str]) -> bool:
    """Also where the words themselves are the mistake."""
    text = " ".join(words)
    return any(form in f"{text} " for form in ("-o json ", "-ojson ", "--output json ", "--output=json "))


def report(error: QuorateError, here: "Given", *, json: bool) -> None:
    """One object for a script; what happened and what to do next for a person."""
    from worker.cli.options import say_json, trouble, warn

    if json:
        say_json({"error": trouble(error, here)})
        return
    warn(str(error) if isinstance(error, Detached) else f"error: {error}")
    if error.next:
        warn(f"next: {here.command(error.next)}")


def defect(error: Exception, here: "Given", *, json: bool) -> int:
    if os.environ.get("QUORATE_DEBUG") == "1":
        traceback.print_exception(error)
    said = f"internal error: {type(error).__name__}: {error}".splitlines()[0]
    again = "QUORATE_DEBUG=1 quorate …  # shows where; please report it"
    report(QuorateError(said, next=again), here, json=json)
    return DEFECT


if __name__ == "__main__":
    main()
