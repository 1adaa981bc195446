"""Walking through a cluster of memory: one node leads to the others, and what is read on the way is on record."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from activities.clusters.discovery import Borrowed, Discovery, reference
from activities.recording.recorded import RecordedFiles
from quorate.audit import Act
from quorate.clusters.cluster import Silence
from quorate.command import Command, Node, Ticket
from quorate.converge import Ran
from quorate.errors import Denied, NotApproved, Unreachable
from quorate.inventories.meeting import Met
from quorate.members.etcd import EtcdSeen, EtcdTarget
from quorate.nodes.programs import ETCD
from quorate.nodes.seen import Look, NodeSeen, parse
from quorate.ports import Etcd
from tests.factory import SSH
from tests.meetings import PKI, Kept, address, flags, listed, output

HOSTS = {address(name): name for name in "abc"}


@dataclass
class World:
    """Three members; `dead` have no process, `away` no SSH, `opens` is the certificate that etcd takes."""

    dead: str = ""
    away: str = ""
    opens: str = f"{PKI}/server.crt"
    shut: str = ""  # to everybody but their own node
    surveyed: list[str] = field(default_factory=list)
    trusted: list[tuple[str, ...]] = field(default_factory=list)
    happened: list[str] = field(default_factory=list)
    tried: list[tuple[str, str]] = field(default_factory=list)

    def survey(self, node: Node, look: Look) -> NodeSeen:
        name = HOSTS[node.host]
        assert any(node.host in batch for batch in self.trusted), "nobody logs in before the host is trusted"
        self.surveyed.append(name)
        if name in self.away:
            raise Unreachable(f"{node.host} does not answer")
        return parse(output(Kept(ETCD, flags(name), "etcd.service", runs=name not in self.dead)))

    def read(self, node: Node, command: Command) -> Iterator[bytes]:
        self.happened.append(f"{node.host} {command}")
        yield f"{node.host} {command.argv[-1]}".encode()

    @contextmanager
    def tunnel(self, node: Node, host: str, port: int) -> Iterator[str]:
        assert (host, port) == (node.host, 2379)
        yield f"through {node.host}"

    @contextmanager
    def at(self, target: EtcdTarget) -> Iterator[Etcd]:
        yield Member(self, target)  # type: ignore[misc]

    def intent(self, act: Act) -> int:
        self.happened.append(f"intent {act.place} {' '.join(act.argv)}")
        return 1

    def outcome(self, seq: int, ran: Ran | BaseException) -> None:
        assert isinstance(ran, Ran)
        self.happened.append(f"outcome {ran.exit} {ran.tail}".strip())

    def time(self) -> float:
        return 0.0

    monotonic = time

    def sleep(self, _: float) -> None: ...

    @property
    def borrowed(self) -> Borrowed:
        files = RecordedFiles(self, lambda _: self, self)  # type: ignore[arg-type]
        return Borrowed(files, Ticket("init-1", 1, 1, "init", "kim"), node, Own())

    def walk(self, first: str = "a", own: tuple[str, str, str] | None = None) -> tuple[Met, ...]:
        discovery = Discovery(self, self, self, node, own)  # type: ignore[arg-type]
        return discovery.walk(address(first), {}, self.trusted.append)


@dataclass
class Member:
    world: World
    target: EtcdTarget

    def look(self) -> EtcdSeen:
        name = HOSTS[self.target.name]
        assert self.target.dial in {"", f"through {self.target.name}"}
        if self.target.dial:
            self.world.tried.append((name, self.target.cert))
        elif name in self.world.shut:
            raise Unreachable("it does not answer")
        if not self.target.cert.endswith(self.world.opens):
            raise Denied("it does not open")
        return listed(name, "abc")


class Own:
    def resolve(self, name: str) -> bytes:
        return f"own {name}".encode()


def node(host: str) -> Node:
    return Node(host, host, SSH, "/var/lib/quorate", "demo")


def told(found: tuple[Met, ...]) -> dict[str, str]:
    return {each.name: "etcd" if isinstance(each.etcd, EtcdSeen) else each.etcd.reason for each in found}


def test_one_node_leads_to_all_others_and_each_is_trusted_before_anybody_logs_in() -> None:
    world = World()
    assert told(world.walk("b")) == {"a": "etcd", "b": "etcd", "c": "etcd"}
    assert world.trusted == [(address("b"),), (address("a"), address("c"))]


def test_what_opened_one_member_is_what_the_others_are_asked_with() -> None:
    """So one key is read on one node, and no more."""
    world = World()
    world.walk()
    cert = reference(address("a"), f"{PKI}/server.crt")
    assert sorted(world.tried) == [("a", cert), ("b", cert), ("c", cert)]


def test_where_etcd_is_dead_it_is_not_asked_and_the_next_one_tells_who_belongs_to_it() -> None:
    world = World(dead="ab")
    assert told(world.walk()) == {"a": "it does not run", "b": "it does not run", "c": "etcd"}


def test_with_etcd_dead_everywhere_all_are_found_from_what_they_were_begun_with() -> None:
    assert set(told(World(dead="abc").walk())) == {"a", "b", "c"}


def test_a_silent_node_is_kept_with_its_reason_but_the_first_has_to_answer() -> None:
    found = {each.name: each.seen for each in World(away="c").walk()}
    assert found["c"] == Silence("10.0.0.3 does not answer")
    with pytest.raises(Unreachable):
        World(away="a").walk()


def test_an_own_certificate_is_used_instead_of_any_on_a_node() -> None:
    world = World(opens="file:/c")
    assert told(world.walk(own=("file:/ca", "file:/c", "file:/k")))["a"] == "etcd"
    assert {cert for _, cert in world.tried} == {"file:/c"}


def test_a_member_that_is_shut_to_us_is_asked_through_its_node_and_remembered_as_shut() -> None:
    found = World(shut="b").walk()
    assert {each.name: each.direct for each in found} == {"a": True, "b": False, "c": True}
    assert told(found)["b"] == "etcd"


def test_a_certificate_that_opens_nothing_is_told_and_who_belongs_to_it_is_still_found() -> None:
    found = World(opens="/nosuch").walk()
    assert told(found) == dict.fromkeys("abc", "it does not open")


def test_a_host_that_is_not_trusted_ends_it_before_anybody_logs_in() -> None:
    world = World()

    def refuse(_: tuple[str, ...]) -> None:
        raise NotApproved("no")

    with pytest.raises(NotApproved):
        Discovery(world, world, world, node).walk(address("a"), {}, refuse)  # type: ignore[arg-type]
    assert world.surveyed == []


def test_a_file_is_on_record_before_it_is_read_once_and_what_is_in_it_never() -> None:
    world = World()
    borrowed = world.borrowed
    for _ in range(2):
        assert borrowed.resolve(reference("10.0.0.1", "/k/a.key")) == b"10.0.0.1 /k/a.key"
    assert world.happened == ["intent 10.0.0.1 cat -- /k/a.key", "10.0.0.1 cat -- /k/a.key", "outcome 0"]


def test_a_reference_into_an_ipv6_host_is_understood() -> None:
    assert World().borrowed.resolve(reference("fd00::1", "/k/a.key")) == b"fd00::1 /k/a.key"


def test_any_other_reference_is_this_machines_own() -> None:
    assert World().borrowed.resolve("file:/k") == b"own file:/k"
