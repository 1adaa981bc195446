"""What a look at a cluster found, as a page for people and as an object for scripts. Values in, text out."""

from typing import TYPE_CHECKING, Any

from quorate.clusters.cluster import Silence
from quorate.findings.expiry import soonest
from quorate.findings.versions import by_version, kubernetes, running
from worker.cli.clusters import age, backup, found, listed, lost, proof, quorum, restored
from worker.cli.options import Given, plain
from worker.screen import brief, size, table, wrapped

if TYPE_CHECKING:
    from worker.cli.looking import Looked
    from worker.screen import Paint

BACKUPS_SHOWN = 5
MEMBERS = ["MEMBER", "ROLE", "HEALTH", "REVISION", "LAG", "DB", "IN USE", "OF QUOTA", "ALARMS", "VERSION"]
NODES = ["NODE", "SSH", "ETCD UNIT", "DISK FREE", "FSYNC P99", "CERTIFICATE ENDS"]


def page(looked: "Looked", here: Given, colour: "Paint", columns: int = 0) -> str:
    """Members, nodes, backups, then findings: the last lines are what is still on the screen."""
    seen = looked.seen
    parts = [
        head(looked, colour),
        table([MEMBERS, *(member_row(looked, name, colour) for name in seen.etcd)]),
        table([NODES, *(node_row(looked, name, colour) for name in seen.etcd)]),
    ]
    if looked.case.settings.control_plane:
        parts.append(table(unit_rows(looked, colour)))
    parts.append(
        table(backup_rows(looked)) if seen.manifests else f"no backups: {seen.store or 'the store holds none'}"
    )
    if not looked.findings:
        parts.append("nothing is wrong")
    urgent = looked.state == "FAIL"
    every = looked.findings if urgent else (*looked.findings, *looked.advice)
    parts += [listed(number, each, here, colour, columns=columns) for number, each in enumerate(every, 1)]
    if urgent and looked.advice:
        parts.append(wrapped(put_off(looked, here), columns))
    return "\n\n".join(parts)


def put_off(looked: "Looked", here: Given) -> str:
    """While something is broken, what is to be done about it stays on the screen."""
    named = ", ".join(dict.fromkeys(each.id for each in looked.advice))
    return f"advice that can wait: {named}; {here.command(f'quorate inspect {looked.case.name} -o json')} tells it"


def head(looked: "Looked", colour: "Paint") -> str:
    case, seen = looked.case, looked.seen
    lines = [
        f"{colour(case.name, 'bold')}  {case.settings.environment}  {colour.state(looked.state)}",
        f"cluster id {', '.join(seen.cluster_ids) or 'unknown'} · {case.now:%Y-%m-%d %H:%M:%S}Z",
        said_versions(looked),
    ]
    lines[0] += f"  quorum {looked.quorum}"
    rpo = [f"a restore now loses {lost(looked)} of writes"] if looked.loss else []
    rpo += [f"proved by a restore {said}"] if (said := restored(looked)) != "-" else []
    return "\n".join([*lines, *([" · ".join(rpo)] if rpo else [])])


def said_versions(looked: "Looked") -> str:
    """`etcd 3.6.14 · Kubernetes 1.34.1, 12 nodes`; who has another one is named."""
    told = {"etcd": running(looked.case), "Kubernetes": kubernetes(looked.case)}
    if not looked.case.settings.control_plane and not looked.case.settings.kubernetes:
        del told["Kubernetes"]
    parts = [f"{what} {spoken(each)}" for what, each in told.items()]
    nodes = looked.seen.vitals.nodes
    return " · ".join(parts) + (f", {nodes} node{'' if nodes == 1 else 's'}" if nodes is not None else "")


def spoken(found: dict[str, str]) -> str:
    versions = by_version(found)
    if len(versions) <= 1:
        return next(iter(versions), "unknown")
    return ", ".join(f"{version} ({', '.join(names)})" for version, names in versions.items())


def member_row(looked: "Looked", name: str, colour: "Paint") -> list[str]:
    """A member in words; `-` where nobody said anything."""
    etcd = looked.seen.etcd[name]
    if isinstance(etcd, Silence):
        return [name, "-", colour.state("silent"), *["-"] * 7]
    alarms = sorted({kind for member, kind in etcd.alarms if member == etcd.member_id})
    return [
        name,
        role(looked, name),
        colour.state(health(looked, name)),
        str(etcd.revision),
        str(behind(looked, name)),
        size(etcd.db_bytes),
        size(etcd.db_in_use_bytes),
        f"{100 * etcd.db_bytes / etcd.quota_bytes:.0f} % of {size(etcd.quota_bytes)}" if etcd.quota_bytes else "-",
        colour(",".join(alarms), "red") or "-",
        etcd.version,
    ]


