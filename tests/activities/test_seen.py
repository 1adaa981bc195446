"""What a node prints is read as a value; the script itself is tried on this machine."""

import hashlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from activities.adapters.x509 import X509
from deploy.lab.pki import authority
from quorate.nodes.seen import DirectorySeen, Look, NodeSeen, parse, script
from quorate.nodes.signs import Ask, Key, Signs


def run(look: Look) -> NodeSeen:
    return parse(subprocess.run(["/bin/sh", "-c", script(look)], capture_output=True, text=True, check=True).stdout)


def test_room_is_told_with_the_disk_that_it_is_on_also_where_nothing_is_yet(tmp_path: Path) -> None:
    there, other = str(tmp_path / "not" / "there"), "/proc"
    seen = run(Look(spaces=(str(tmp_path), there, other)))
    assert seen.devices[there] == seen.devices[str(tmp_path)] == str(tmp_path.stat().st_dev)
    assert seen.devices[other] != seen.devices[there]
    assert seen.spaces[there] > 0


def looked(path: str) -> frozenset[int]:
    command = ["/bin/sh", "-c", script(Look(units=("etcd.service",)))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": path})
    return parse(done.stdout).listening


@pytest.mark.parametrize("with_ss", [True, False])
def test_a_port_that_listens_is_seen_with_ss_and_without(tmp_path, with_ss: bool) -> None:
    for tool in ("awk", *(["ss"] if with_ss else [])):
        found = shutil.which(tool)
        assert found, f"{tool} is not installed"
        (tmp_path / tool).symlink_to(found)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert server.getsockname()[1] in looked(str(tmp_path))


def test_both_ways_of_telling_a_port_are_read() -> None:
    said = "LISTEN 0      4096    127.0.0.1:2379  0.0.0.0:*\nLISTEN 0 0 [::]:22 [::]:*\nlisten\t094C\n"
    assert parse(said).listening == {2379, 22, 2380}


def test_units_and_tables_are_read_as_their_tools_say_them() -> None:
    said = (
        "machine\tabc\nId=etcd.service\nActiveState=active\nMainPID=7\n"
        "ExecStart={ path=/usr/bin/etcd ; argv[]=/usr/bin/etcd --name=a ; ignore_errors=no }\n"
        "\nId=kube-apiserver.service\nLoadState=not-found\nActiveState=inactive\nMainPID=0\ntable inet quorate\n"
    )
    seen = parse(said)
    assert seen.units["etcd.service"].argv == ("/usr/bin/etcd", "--name=a")
    assert (seen.units["etcd.service"].pid, seen.units["kube-apiserver.service"].gone) == (7, True)
    assert (seen.machine, seen.tables) == ("abc", {"inet quorate"})


FILES = (
    ("{pki}/etcd --name=a --cert-file={pki}/server.crt --trusted-ca-file {pki}/ca.crt --peer-cert-file={pki}/no.crt"),
    ('ETCD_CERT_FILE="{pki}/server.crt"\nETCD_TRUSTED_CA_FILE={pki}/ca.crt\nETCD_PEER_CERT_FILE={pki}/no.crt\n'),
    (
        "client-transport-security:\n  cert-file: {pki}/server.crt\n  trusted-ca-file: '{pki}/ca.crt'\n"
        "peer-transport-security: {{cert-file: {pki}/no.crt}}\n"
    ),
)


def signs_of(manifest: Path, api: str = "") -> Signs:
    """As a survey of a node whose etcd is told by this file and does not run."""
    asked = Ask(str(manifest), api=api)
    command = ["/bin/sh", "-c", "pidof() { :; }\n" + script(Look(signs=asked))]
    return parse(subprocess.run(command, capture_output=True, text=True, check=False).stdout).signs


@pytest.mark.parametrize("text", FILES)
def test_certificates_are_found_wherever_etcd_is_told_of_them_and_no_key_is_sent(tmp_path, text: str) -> None:
    made = authority("of a test")
    pair = made.sign("a", hosts=("a.example", "10.0.0.1"))
    (tmp_path / "server.crt").write_bytes(b"of a\n" + pair.key + pair.cert)
    (tmp_path / "ca.crt").write_bytes(made.pair.cert + made.pair.cert)
    (tmp_path / "manifest.yaml").write_text(text.format(pki=tmp_path))
    found = signs_of(tmp_path / "manifest.yaml")
    assert {path.rpartition("/")[2]: len(each) for path, each in found.pems.items()} == {"server.crt": 1, "ca.crt": 2}
    assert found.absent == (f"{tmp_path}/no.crt",)
    assert "PRIVATE" not in str(found)
    (mine,) = (X509().read(pem) for pem in found.pems[f"{tmp_path}/server.crt"])
    assert mine is not None
    assert (mine.subject, mine.names, mine.authority) == ("CN=a", ("a.example", "10.0.0.1"), False)
    assert 360 < mine.days_left(time.time()) < 366


def test_what_is_no_certificate_is_none() -> None:
    assert X509().read("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n") is None
    assert X509().read("") is None


def test_of_the_keys_of_an_api_server_only_hashes_leave_the_node(tmp_path) -> None:
    (tmp_path / "sa.key").write_text("a secret")
    told = (
        f"    - kube-apiserver\n    - --service-account-key-file={tmp_path}/sa.key\n"
        f"    - --encryption-provider-config={tmp_path}/no.yaml\n    - --etcd-servers-overrides=/events#https://x:1\n"
        f"    - --tls-private-key-file={tmp_path}/sa.key\n"
    )
    (tmp_path / "api.yaml").write_text(told)
    found = signs_of(tmp_path / "none.yaml", str(tmp_path / "api.yaml"))
    assert found.overrides == "/events#https://x:1"
    assert found.keys == (
        Key("service-account-key-file", f"{tmp_path}/sa.key", hashlib.sha256(b"a secret").hexdigest()),
        Key("encryption-provider-config", f"{tmp_path}/no.yaml", ""),
    )


def test_addresses_clients_and_words_are_read_as_their_tools_say_them() -> None:
    found = parse(
        "1: lo    inet 127.0.0.1/8 scope host lo\n12: wg0 inet 10.0.0.1 peer 10.0.0.2/32 scope global wg0\n"
        "2: eth0    inet6 fd00::0:2/64 scope global \nus\t10.0.0.9\n"
        "client\t0 0 10.0.0.1:2379 10.0.0.7:40000\nclient\t0 0 [::ffff:10.0.0.1]:2379 [::ffff:10.0.0.7]:40001\n"
        'word\t{"level":"fatal",\t"msg":"x"}\n'
    ).signs
    assert found.addresses == {"127.0.0.1", "10.0.0.1", "fd00::2"}
    assert (found.clients, found.us) == ({"10.0.0.7": 2}, "10.0.0.9")
    assert found.words == ('{"level":"fatal",\t"msg":"x"}',)


def test_whether_a_port_answers_this_node_is_tried_from_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # taken, and nobody listens
        there, nobody = (f"127.0.0.1:{each.getsockname()[1]}" for each in (server, bound))
        command = ["/bin/sh", "-c", script(Look(dials=(there, nobody)))]
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert parse(said).dials == {there: "open", nobody: "refused"}


def test_a_data_directory_that_is_a_link_is_seen_where_it_really_lies(tmp_path) -> None:
    real, link, dangling = tmp_path / "disk" / "etcd", tmp_path / "link", tmp_path / "dangling"
    (real / "member").mkdir(parents=True, mode=0o750)
    link.symlink_to(real)
    dangling.symlink_to(tmp_path / "disk" / "wiped")
    seen = run(Look(directories=(str(link), str(dangling), str(real))))
    assert seen.directories[str(link)] == seen.directories[str(real)] == DirectorySeen(str(real))
    assert seen.directories[str(dangling)] == DirectorySeen(str(tmp_path / "disk" / "wiped"))
    assert seen.paths[f"{real}/member"].mode == "750"


def test_a_mount_point_is_told_from_a_directory() -> None:
    assert [run(Look(directories=(path,))).directories[path].mounted for path in ("/proc", "/proc/self")] == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("mounts", "seen"),
    [
        ("", DirectorySeen("/d")),
        (".", DirectorySeen("/d", mounted=True)),
        (" member", DirectorySeen("/d", member_mounted=True)),
        (". member", DirectorySeen("/d", mounted=True, member_mounted=True)),
    ],
)
def test_what_is_mounted_is_the_directory_or_the_member_in_it(mounts: str, seen: DirectorySeen) -> None:
    assert parse(f"directory\t/d\t/d\t{mounts}\n").directories == {"/d": seen}


