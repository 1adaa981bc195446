"""What a restore cost, from what was observed on the nodes and not from when we asked for it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from quorate.converge import Ran, Receipt
from quorate.members.listing import Difference
from quorate.nodes.supervisor import is_stop

DIFFERENCES: TypeAdapter[tuple[Difference, ...]] = TypeAdapter(tuple[Difference, ...])


@dataclass(frozen=True, slots=True)
class Measured:
    """Null where it cannot be known; `outage_s` is first stop to first linearizable write."""

    outage_s: float | None = None
    api_outage_s: float | None = None
    served_revision: int | None = None
    cluster_id: str = ""
    findings: tuple[str, ...] = ()
    differences: tuple[Difference, ...] | None = None
    undiffered: str = ""


def measured(receipts: Mapping[str, Sequence[Receipt]]) -> Measured:
    """From the receipts of each step, by its key."""
    etcd_stop = first_stop(receipts.get("fence", ()))
    api_stop = first_stop(receipts.get("fence-api", ()))
    facts = merged(receipts.get("verify", ()))
    api = merged(receipts.get("verify-api", ()))
    disarmed = facts.get("disarmed", "")
    released = (*receipts.get("undo-claim", ()), *receipts.get("release", ()))
    listed, differs = merged(receipts.get("list", ())), merged(receipts.get("differ", ()))
    down = "; ".join(receipt.facts["down"] for receipt in released if "down" in receipt.facts)
    return Measured(
        outage_s=span(etcd_stop, facts.get("first_write")),
        api_outage_s=span(api_stop, api.get("first_write")),
        served_revision=int(facts["served_revision"]) if "served_revision" in facts else None,
        cluster_id=facts.get("cluster_id", ""),
        findings=(
            *((f"alarms that came back with the snapshot were disarmed: {disarmed}",) if disarmed else ()),
            *(unreadable(said) if (said := api.get("secrets", "")) else ()),
            *(phantoms(workers) if (workers := api.get("workers", "")) else ()),
            *((f"ran before and does not run now: {down}",) if down else ()),
        ),
        differences=DIFFERENCES.validate_json(differs["differs"]) if "differs" in differs else None,
        undiffered=listed.get("unlisted", "") or differs.get("unlisted", ""),
    )


def unreadable(said: str) -> Iterable[str]:
    """Other keys than those of the snapshot's time, mostly."""
    yield (
        f"not every Secret can be decrypted: {said}; put the keys of the snapshot's time into the file of "
        "--encryption-provider-config on every node, after the others, and restart the API servers"
    )


def phantoms(workers: str) -> Iterable[str]:
    """What no restore can know of: kubelets keep pods that came after the snapshot until they start anew."""
    yield f"pods that are younger than the snapshot may run on; on each of {workers}: `systemctl restart kubelet`"


def first_stop(receipts: Iterable[Receipt]) -> float | None:
    """When the first stop was asked for; nothing was stopped where nothing ran."""
    stops = [ran.started for receipt in receipts for ran in receipt.ran if stops_a_unit(ran)]
    return min(stops, default=None)


def stops_a_unit(ran: Ran) -> bool:
    return is_stop(ran.act) and ran.exit == 0


def merged(receipts: Iterable[Receipt]) -> dict[str, str]:
    return {key: value for receipt in receipts for key, value in receipt.facts.items()}


def span(since: float | None, until: str | None) -> float | None:
    return round(float(until) - since, 3) if since is not None and until else None


def spoken(seconds: float) -> str:
    """An age in two words at most."""
    if seconds < 60:
        return f"{max(0, int(seconds))} s"
    minutes = int(seconds // 60)
    days, hours = minutes // 1440, minutes // 60 % 24
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
