"""Reads a lab past the product: each node by `docker exec`, each member as any client would."""

from __future__ import annotations

import time
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from deploy.lab.errors import LabError
from deploy.lab.https import Caller, NoAnswerError
from deploy.lab.lab import node_exec
from deploy.lab.load import text
from deploy.lab.ready import etcd_identity
from deploy.robustness.acknowledged import digest
from deploy.robustness.configmaps import stored
from deploy.robustness.readings import Listed, MemberReading, NodeReading, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.lab.lab import Lab, Node

PAGE = 500
ANSWER_S = 5
TRIES = 3
CATCH_UP_S = 10
LOOK = """
whole=$(
find /var/lib/etcd -mindepth 1 -maxdepth 1 -printf 'path %i %p\\n' || exit 1
echo "unit $(systemctl show -p ActiveState --value etcd.service)"
for p in $(pidof etcd); do echo "process $p"; done
find /etc/systemd/system /run/systemd/system -name '0?-quorate-*' -printf 'bar %p\\n'
find /var/lib/quorate/fence -type f -printf 'bar %p\\n' 2>/dev/null
systemctl show -p DropInPaths --value etcd.service | tr ' ' '\\n' | sed -n '/quorate/s/^/bar loaded /p'
systemctl list-units --all --plain --no-legend 'quorate*' | sed 's/^/ours /; s/ *loaded .*//'
nft list tables
for p in /var/lib/quorate/*/claim; do [ -e "$p" ] && echo "claim $(cat "$p")"; done; true
) || exit 1
printf '%s\\n%s' "$(printf %s "$whole" | sha256sum | cut -c 1-64)" "$whole"
"""


def read(lab: Lab) -> Reading:
    """Nodes and members at one time; keys and hashes at one revision."""
    with ThreadPoolExecutor(len(lab.nodes)) as pool:
        nodes = dict(
            zip((node.name for node in lab.nodes), pool.map(lambda node: at(lab, node), lab.nodes), strict=True)
        )
    heard = {node.name: heard_from(lab, node) for node in lab.nodes}
    highest = max(
        (int(status["header"]["revision"]) for status in heard.values() if not isinstance(status, str)), default=0
    )
    members, silent = {}, {name: status for name, status in heard.items() if isinstance(status, str)}
    for node in lab.nodes:
        if node.name not in silent:
            try:
                members[node.name] = member(lab, node, highest)
            except NoAnswerError as error:
                silent[node.name] = str(error)
    held = {node.name: stored(lab, node) for node in lab.nodes} if lab.kubeconfig else {}
    return Reading(
        nodes,
        members,
        silent,
        objects={name: objects for name, objects in held.items() if not isinstance(objects, str)},
        unheard={name: reason for name, reason in held.items() if isinstance(reason, str)},
    )


def at(lab: Lab, node: Node) -> NodeReading:
    """Docker may lose the first lines that a node prints (seen under load), so only a whole answer is one."""
    for _ in range(TRIES):
        code, said = node_exec(lab, node, ["sh", "-c", LOOK])
        if not code and (lines := unbroken(said)):
            return node_reading(lines)
    raise LabError(f"{node.name} cannot be read: {code}, {said[-200:]}")


def unbroken(said: str) -> str:
    """What was printed after its own sha256, or nothing where they do not fit."""
    head, _, lines = said.partition("\n")
    return lines if digest(lines.encode()) == head else ""


def node_reading(said: str) -> NodeReading:
    """From what the node's own tools printed."""
    found: dict[str, list[str]] = {}
    for line in said.splitlines():
        what, _, rest = line.partition(" ")
        found.setdefault(what, []).append(rest)
    paths = [line.partition(" ") for line in found.get("path", ())]
    return NodeReading(
        directories={path: int(inode) for inode, _, path in paths},
        unit=found["unit"][0],
        processes=len(found.get("process", ())),
        bars=tuple(sorted(set(found.get("bar", ())))),
        tables=tuple(found.get("table", ())),
        claim="; ".join(found.get("claim", ())),
        units=tuple(found.get("ours", ())),
    )


def caller(lab: Lab, node: Node) -> Caller:
    return Caller(node.client_url, etcd_identity(lab), ANSWER_S)


def heard_from(lab: Lab, node: Node) -> dict[str, Any] | str:
    """Its status, or why there is none."""
    try:
        status: dict[str, Any] = caller(lab, node).call("POST", "/v3/maintenance/status", {})
    except NoAnswerError as error:
        return str(error)
    return status


def member(lab: Lab, node: Node, revision: int) -> MemberReading:
    etcd = caller(lab, node)
    caught_up(etcd, revision)
    header = etcd.call("POST", "/v3/maintenance/status", {})["header"]
    listed = etcd.call("POST", "/v3/cluster/member/list", {})["members"]
    hashed = etcd.call("POST", "/v3/maintenance/hashkv", {"revision": revision})
    alarms = etcd.call("POST", "/v3/maintenance/alarm", {"action": "GET"}).get("alarms", ())
    return MemberReading(
        cluster_id=str(header["cluster_id"]),
        member_id=str(header["member_id"]),
        members=tuple(sorted((line(each) for each in listed), key=lambda each: each.name)),
        revision=revision,
        hash_kv=int(hashed["hash"]),
        keys=dict(pairs(etcd, revision)),
        alarms=tuple(f"{each['alarm']} of {each['memberID']}" for each in alarms),
    )


def caught_up(etcd: Caller, revision: int) -> None:
    """A follower applies a moment later what the leader has acknowledged."""
    limit = time.monotonic() + CATCH_UP_S
    while int(etcd.call("POST", "/v3/maintenance/status", {})["header"]["revision"]) < revision:
        if time.monotonic() > limit:
            raise NoAnswerError(f"{etcd.url} does not reach revision {revision}")
        time.sleep(0.05)


def line(each: dict[str, Any]) -> Listed:
    return Listed(each.get("name", ""), str(each["ID"]), tuple(each["peerURLs"]), tuple(each.get("clientURLs", ())))


def pairs(etcd: Caller, revision: int) -> Iterator[tuple[str, str]]:
    """From the member itself, not from its leader."""
    start = b"\0"
    while True:
        asked = {
            "key": text(start),
            "range_end": text(b"\0"),
            "limit": PAGE,
            "revision": revision,
            "serializable": True,
        }
        answer = etcd.call("POST", "/v3/kv/range", asked)
        for pair in answer.get("kvs", ()):
            key = b64decode(pair["key"])
            start = key + b"\0"
            yield key.decode(), digest(b64decode(pair.get("value", "")))
        if not answer.get("more"):
            return
