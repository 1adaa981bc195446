"""Plans and seen things for tests, all of one small cluster."""

import hashlib
from dataclasses import replace
from pathlib import Path

import zstandard

from quorate import replace_member
from quorate.chosen import Chosen, Replaced, Share, SnapshotRef
from quorate.command import Node
from quorate.freeze import NOTHING
from quorate.inventories.reading import parse
from quorate.inventory import Inventory
from quorate.members.etcd import EtcdSeen, EtcdTarget, MemberSeen
from quorate.nodes.absent import Absent
from quorate.nodes.clients import Clients
from quorate.nodes.joining import Joiner
from quorate.nodes.mention import Mention
from quorate.nodes.scratch import Scratch
from quorate.nodes.stored import StoredTool
from quorate.nodes.supervisor import Systemd
from quorate.plan import Plan
from quorate.restore import REHEARSAL, STEPS, needed, ordered
from quorate.restoring.source import REPLAY, STAGED, FromMember
from quorate.settings.machines import Ssh
from quorate.settings.stores import Store

LIVE = "/var/lib/etcd/default"
SSH = Ssh(user="quorate", identity="file:/id", known_hosts="/known_hosts")
DB = b"the backup's bytes"
SNAPSHOT_BYTES = DB + hashlib.sha256(DB).digest()
STORED = zstandard.compress(SNAPSHOT_BYTES)

INVENTORY = """\
apiVersion: quorate/v1
state_dir: {state}
stores:
  here: {{directory: {store}}}
clusters:
  demo:
    ssh: {{user: quorate, identity: "file:{state}/id", known_hosts: {state}/known_hosts}}
    etcd: {{data_dir: /var/lib/etcd/default}}
    members:
      - {{name: a, host: 127.0.0.1, peer_urls: ["https://127.0.0.1:1"], client_urls: ["http://127.0.0.1:11"]}}
      - {{name: b, host: 127.0.0.2, peer_urls: ["https://127.0.0.2:1"], client_urls: ["http://127.0.0.2:11"]}}
      - {{name: c, host: 127.0.0.3, peer_urls: ["https://127.0.0.3:1"], client_urls: ["http://127.0.0.3:11"]}}
    backup: {{store: here}}
"""


def inventory(root: Path) -> Inventory:
    return parse(INVENTORY.format(state=root / "state", store=root / "store"), "quorate.yaml")


def node(name: str) -> Node:
    return Node(name, f"10.0.0.{ord(name) - 96}", SSH, "/var/lib/quorate", "demo")


def share(name: str, control: tuple[Systemd, ...] = ()) -> Share:
    return Share(
        node=node(name),
        machine=f"machine-{name}",
        member=name,
        peer_urls=(f"https://{node(name).host}:2380",),
        target=EtcdTarget(name, f"https://{node(name).host}:2379"),
        etcd=Systemd("etcd", "etcd.service", (2379, 2380), 0.5),
        control=control,
        clients=Clients("etcd.service", (2379,)),
        data_dir=LIVE,
        owner="etcd:etcd",
        mode="700",
        tool="/usr/local/bin/etcdutl",
    )


API = Systemd("kube-apiserver", "kube-apiserver.service", (6443,), 2.0)


def snapshot(stored: bytes = STORED) -> SnapshotRef:
    return SnapshotRef(
        id="demo/20261121T104500Z-41",
        key="demo/c1/20261121T104500Z-41/snapshot.db.zst",
        revision=41,
        cluster_id="c1",
        created_at="2026-11-21T10:45:00+00:00",
        size_bytes=len(SNAPSHOT_BYTES),
        sha256=hashlib.sha256(SNAPSHOT_BYTES).hexdigest(),
        db_sha256=hashlib.sha256(DB).hexdigest(),
        stored_bytes=len(stored),
        stored_sha256=hashlib.sha256(stored).hexdigest(),
        etcd_version="3.6.14",
        keys={"": 20},
    )


def plan(operation: str = "restore-1", names: str = "abc", people: int = 1) -> Plan:
    return Plan(
        operation=operation,
        chosen=Chosen(
            runbook="restore",
            cluster="demo",
            cluster_id="c1",
            snapshot=snapshot(),
            store=Store(directory="/store"),
            shares=tuple(share(name, (API,)) for name in names),
            steps=STEPS,
            bump=10**9,
            people=people,
        ),
    )


SCRATCH = Scratch("etcd.service", "/usr/local/bin/etcd", "a", "etcd", LIVE)


def from_member(how: str = REPLAY) -> Plan:
    """Of member a's own data, which etcd has to replay, or which it streams."""
    whole = plan()
    source = FromMember("a", how, SCRATCH if how == REPLAY else None)
    return replace(whole, chosen=replace(whole.chosen, source=source, steps=ordered(STEPS, source)))


