"""Marks: what became of a snapshot after its manifest was written, each an object of its own beside it.

A manifest is never written again, so what is learnt or decided later is another file: `marks/TIME-KIND`. The names
say it all, so that one listing of a store tells how every snapshot in it stands; what a mark holds says who and why.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from quorate.audit import canonical
from quorate.errors import AlreadyThere
from quorate.ports import Store

TIME = "%Y%m%dT%H%M%SZ"
FORMAT = "quorate/mark/v1"


class Kind(StrEnum):
    """`verified`: fetched, opened and compared again; `restored`: an etcd started from it holds what it should;

    `quarantined`: it was not what it should be; `pruned`: its removal has begun.
    """

    VERIFIED = "verified"
    RESTORED = "restored"
    QUARANTINED = "quarantined"
    PROTECTED = "protected"
    UNPROTECTED = "unprotected"
    PRUNED = "pruned"


NAME = re.compile(rf"^(?P<directory>[^/]+/[^/]+/[^/]+)/marks/(?P<at>\d{{8}}T\d{{6}}Z)-(?P<kind>{'|'.join(Kind)})$")


@dataclass(frozen=True, slots=True)
class Mark:
    """`directory` is the snapshot's."""

    directory: str
    kind: Kind
    at: datetime
    actor: str
    operation: str
    reason: str = ""

    @property
    def key(self) -> str:
        return f"{self.directory}/marks/{self.at.astimezone(UTC):{TIME}}-{self.kind}"

    def encode(self) -> bytes:
        said = {"actor": self.actor, "operation": self.operation, "reason": self.reason}
        where = {"format": FORMAT, "snapshot": self.directory, "kind": self.kind.value}
        return canonical({**where, "at": f"{self.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", **said}).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a snapshot stands by its marks; times are of the newest mark of that kind.

    One that was quarantined and proved sound later is not any more.
    """

    verified: datetime | None = None
    restored: datetime | None = None
    quarantined: datetime | None = None
    protected: bool = False
    pruned: bool = False

    def after(self, kind: Kind, at: datetime) -> "Standing":
        match kind:
            case Kind.VERIFIED:
                return replace(self, verified=at, quarantined=None)
            case Kind.RESTORED:
                return replace(self, verified=at, restored=at, quarantined=None)
            case Kind.QUARANTINED:
                return replace(self, quarantined=at)
            case Kind.PROTECTED | Kind.UNPROTECTED:
                return replace(self, protected=kind is Kind.PROTECTED)
            case Kind.PRUNED:
                return replace(self, pruned=True)

    @property
    def words(self) -> tuple[str, ...]:
        """What is out of the ordinary."""
        return (*(["quarantined"] if self.quarantined else []), *(["protected"] if self.protected else []))


UNMARKED = Standing()


def standings(keys: Iterable[str]) -> Mapping[str, Standing]:
    """By the directory of the snapshot, of those that have marks; of a time that is the same the name decides."""
    found: dict[str, Standing] = {}
    for match in sorted(filter(None, map(NAME.match, keys)), key=lambda each: each["at"] + each["kind"]):
        at = datetime.strptime(match["at"], TIME).replace(tzinfo=UTC)
        found[match["directory"]] = found.get(match["directory"], UNMARKED).after(Kind(match["kind"]), at)
    return found


def remarkable(key: str) -> bool:
    """Whether it is a mark, and another than the one that every backup gets."""
    found = NAME.match(key)
    return found is not None and found["kind"] != Kind.VERIFIED


def put(store: Store, mark: Mark) -> None:
    """Twice in one second is once."""
    try:
        store.put(mark.key, (mark.encode(),), lambda _: None)
    except AlreadyThere:
        return
