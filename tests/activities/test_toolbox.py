"""The restore tool that a backup keeps in the store."""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import pytest
import zstandard

from activities.backups import toolbox
from quorate.backups.request import BackupRequest
from quorate.backups.toolbox import KeptTool, Offer, find, kept, lacked, offers
from quorate.command import Command, Node
from quorate.converge import Tick
from quorate.errors import Corrupt, Denied, QuorateError
from quorate.nodes.seen import Look, NodeSeen
from quorate.ports import Stored
from quorate.unfinished import Unfinished
from tests.fakes.machine import FakeHosts
from tests.fakes.store import MemoryStore
from tests.workflows.test_backup import Bench, Clock

PATH, PROGRAM = "/usr/local/bin/etcdutl", "\x7fELF and so on"
RUNNING = NodeSeen(tools={PATH: "3.6.14"}, architecture="x86_64")
FOLDER = "tools/3.6.14-x86_64"


@dataclass
class Keeping(Bench):
    """Every node has a restore tool."""

    running: str = "3.6.14"
    operation: str = "backup-1"

    def __post_init__(self) -> None:
        for machine in self.machines.values():
            machine.files[PATH], machine.tools[PATH] = PROGRAM, self.running

    def request(self) -> BackupRequest:
        look = Look(units=("etcd.service",), spaces=("/d",), tools=(PATH,))
        return replace(super().request(), operation=self.operation, tool=PATH, look=look)

    def next(self, hours: int) -> None:
        """Another backup, so much later."""
        number = int(self.operation.removeprefix("backup-")) + 1
        self.operation = f"backup-{number}"
        self.clock.now += 3600 * hours
        self.carry_out()


def in_memory(bench: Bench) -> MemoryStore:
    assert isinstance(bench.store, MemoryStore)
    return bench.store


def tool(bench: Bench) -> KeptTool:
    found = find(bench.store, "3.6.1", "x86_64")
    assert found
    return found


def test_a_backup_keeps_the_tool_with_its_checksum_and_where_it_came_from() -> None:
    bench = Keeping()
    assert bench.carry_out().notes == ()
    found = tool(bench)
    assert (found.program, found.version, found.path) == ("etcdutl", "3.6.14", PATH)
    assert (found.size_bytes, found.stored_bytes) == (len(PROGRAM), len(in_memory(bench).objects[found.key]))
    assert sorted(key for key in in_memory(bench).objects if key.startswith("tools/")) == [
        f"{FOLDER}/etcdutl.backup-1-1.zst",
        f"{FOLDER}/etcdutl.json",
    ]


def test_what_is_kept_is_not_read_again() -> None:
    bench = Keeping()
    task = bench.read_back()
    bench.publish(task)
    for machine in bench.machines.values():
        machine.files[PATH] = "another"
    before = dict(in_memory(bench).objects)
    bench.publish(task)
    assert in_memory(bench).objects == before


def refused(key: str, _size_bytes: int) -> QuorateError | None:
    return Denied("no right to tools") if key.startswith("tools/") else None


def test_what_cannot_be_kept_is_a_note_and_the_backup_as_good() -> None:
    bench = Keeping(store=MemoryStore(refuses=refused))
    result = bench.carry_out()
    assert (result.outcome, find(bench.store, "3.6.14", "x86_64")) == ("verified", None)
    assert result.notes == ("the restore tool is not kept in the store: no right to tools",)


class Passing(Clock):
    """20 seconds pass between one look at it and the next."""

    def monotonic(self) -> float:
        self.now += 20
        return self.now


