"""What a daemon carries out: every workflow, and the activities of each queue."""

import time
from collections.abc import Callable
from typing import Any

from activities.backups.bundling import Bundling
from activities.backups.copying import Copying
from activities.backups.due import Outset
from activities.backups.snapshots import Snapshots
from activities.clusters.forwarded import ForwardedApis
from activities.drills.drilling import Drilling
from activities.drills.exposing import Exposing
from activities.drills.mistakes import Mistakes
from activities.drills.probing import Probe
from activities.drills.sandbox import SandboxWork
from activities.drills.sandbox_api import ApiServing
from activities.drills.spoiling import Spoiling
from activities.recording.approvals import Approvals
from activities.recording.approving import Approving
from activities.recording.recorded import RecordedEtcds, RecordedFiles, RecordedHosts, RecordedStores
from activities.restoring.kubernetes import Kubernetes
from activities.restoring.laying import Laying
from activities.restoring.listings import Listings
from activities.restoring.members import Members
from activities.restoring.nodes import VERBS, Nodes
from activities.restoring.replacing import Replacing
from activities.restoring.taking import Taking
from worker.temporal import in_order
from worker.wiring import Wiring
from workflows.backup import Backup
from workflows.drill import Drill
from workflows.drill_due import WhenDrillDue
from workflows.due import BackupDue
from workflows.freeze import Freeze
from workflows.lay import Lay
from workflows.prove import Prove
from workflows.prune import Prune
from workflows.replace_member import ReplaceMember
from workflows.restore import Restore
from workflows.thaw import Thaw
from workflows.tidy import Tidy
from workflows.verify import Verify

WORKFLOWS = (
    Restore,
    Backup,
    BackupDue,
    Freeze,
    Thaw,
    Tidy,
    ReplaceMember,
    Lay,
    Prune,
    Verify,
    Prove,
    Drill,
    WhenDrillDue,
)
Activities = list[Callable[..., Any]]


def steps(wiring: Wiring) -> Activities:
    """What runs on the queue of steps."""
    journals = wiring.journals.at
    hosts = RecordedHosts(wiring.hosts, journals, time)
    etcds = RecordedEtcds(wiring.etcds, journals, time)
    stores = RecordedStores(wiring.stores, journals, time)
    nodes = Nodes(hosts, stores, wiring.cipher, time)
    laying = Laying(hosts, stores, wiring.cipher, time)
    members = Members(hosts, etcds, wiring.hosts, time)
    snapshots = Snapshots(etcds, stores, hosts, wiring.cipher, wiring.signing, wiring.uploads)
    replacing = Replacing(etcds, time)
    taking = Taking(etcds, wiring.hosts, snapshots, time)
    listings = Listings(etcds, stores, wiring.cipher, time)
    kubernetes = Kubernetes(ForwardedApis(wiring.kube_apis, wiring.hosts), journals, time)
    approvals = Approvals(wiring.signatures, journals, time)
    prompt = (wiring.prompt_etcds, ForwardedApis(wiring.prompt_apis, wiring.hosts))
    drilling = Drilling(hosts, etcds, *prompt, stores, wiring.ticks, time, wiring.shelf)
    exposing = Exposing(hosts, stores, wiring.signatures, time, wiring.shelf)
    mistakes = Mistakes(etcds, time)
    return [
        wiring.planning.plan_restore,
        approvals.check,
        approvals.break_glass,
        wiring.planning.plan_freeze,
        wiring.planning.plan_thaw,
        wiring.planning.plan_tidy,
        wiring.planning.plan_replace_member,
        wiring.planning.plan_lay,
        *(getattr(nodes, verb) for verb in VERBS),
        laying.lay,
        laying.unlay,
        laying.settle,
        members.same,
        members.verify,
        replacing.weigh,
        replacing.remove,
        replacing.add,
        replacing.promote,
        replacing.agree,
        taking.take,
        taking.log_in,
        listings.before,
        listings.differ,
        kubernetes.verify,
        kubernetes.ready,
        drilling.look,
        drilling.steady,
        drilling.lay,
        drilling.watch,
        drilling.lift,
        drilling.clean,
        drilling.lost,
        exposing.exposed,
        Approving().approve,
        mistakes.write,
        mistakes.fingerprint,
        mistakes.delete,
        Outset(in_order).situation,
        wiring.ledger.write,
        wiring.ledger.seal,
    ]


def streams(wiring: Wiring) -> Activities:
    """What runs on the queue of bulk streams."""
    journals, cipher = wiring.journals.at, wiring.cipher
    hosts = RecordedHosts(wiring.hosts, journals, time)
    etcds = RecordedEtcds(wiring.etcds, journals, time)
    stores = RecordedStores(wiring.stores, journals, time)
    files = RecordedFiles(wiring.hosts, journals, time)
    snapshots = Snapshots(etcds, stores, hosts, cipher, wiring.signing, wiring.uploads, disks=wiring.disks)
    sandbox = SandboxWork(hosts, stores, cipher, wiring.signatures, shelf=wiring.shelf)
    serving = ApiServing(hosts, stores, cipher)
    spoiling = Spoiling(stores, wiring.signing, wiring.shelf, time)
    return [
        snapshots.choose,
        snapshots.stream,
        snapshots.read_back,
        snapshots.publish,
        Bundling(hosts, files, stores, cipher, wiring.certificates).bundle,
        Copying(stores, wiring.uploads).copy,
        wiring.pruning.judge,
        wiring.pruning.prune,
        wiring.verifying.due,
        wiring.verifying.verify,
        spoiling.spoil,
        spoiling.unspoil,
        sandbox.choose,
        sandbox.claim,
        sandbox.restore,
        sandbox.read,
        sandbox.start,
        serving.serve,
        serving.ask,
        sandbox.clear,
        sandbox.remove,
        sandbox.mark,
        Probe(wiring.prompt_etcds, ForwardedApis(wiring.prompt_apis, wiring.hosts), journals, time).probe,
        wiring.ledger.seal,
    ]
