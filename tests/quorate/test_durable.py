from dataclasses import replace
from pathlib import Path

import pytest

from quorate.converge import Ran
from quorate.nodes.durable import settled, unsettled
from quorate.nodes.static_pod import StaticPod
from quorate.restore import STEPS
from tests.e2e.durability import moments, parsed, returning
from tests.factory import LIVE, plan
from tests.fakes.machine import Unit
from tests.runbooks import Rehearsal

TRACE = """==> of.1 <==
1.0 chdir("/var/lib") = 0
1.1 openat(AT_FDCWD</var/lib>, "etcd/new", O_WRONLY|O_CREAT, 0600) = 3</var/lib/etcd/new>
1.2 write(3</var/lib/etcd/new>, "/x\\n", 3) = 3
1.3 rename("etcd/gone", "etcd/nowhere") = -1 ENOENT (No such file or directory)
{rest}"""
SYNCED = "2 fsync(3</var/lib/etcd/new>) = 0"
STOP = '9.0 execve("/usr/bin/systemctl", ["systemctl", "stop", "etcd.service"], 0x5) = 0'


def test_a_file_is_settled_with_its_directory_and_the_one_above() -> None:
    assert settled("/a/b/c", "/a/b/d").argv == ("sync", "/a/b/c", "/a/b/d", "/a/b", "/a")


@pytest.mark.parametrize(
    ("ran", "left"),
    [
        ((), ("sync", "/x", "/y")),
        ((Ran("mv -T /x/a /x/b", 0), Ran("sync /x", 0)), ("sync", "/y")),
        ((Ran("sync /x /y", 0),), None),
    ],
)
def test_what_an_attempt_has_not_synced_itself_is_left(ran: tuple[Ran, ...], left: tuple[str, ...] | None) -> None:
    assert [each.argv for each in unsettled(("/x", "/y", "/x"), ran)] == ([left] if left else [])


@pytest.mark.parametrize("verb", ["nodes.stage", "nodes.swap", "nodes.put_back"])
def test_a_rename_that_was_cut_off_from_its_sync_is_synced_by_the_next_attempt(tmp_path: Path, verb: str) -> None:
    rehearsal = Rehearsal(tmp_path)
    step = next(each for each in STEPS if verb in (each.verb, each.undo))
    for each in STEPS[: STEPS.index(step)]:
        rehearsal.run(each, each.verb)
    if verb == step.undo:
        rehearsal.run(step, step.verb)
    machine = rehearsal.machine
    machine.breaks = f"sync {LIVE.rpartition('/')[0]}"
    with pytest.raises(Exception, match="sync"):
        rehearsal.run(step, verb)
    machine.breaks = ""
    assert rehearsal.run(step, verb) == [f"sync {LIVE.rpartition('/')[0]}"]


@pytest.mark.parametrize("verb", ["nodes.start", "nodes.resume"])
def test_a_manifest_that_is_back_is_synced_by_whoever_finds_it_so(tmp_path: Path, verb: str) -> None:
    pod = StaticPod("etcd", "/etc/kubernetes/manifests/etcd.yaml", (2379,))
    whole = plan("restore-1")
    shares = tuple(
        replace(each, etcd=pod, control=(), clients=replace(each.clients, firewall=False))
        for each in whole.chosen.shares
    )
    rehearsal = Rehearsal(tmp_path, plan=replace(whole, chosen=replace(whole.chosen, shares=shares)))
    rehearsal.machine.files[pod.manifest] = "the pod"
    rehearsal.machine.units[pod.manifest] = Unit(ports=(2379,))
    step = next(each for each in STEPS if verb in (each.verb, each.undo) and each.roles == "etcd")
    assert rehearsal.run(step, verb) == ["sync /etc/kubernetes/manifests /etc/kubernetes"]


class TestTheTrace:
    @pytest.mark.parametrize(
        ("rest", "volatile"),
        [
            ("", {"/var/lib/etcd/new", "/var/lib/etcd"}),
            (SYNCED, {"/var/lib/etcd"}),
            (
                f'{SYNCED}\n3 rename("etcd/new", "/srv/x") = 0\n4 fsync(4</var/lib/etcd>) = 0',
                {"/srv"},
            ),
            (
                '2.0 fsync(4</var/lib/etcd>) = 0\n2.1 rename("/var/lib/etcd", "/srv/e") = 0',
                {"/srv/e/new", "/srv", "/var/lib"},
            ),
            ("2.0 sync() = 0", set()),
        ],
    )
    def test_what_was_not_synced_since_it_changed_would_be_lost(self, rest: str, volatile: set[str]) -> None:
        (found,) = moments(parsed(TRACE.format(rest=f"{rest}\n{STOP}")), "etcd.service")
        assert (found.verb, set(found.volatile)) == ("stop", volatile)

    @pytest.mark.parametrize(("synced", "left"), [("", {"/etc/x.d"}), ("2.1 fsync(3</etc/x.d>) = 0", set())])
    def test_a_name_that_was_removed_comes_back_until_its_directory_is_synced(
        self, synced: str, left: set[str]
    ) -> None:
        gone = f'2.0 unlink("/etc/x.d/bar.conf") = 0\n2.0 unlink("/tmp/x") = 0\n{synced}'
        assert returning(parsed(TRACE.format(rest=gone))) == left
