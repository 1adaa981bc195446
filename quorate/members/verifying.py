"""When a restored cluster is the one that was planned: health is not consistency."""

import json
from collections.abc import Mapping

from quorate.members.etcd import EtcdSeen, HashKV, cluster_id


def wrong_identity(seen: Mapping[str, EtcdSeen], ids: Mapping[str, str]) -> str:
    """The first identity that is not as computed before the start, or nothing."""
    cluster = cluster_id(ids.values())
    for name, etcd in seen.items():
        if etcd.cluster_id != cluster:
            return f"{name} serves cluster {etcd.cluster_id}, planned was {cluster}"
        if etcd.member_id != ids[name]:
            return f"{name} is member {etcd.member_id}, planned was {ids[name]}"
        if sorted(member.id for member in etcd.members) != sorted(ids.values()):
            return (
                f"{name} lists members {[member.id for member in etcd.members]}, planned were {sorted(ids.values())}"
            )
        if any(member.learner for member in etcd.members):
            return f"{name} lists a learner; a restore makes voters only"
    return ""


def wrong_revision(floor: int, served: int) -> str:
    """Nothing that was ever served may be served again with other content."""
    if served < floor:
        return f"the first write got revision {served}, planned was {floor} or more"
    return ""


def missing_keys(wanted: Mapping[str, int], found: Mapping[str, int]) -> str:
    """The prefixes whose number of keys is not the backup's, or nothing."""
    wrong = [f"{prefix}: {found[prefix]} of {number}" for prefix, number in wanted.items() if found[prefix] != number]
    return "; ".join(wrong)


def differing_hashes(hashes: Mapping[str, HashKV]) -> str:
    """The members' hashes when they are not all one, or nothing; they must share a compact revision."""
    if len({(each.hash, each.compact_revision) for each in hashes.values()}) == 1:
        return ""
    return ", ".join(f"{name}: {each.hash} (compacted {each.compact_revision})" for name, each in hashes.items())


def differing_content(staged: Mapping[str, str]) -> str:
    """What each node staged when it is not the same on all of them, or nothing; values are `snapshot status`."""
    found = {name: content(said) for name, said in staged.items()}
    if len(set(found.values())) == 1 and "" not in found.values():
        return ""
    return ", ".join(f"{name} {each or 'nothing'}" for name, each in sorted(found.items()))


def content(status: str) -> str:
    """Hash, revision and number of keys; the hash is over all of every bucket, membership and token included."""
    try:
        said = json.loads(status)
        return f"hash {said['hash']} at revision {said['revision']} with {said['totalKey']} keys"
    except (ValueError, KeyError, TypeError):
        return ""


def leader_last(seen: Mapping[str, EtcdSeen]) -> tuple[str, ...]:
    """HashKV blocks writes on its member while it runs, so one after another and the leader last."""
    return tuple(sorted(seen, key=lambda name: seen[name].leads))