def test_a_node_that_hangs_costs_the_tool_and_no_backup(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, over = Keeping(), threading.Event()
    task = bench.read_back()

    def hanging(_hosts: FakeHosts, _node: Node, _command: Command) -> Iterator[bytes]:
        over.wait(60)
        yield b""

    monkeypatch.setattr(FakeHosts, "read", hanging)
    monkeypatch.setattr(toolbox, "BEAT_S", 0.01)
    bench.clock = Passing()
    result = bench.publish(task)
    over.set()
    assert (result.outcome, result.notes) == (
        "verified",
        ("the restore tool is not kept in the store: it took longer than 30 s",),
    )


def test_a_store_that_gives_back_something_else_has_no_tool() -> None:
    bench = Keeping()
    task = bench.read_back()
    another = zstandard.compress(b"sound, and not what was read")
    in_memory(bench).gives_back = lambda key, data: another if key.endswith(".zst") else data
    assert "the store gave back something else than tools/" in bench.publish(task).notes[0]
    assert find(bench.store, "3.6.14", "x86_64") is None


def test_a_tool_that_was_cut_off_in_the_store_is_not_offered() -> None:
    bench = Keeping()
    bench.carry_out()
    in_memory(bench).objects[tool(bench).key] = b""
    with pytest.raises(Corrupt, match="found nothing"):
        find(bench.store, "3.6.14", "x86_64")


def test_a_manifest_that_was_changed_is_not_believed() -> None:
    bench = Keeping()
    bench.carry_out()
    key = f"{FOLDER}/etcdutl.json"
    in_memory(bench).objects[key] = in_memory(bench).objects[key].replace(b'"node":"', b'"node":"x')
    in_memory(bench).objects[key] += b" "
    with pytest.raises(Corrupt, match="not as it was written"):
        find(bench.store, "3.6.14", "x86_64")


class Killed(BaseException):
    """A worker ends without another word."""


@dataclass
class Mortal(MemoryStore):
    """Its worker is killed at the nth call about tools: in the middle of a put, before anything else."""

    clock: Clock = field(default_factory=Clock)
    calls_left: int = 0

    def put(self, key: str, chunks: Iterable[bytes], tick: Tick) -> Stored:
        try:
            self._live(key)
        except Killed:
            self.half_done[key], self.began = b"half", self.clock.time()
            raise
        return super().put(key, chunks, tick)

    def get(self, key: str) -> Iterator[bytes]:
        self._live(key)
        return super().get(key)

    def ls(self, prefix: str) -> tuple[Stored, ...]:
        self._live(prefix)
        return super().ls(prefix)

    def unfinished(self, prefix: str) -> tuple[Unfinished, ...]:
        self._live(prefix)
        return super().unfinished(prefix)

    def _live(self, key: str) -> None:
        if key.startswith("tools/"):
            self.calls_left -= 1
            if not self.calls_left:
                raise Killed


KILLED_AT = {"unfinished": 1, "ls": 2, "put": 3, "get": 4, "put of the manifest": 5}


@pytest.mark.parametrize("call", KILLED_AT)
def test_whenever_a_backup_is_killed_the_next_ones_leave_one_tool_and_nothing_beside_it(call: str) -> None:
    store = Mortal(calls_left=KILLED_AT[call])
    bench = Keeping(store=store, clock=store.clock)
    with pytest.raises(Killed):
        bench.carry_out()
    bench.next(hours=1)
    kept = "backup-1" if call in {"get", "put of the manifest"} else "backup-2"
    assert sorted(key for key in store.objects if key.startswith("tools/")) == [
        f"{FOLDER}/etcdutl.{kept}-1.zst",
        f"{FOLDER}/etcdutl.json",
    ]
    assert tool(bench).operation == "backup-2"
    bench.next(hours=25)
    assert store.half_done == {}


def test_a_put_that_may_be_another_backups_is_not_swept() -> None:
    bench = Keeping()
    in_memory(bench).half_done["tools/3.5.21-x86_64/etcdutl.backup-0-1.zst"] = b"half"
    in_memory(bench).began = bench.clock.now
    bench.carry_out()
    bench.next(hours=23)
    assert in_memory(bench).half_done
    bench.next(hours=2)
    assert not in_memory(bench).half_done


@pytest.mark.parametrize("left", [zstandard.compress(b"another program"), b"damaged"], ids=["another", "damaged"])
def test_what_a_backup_has_left_is_kept_only_if_it_is_what_the_node_runs(left: bytes) -> None:
    bench = Keeping()
    in_memory(bench).objects[f"{FOLDER}/etcdutl.backup-0-1.zst"] = left
    assert bench.carry_out().notes == ()
    assert tool(bench).key == f"{FOLDER}/etcdutl.backup-1-1.zst"


def test_only_what_a_node_can_be_believed_to_say_becomes_part_of_a_key() -> None:
    nodes = {
        "a": RUNNING,
        "b": replace(RUNNING, architecture="../x"),
        "c": replace(RUNNING, tools={PATH: "3.6.14/.."}),
        "d": "it does not answer",
    }
    assert offers(PATH, nodes) == (Offer("a", PATH, "3.6.14", "x86_64"),)


def test_one_of_the_running_minor_version_is_kept_for_every_architecture() -> None:
    offered = tuple(
        Offer(node, PATH, version, architecture)
        for node, version, architecture in [
            ("b", "3.6.9", "x86_64"), ("c", "3.6.9", "aarch64"), ("a", "3.5.21", "x86_64"),
        ]
    )  # fmt: skip
    assert [each.node for each in lacked(offered, "3.6.14", ())] == ["b", "c"]
    assert [each.node for each in lacked(offered, "3.6.14", (f"{FOLDER}/etcdutl.json",))] == ["c"]
    assert Offer("a", PATH, "3.4.27", "x86_64").name == "tools/3.4.27-x86_64/etcdctl"


@pytest.mark.parametrize(
    "key", ["tools/3.5.14-x86_64/etcdutl.json", "tools/3.6.1-aarch64/etcdutl.json", f"{FOLDER}/etcdutl.x.zst"]
)
def test_another_version_or_architecture_or_an_object_alone_is_no_tool(key: str) -> None:
    assert kept((key,), "3.6.14", "x86_64") == ""
