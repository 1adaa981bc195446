"""Ten thousand backups in a real store: how long a person waits to be shown them, and to have them read again."""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from activities.adapters.own_key import own_key
from deploy.bench.rows import Row
from deploy.lab import s3
from deploy.lab.binaries import VERSITYGW, make
from deploy.lab.errors import LabError
from quorate.backups.catalogue import SNAPSHOT, Manifest, Peer, Source, directory, id_of, key_of
from quorate.backups.provenance import signed
from worker.settings import load
from worker.wiring import SIGNING, Wiring

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.lab.process import Say
    from deploy.lab.spec import S3

MANIFESTS = 10_000
SHOWN_S, REBUILT_S = 1.0, 60.0
TIMES = 5
OBJECT = b"nothing that anybody restores"
WRITERS = 16
INVENTORY = """\
apiVersion: quorate/v1
state_dir: {state}
stores:
  there:
    s3: {{bucket: {bucket}, prefix: bench, endpoint: "{endpoint}", path_style: true,
         access_key: "file:{keys}/access_key", secret_key: "file:{keys}/secret_key"}}
clusters:
  prod:
    ssh: {{user: quorate, identity: "file:{state}/id", known_hosts: {state}/known_hosts}}
    etcd: {{data_dir: /var/lib/etcd/default}}
    members:
      - {{name: a, host: 127.0.0.1, peer_urls: ["http://127.0.0.1:2"], client_urls: ["http://127.0.0.1:1"]}}
    trust: ["{trust}"]
    backup: {{store: there}}
"""


@dataclass(frozen=True, slots=True)
class Bench:
    config: Path
    wiring: Wiring

    def ran_s(self, *words: str) -> float:
        """The whole command, as who typed it waits for it."""
        began = time.monotonic()
        argv = [sys.executable, "-P", "-m", "worker", "--config", str(self.config), *words]
        done = subprocess.run(argv, capture_output=True, check=False, env={**os.environ, "NO_COLOR": "1"})
        took_s = time.monotonic() - began
        if done.returncode not in {0, 3} or b"20" not in done.stdout:
            raise LabError(f"{' '.join(words) or 'quorate'} ended with {done.returncode}: {done.stderr.decode()}")
        return took_s

    def median_s(self, *words: str, before: tuple[str, ...] = ()) -> tuple[float, str]:
        """With what is run before each and not measured."""
        seen = []
        for _ in range(TIMES):
            if before:
                self.ran_s(*before)
            seen.append(self.ran_s(*words))
        seen.sort()
        return statistics.median(seen), f"{seen[0]:.2f} to {seen[-1]:.2f} s"


def measured(say: Say, manifests: int = MANIFESTS) -> Iterator[Row]:
    """On an S3 server of its own, gone afterwards."""
    make(VERSITYGW, say)
    with tempfile.TemporaryDirectory(prefix="quorate-bench-") as root:
        server, folder = None, Path(root)
        try:
            server = s3.start(folder / "s3", "catalogue")
            bench = opened(folder, server)
            empty_s, _ = bench_of_nothing(folder, server)
            began = time.monotonic()
            fill(bench, manifests)
            say(f"bench: {manifests} manifests written in {time.monotonic() - began:.0f} s")
            yield from rows(bench, empty_s)
        finally:
            s3.stop(folder / "s3")


def opened(folder: Path, server: S3, name: str = "state") -> Bench:
    state = folder / name
    state.mkdir(mode=0o700)
    trust = own_key(state / SIGNING).public_key
    where = {"bucket": server.bucket, "endpoint": server.endpoint, "keys": folder / "s3"}
    config = folder / f"{name}.yaml"
    config.write_text(INVENTORY.format(state=state, trust=trust, **where))
    return Bench(config, Wiring(load(config), chain="bench"))


def bench_of_nothing(folder: Path, server: S3) -> tuple[float, str]:
    """What `quorate` needs before it has seen any backup."""
    bench = opened(folder, server, "nothing")
    argv = [sys.executable, "-P", "-m", "worker", "--config", str(bench.config)]
    seen = []
    for _ in range(TIMES):
        began = time.monotonic()
        subprocess.run(argv, capture_output=True, check=False)
        seen.append(time.monotonic() - began)
    return statistics.median(seen), ""


def rows(bench: Bench, empty_s: float) -> Iterator[Row]:
    rebuilt_s, spread = bench.median_s("snapshots", "ls", "--rebuild")
    yield Row("catalogue read anew from the store", REBUILT_S, " s", rebuilt_s, spread)
    compared_s, spread = bench.median_s("snapshots", "ls", "--fresh")
    yield Row("`snapshots ls --fresh`: compared with the store", None, " s", compared_s, spread)
    listed_s, spread = bench.median_s("snapshots", "ls")
    yield Row("`snapshots ls` from the local catalogue", SHOWN_S, " s", listed_s, spread)
    all_s, spread = bench.median_s("snapshots", "ls", "--all")
    yield Row("`snapshots ls --all`, ten thousand lines", None, " s", all_s, spread)
    started_s, spread = bench.median_s(before=("snapshots", "ls", "--fresh"))
    yield Row("`quorate` from the local catalogue", SHOWN_S, " s", started_s, spread)
    yield Row("`quorate` with an empty store", None, " s", empty_s)


def fill(bench: Bench, manifests: int) -> None:
    store = bench.wiring.stores.at(bench.wiring.settings.store("prod"))
    signing = bench.wiring.signing

    def written(number: int) -> None:
        each = signed(manifest(number), signing)
        store.put(each.key, (OBJECT,), lambda _: None)
        store.put(each.manifest_key, (each.encode(),), lambda _: None)

    with ThreadPoolExecutor(WRITERS) as pool:
        for _ in pool.map(written, range(manifests)):
            pass


def manifest(number: int) -> Manifest:
    """Every five minutes since long ago, of three members with the flags that kubeadm gives them."""
    at, revision = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=5 * number), 1000 + 100 * number
    where = directory("prod", "c1", at, revision)
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    names = ("a", "b", "c")
    return Manifest(
        id=id_of(where),
        key=key_of(where, SNAPSHOT),
        cluster="prod",
        cluster_id="c1",
        created_at=at,
        duration_s=1.0,
        revision=revision,
        size_bytes=20_512,
        sha256=digest,
        db_sha256=digest,
        stored_bytes=len(OBJECT),
        stored_sha256=hashlib.sha256(OBJECT).hexdigest(),
        source=Source(name="a", id="1", version="3.6.14"),
        members=tuple(Peer(name=each, id="1", peer_urls=(f"https://{each}:2380",)) for each in names),
        keys={"": 20, "/registry/": 20},
        hash_kv=None,
        operation=f"backup-{number}",
        actor="bench",
        outcome="verified",
        flags={each: {f"flag-{of}": f"/etc/kubernetes/pki/etcd/{of}" for of in range(20)} for each in names},
    )
