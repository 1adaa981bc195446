"""Where the data of every node lies, told to whoever has to decide what becomes of it."""

from collections.abc import Iterable

from quorate.nodes.node import DataDir
from quorate.nodes.swapped import Swapped
from quorate.operation import StepDone
from quorate.plan import Plan


def whereabouts(plan: Plan, steps: Iterable[StepDone]) -> tuple[str, ...]:
    """A sentence for all nodes whose data lies alike."""
    states = {(step.id, step.host): step.state for step in steps}
    alike: dict[str, list[str]] = {}
    for share in plan.chosen.shares:
        name, data = share.node.name, share.data(plan.operation)
        started = ("start", name) in states
        said = lies(data, states.get(("swap", name)), states.get(("undo-swap", name)), started=started)
        alike.setdefault(said, []).append(name)
    return tuple(f"on {', '.join(names)} {said}" for said, names in alike.items())


def lies(data: DataDir, swapped: str | None, put_back: str | None, *, started: bool) -> str:
    """As far as it is known: a rename that failed may have happened all the same."""
    told = f"the data from before is {place(data.db, swapped, put_back, started=started)}"
    return f"{told}; its log is {place(data.wal, swapped, put_back, started=started)}" if data.wal else told


def place(each: Swapped, swapped: str | None, put_back: str | None, *, started: bool) -> str:
    match swapped, put_back:
        case (_, "done") if started:
            return f"in {each.live}, the restored in {each.staged}"
        case (None, _) | (_, "done"):
            return f"in {each.live}"
        case "done", None:
            return f"in {each.kept}, the restored in {each.live}"
    return f"in {each.kept} if that is there, else in {each.live}"
