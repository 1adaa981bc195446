"""Waiting for an operation: shown as it goes, left with Ctrl-C, over when it is closed or held."""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from quorate.errors import Detached, Held, StillRunning
from worker.cli.options import Given, Output, paint, plain, say, uncollected, warn

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from quorate.operation import Awaiting
    from worker.operations import Found, Glimpse, Operations
    from worker.returned import Result
    from worker.screen import Doing, View
    from worker.settings import Settings

HOUR = "1h"


class Display(Protocol):
    @property
    def poll_s(self) -> float: ...

    def show(self, glimpse: "Glimpse") -> None: ...


@dataclass(slots=True)
class Watched:
    """A display that remembers what it showed last."""

    display: Display
    last: "Glimpse | None" = None

    def show(self, glimpse: "Glimpse") -> None:
        self.last = glimpse
        self.display.show(glimpse)

    @property
    def steps(self) -> list[Any]:
        """As scripts see them."""
        progress = self.last.progress if self.last else None
        return [plain(step) for step in progress.steps] if progress else []

    @property
    def where(self) -> list[str]:
        return list(self.last.hold.where) if self.last and self.last.hold else []


@dataclass(slots=True)
class Rates:
    """Bytes a second by place, from one heartbeat to the next."""

    last: dict[str, tuple[float, int, float]] = field(default_factory=dict)

    def doing(self, glimpse: "Glimpse") -> "tuple[Doing, ...]":
        from worker.screen import Doing, counted_bytes

        out, now = [], time.time()
        for each in glimpse.heard:
            silent_s = max(0.0, now - each.at) if each.at else 0.0
            rate = self.rate(each.place, now, counted_bytes(each.text))
            out.append(Doing(each.place, each.text, each.attempt, silent_s, rate, each.failure))
        return tuple(out)

    def rate(self, place: str, now: float, count: int | None) -> float:
        if count is None:
            self.last.pop(place, None)
            return 0.0
        before, counted, rate = self.last.get(place, (now, count, 0.0))
        if count < counted:
            before, counted, rate = now, count, 0.0
        elif count > counted and now > before:
            before, counted, rate = now, count, (count - counted) / (now - before)
        self.last[place] = (before, counted, rate)
        return rate


@dataclass(slots=True)
class Silent:
    """For scripts: only what keeps us waiting is said, once, on standard error."""

    here: Given
    notes: set[str] = field(default_factory=set)
    poll_s: float = 2.0  # its end is heard at once; every look costs the daemon what the work needs

    def show(self, glimpse: "Glimpse") -> None:
        awaited = waiting_for(glimpse.awaiting, glimpse.found.operation, self.here) if glimpse.awaiting else ""
        for note in (glimpse.note, awaited):
            if note and note not in self.notes:
                self.notes.add(note)
                warn(note)


@dataclass(slots=True)
class Lines:
    """Without a terminal: a line when a step begins, ends or fails, and for whatever else there is to know."""

    here: Given
    said: set[str] = field(default_factory=set)
    poll_s: float = 0.3

    def show(self, glimpse: "Glimpse") -> None:
        for line in lines(glimpse, self.here):
            if line not in self.said:
                self.said.add(line)
                say(line)


@dataclass(slots=True)
class Tree:
    """On a terminal: the step tree, redrawn in place."""

    here: Given
    live: Any
    expecting: Callable[[], dict[str, float]]
    expected: dict[str, float] = field(default_factory=dict)
    rates: Rates = field(default_factory=Rates)
    poll_s: float = 0.3

    def show(self, glimpse: "Glimpse") -> None:
        from rich.text import Text

        from worker.screen import tree

        view = self.view(glimpse)
        self.live.update(Text.from_ansi(tree(view, paint()) if view else glimpse.note or "…"), refresh=True)

    def view(self, glimpse: "Glimpse") -> "View | None":
        from worker.screen import View

        if glimpse.progress is None:
            return None
        found, now = glimpse.found, time.time()
        self.expected = self.expected or self.expecting()  # the plan is on record a moment after the beginning
        waits = [waiting_for(glimpse.awaiting, found.operation, self.here)] if glimpse.awaiting else []
        over = glimpse.closed or glimpse.hold
        footer = (
            ""
            if over
            else f"Ctrl-C detaches; it goes on. Stop it: {self.here.command(f'quorate cancel {found.operation}')}"
        )
        return View(
            heading=f"{found.kind.upper()} {found.cluster}  {found.operation}",
            progress=glimpse.progress,
            doing=self.rates.doing(glimpse),
            expected=self.expected,
            note="\n".join([*waits, glimpse.note or footer]),
            elapsed_s=now - found.began,
            now=now,
        )


