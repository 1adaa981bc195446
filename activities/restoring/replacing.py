"""One member leaves a cluster and a new one takes its place; each verb finds out first what is done already."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

from temporalio import activity

from activities.recording.recorded import RecordedEtcds
from activities.restoring.members import looks
from activities.restoring.nodes import ticket_of
from quorate.chosen import Replaced, Share
from quorate.converge import Clock, Receipt, Tick
from quorate.errors import Denied, Failed, Missing, Unreachable
from quorate.members.etcd import EtcdSeen, HashKV, MemberSeen
from quorate.members.membership import NOBODY, listed, newcomer, not_whole, without
from quorate.members.verifying import differing_hashes, leader_last
from quorate.ports import Etcd
from quorate.task import ClusterTask

POLL_S = 0.5
T = TypeVar("T")


@dataclass(frozen=True)
class Replacing:
    etcds: RecordedEtcds
    clock: Clock
    tick: Tick = activity.heartbeat

    @activity.defn(name="members.weigh", no_thread_cancel_exception=True)
    def weigh(self, task: ClusterTask) -> Receipt:
        """With the member fenced the others still serve, and go on doing so without it: else all is undone."""
        return self._insisting(task, lambda: self._weighed(task))

    @activity.defn(name="members.remove", no_thread_cancel_exception=True)
    def remove(self, task: ClusterTask) -> Receipt:
        return self._insisting(task, lambda: self._removed(task))

    @activity.defn(name="members.add", no_thread_cancel_exception=True)
    def add(self, task: ClusterTask) -> Receipt:
        """Asked again until it does: etcd wants to have been whole for some seconds."""
        return self._insisting(task, lambda: self._added(task))

    @activity.defn(name="members.promote", no_thread_cancel_exception=True)
    def promote(self, task: ClusterTask) -> Receipt:
        """Asked again until it does: the learner has to catch up first."""
        return self._insisting(task, lambda: self._promoted(task))

    @activity.defn(name="members.agree", no_thread_cancel_exception=True)
    def agree(self, task: ClusterTask) -> Receipt:
        """One cluster of exactly these members, all with a vote, one hash, a write through each."""
        return self._insisting(task, lambda: self._agreed(task))

    def _weighed(self, task: ClusterTask) -> dict[str, str]:
        seen = self._others(task)
        left = without(listed(seen), replaced(task).former, seen)
        if not left.holds:
            raise Unreachable(f"without {replaced(task).member} the quorum would be lost: {left}")
        return {"votes": str(left)}

    def _removed(self, task: ClusterTask) -> dict[str, str]:
        """Missing is done: an attempt whose answer was lost has removed it."""
        former = replaced(task).former
        with self._other(task) as etcd:
            if any(row.id == former for row in etcd.look().members):
                with suppress(Missing):
                    etcd.remove(former)
        return {"removed": former}

    def _added(self, task: ClusterTask) -> dict[str, str]:
        """By its URLs and its new id: what another attempt has added is not added again."""
        with self._other(task) as etcd:
            there = self._newcomer(task, etcd)
            return {"member_id": there.id if there else etcd.add_learner(share_of(task).peer_urls)}

    def _promoted(self, task: ClusterTask) -> dict[str, str]:
        with self._other(task) as etcd:
            there = self._newcomer(task, etcd)
            if there is None:
                raise Failed(f"{replaced(task).member} is not in the cluster: nobody has its peer URLs")
            if there.learner:
                self.tick("the learner catches up")
                etcd.promote(there.id)
        return {"member_id": there.id}

    def _agreed(self, task: ClusterTask) -> dict[str, str]:
        seen, silent = self._look(task, task.shares)
        if silent:
            raise Unreachable(silent)
        if wrong := not_whole(seen, replaced(task).former):
            raise Failed(f"this is not the cluster that it is to be: {wrong}")
        hashes = self._hashes(task, seen)
        if wrong := differing_hashes(hashes):
            raise Failed(f"the members differ: {wrong}")
        cleared = self._cleared(task, seen)
        for share in task.shares:
            self._written(task, share)
        mine = seen[replaced(task).member]
        return {"member_id": mine.member_id, "hash_kv": str(next(iter(hashes.values())).hash), "cleared": cleared}

    def _hashes(self, task: ClusterTask, seen: dict[str, EtcdSeen]) -> dict[str, HashKV]:
        """At a revision that all of them have, one after the other: each hash blocks its member's writes."""
        revision, targets = min(each.revision for each in seen.values()), {s.member: s.target for s in task.shares}
        hashes = {}
        for name in leader_last(seen):
            self.tick(f"comparing {name}")
            with self.etcds.at(targets[name], ticket_of(task)) as etcd:
                hashes[name] = etcd.hash_kv(revision)
        return hashes

    def _cleared(self, task: ClusterTask, seen: dict[str, EtcdSeen]) -> str:
        """The alarms of who is gone; nobody else would ever disarm them."""
        whose = (replaced(task).former, NOBODY)
        if not any(member in whose for each in seen.values() for member, _ in each.alarms):
            return ""
        with self._other(task) as etcd:
            return ", ".join(etcd.disarm(whose))

    def _written(self, task: ClusterTask, share: Share) -> None:
        canary = f"quorate/canary/{task.operation}"
        with self.etcds.at(share.target, ticket_of(task)) as etcd:
            etcd.put(canary, share.member.encode())
            if etcd.get(canary) != share.member.encode():
                raise Failed(f"{share.member} does not read back what was written through it")
            etcd.delete(canary)

    def _newcomer(self, task: ClusterTask, etcd: Etcd) -> MemberSeen | None:
        return newcomer(etcd.look().members, share_of(task).peer_urls, replaced(task).former)

    def _others(self, task: ClusterTask) -> dict[str, EtcdSeen]:
        return self._look(task, tuple(each for each in task.shares if each.member != replaced(task).member))[0]

    def _look(self, task: ClusterTask, shares: tuple[Share, ...]) -> tuple[dict[str, EtcdSeen], str]:
        """Who answers, and why somebody does not."""
        found = looks(self.etcds, shares, ticket_of(task))
        silent = "; ".join(f"{share.member}: {each}" for share, each in found if not isinstance(each, EtcdSeen))
        return {share.member: each for share, each in found if isinstance(each, EtcdSeen)}, silent

    @contextmanager
    def _other(self, task: ClusterTask) -> Iterator[Etcd]:
        """The leader where it answers, for it knows best; never who is replaced."""
        seen = self._others(task)
        best = max(seen, key=lambda name: (seen[name].leads, bool(seen[name].leader), name), default="")
        if not best:
            raise Unreachable("no other member answers")
        target = next(share.target for share in task.shares if share.member == best)
        with self.etcds.at(target, ticket_of(task)) as etcd:
            yield etcd

    def _insisting(self, task: ClusterTask, ask: Callable[[], dict[str, str]]) -> Receipt:
        """The answer, once there is one: an election or a learner that catches up is no failure yet."""
        started, began = self.clock.time(), self.clock.monotonic()
        while True:
            try:
                facts = ask()
            except Denied:
                raise
            except (Failed, Unreachable) as error:
                if self.clock.monotonic() - began >= task.patience_s:
                    raise
                self.tick(str(error))
                self.clock.sleep(POLL_S)
            else:
                return Receipt(started=started, duration_s=self.clock.monotonic() - began, facts=facts)


def replaced(task: ClusterTask) -> Replaced:
    assert task.replaced, "only a plan that replaces somebody has this step"
    return task.replaced


def share_of(task: ClusterTask) -> Share:
    return next(each for each in task.shares if each.member == replaced(task).member)
