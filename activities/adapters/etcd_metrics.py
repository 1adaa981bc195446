"""What etcd tells Prometheus of its disk (urllib3): on the client URL, with the certificate of a client."""

import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import urllib3

from activities.adapters.kubernetes import in_memory
from quorate.errors import Denied, Unreachable
from quorate.etcd import EtcdTarget
from quorate.ports import Secrets
from quorate.strain import DiskSeen

TIMEOUT = urllib3.Timeout(connect=2.0, read=2.0)
FSYNC = "etcd_disk_wal_fsync_duration_seconds"
WANTED = (f"{FSYNC}_count", f"{FSYNC}_sum", "etcd_disk_defrag_inflight")


@dataclass(frozen=True, slots=True)
class EtcdMetrics:
    """The port Disks."""

    secrets: Secrets

    def read(self, target: EtcdTarget) -> DiskSeen:
        parts = urlsplit(target.url)
        url, what = f"{parts.scheme}://{target.dial or parts.netloc}/metrics", f"metrics of {target.name}"
        try:
            with urllib3.PoolManager(retries=False, timeout=TIMEOUT, **self._security(target)) as pool:
                answer = pool.request("GET", url, redirect=False)
        except (urllib3.exceptions.HTTPError, ValueError, OSError) as error:
            raise Unreachable(f"{what} ({target.url}): {error}") from error
        if answer.status != 200:
            raise Denied(f"{what} ({target.url}): it answered {answer.status}")
        return seen(answer.data.decode(errors="replace"), what)

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
