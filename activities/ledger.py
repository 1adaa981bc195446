"""The operation's own record and its audit trail, kept here and, where it answers, in the store."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from temporalio import activity

from activities.pipeline import beaten
from quorate.errors import AlreadyThere, QuorateError
from quorate.operation import RestoreRequest, RestoreResult
from quorate.plan import Plan
from quorate.ports import Store, Stores
from quorate.records import home, plan_text, result_text


class Sealable(Protocol):
    def seal(self) -> None: ...


@dataclass(frozen=True)
class Ledger:
    """`root` holds a directory an operation; the store gets the same files, create-only."""

    root: Path
    journals: Callable[[str], Sealable]
    stores: Stores

    @activity.defn(name="ledger.open")
    def open(self, request: RestoreRequest, plan: Plan) -> None:
        self._write(request.operation, "plan.json", plan_text(plan))
        self._copy(request, ("plan.json",))

    @activity.defn(name="ledger.close")
    def close(self, request: RestoreRequest, result: RestoreResult) -> None:
        """The outcome, then the seal, then everything into the store; without the store: say so, go on."""
        self._write(request.operation, "outcome.json", result_text(result))
        self.journals(request.operation).seal()
        audit = sorted(path.name for path in (self.root / request.operation / "audit").glob("*.jsonl"))
        self._copy(request, (*(f"audit/{name}" for name in audit), "outcome.json"))

    def _write(self, operation: str, name: str, text: str) -> None:
        path = self.root / operation / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = path.with_suffix(".part")
        part.write_text(text)
        part.rename(path)

    def _copy(self, request: RestoreRequest, names: tuple[str, ...]) -> None:
        """Beaten meanwhile: a store that is away takes longer to say so than a heartbeat may."""
        beaten(lambda _tick: self._put_all(request, names), activity.heartbeat)

    def _put_all(self, request: RestoreRequest, names: tuple[str, ...]) -> None:
        try:
            store = self.stores.at(request.store)
            for name in names:
                self._put(store, request, name)
        except QuorateError as error:
            activity.logger.warning("the record of %s stays here only: %s", request.operation, error)

    def _put(self, store: Store, request: RestoreRequest, name: str) -> None:
        data = (self.root / request.operation / name).read_bytes()
        try:
            store.put(f"{home(request.cluster, request.operation)}/{name}", (data,), lambda _: None)
        except AlreadyThere:
            activity.logger.info("%s of %s is in the store already", name, request.operation)
