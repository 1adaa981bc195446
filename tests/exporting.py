"""A daemon's figures as a scrape sees them: a store and records on disk, etcd of memory."""

import asyncio
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from pyrage import x25519

from activities.adapters.directory import DirectoryStore
from deploy.lab.pki import authority
from deploy.lab.process import wait
from quorate.audit import GENESIS, canonical, chained
from quorate.backups.catalogue import SNAPSHOT, Manifest, directory, id_of, key_of
from quorate.errors import Unreachable
from quorate.gauges import of_active
from quorate.ports import Store, Stores
from quorate.settings.stores import Store as StoreSettings
from tests.factory import INVENTORY
from tests.fakes.etcd import FakeCluster
from tests.manifests import AT, manifest
from worker.eyes import Eyes, of_schedules
from worker.metrics import registered
from worker.operations import Operations
from worker.schedules import Standing, Wanted, wanted
from worker.settings import Settings, load
from worker.wiring import Wiring

Scrape = dict[tuple[str, tuple[tuple[str, str], ...]], float]
OURS = "quorate_"
EVERYTHING = """\
    objectives: {rto: 15m, rpo: 1h, restore_proof: 1d}
    drills: {scenarios: {restore-sandbox: 1d}}
notify: {webhooks: [{form: json, url: "env:NOWHERE"}]}
"""  # of an inventory that figures are about


def snapshot(at_s: float = 0.0, revision: int = 41, **changes: Any) -> Manifest:
    made = manifest(revision)
    at = AT + timedelta(seconds=at_s)
    where = directory("demo", made.cluster_id, at, revision)
    said = {"id": id_of(where), "key": key_of(where, SNAPSHOT), "created_at": at, **changes}
    return Manifest.model_validate({**made.model_dump(), **said})


DRILLED = {"scenario": "restore-sandbox", "outcome": "passed", "clock": {"declared": 1.0, "quorum": 3.0}}


class Site:
    """A machine with an inventory, its state directory, two stores that are directories, and a cluster."""

    def __init__(self, root: Path, more: str = "") -> None:
        self.root, self.cluster = root, FakeCluster(id="c1", revision=100)
        (root / "state").mkdir()
        (root / "store").mkdir()
        (root / "far").mkdir()
        ca = authority("ca")
        ca.pair.write(root, "ca")
        ca.sign("client").write(root, "client")
        tls = f"tls: {{ca: file:{root}/ca.crt, cert: file:{root}/client.crt, key: file:{root}/client.key}}"
        text = INVENTORY.format(state=root / "state", store=root / "store").replace(
            "etcd: {data_dir: /var/lib/etcd/default}", f"etcd: {{data_dir: /var/lib/etcd/default, {tls}}}"
        )
        key = x25519.Identity.generate()
        (root / "age.key").write_text(f"{key}\n")
        sealed = f"recipients: [{key.to_public()}], identities: ['file:{root}/age.key']"
        policy = f"{{store: here, copies: [far], schedule: on, retention: {{last: 9}}, {sealed}}}"
        copied = text.replace("{store: here}", policy)
        copied = copied.replace("stores:\n", f"stores:\n  far: {{directory: {root / 'far'}}}\n")
        (root / "quorate.yaml").write_text(copied + more)

    @property
    def settings(self) -> Settings:
        return load(self.root / "quorate.yaml")

    def keep(self, made: Manifest, where: str = "store") -> Manifest:
        store = DirectoryStore(str(self.root / where))
        store.put(made.key, (b"x" * made.stored_bytes,), lambda _: None)
        store.put(made.manifest_key, (made.encode(),), lambda _: None)
        return made

    def record(self, operation: str, outcome: dict[str, Any], cluster: str = "demo") -> Path:
        """As an operation that is over leaves it, its trail sealed."""
        home = self.root / "state" / "operations" / operation
        (home / "audit").mkdir(parents=True)
        (home / "cluster").write_text(cluster)
        (home / "outcome.json").write_text(canonical(outcome))
        last, lines = GENESIS, []
        acts = ({"event": "begin", "chain": "one", "follows": {}}, {"event": "intent", "argv": ["ls"]})
        for seq, act in enumerate(acts):
            linked = chained({**act, "seq": seq, "time": "2026-11-21T10:46:00.000+00:00"}, last)
            lines, last = [*lines, canonical(linked)], linked["hash"]
        seal = {"event": "seal", "heads": {"one.jsonl": last}, "seq": 2, "time": "2026-11-21T10:47:00.000+00:00"}
        lines.append(canonical(chained(seal, last)))
        (home / "audit" / "one.jsonl").write_text("\n".join(lines) + "\n")
        return home

    @property
    def schedules(self) -> dict[str, tuple[Wanted | None, Standing | None]]:
        """As a server would have them that has missed three runs."""
        there = Standing("", "", "", paused=False, note="", next=AT.timestamp(), missed=3, skipped=0, running=False)
        return {id_: (want, there) for id_, want in wanted(self.settings).items()}

    def exporter(self) -> "Exporter":
        """As one daemon has it, from its start to its end; Temporal is not asked."""
        wiring = Wiring(self.settings, "cli")
        vars(wiring)["etcds"] = self.cluster
        eyes = Eyes(wiring, Operations(self.settings, None), asyncio.new_event_loop())  # type: ignore[arg-type]
        eyes.begin()
        eyes.records()
        eyes.board.tell("active", of_active(["demo"], [], []))
        eyes.board.tell("schedules", of_schedules(self.schedules))
        return Exporter(eyes)


class Away:
    """A store that does not answer."""

    def at(self, _: StoreSettings) -> Store:
        raise Unreachable("the store does not answer")


class Exporter:
    def __init__(self, eyes: Eyes) -> None:
        self.eyes = eyes

    @property
    def text(self) -> str:
        return generate_latest(registered(self.eyes.board)).decode()

    def look(self) -> None:
        """Everything once, as the threads do; what fails is the figures' to tell."""
        for each in self.eyes.clusters:
            each.tick()
            for stock in each.stocks:
                stock.read()
                stock.hidden()
            each.tell_clock()
            each.expiries()
        self.eyes.records()

    def use(self, stores: Stores) -> None:
        vars(self.eyes.wiring)["stores"] = stores

    def scrape(self) -> Scrape:
        return parsed(self.text)

    def figure(self, name: str, **labels: str) -> float | None:
        return self.scrape().get((name, tuple(sorted(labels.items()))))


def scraped(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


def parsed(text: str) -> Scrape:
    samples = (each for family in text_string_to_metric_families(text) for each in family.samples)
    return {(each.name, tuple(sorted(each.labels.items()))): each.value for each in samples}


def names(text: str) -> set[str]:
    """Of every series that there is, as a query names it."""
    return {name for name, _ in parsed(text)}


def figures(found: Scrape) -> Scrape:
    """Ours; not what the process says of itself."""
    return {key: value for key, value in found.items() if key[0].startswith(OURS)}


def missing(wanted: set[str], urls: list[str]) -> set[str]:
    """Which of these series none of them exports, once they had time: etcd probes its peers now and then."""

    def left() -> set[str]:
        return wanted - set[str]().union(*(names(scraped(url)) for url in urls))

    wait(lambda: not left(), 30)
    return left()
