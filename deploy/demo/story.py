"""The chapters, in order; each does one thing, shows it and checks it."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from deploy.demo import world
from deploy.demo.quorate import FINDINGS, Quorate
from deploy.lab.lab import LabSpec, digest, load, up, wreck

if TYPE_CHECKING:
    from deploy.demo.telling import Teller
    from deploy.lab.lab import Digest, Lab

NAME = "demo-story"
SPEC = LabSpec(NAME, members=3, control_plane="systemd")
MIB = 100


@dataclass(slots=True)
class Before:
    """What was there when the backup was taken, and how far the cluster got after it."""

    data: Digest
    objects: str
    snapshot: str = ""
    revision: int = 0  # of the backup
    high_water: int = 0  # the highest that anybody saw before the disaster


@dataclass(slots=True)
class Story:
    teller: Teller
    result: dict[str, Any] = field(default_factory=dict)
    wrecked: float = 0.0  # when, in seconds since the epoch

    def tell(self) -> None:
        lab = self.a_cluster()
        quorate = Quorate(lab)
        before = self.with_data(lab)
        self.a_daemon(lab, quorate)
        self.a_backup(quorate, before)
        self.life_goes_on(lab, before)
        self.disaster(lab)
        self.inspection(quorate, before)
        self.announcement(quorate, before)
        self.restore(quorate, before)
        self.proof(lab, before)
        self.audit(quorate)
        self.closing(quorate, before)

    def a_cluster(self) -> Lab:
        self.teller.chapter(
            "A Kubernetes control plane on three machines",
            "Three nodes with systemd and sshd, each running etcd, kube-apiserver, kube-controller-manager and "
            "kube-scheduler, and an S3 server outside them. Quorate is not installed on any of them: it comes over "
            "SSH.",
        )
        self.teller.fact(f"\n$ make lab-up LAB={NAME}")
        lab = up(SPEC, self.teller.fact)
        for node in lab.nodes:
            self.teller.fact(f"{node.name}  ssh quorate@{node.address}  etcd {node.client_url}  API {node.api_url}")
        return lab

    def with_data(self, lab: Lab) -> Before:
        self.teller.chapter(
            "Something worth keeping",
            f"{MIB} MiB of keys go into etcd, and real objects through the API server: ConfigMaps and a Deployment. "
            "Their digest is taken now, so that after the disaster nobody has to take Quorate's word for it.",
        )
        self.teller.fact(f"\n$ python -m deploy.lab load {NAME} --mib {MIB}")
        load(lab, MIB)
        self.teller.holds("the controllers are at work", world.deploy(lab, "shop"))
        before = Before(digest(lab), world.objects(lab))
        self.teller.fact(f"etcd        {before.data.keys} keys, digest {before.data.sha256[:16]}")
        self.teller.fact(f"Kubernetes  {before.objects}")
        return before

    def a_daemon(self, lab: Lab, quorate: Quorate) -> None:
        self.teller.chapter(
            "The daemon",
            "Operations are durable workflows: the daemon carries them out, and one that is killed halfway goes on "
            "where it was. The inventory below is all that Quorate knows of the cluster.",
        )
        self.teller.fact(f"\n$ export QUORATE_CONFIG={lab.config}")
        quorate.shown("up", "--detach")

    def a_backup(self, quorate: Quorate, before: Before) -> None:
        self.teller.chapter(
            "A backup in S3",
            "A snapshot streams from one member into the store, compressed and encrypted on its way. Then it is read "
            "back, opened and examined, and only then published: a backup that nobody could restore does not count.",
        )
        quorate.shown("backup", NAME)
        newest = quorate.read("inspect", NAME, fine=(0, FINDINGS))["backups"][0]
        before.snapshot, before.revision = newest["snapshot"], newest["revision"]
        self.teller.check("the store's newest backup", "verified", newest["outcome"])

    def life_goes_on(self, lab: Lab, before: Before) -> None:
        self.teller.chapter(
            "Life goes on",
            f"After the backup {world.LATE_KEYS} more keys and a ConfigMap named late are written. No backup has "
            "them, so a restore must lose them, and has to say so beforehand.",
        )
        world.write_late(lab)
        self.teller.check("late keys and objects", (world.LATE_KEYS, 1), world.late(lab))
        before.high_water = world.revision(lab)
        self.teller.fact(f"the backup holds revision {before.revision}; the cluster is at {before.high_water} now")

    def disaster(self, lab: Lab) -> None:
        self.teller.chapter(
            "The disaster",
            "etcd is killed on two of the three nodes and their data directories are deleted. One member is left, "
            "and one of three is no majority: nothing can be written, and no failover will help.",
        )
        self.teller.fact(f"\n$ python -m deploy.lab wreck {NAME} quorum-loss")
        self.wrecked = time.time()
        self.teller.fact(wreck(lab, "quorum-loss"))
        self.teller.check("a write to etcd", "refused by every member", world.refused(lab))

    def inspection(self, quorate: Quorate, before: Before) -> None:
        self.teller.chapter(
            "What is wrong, and what to do about it",
            "`inspect` asks every member, every node and the store, changes nothing, and ends with the one command "
            "to run next. Its exit code says whether it found something.",
        )
        quorate.shown("inspect", NAME, fine=(FINDINGS,))
        seen = quorate.read("inspect", NAME, fine=(FINDINGS,))
        self.teller.check("quorum holds", expected=False, found=seen["quorum"]["holds"])
        lost = [each for each in seen["findings"] if each["id"] == "quorum-lost"]
        self.teller.check("findings called quorum-lost", 1, len(lost))
        self.teller.check("its advice is a restore", expected=True, found=f"restore {NAME}" in lost[0]["next"])
        survivors = [member["revision"] for member in seen["members"] if "revision" in member]
        before.high_water = max([before.high_water, *survivors])

    def announcement(self, quorate: Quorate, before: Before) -> None:
        self.teller.chapter(
            "The plan",
            "What would happen on which node, where the point of no return is, and what would be lost. Nothing has "
            "been changed yet. The restore carries out this plan and no other.",
        )
        words = ("plan", "restore", NAME, "--snapshot", before.snapshot)
        quorate.shown(*words)
        planned = quorate.read(*words)
        self.teller.check("the plan's snapshot", before.snapshot, planned["snapshot"])
        self.teller.check("gates that refuse", [], planned["refusals"])
        self.teller.check("the loss is announced", expected=True, found=bool(planned["losses"]))

    def restore(self, quorate: Quorate, before: Before) -> None:
        self.teller.chapter(
            "The restore",
            "Each node builds its new data beside the old. Then the control plane and etcd are fenced, the "
            "directories are swapped by a rename, and all members start as a new cluster. A failure before that "
            "start undoes everything; the old data is kept either way.",
        )
        quorate.shown("restore", NAME, "--snapshot", before.snapshot, "--confirm", NAME)
        newest = next(
            each["operation"] for each in quorate.read("operations", "ls")["operations"] if each["kind"] == "restore"
        )
        self.result = quorate.read("watch", newest)
        self.teller.check("outcome", "restored", self.result["outcome"])

    def proof(self, lab: Lab, before: Before) -> None:
        self.teller.chapter(
            "Proof, by other means than Quorate's",
            "The same digests as in chapter 2, read by a plain client. What was written after the backup is gone, as "
            "the plan said, every member accepts writes, and the controllers work.",
        )
        tell = self.teller
        tell.check("keys and digest of etcd", asdict(before.data), asdict(digest(lab)))
        tell.check("Kubernetes objects", before.objects, world.objects(lab))
        tell.check("late keys and objects, lost as announced", (0, 0), world.late(lab))
        for at, node in enumerate(lab.nodes):
            word = f"written through {node.name}"
            tell.check(f"a write through {node.name}", word, world.write(lab, at, f"/quorate-story/proof-{at}", word))
        tell.holds("the controllers are at work", world.deploy(lab, "after"))
        served = int(self.result["served_revision"])
        tell.above("the revision never went back, so no watch misses a change", before.high_water, served)

    def audit(self, quorate: Quorate) -> None:
        self.teller.chapter(
            "The audit trail",
            "Every command on every node is on record, each record sealed with the one before, here and in the "
            "store: a changed, missing or reordered line would show.",
        )
        quorate.shown("audit", "verify", self.result["operation"])

    def outage_s(self) -> float:
        """Quorate says none where quorum was lost before it came: this one begins with the disaster."""
        verified = [step["started"] + step["duration_s"] for step in self.result["steps"] if step["id"] == "verify"]
        return float(max(verified)) - self.wrecked

    def closing(self, quorate: Quorate, before: Before) -> None:
        result, trail = self.result, quorate.lab.folder / "state" / "operations" / self.result["operation"]
        self.teller.chapter("In short", f"All {self.teller.checks} checks hold.")
        self.teller.fact(
            f"restored     {result['snapshot']}: {before.data.keys} keys, {before.objects.split()[0]} objects\n"
            f"lost         what was written after it: {world.LATE_KEYS} keys and 1 object, as announced\n"
            f"etcd was out {self.outage_s():.1f} s, from the disaster to verified writes through every member;\n"
            "             that includes the reading in between\n"
            f"API was out  {result['api_outage_s']} s of it, from the stop that Quorate asked for\n"
            f"it took      {result['duration_s']} s from approval to verified\n"
            f"audit trail  {trail}, with a copy in s3://{quorate.lab.s3.bucket}"
        )
