"""Where the data of every node lies, told to whoever has to decide what becomes of it."""

from collections.abc import Iterable

from quorate.node import DataDir
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
    match swapped, put_back:
        case (_, "done") if started:
            return f"the data from before is in {data.live}, the restored in {data.staged}"
        case (None, _) | (_, "done"):
            return f"the data from before is in {data.live}"
        case "done", None:
            return f"the data from before is in {data.kept}, the restored in {data.live}"
    return f"the data from before is in {data.kept} if that is there, else in {data.live}"
