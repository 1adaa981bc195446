"""What every command has that changes nodes: its plan is shown, confirmed, begun, and waited for."""

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quorate.errors import BadInput, Busy, NotApproved
from worker.cli.operations import asked
from worker.cli.options import Given, Output, say, say_json, warn
from worker.cli.waiting import Waiting

if TYPE_CHECKING:
    from quorate.operation import RestoreRequest
    from quorate.plan import Plan
    from worker.returned import Result
    from worker.settings import Settings

REFUSED = 4

Confirm = Annotated[
    str, typer.Option("--confirm", metavar="CLUSTER", help="The cluster's name again, instead of typing it.")
]
BreakGlass = Annotated[
    bool, typer.Option("--break-glass", help="Do not wait for a second person; needs --incident and --reason.")
]
Incident = Annotated[str, typer.Option("--incident", metavar="ID", help="For which the glass is broken.")]


@dataclass(frozen=True, slots=True)
class Walk:
    """One command on its way from a plan to its end; `typed` is what it has besides the cluster's name."""

    here: Given
    settings: "Settings"
    output: Output
    fields: dict[str, Any]
    verb: str
    cluster: str
    confirm: str
    patience_s: float
    typed: str = ""

    def confirmable(self) -> None:
        """Before anything is looked at: without a terminal nobody can be asked."""
        same_name(self.cluster, self.confirm)
        if not self.confirm and not sys.stdin.isatty():
            raise BadInput(
                f"a {self.verb} has to be confirmed, and nobody can be asked without a terminal: "
                f"give --confirm {self.cluster}",
                next=f"quorate {self.verb} {self.cluster}{self.typed} --confirm {self.cluster}",
            )

    def begun(self, request: "RestoreRequest", plan: "Plan", page: str, *, daemon: bool) -> "Result":
        """Its result, once whoever asked has seen the page and said yes; without a daemon the page is all."""
        from worker.operations import no_daemon

        if self.output is Output.TABLE:
            say(page)
        if not daemon:
            raise no_daemon(self.settings)
        if not self.confirm:
            self._ask()
        return self.started(request, plan)

    def started(self, request: "RestoreRequest", plan: "Plan") -> "Result":
        """Approved by who asks, for this plan and no other."""
        waiting = Waiting(self.here, self.output, self.patience_s, self.fields)
        shown = replace(request, approved=plan.chosen.digest(), shown=plan.chosen)
        return waiting.begin(self.settings, self.verb, shown)

    def refused(self, plan: "Plan", page: str, following: str) -> int:
        """The gates said no; nothing was started."""
        if self.output is Output.JSON:
            self._say_refused(plan, following)
        else:
            say(page)
            warn(f"error: refused, nothing was changed: {', '.join(gate.id for gate in plan.refusals)}")
        return REFUSED

    def _ask(self) -> None:
        warn(f"\nType the name of the cluster to {self.verb} it ({self.cluster}): ")
        try:
            typed = input("> ")
        except EOFError:
            typed = ""
        if typed.strip() != self.cluster:
            self.fields["outcome"] = "refused"
            raise NotApproved(f"{typed.strip()!r} is not {self.cluster!r}; nothing was started")

    def _say_refused(self, plan: "Plan", following: str) -> None:
        """For scripts: every gate that says no, and what to run now."""
        from worker.cli.plan import gate_object

        said = "; ".join(f"{gate.id}: {gate.evidence}" for gate in plan.refusals)
        error = {"kind": "refused", "message": said, "next": following}
        gates = [gate_object(gate) for gate in plan.refusals]
        say_json({**self.fields, "outcome": "refused", "refusals": gates, "error": error})


def same_name(cluster: str, confirm: str) -> None:
    """BadInput for a yes to another cluster."""
    if confirm and confirm != cluster:
        raise BadInput(f"--confirm is {confirm!r}, the cluster is {cluster!r}; nothing was started")


def broken(break_glass: bool, incident: str, reason: str) -> str:
    """The incident that the glass is broken for, or nothing; by halves it is not broken."""
    if break_glass and not (incident.strip() and reason.strip()):
        raise BadInput("--break-glass needs --incident ID and --reason TEXT: both go on record with your name")
    if incident and not break_glass:
        raise BadInput("--incident is for --break-glass, which is not given")
    return incident.strip()


def standing(settings: "Settings", cluster: str) -> bool:
    """Whether a daemon could carry it out; Busy if one carries out another operation on this cluster."""
    running = asked(settings, lambda client: client.open())
    for found in running or ():
        if found.cluster == cluster and found.changes_nodes:
            raise Busy(f"{found.operation} runs on {cluster}", next=f"quorate watch {found.operation}")
    return running is not None
