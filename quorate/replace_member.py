"""Replace one member of a cluster that serves: it leaves, and comes back on an empty directory as a learner first.

It is never removed before the others are seen to hold the quorum without it. The removal is the point of no return:
an id that was removed never comes back, so from there on only a new member can.
"""

from collections.abc import Iterator
from dataclasses import replace

from quorate.chosen import Chosen, Replaced, Share, Step
from quorate.clusters.cluster import ClusterSeen
from quorate.errors import BadInput
from quorate.freeze import NOTHING, unclaimed
from quorate.members.membership import Votes, odd, told, votes
from quorate.nodes.image import ETCD, image_of
from quorate.nodes.joining import Joiner
from quorate.operation import RestoreRequest
from quorate.plan import Plan
from quorate.restore import BAR, CLAIM, EQUIP, FENCE, RELEASE, UNEQUIP, described
from quorate.restoring.replace_gates import Aim, Hashes, closed, joiner_for
from quorate.restoring.shares import share
from quorate.settings.machines import Member

STEPS = (
    CLAIM,
    Step("check", "See that a new member could begin there", "nodes.check", "member", patience_s=30),
    replace(BAR, title="Bar its etcd from starting", place="member"),
    replace(FENCE, title="Stop its etcd and see it gone", place="member"),
    Step("weigh", "See that the others hold without it", "members.weigh", "cluster", patience_s=30),
    Step("remove", "Remove it from the cluster", "members.remove", "cluster", patience_s=60, commits=True),
    Step("add", "Add it as a learner", "members.add", "cluster", patience_s=120, expected_s=2),
    Step("join", "Let it join on an empty directory", "nodes.join", "member", patience_s=1800, expected_s=5),
    Step("swap", "Keep its data, put the new in its place", "nodes.swap", "member", patience_s=30),
    Step("start", "Start its etcd", "nodes.start", "member", patience_s=180, expected_s=2),
    Step("promote", "Give it its vote once it has caught up", "members.promote", "cluster", patience_s=900),
    Step("verify", "Verify the members", "members.agree", "cluster", patience_s=120, expected_s=2),
    Step("unbar", "Lift the bar", "nodes.unbar", "member", patience_s=30),
    RELEASE,
)


def plan(request: RestoreRequest, seen: ClusterSeen, hashes: Hashes) -> Plan:
    """What happens where, and how the quorum stands meanwhile; Busy where an operation has the nodes."""
    unclaimed(request.cluster, seen)
    aim = Aim(request, seen, hashes, meant(request, hashes))
    gates = tuple(closed(aim))
    refusals = tuple(gate for gate in gates if gate.id not in request.overrides or not gate.overridable)
    return Plan(
        operation=request.operation,
        chosen=chosen_for(aim),
        refusals=refusals,
        overridden=tuple(gate for gate in gates if gate not in refusals),
        losses=tuple(costs(aim)),
        seen=tuple(described(seen)),
        had_quorum=seen.has_quorum,
        afterwards=tuple(afterwards(aim)),
        incident=request.incident,
        reason=request.reason,
        quorum=tuple(standing(aim)),
        size_bytes=aim.size_bytes,
    )


def meant(request: RestoreRequest, hashes: Hashes) -> Member:
    """Who was named, or who alone does not hold what the others hold."""
    name = request.member
    if not name:
        found = odd(hashes)
        if len(found) != 1:
            raise BadInput(
                f"no single member is the odd one out by HashKV ({told(hashes) or 'nobody was asked'}): name the "
                "member that is to be replaced",
                next=f"quorate inspect {request.cluster}",
            )
        (name,) = found
    known = {member.name: member for member in request.settings.members}
    if name not in known:
        raise BadInput(f"{request.cluster} has no member {name!r}; members: {', '.join(known)}")
    return known[name]


def chosen_for(aim: Aim) -> Chosen:
    """All that is approved."""
    settings = aim.settings
    joiner = joiner_for(aim)
    shares = tuple(share_for(aim, member, joiner) for member in settings.members)
    return Chosen(
        runbook="replace-member",
        cluster=aim.request.cluster,
        cluster_id=next(iter(sorted({each.cluster_id for each in aim.others.values()})), ""),
        snapshot=NOTHING,
        store=aim.request.store,
        shares=shares,
        steps=steps_for(shares),
        bump=0,
        overrides=tuple(sorted(set(aim.request.overrides))),
        people=settings.approval.people,
        approvers=settings.approval.names,
        signers=settings.approval.signers,
        replaced=Replaced(aim.name, aim.former, joiner),
    )


def share_for(aim: Aim, member: Member, joiner: Joiner) -> Share:
    """The control plane goes on: of the member's node nothing but its etcd is touched, of the others' nothing."""
    mine = member == aim.member
    made = share(aim.request, member, aim.seen)
    copied = mine and joiner.binary == ETCD
    return replace(
        made,
        control=(),
        clients=replace(made.clients, firewall=False),
        image=image_of(aim.settings.etcd, aim.node) if copied and aim.node else "",
        programs=(ETCD,) if copied else (),
        pushed=None,
        inherits="",
    )


def steps_for(shares: tuple[Share, ...]) -> tuple[Step, ...]:
    if not any(each.image for each in shares):
        return STEPS
    claim, *rest, unbar, release = STEPS
    return (claim, replace(EQUIP, place="member"), *rest, unbar, replace(UNEQUIP, place="member"), release)


def standing(aim: Aim) -> Iterator[str]:
    """The quorum, before and after each step that changes it."""
    after = Votes(aim.left.voters + 1, aim.left.up + 1)
    yield f"now: {votes(aim.rows, aim.seen.answering)}"
    yield f"once {aim.name} is stopped: {votes(aim.rows, aim.others)}"
    yield f"once it is removed: {aim.left}"
    yield "once it is added and joins: the same, for a learner has no vote"
    yield f"once it is promoted: {after}"


def costs(aim: Aim) -> Iterator[str]:
    yield f"nothing that a majority holds; what {aim.name} alone holds is kept beside its data directory"
    if aim.node is None or aim.seen.answering.get(aim.name):
        yield f"{aim.name} serves nobody until it has joined"


def afterwards(aim: Aim) -> Iterator[str]:
    """What a person has to see to, where the member does not come back where it was, or not with its machine."""
    process = aim.settings.etcd.process
    unit = aim.node.units.get(process) if aim.node else None
    if unit and unit.file_state == "disabled":
        yield f"{process} is not enabled on {aim.name}: `systemctl enable {process}`, or a reboot leaves it stopped"
    if not aim.moved:
        return
    row = aim.row
    assert row, "what has moved was somewhere"
    old, new = ", ".join(row.client_urls), ", ".join(aim.member.client_urls)
    yield f"the machine that had {aim.moved} was not fenced: its etcd ends by itself, see that it is switched off"
    if aim.settings.control_plane:
        yield f"put {new} in the place of {old} in --etcd-servers of every API server"
