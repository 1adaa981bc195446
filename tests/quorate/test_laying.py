"""What a bundle holds of a node is laid onto a blank one by the script in it, and taken away again."""

import os
import subprocess
from pathlib import Path

import pytest

from quorate.backups.laying import rows, script
from quorate.nodes.packed import Packed
from quorate.nodes.pods import parked


class Place:
    """A node that is a directory: the files of the bundle go to where they would go, below it."""

    def __init__(self, root: Path, pods: tuple[str, ...] = ()) -> None:
        self.root, self.home = root / "node", root / "bundle"
        self.root.mkdir()
        self.packed = (
            self.entry("etc", None, 0o755),
            self.entry("etc/pki", None, 0o700),
            self.entry("etc/pki/a.key", b"secret"),
        )
        (self.home / "lay.sh").parent.mkdir()
        about = {"groups": ["root:x:0:"], "users": ["root:x:0:0:root:/root:/bin/bash"], "units": {}}
        (self.home / "lay.sh").write_text(
            script("a", about, self.packed, (f"{self.root}/data",), [f"{self.root}/{each}" for each in pods])
        )
        for each in self.packed:
            there = Path(f"{self.home}/rootfs{each.path}")
            there.parent.mkdir(parents=True, exist_ok=True)
            if each.data is not None:
                there.write_bytes(each.data)

    def entry(self, name: str, data: bytes | None, mode: int = 0o600) -> Packed:
        return Packed(f"{self.root}/{name}", mode, "", "", *ids(), 0, data)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = ["sh", str(self.home / "lay.sh"), *words]
        return subprocess.run(argv, capture_output=True, text=True, check=False, env=self.environment)

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "QUORATE_LAID": str(self.home / "laid")}


def ids() -> tuple[int, int]:
    return os.getuid(), os.getgid()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_files_and_directories_are_laid_with_their_modes_and_twice_is_once(place: Place) -> None:
    for _ in range(2):
        assert place.run().returncode == 0
    key = place.root / "etc/pki/a.key"
    assert (key.read_bytes(), key.stat().st_mode & 0o777) == (b"secret", 0o600)
    assert (place.root / "etc/pki").stat().st_mode & 0o777 == 0o700


def test_what_is_there_and_differs_is_named_and_nothing_is_changed(place: Place) -> None:
    (place.root / "etc/pki").mkdir(parents=True)
    (place.root / "etc/pki/a.key").write_text("mine")
    ran = place.run()
    assert (ran.returncode, f"{place.root}/etc/pki/a.key is there, and is another one" in ran.stderr) == (4, True)
    assert (place.root / "etc/pki/a.key").read_text() == "mine"
    assert not (place.home / "laid").exists()


def test_a_node_with_data_is_not_blank(place: Place) -> None:
    (place.root / "data/member").mkdir(parents=True)
    ran = place.run()
    assert (ran.returncode, "holds a member: this node is not blank" in ran.stderr) == (4, True)
    assert not (place.root / "etc").exists()


def test_undone_it_is_as_blank_as_before(place: Place) -> None:
    (place.root / "etc").mkdir()
    (place.root / "etc/mine").write_text("mine")
    assert place.run().returncode == 0
    assert place.run("undo").returncode == 0
    assert [path.name for path in place.root.rglob("*")] == ["etc", "mine"]
    assert place.run("undo").returncode == 0


def test_what_was_cut_off_is_finished_or_undone(place: Place) -> None:
    (place.root / "etc").mkdir()
    (place.home / "laid").write_text(f"dir {place.root}/etc\ndir {place.root}/etc/pki\n")  # announced, not made
    assert place.run("undo").returncode == 0
    assert list(place.root.iterdir()) == []
    assert place.run().returncode == 0
    assert (place.root / "etc/pki/a.key").exists()


def test_users_come_first_and_units_that_were_enabled_last() -> None:
    about = {
        "groups": ["etcd:x:800:"],
        "users": ["etcd:x:800:800::/var/lib/etcd:/usr/sbin/nologin"],
        "units": {"etcd.service": {"UnitFileState": "enabled"}, "kubelet.service": {"UnitFileState": "disabled"}},
    }
    packed = (
        Packed("/etc/etcd/a.key", 0o600, "etcd", "etcd", 800, 800, 0, b"k"),
        Packed("/etc/etcd", 0o755, "root", "root", 0, 0, 0),
    )
    assert list(rows(about, packed, ("/var/lib/etcd",))) == [
        "group 800 - etcd",
        "user 800:800 /var/lib/etcd:/usr/sbin/nologin etcd",
        "data - - /var/lib/etcd",
        "dir 755 root:root /etc/etcd",
        "file 600 etcd:etcd /etc/etcd/a.key",
        "unit - - etcd.service",
    ]


def test_the_manifest_of_a_static_pod_is_laid_where_no_kubelet_reads_it(tmp_path: Path) -> None:
    place = Place(tmp_path, pods=("etc/pki/a.key",))
    assert place.run().returncode == 0
    assert sorted(path.name for path in place.root.rglob("*")) == ["a.key.quorate-fenced", "etc", "pki"]
    assert parked(f"{place.root}/etc/pki/a.key") == f"{place.root}/etc/a.key.quorate-fenced"
    assert place.run().returncode == 0
    assert place.run("undo").returncode == 0
    assert list(place.root.iterdir()) == []
