"""Which member is backed up, and why another one cannot be."""

from collections import Counter
from collections.abc import Collection, Mapping

from quorate.errors import Refusal
from quorate.members.etcd import EtcdSeen


def choose(
    seen: Mapping[str, EtcdSeen | str],
    linearizable_revision: int,
    wanted: str = "",
    defragmenting: Collection[str] = (),
) -> str:
    """A healthy voter, not the leader if another will do, or the one that is wanted and no other.

    Text in `seen` says why a member did not answer. One that is being defragmented would freeze until all is sent.
    """
    ids = Counter(each.cluster_id for each in seen.values() if isinstance(each, EtcdSeen))
    usual = max(ids, key=lambda cluster_id: ids[cluster_id]) if ids else ""
    asked = {name: each for name, each in seen.items() if name == (wanted or name)}
    reasons = {
        name: "is being defragmented" if name in defragmenting else why_not(each, usual, linearizable_revision)
        for name, each in asked.items()
    }
    fit = [name for name, reason in reasons.items() if not reason]
    if not fit:
        listed = "; ".join(f"{name} {reason}" for name, reason in reasons.items())
        raise Refusal(f"no member can be backed up: {listed}")
    return min(fit, key=lambda name: (leads(seen[name]), name))


def least_sick(seen: Mapping[str, EtcdSeen | str], wanted: str = "") -> str:
    """Of those that answer the one that knows most and is least doubted; Refusal where none answers."""
    able = {
        name: each
        for name, each in seen.items()
        if isinstance(each, EtcdSeen) and not each.learner and name == (wanted or name)
    }
    if not able:
        said = "; ".join(f"{name} did not answer: {each}" for name, each in seen.items() if isinstance(each, str))
        raise Refusal(f"no member can be backed up, sick as the cluster is: {said or 'none is a voter'}")
    return max(able, key=lambda name: (not corrupt(able[name]), able[name].revision, name))


def corrupt(seen: EtcdSeen) -> bool:
    """By its own alarm, or by one that is about all."""
    return any(kind == "CORRUPT" and member in {seen.member_id, "0"} for member, kind in seen.alarms)


def why_not(seen: EtcdSeen | str, cluster_id: str, linearizable_revision: int) -> str:
    """The reason why a member cannot be the source, or nothing."""
    if isinstance(seen, str):
        return f"did not answer: {seen}"
    reasons = (
        (seen.cluster_id != cluster_id, f"belongs to cluster {seen.cluster_id}, the others to {cluster_id}"),
        (seen.learner, "is a learner"),
        (not seen.leader, "knows of no leader"),
        (corrupt(seen), "has the alarm CORRUPT"),
        (
            seen.revision < linearizable_revision,
            f"is behind: at revision {seen.revision}, the cluster at {linearizable_revision}",
        ),
    )
    return next((reason for wrong, reason in reasons if wrong), "")


def leads(seen: EtcdSeen | str) -> bool:
    return isinstance(seen, EtcdSeen) and seen.leads


def findings(seen: Mapping[str, EtcdSeen | str]) -> tuple[str, ...]:
    """What somebody should know although the backup is sound."""
    silent = [f"{name} did not answer: {each}" for name, each in seen.items() if isinstance(each, str)]
    alarms = {alarm for each in seen.values() if isinstance(each, EtcdSeen) for alarm in each.alarms}
    ids = sorted({each.cluster_id for each in seen.values() if isinstance(each, EtcdSeen)})
    mixed = [f"the members belong to different clusters: {', '.join(ids)}"] if len(ids) > 1 else []
    return (*silent, *mixed, *(f"member {member} has raised the alarm {kind}" for member, kind in sorted(alarms)))
