"""Versions of etcd and Kubernetes side by side: what does not belong together, what is known to be broken."""

from collections.abc import Iterator
from itertools import chain

from quorate.findings.case import Case
from quorate.findings.finding import Finding, listed
from quorate.members.etcd import minor, numbered
from quorate.nodes.seen import NodeSeen

# Up to 1.32 the lowest that is advised, above that what kubeadm ships with the first release (etcd.md, 5.5).
LOWEST = {
    "1.25": "3.5.4",
    "1.26": "3.5.6",
    "1.27": "3.5.7",
    "1.28": "3.5.9",
    "1.29": "3.5.10",
    "1.30": "3.5.12",
    "1.31": "3.5.13",
    "1.32": "3.5.15",
    "1.33": "3.5.21",
    "1.34": "3.6.4",
    "1.35": "3.6.6",
}
# Members may disagree after a crash under load (fixed in 3.5.3), E:CHANGELOG/CHANGELOG-3.5.md.
CORRUPTING = ("3.5.0", "3.5.1", "3.5.2")
# Below these a defragmentation, or an upgrade to 3.6, has damaged members (etcd.md, 3.8).
SOUND = {"3.4": "3.4.38", "3.5": "3.5.26", "3.6": "3.6.6"}


def running(case: Case) -> dict[str, str]:
    """Of etcd, by member."""
    return {name: etcd.version for name, etcd in sorted(case.seen.answering.items())}


def kubernetes(case: Case) -> dict[str, str]:
    """Of kube-apiserver, by URL; where none has answered by node, as its manifest says it."""
    if case.seen.vitals.apis:
        return dict(sorted(case.seen.vitals.apis.items()))
    found = {name: tagged(case, node) for name, node in sorted(case.seen.reachable.items())}
    return {name: version for name, version in found.items() if version}


def tagged(case: Case, node: NodeSeen) -> str:
    """Of `registry.k8s.io/kube-apiserver:v1.34.1`."""
    process = next((each.process for each in case.settings.control_plane if each.role == "kube-apiserver"), "")
    unit = node.units.get(process)
    image = unit.manifest.image if unit and unit.manifest else ""
    version = image.rpartition(":v")[2] if ":v" in image else ""
    return version.partition("@")[0]


def by_version(found: dict[str, str]) -> dict[str, list[str]]:
    """The newest first."""
    versions = sorted(set(found.values()), key=numbered, reverse=True)
    return {each: [name for name, version in found.items() if version == each] for each in versions}


def spelt(found: dict[str, str]) -> str:
    return "; ".join(f"{version} on {', '.join(names)}" for version, names in by_version(found).items())


def mixed(case: Case) -> Iterator[Finding]:
    """Half way through an upgrade a member that is lost cannot be replaced by one of the other version."""
    found = running(case)
    if len({minor(each) for each in found.values()}) > 1:
        newest = next(iter(by_version(found)))
        message = f"an upgrade of etcd has stopped half way: {spelt(found)}"
        evidence = (
            f"the cluster speaks the older version until every member has the newer; once all are at {newest} there "
            "is no way back but a backup of before"
        )
        aid = f"quorate backup {case.name}  # then bring the others to {newest}, one after another"
        yield Finding("version-skew", "WARN", message, evidence, aid)


def broken(case: Case) -> Iterator[Finding]:
    if found := {name: version for name, version in running(case).items() if version in CORRUPTING}:
        message = f"this etcd is known to damage its data: {spelt(found)}"
        evidence = "3.5.0 to 3.5.2 may leave members with different data after a crash; fixed in 3.5.3"
        aid = f"quorate backup {case.name}  # compares the members; then upgrade"
        yield Finding("version-corrupts", "WARN", message, evidence, aid)


def old(case: Case) -> Iterator[Finding]:
    """One sentence for what is below the mark of its own line, one for what is below that of its Kubernetes."""
    found = {name: version for name, version in running(case).items() if version not in CORRUPTING}
    below = {name: each for name, each in found.items() if numbered(each) < numbered(SOUND.get(minor(each), "0"))}
    if below:
        marks = listed({SOUND[minor(each)] for each in below.values()})
        message = f"a later patch of etcd is sounder: {spelt(below)}"
        evidence = f"below {marks} a defragmentation or an upgrade is known to have damaged members"
        yield Finding("version-old", "NOTE", message, evidence, f"quorate backup {case.name}  # then upgrade")
    served = max(kubernetes(case).values(), key=numbered, default="")
    wanted = LOWEST.get(minor(served), "")
    late = {name: each for name, each in running(case).items() if numbered(each) < numbered(wanted or "0")}
    if late:
        message = f"etcd is older than Kubernetes {served} should have: {spelt(late)}"
        evidence = f"Kubernetes {minor(served)} wants etcd {wanted} or later"
        aid = f"quorate backup {case.name}  # then upgrade etcd before Kubernetes"
        yield Finding("version-kubernetes", "NOTE", message, evidence, aid)


def mixed_apis(case: Case) -> Iterator[Finding]:
    found = kubernetes(case)
    if len({minor(each) for each in found.values()}) > 1:
        lowest, *_, highest = sorted(chain(found.values()), key=numbered)
        message = f"an upgrade of Kubernetes has stopped half way: {spelt(found)}"
        evidence = f"API servers may be one minor version apart, and only while it lasts; {lowest} and {highest} are"
        aid = f"quorate backup {case.name}  # then go on with the upgrade"
        yield Finding("kubernetes-skew", "NOTE", message, evidence, aid)
