"""Where etcd's data may lie: each way is backed up, restored, and rolled back once, and stays as it was laid out."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import groupby

import pytest
import yaml

from deploy.lab.lab import Lab, digest, load
from tests.e2e.conftest import product
from tests.e2e.durability import lost, moments, returning, told, traced
from tests.e2e.product import Product, on_node
from tests.e2e.test_steering import no_etcd

pytestmark = pytest.mark.lab
HEALTHY = ("--override-gate", "quorum-healthy", "--reason", "it is a test")
LIVE, DISK = "/var/lib/etcd/default", "/srv/disk/etcd"
LOG = "/srv/fast/wal"
DROP_IN = "/etc/systemd/system/etcd.service.d/50-disk.conf"


@pytest.fixture(scope="module")
def alone(alone_lab: Lab) -> Iterator[Product]:
    for quorate in product(alone_lab):
        load(alone_lab, 2)
        quorate.backup()
        yield quorate


@contextmanager
def laid(made: Lab, lay: str, back: str) -> Iterator[None]:
    """As `lay` lays it out while etcd is stopped, until the block is left."""
    on_node(made, f"systemctl stop etcd; mkdir -p {DISK}; {lay}; systemctl daemon-reload; systemctl start etcd")
    try:
        yield
    finally:
        on_node(made, f"systemctl stop etcd; {back}; systemctl daemon-reload; systemctl start etcd")


def mount_point(made: Lab) -> AbstractContextManager[None]:
    """Of the same filesystem, so that no device number tells it."""
    lay = f"mv {LIVE}/member {DISK}/; chown etcd:etcd {DISK}; chmod 750 {DISK}/member; mount --bind {DISK} {LIVE}"
    return laid(made, lay, f"umount {LIVE}; chmod 700 {DISK}/member; mv {DISK}/member {LIVE}/; rm -r {DISK}")


def link(made: Lab) -> AbstractContextManager[None]:
    """With an owner and a mode that nobody would guess."""
    lay = f"""
id -u store || useradd --system --groups etcd store
rmdir {DISK}; mv {LIVE} {DISK}; ln -s {DISK} {LIVE}; chown -R store:etcd {DISK}; chmod 2750 {DISK}
chgrp -R etcd /etc/etcd; chmod -R g+rX /etc/etcd; chmod g+x /var/lib/etcd
mkdir -p {DROP_IN.rpartition("/")[0]}; printf '[Service]\\nUser=store\\nRestart=always\\n' >{DROP_IN}"""
    back = f"rm {LIVE} {DROP_IN}; mv {DISK} {LIVE}; rm -r {DISK}.*; chown -R etcd:etcd {LIVE}; chmod 700 {LIVE}"
    return laid(made, lay, back)


def log_apart(made: Lab) -> AbstractContextManager[None]:
    """On another filesystem than the database, and told by the command line."""
    tell = f"systemctl cat etcd | sed -n '/^ExecStart=/,/[^\\\\]$/p' | sed '$ s|$| --wal-dir={LOG}|'"
    lay = f"""