def test_an_owner_without_a_name_goes_by_its_number() -> None:
    said = "path\t/d\tdirectory\tUNKNOWN:etcd\t2750\t1\t4096\t4711:103\t77\n"
    assert parse(said).paths["/d"].owner == "4711:etcd"


def test_what_earlier_operations_have_kept_is_seen_with_its_size(tmp_path) -> None:
    live, kept = tmp_path / "etcd", tmp_path / "etcd.before-restore-1"
    for path in (live, kept, live / "member.quorate-restore-1-g1", tmp_path / "etcd.other"):
        path.mkdir()
    (kept / "db").write_bytes(b"x" * 100_000)
    seen = run(Look(directories=(str(live),))).kept
    assert set(seen) == {str(kept), f"{live}/member.quorate-restore-1-g1"}
    assert seen[str(kept)] >= 100_000


def test_a_machine_says_how_large_it_is() -> None:
    seen = run(Look(spaces=("/",), crons=True))
    assert seen.cpus == len(os.sched_getaffinity(0))
    assert seen.memory_bytes == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_what_cron_does_to_backups_is_read_and_no_password_with_it() -> None:
    said = (
        "habit\t/etc/cron.d/etcd\tfind /b -mtime +7 -delete\n"
        "habit\t/b.sh\tetcdctl --user root:secret snapshot save\n"
        "habit\t/b.sh\tetcdctl --user root:other snapshot save\n"
    )
    assert parse(said).habits == (
        ("/etc/cron.d/etcd", "find /b -mtime +7 -delete"),
        ("/b.sh", "etcdctl snapshot save"),
    )