JOINER = Joiner(
    "etcd.service",
    "/usr/local/bin/etcd",
    "etcd",
    (
        "--name=a",
        "--initial-cluster=b=https://10.0.0.2:2380,c=https://10.0.0.3:2380,a=https://10.0.0.1:2380",
        "--initial-cluster-state=existing",
        "--initial-advertise-peer-urls=https://10.0.0.1:2380",
        "--listen-client-urls=https://127.0.0.1:12379",
        "--listen-peer-urls=https://10.0.0.1:2380",
        "--advertise-client-urls=https://10.0.0.1:2379",
        "--cert-file=/etc/etcd/pki/server.crt",
        "--key-file=/etc/etcd/pki/server.key",
        "--trusted-ca-file=/etc/etcd/pki/ca.crt",
        "--client-cert-auth=true",
        "--peer-cert-file=/etc/etcd/pki/peer.crt",
        "--peer-key-file=/etc/etcd/pki/peer.key",
        "--peer-trusted-ca-file=/etc/etcd/pki/ca.crt",
        "--peer-client-cert-auth=true",
    ),
)


def replacing(operation: str = "replace-member-1") -> Plan:
    """Member a makes room for a new one."""
    whole = plan(operation)
    shares = tuple(
        replace(each, control=(), clients=replace(each.clients, firewall=False)) for each in whole.chosen.shares
    )
    chosen = replace(
        whole.chosen,
        runbook="replace-member",
        snapshot=NOTHING,
        shares=shares,
        steps=replace_member.STEPS,
        bump=0,
        replaced=Replaced("a", "a1", JOINER),
    )
    return replace(whole, chosen=chosen)


def authenticated() -> Plan:
    """Clients of the snapshot have to log in; etcd is on every node."""
    whole = plan()
    trial = FromMember("a", STAGED, SCRATCH)
    at = [step.key for step in STEPS].index("bar")
    steps = (*STEPS[:at], *REHEARSAL, *STEPS[at:])
    return replace(whole, chosen=replace(whole.chosen, rehearsal=trial, steps=steps))


IMAGE = "registry.k8s.io/etcd:3.6.14-0"


def without_tool(*programs: str) -> Plan:
    """On no node is there a restore tool, but its image."""
    whole = plan()
    shares = tuple(replace(each, image=IMAGE, programs=programs or ("etcdutl",)) for each in whole.chosen.shares)
    return replace(whole, chosen=replace(whole.chosen, shares=shares, steps=needed(STEPS, shares)))


PROGRAM = "3.6.14"  # a program of memory is what it says to `version`
STORED_TOOL = StoredTool(
    "tools/3.6.14-x86_64/etcdutl.backup-1-1.zst",
    "etcdutl",
    "3.6.14",
    len(PROGRAM),
    hashlib.sha256(PROGRAM.encode()).hexdigest(),
    hashlib.sha256(zstandard.compress(PROGRAM.encode())).hexdigest(),
)


def with_stored_tool() -> Plan:
    """On no node is there a restore tool or an image, but in the store."""
    whole = plan()
    shares = tuple(replace(each, pushed=STORED_TOOL) for each in whole.chosen.shares)
    return replace(whole, chosen=replace(whole.chosen, shares=shares, steps=needed(STEPS, shares)))


API_UNIT, GONE_URL = "/etc/systemd/system/kube-apiserver.service", "https://10.0.0.3:2379"


def after_abort() -> Plan:
    """Every node belongs to an operation that was aborted."""
    whole = plan()
    shares = tuple(replace(each, inherits="restore-0") for each in whole.chosen.shares)
    return replace(whole, chosen=replace(whole.chosen, shares=shares, steps=needed(STEPS, shares)))


def without_c() -> Plan:
    """Of a and b; c is gone for good."""
    whole = plan(names="ab")
    absent = Absent(("10.0.0.3",), (2379, 2380), "etcd.service")
    shares = tuple(replace(each, unlists=(Mention(API_UNIT, GONE_URL),)) for each in whole.chosen.shares)
    steps = needed(whole.chosen.steps, shares)
    return replace(whole, chosen=replace(whole.chosen, without=("c",), absent=absent, shares=shares, steps=steps))


def etcd_seen(member: str = "1", **changes: object) -> EtcdSeen:
    base = {
        "cluster_id": "c1", "member_id": member, "version": "3.6.14", "revision": 41, "raft_term": 2,
        "raft_index": 50, "raft_applied": 50, "leader": "1", "db_bytes": 10**6, "db_in_use_bytes": 10**6,
        "members": tuple(MemberSeen(each, each, (), ()) for each in "123"),
    }  # fmt: skip
    return EtcdSeen(**{**base, **changes})  # type: ignore[arg-type]
