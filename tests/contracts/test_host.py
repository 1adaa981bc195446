"""What every Host promises: machines of memory, and a real node over SSH."""

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from activities.adapters.secrets import LocalSecrets
from activities.adapters.ssh import SshHosts
from deploy.lab.lab import LabSpec, down, up
from quorate.command import Command, Node, Ticket, rename
from quorate.converge import converge
from quorate.errors import Busy, CommandFailed, Superseded
from quorate.nodes.node import Claim
from quorate.nodes.room import receiving, room_for
from quorate.nodes.seen import Look
from quorate.nodes.supervisor import Systemd, Together
from quorate.ports import Host, Hosts
from quorate.settings.machines import Jump
from tests.factory import node as fake_node
from tests.fakes.machine import FakeHosts, Machine, Unit
from tests.quorate.test_converge import silent
from worker.settings import load


@dataclass
class Place:
    hosts: Hosts
    node: Node
    clock: object

    def at(self, turn: int = 1, attempt: int = 1, operation: str = "op", look: Look | None = None) -> Host:
        claim = Claim(self.node.lock_dir, self.node.cluster, operation)
        return self.hosts.at(self.node, (look or Look()) | claim.look(), Ticket(operation, turn, attempt, "test"))


@pytest.fixture(scope="module")
def real() -> Iterator[tuple[SshHosts, Node]]:
    name = f"h{os.getpid()}"
    try:
        lab = up(LabSpec(name, members=1, control_plane="none"), print)
        cluster = load(Path(lab.config)).cluster(name)
        hosts = SshHosts(LocalSecrets({}))
        yield (
            hosts,
            Node(cluster.members[0].name, cluster.members[0].host, cluster.ssh, cluster.lock_dir, "placeholder"),
        )
        hosts.close()
    finally:
        down(name, print)


@pytest.fixture(params=["memory", *(pytest.param(way, marks=pytest.mark.lab) for way in ("ssh", "jump"))])
def place(request: pytest.FixtureRequest) -> Place:
    """A node that nobody has claimed: every test has a cluster name, so a lock, of its own."""
    import time
    from dataclasses import replace

    if request.param == "memory":
        machine = Machine("a", directories={"/tmp", "/var/lib/etcd"}, units={"etcd.service": Unit(ports=(2379,))})
        return Place(FakeHosts({"a": machine}), fake_node("a"), time)
    hosts, node = request.getfixturevalue("real")
    if request.param == "jump":  # through itself
        node = replace(node, ssh=node.ssh.model_copy(update={"jump": Jump(host=node.host)}))
    return Place(hosts, replace(node, cluster=f"c{uuid.uuid4().hex[:8]}"), time)


@pytest.fixture
def name() -> str:
    return f"/tmp/quorate-test-{uuid.uuid4().hex[:8]}"


def directory(path: str) -> Command:
    return Command(("install", "-d", "-m", "0700", path))


def did(host: Host, *acts: Command) -> list[int | None]:
    return [ran.exit for ran in host.do(acts, silent).ran]


def test_looking_under_a_ticket_claims_the_node(place: Place) -> None:
    assert any(path.endswith("/claim") for path in place.at().look().paths)


def test_an_act_that_was_never_preceded_by_a_look_does_not_run(place: Place, name: str) -> None:
    assert did(place.at(), directory(name)) == [None]


@pytest.mark.parametrize("do", [lambda host: host.look(), lambda host: did(host, directory("/tmp/x"))])
def test_an_older_attempt_is_superseded(place: Place, do: Callable[[Host], object]) -> None:
    place.at(2, 1).look()
    with pytest.raises(Superseded):
        do(place.at(1, 5))


def test_another_operation_is_refused_by_name(place: Place) -> None:
    place.at().look()
    with pytest.raises(Busy, match="op"):
        place.at(operation="other").look()


def test_a_program_that_is_sent_along_is_tried_and_nothing_of_it_stays(place: Place) -> None:
    program = (b"#!/bin/sh\n", b'[ "$1" = version ] && echo 3.6.14\n')
    said = place.hosts.tried(place.node, ("version",), program)
    assert "3.6.14" in said
    left = place.hosts.read(place.node, Command(("sh", "-c", "ls -d /var/lib/*; true")))
    assert b"quorate-try" not in b"".join(left)
    with pytest.raises(CommandFailed, match="does not run"):
        place.hosts.tried(place.node, ("help",), program)


def test_a_rename_happens_once_and_overwrites_nothing(place: Place, name: str) -> None:
    host = place.at(look=Look(paths=(f"{name}-a", f"{name}-b")))
    host.look()
    assert did(host, directory(f"{name}-a"), rename(f"{name}-a", f"{name}-b")) == [0, 0]
    assert host.look().has(f"{name}-a", f"{name}-b") == (False, True)
    assert did(host, directory(f"{name}-a"), rename(f"{name}-a", f"{name}-b")) == [0, None]