mkdir -p /srv/fast {DROP_IN.rpartition("/")[0]}; mount -t tmpfs -o mode=755,size=800m none /srv/fast
mv {LIVE}/member/wal {LOG}; chmod 750 {LOG}
{{ printf '[Service]\nExecStart=\n'; {tell}; }} >/run/told; mv /run/told {DROP_IN}"""
    back = f"rm {DROP_IN}; mv {LOG} {LIVE}/member/wal; chmod 700 {LIVE}/member/wal; umount /srv/fast"
    return laid(made, lay, back)


def leave_alone(_: str) -> None:
    """What is held."""


def there_and_back(quorate: Product, held_at: Callable[[str], None] = leave_alone) -> None:
    """Every key comes back; a restore that is held before anybody was admitted goes back too."""
    made = quorate.lab
    before = digest(made)
    assert quorate.backup()["outcome"] == "verified"
    assert quorate.restore(*HEALTHY)["outcome"] == "restored"
    assert digest(made) == before
    with no_etcd(quorate, made.nodes[0]):
        held = quorate.restore(*HEALTHY, exit_code=10)
    held_at(held["operation"])
    assert quorate.json("rollback", held["operation"], exit_code=9)["outcome"] == "undone"
    assert digest(made) == before


def proved_durable(made: Lab) -> None:
    """Whatever a stop or a start of etcd counts on is on the disk, but for the turn of the claim and its release."""
    found = [each for each in moments(told(made), "etcd.service") if each.verb in ("start", "stop")]
    turns = [verb for verb, _ in groupby(each.verb for each in found)]  # one that hangs is told to stop once more
    assert turns.count("stop") == 2  # by both restores; the second did not start, and was rolled back
    for each in found:
        assert lost(made, each) == set(), each.verb
    assert returning(told(made)) == set()


def test_all_that_is_staged_and_every_rename_is_on_the_disk_before_etcd_is_stopped_and_started(
    alone: Product,
) -> None:
    with traced(alone.lab):
        there_and_back(alone)
    proved_durable(alone.lab)


def test_a_mount_point_stays_one_and_the_member_in_it_is_swapped(alone: Product) -> None:
    made = alone.lab
    with mount_point(made):
        there_and_back(alone)
        assert on_node(made, f"mountpoint {LIVE}").endswith("is a mountpoint")
        assert on_node(made, f"stat -c '%U:%G %a' {LIVE}/member") == "etcd:etcd 750"
        names = sorted(name.split("-")[0] for name in on_node(made, f"ls {LIVE}").split())
        assert names == ["member", "member.before", "member.quorate"]  # the last is what was rolled back
        assert "found invalid file under data directory" in on_node(made, "journalctl -o cat -u etcd")


def test_a_link_stays_one_and_owner_and_mode_of_its_target_are_kept(alone: Product) -> None:
    made = alone.lab
    with link(made):
        there_and_back(alone)
        assert on_node(made, f"readlink {LIVE}") == DISK
        assert on_node(made, f"stat -c '%U:%G %a' {DISK} {DISK}.before-*").splitlines() == ["store:etcd 2750"] * 2


def test_a_log_of_its_own_is_swapped_with_the_database(alone: Product) -> None:
    made = alone.lab
    with log_apart(made):
        plan = alone.json("plan", "restore", alone.cluster, *HEALTHY, exit_code=4)
        assert f"--wal-dir is {LOG}, which the inventory does not know" in str(plan["refusals"])
        knowing = inventory_with(alone, wal_dir=LOG)

        def move_one_by_hand(operation: str) -> None:
            on_node(made, f"mv {LOG} {LOG}.aside; mv {LOG}.before-{operation} {LOG}")
            knowing.json("retry", operation)
            again = knowing.json("watch", operation, exit_code=10)
            assert f"{LOG} is from before, {LIVE} is restored" in again["error"]["message"]
            on_node(made, f"mv {LOG} {LOG}.before-{operation}; mv {LOG}.aside {LOG}")

        with traced(made):
            there_and_back(knowing, move_one_by_hand)
        proved_durable(made)
        assert on_node(made, f"stat -c '%U:%G %a' {LOG} {LOG}.before-*").splitlines() == ["etcd:etcd 750"] * 2
        assert on_node(made, f"ls {LIVE}/member") == "snap"
    plan = knowing.json("plan", "restore", alone.cluster, *HEALTHY, exit_code=4)
    assert f"--wal-dir is not set, the inventory says {LOG}" in str(plan["refusals"])


def inventory_with(quorate: Product, **etcd: str) -> Product:
    """The same cluster and daemon, by an inventory that says something else of etcd."""
    inventory = yaml.safe_load(quorate.config.read_text())
    inventory["clusters"][quorate.cluster]["etcd"].update(etcd)
    config = quorate.config.with_name("knowing.yaml")
    config.write_text(yaml.safe_dump(inventory))
    return Product(quorate.lab, config)
