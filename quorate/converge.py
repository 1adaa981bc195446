"""Look, decide, act, look again: the only loop that touches a cluster."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeAlias, TypeVar

from quorate.errors import CommandFailed, DidNotConverge

S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)
A = TypeVar("A")
A_contra = TypeVar("A_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Await:
    """Nothing to do but look again."""

    reason: str
    poll_s: float = 0.1


@dataclass(frozen=True, slots=True)
class Ran:
    """One act and how it ended; no exit means its precondition no longer held, so it did not run."""

    act: str
    exit: int | None
    tail: str = ""
    started: float = 0.0
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a step did at one place, and the facts it leaves behind (times are UTC epoch seconds)."""

    ran: tuple[Ran, ...] = ()
    started: float = 0.0
    duration_s: float = 0.0
    facts: dict[str, str] = field(default_factory=dict)


Left: TypeAlias = tuple[A, ...] | Await  # () means done
Decide: TypeAlias = Callable[[S, float], Left[A]]  # the float: seconds since the last act
Tick: TypeAlias = Callable[[str], None]  # heard each second at least, while work goes on


@dataclass(frozen=True, slots=True)
class Done(Generic[S_co]):
    """What ran, and what was seen in the same call after it; None when that is not known."""

    ran: tuple[Ran, ...]
    seen: S_co | None = None


class Surface(Protocol[S_co, A_contra]):
    """A place that is looked at and acted on: a node, or an etcd member."""

    def look(self) -> S_co: ...

    def do(self, acts: tuple[A_contra, ...], tick: Tick) -> Done[S_co]:
        """One after another until one fails or finds that the world has moved on, then look: all in one call."""


class Clock(Protocol):
    """What the module `time` is."""

    def time(self) -> float: ...

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Converged(Generic[S]):
    """The receipt, and what was seen when nothing was left to do."""

    receipt: Receipt
    seen: S


def converge(at: Surface[S, A], decide: Decide[S, A], deadline_s: float, clock: Clock, tick: Tick) -> Converged[S]:
    """Do what is left until nothing is; what was tried and is still left has failed."""
    started = clock.time()
    began = acted = clock.monotonic()
    ran: list[Ran] = []
    tried: Left[A] = ()
    seen = at.look()
    while left := decide(seen, clock.monotonic() - acted):
        if left == tried or clock.monotonic() - began >= deadline_s:
            raise DidNotConverge(f"after {clock.monotonic() - began:.0f} s: {still(left, ran)}")
        if isinstance(left, Await):
            tick(left.reason)
            clock.sleep(left.poll_s)
            seen = at.look()
        else:
            done = succeeded(at.do(left, tick))
            ran += done.ran
            acted, tried = clock.monotonic(), left
            seen = at.look() if done.seen is None else done.seen
    return Converged(Receipt(tuple(ran), started, clock.monotonic() - began), seen)


def succeeded(done: Done[S]) -> Done[S]:
    """The same; CommandFailed quotes the act that exited otherwise than with 0."""
    for ran in done.ran:
        if ran.exit:
            raise CommandFailed(f"`{ran.act}` exited {ran.exit}: {ran.tail}")
    return done


def still(left: Left[A], ran: list[Ran]) -> str:
    """What is left, in words, with the last thing the place said."""
    if isinstance(left, Await):
        return left.reason
    said = f" ({ran[-1].tail})" if ran and ran[-1].tail else ""
    return "still left: " + "; ".join(f"`{act}`" for act in left) + said