def test_a_file_is_made_of_what_is_given_to_it(place: Place, name: str) -> None:
    host = place.at(look=Look(paths=(name,), texts=(name,)))
    host.look()
    did(host, Command(("install", "-D", "-m", "0644", "/dev/stdin", name), stdin="a fence\n"))
    seen = host.look()
    assert seen.texts[name].strip() == "a fence"
    assert seen.paths[name].size_bytes == 8


def test_bytes_that_are_sent_arrive_whole(place: Place, name: str) -> None:
    host = place.at(look=Look(paths=(f"{name}.d/db",)))
    host.look()
    receive = Command(receiving(f"{name}.d/db", "/tmp", 2_700_000, ("cat",)))
    assert host.send(receive, (b"x" * 300_000 for _ in range(9)), silent).exit == 0
    assert host.look().paths[f"{name}.d/db"].size_bytes == 2_700_000


MORE_THAN_ANYBODY_HAS = 2**60


def test_where_there_is_no_room_nothing_is_written(place: Place, name: str) -> None:
    host = place.at(look=Look(paths=(f"{name}.d/db", name)))
    host.look()
    receive = Command(receiving(f"{name}.d/db", "/tmp", MORE_THAN_ANYBODY_HAS, ("cat",)))
    assert host.send(receive, (b"x" * 300_000 for _ in range(9)), silent).exit == 28
    assert did(host, room_for(MORE_THAN_ANYBODY_HAS, "/tmp"), directory(name)) == [28]
    assert did(host, room_for(1, "/tmp")) == [0]
    assert host.look().has(f"{name}.d/db", name) == (False, False)


def test_what_does_not_exist_cannot_be_synced(place: Place, name: str) -> None:
    host = place.at()
    host.look()
    assert did(host, Command(("sync", name)))[0] not in {0, None}


def test_what_follows_a_failure_is_not_done_and_what_is_seen_comes_along(place: Place, name: str) -> None:
    host = place.at(look=Look(paths=(f"{name}-a", f"{name}-b")))
    host.look()
    done = host.do((directory(f"{name}-a"), Command(("sync", name)), directory(f"{name}-b")), silent)
    assert [ran.exit == 0 for ran in done.ran] == [True, False]
    assert done.seen is not None
    assert done.seen.has(f"{name}-a", f"{name}-b") == (True, False)


def test_each_of_several_files_is_made_of_its_own_text(place: Place, name: str) -> None:
    host = place.at(look=Look(texts=(f"{name}-a", f"{name}-b")))
    host.look()
    install = ("install", "-D", "-m", "0644", "/dev/stdin")
    texts = {f"{name}-a": "é\n", f"{name}-b": "b" * 100}
    assert did(host, *(Command((*install, path), stdin=text) for path, text in texts.items())) == [0, 0]
    assert {path: text.strip() for path, text in host.look().texts.items()} == {
        f"{name}-a": "é",
        f"{name}-b": "b" * 100,
    }


def test_a_released_node_lets_nobody_act(place: Place, name: str) -> None:
    claim = Claim(place.node.lock_dir, place.node.cluster, "op")
    converge(place.at(1), claim.hold, 10, place.clock, silent)  # type: ignore[arg-type]
    converge(place.at(2), claim.release, 10, place.clock, silent)  # type: ignore[arg-type]
    assert did(place.at(3), directory(name)) == [None]
    with pytest.raises(Superseded):
        place.at(1).look()


def test_a_barred_unit_stops_stays_stopped_and_starts_again(place: Place) -> None:
    unit = Systemd("etcd", "etcd.service", (2379,), grace_s=0.5)
    etcd = Together((unit,))
    turns = iter(range(1, 9))

    def settle(decide: Callable) -> None:  # type: ignore[type-arg]
        converge(place.at(next(turns), look=etcd.look()), decide, 30, place.clock, silent)  # type: ignore[arg-type]

    settle(etcd.bar)
    settle(etcd.fence)
    host = place.at(next(turns), look=etcd.look())
    host.look()
    assert did(host, Command(("systemctl", "start", "--no-block", "etcd.service")))[0] is not None
    assert host.look().units["etcd.service"].gone
    settle(etcd.start)
    settle(etcd.unbar)
    seen = place.at(next(turns), look=etcd.look()).look()
    assert (seen.units["etcd.service"].state, unit.barred(seen)) == ("active", False)


@pytest.mark.lab
def test_a_file_of_a_node_is_read_as_it_is_and_one_that_is_not_there_is_told(real: tuple[SshHosts, Node]) -> None:
    """As root: a private key is etcd's own."""
    hosts, node = real
    key = b"".join(hosts.read(node, Command(("cat", "--", "/etc/etcd/pki/server.key"))))
    assert key.startswith(b"-----BEGIN")
    with pytest.raises(CommandFailed, match=r"/nosuch.*No such file"):
        list(hosts.read(node, Command(("cat", "--", "/nosuch"))))


@pytest.mark.lab
def test_programs_are_found_with_the_unit_that_keeps_them(real: tuple[SshHosts, Node]) -> None:
    hosts, node = real
    (etcd,) = hosts.survey(node, Look(programs=True)).programs.processes
    assert (etcd.program, etcd.unit, etcd.in_pod) == ("etcd", "etcd.service", False)