def lines(glimpse: "Glimpse", here: Given) -> Iterator[str]:
    """What there is to say of one moment, each in a line that is said once."""
    from worker.screen import span, title, together

    progress = glimpse.progress
    for key in dict.fromkeys(step.id for step in progress.steps) if progress else ():
        assert progress is not None
        steps = [step for step in progress.steps if step.id == key]
        state = together(steps)
        hosts = sorted(step.host for step in steps if state != "failed" or step.state == "failed")
        about = f"{title(progress, key)} ({', '.join(hosts)})"
        match state:
            case "done":
                took = [step.duration_s for step in steps if step.duration_s is not None]
                yield f"done     {about}" + (f", {span(max(took))}" if took else "")
            case _:
                yield f"{state:<8} {about}"
    if glimpse.awaiting:
        yield waiting_for(glimpse.awaiting, glimpse.found.operation, here)
    if glimpse.note:
        yield glimpse.note


def operations(settings: "Settings") -> "AbstractAsyncContextManager[Operations]":
    """The server, asked; Temporal's library is what most of a command's start is spent on."""
    with uncollected():
        from worker.operations import operations
    return operations(settings)


def waiting_for(awaiting: "Awaiting", operation: str, here: Given) -> str:
    """Who has approved, who may, until when, and what the one who may has to type."""
    from quorate.approval import expiry

    given = ", ".join(awaiting.approved_by) or "nobody"
    may = ", ".join(awaiting.asked) or ("nobody else" if awaiting.approvers else "anybody else")
    proof = ", with an SSH key" if awaiting.signers else ""
    return (
        f"waits for approval until {expiry(awaiting.until)}: {len(awaiting.approved_by)} of {awaiting.people} "
        f"({given}); who may: {may}{proof}\n  {here.command(approval(awaiting, operation))}"
    )


def approval(awaiting: "Awaiting", operation: str) -> str:
    proof = "--key FILE" if awaiting.signers else f"--as {next(iter(awaiting.asked), 'NAME')}"
    return f"quorate approve {operation} --digest {awaiting.digest} {proof}"


@contextmanager
def display(here: Given, output: Output, expecting: Callable[[], dict[str, float]]) -> Iterator[Watched]:
    if output is Output.JSON:
        yield Watched(Silent(here))
    elif not sys.stdout.isatty():
        yield Watched(Lines(here))
    else:
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(highlight=False), auto_refresh=False) as live:
            yield Watched(Tree(here, live, expecting))


def expected(settings: "Settings", operation: str) -> dict[str, float]:
    """How long each step usually takes, where the plan is on record here."""
    path = settings.operations / operation / "plan.json"
    try:
        steps = json.loads(path.read_text())["chosen"]["steps"]
        return {step["key"]: step["expected_s"] for step in steps}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


async def outcome(operations: "Operations", found: "Found", patience_s: float, shown: Watched) -> "Result":
    """Its result; Held and StillRunning leave it as it is."""
    async for glimpse in operations.watch(found, patience_s, shown.display.poll_s):
        shown.show(glimpse)
    if shown.last and shown.last.hold and not shown.last.closed:
        raise held(shown.last)
    return await operations.result(found)


def held(glimpse: "Glimpse") -> Held:
    assert glimpse.hold is not None
    choices = "  # or: ".join(f"quorate {choice} {glimpse.found.operation}" for choice in glimpse.hold.choices)
    said = "\n".join((glimpse.hold.reason, *glimpse.hold.where, *glimpse.hold.notes))
    return Held(f"held at step {glimpse.hold.step}: {said}", next=choices)


@dataclass(slots=True)
class Waiting:
    """How one command waits; `fields` of its contract are filled in as far as they are known."""

    here: Given
    output: Output
    patience_s: float
    fields: dict[str, Any]

    def begin(self, settings: "Settings", kind: str, request: Any) -> "Result":
        """Start it, then wait for its end."""
        return self.run(request.operation, self._begun(settings, kind, request))

    def follow(self, settings: "Settings", operation: str) -> "Result":
        """Wait for one that was started before."""
        return self.run(operation, self._found(settings, operation))

    def run(self, operation: str, work: Coroutine[Any, Any, "Result"]) -> "Result":
        """Ctrl-C leaves the operation alone and says how to come back."""
        try:
            return asyncio.run(work)
        except KeyboardInterrupt:
            raise Detached(f"detached; {operation} goes on", next=f"quorate watch {operation}") from None

    async def _begun(self, settings: "Settings", kind: str, request: Any) -> "Result":
        async with operations(settings) as client:
            found = await client.begin(kind, request)
            self.fields["operation"] = found.operation
            if self.output is Output.TABLE:
                back = self.here.command(f"quorate watch {found.operation}")
                say(f"{found.operation} has begun; to come back to it: {back}")
            return await self._end(client, found, settings)

    async def _found(self, settings: "Settings", operation: str) -> "Result":
        async with operations(settings) as client:
            return await self._end(client, await client.find(operation), settings)

    async def _end(self, client: "Operations", found: "Found", settings: "Settings") -> "Result":
        with display(self.here, self.output, lambda: expected(settings, found.operation)) as watched:
            try:
                return await outcome(client, found, self.patience_s, watched)
            except Held:
                self.fields |= {"outcome": "held", "steps": watched.steps, "where": watched.where}
                raise
            except StillRunning as error:
                self.fields["steps"] = watched.steps
                if watched.last and watched.last.awaiting:
                    error.next = approval(watched.last.awaiting, found.operation)
                raise
