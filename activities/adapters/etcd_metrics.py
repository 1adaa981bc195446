"""What etcd tells Prometheus of disk and peers (urllib3): on the client URL, with the certificate of a client."""

import re
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import urllib3

from activities.adapters.memory_file import in_memory
from quorate.errors import Denied, Unreachable
from quorate.members.etcd import EtcdTarget
from quorate.members.latency import Buckets
from quorate.members.strain import DiskSeen
from quorate.members.vitals import Latencies
from quorate.ports import Secrets

TIMEOUT = urllib3.Timeout(connect=2.0, read=2.0)
FSYNC = "etcd_disk_wal_fsync_duration_seconds"
COMMIT = "etcd_disk_backend_commit_duration_seconds"
PEER = "etcd_network_peer_round_trip_time_seconds"
BUCKET = re.compile(rf'^({FSYNC}|{COMMIT}|{PEER})_bucket{{(?:To="([0-9a-f]+)",)?le="([^"]+)"}} (\S+)$', re.MULTILINE)
WANTED = (f"{FSYNC}_count", f"{FSYNC}_sum", "etcd_disk_defrag_inflight")


@dataclass(frozen=True, slots=True)
class EtcdMetrics:
    """The ports Disks and Meters."""

    secrets: Secrets

    def read(self, target: EtcdTarget) -> DiskSeen:
        return seen(self._told(target), f"metrics of {target.name}")

    def latencies(self, target: EtcdTarget) -> Latencies:
        return counted(self._told(target))

    def _told(self, target: EtcdTarget) -> str:
        parts = urlsplit(target.url)
        url, what = f"{parts.scheme}://{target.dial or parts.netloc}/metrics", f"metrics of {target.name}"
        try:
            with urllib3.PoolManager(retries=False, timeout=TIMEOUT, **self._security(target)) as pool:
                answer = pool.request("GET", url, redirect=False)
        except (urllib3.exceptions.HTTPError, ValueError, OSError) as error:
            raise Unreachable(f"{what} ({target.url}): {error}") from error
        if answer.status != 200:
            raise Denied(f"{what} ({target.url}): it answered {answer.status}")
        return str(answer.data.decode(errors="replace"))

    def _security(self, target: EtcdTarget) -> dict[str, Any]:
        parts = urlsplit(target.url)
        if parts.scheme == "http":
            return {}
        ca = self.secrets.resolve(target.ca).decode() if target.ca else None
        context = ssl.create_default_context(cadata=ca)
        if target.cert and target.key:
            with in_memory(self.secrets.resolve(target.cert) + b"\n" + self.secrets.resolve(target.key)) as path:
                context.load_cert_chain(path)
        name = parts.hostname
        named = {"server_hostname": name, "assert_hostname": name} if target.dial else {}
        return {"ssl_context": context, **named}


def seen(text: str, what: str) -> DiskSeen:
    """Denied where it is something else than etcd's; whether it defragments 3.4 does not tell."""
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name in WANTED:
            found[name] = float(value)
    try:
        fsyncs, fsyncs_s = int(found[WANTED[0]]), found[WANTED[1]]
    except KeyError as error:
        raise Denied(f"{what}: there is no {error} in them") from error
    return DiskSeen(fsyncs, fsyncs_s, found.get(WANTED[2], 0.0) > 0)


def counted(text: str) -> Latencies:
    """What it does not tell is empty: a member that is alone has no peers."""
    found: dict[tuple[str, str], Buckets] = {}
    for what, peer, bound, count in BUCKET.findall(text):
        found[what, peer] = (*found.get((what, peer), ()), (float(bound), float(count)))
    return Latencies(
        found.get((FSYNC, ""), ()),
        found.get((COMMIT, ""), ()),
        {peer: buckets for (what, peer), buckets in found.items() if what == PEER},
    )