def node_row(looked: "Looked", name: str, colour: "Paint") -> list[str]:
    """Its machine; how long its disk takes the member says itself, though its machine may refuse us."""
    node, took = looked.seen.nodes.get(name), fsync_p99_s(looked, name)
    fsync = "-" if took is None else brief(took)
    if node is None or isinstance(node, Silence):
        return [name, colour.state("silent"), "-", "-", fsync, "-"]
    free = node.spaces.get(looked.case.settings.etcd.data_dir)
    first = ending(looked, name)
    return [
        name,
        colour.state("ok"),
        colour.state(looked.case.unit(node).state),
        "-" if free is None else size(free),
        fsync,
        f"{first['days_left']:.0f} d  {first['path'].rpartition('/')[2]}" if first else "-",
    ]


def role(looked: "Looked", name: str) -> str:
    etcd = looked.seen.answering[name]
    return "learner" if etcd.learner else "leader" if etcd.leads else "follower" if etcd.leader else "no leader"


def health(looked: "Looked", name: str) -> str:
    """`ok` is a linearizable read through this very member."""
    return "ok" if name in looked.seen.reads else "no reads"


def behind(looked: "Looked", name: str) -> int:
    """In revisions, of the highest that a member has answered with."""
    answering = looked.seen.answering
    return max(each.revision for each in answering.values()) - answering[name].revision


def fsync_p99_s(looked: "Looked", name: str) -> float | None:
    found = looked.seen.vitals.members.get(name)
    return found.fsync_p99_s if found else None


def ending(looked: "Looked", name: str) -> dict[str, Any] | None:
    """The certificate of a node that ends first, by the node's own clock."""
    node, first = looked.seen.reachable.get(name), soonest(looked.seen, name)
    if node is None or first is None:
        return None
    return {"path": first[0], "days_left": round(first[1].days_left(node.now), 1)}


def unit_rows(looked: "Looked", colour: "Paint") -> list[list[str]]:
    components = looked.case.settings.control_plane
    rows = [["NODE", *(each.role.upper() for each in components)]]
    for name, node in looked.seen.nodes.items():
        states = [
            "-" if isinstance(node, Silence) else unit_state(node.units.get(each.process)) for each in components
        ]
        rows.append([name, *(colour.state(state) if state != "-" else "-" for state in states)])
    return rows


def unit_state(unit: Any) -> str:
    return unit.state if unit and unit.load == "loaded" else "not installed"


def backup_rows(looked: "Looked") -> list[list[str]]:
    shown = list(reversed(looked.seen.manifests))[:BACKUPS_SHOWN]
    rows = [[each.id, age(looked, each), str(each.revision), size(each.size_bytes), each.outcome] for each in shown]
    return [["BACKUP", "AGE", "REVISION", "SIZE", "OUTCOME"], *rows]


def whole(looked: "Looked", here: Given) -> dict[str, Any]:
    seen = looked.seen
    return {
        "cluster": looked.case.name,
        "environment": looked.case.settings.environment,
        "cluster_id": seen.cluster_id,
        "cluster_ids": list(seen.cluster_ids),
        "state": looked.state,
        "quorum": quorum(looked),
        "versions": {"etcd": running(looked.case), "kubernetes": kubernetes(looked.case)},
        "kubernetes_nodes": seen.vitals.nodes,
        "members": [member(looked, name) for name in seen.etcd],
        "backups": [backup(looked, each) for each in reversed(seen.manifests)],
        "older_backups": seen.older,
        "store_error": seen.store or None,
        "rpo_now": plain(looked.loss) if looked.loss else None,
        "restore_proof": proof(looked),
        "findings": [found(each, here) for each in looked.findings],
        "advice": [found(each, here) for each in looked.advice],
    }


def member(looked: "Looked", name: str) -> dict[str, Any]:
    etcd = looked.seen.etcd[name]
    out: dict[str, Any] = {"name": name, "healthy": name in looked.seen.reads}
    if isinstance(etcd, Silence):
        out |= {"error": etcd.reason}
    else:
        out |= {"role": role(looked, name), "behind": behind(looked, name), **plain(etcd)}
        if reason := looked.seen.unread.get(name):
            out |= {"error": reason}
    vitals = looked.seen.vitals.members.get(name)
    out |= {
        "fsync_p99_s": vitals.fsync_p99_s if vitals else None,
        "commit_p99_s": vitals.commit_p99_s if vitals else None,
        "peer_p99_s": vitals.peer_p99_s if vitals else None,
    }
    return out | {"node": node_of(looked, name), "machine": machine(looked, name)}


def node_of(looked: "Looked", name: str) -> dict[str, Any]:
    """What stays as it is while nobody does anything to it."""
    node, settings = looked.seen.nodes.get(name), looked.case.settings
    if node is None or isinstance(node, Silence):
        return {"reachable": False, "error": node.reason if node else ""}
    processes = (settings.etcd.process, *(each.process for each in settings.control_plane))
    return {
        "reachable": True,
        "claim": node.claim,
        "units": {each: unit_state(node.units.get(each)) for each in processes},
    }


def machine(looked: "Looked", name: str) -> dict[str, Any] | None:
    """What it has and has left; None where it does not answer."""
    if (node := looked.seen.reachable.get(name)) is None:
        return None
    return {
        "disk_free_bytes": node.spaces.get(looked.case.settings.etcd.data_dir),
        "certificate": ending(looked, name),
        "cpus": node.cpus,
        "memory_bytes": node.memory_bytes,
    }
