"""What a scrape of the daemon tells, and that it tells the same after a restart."""

import os
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from pyrage import x25519
from temporalio.testing import ActivityEnvironment

from activities.adapters.directory import DirectoryStore
from activities.adapters.journal import FileJournals
from activities.adapters.secrets import LocalSecrets
from activities.adapters.x509 import X509
from activities.recording.ledger import Ledger
from deploy.lab.pki import authority
from deploy.lab.process import wait
from quorate.backups.catalogue import MANIFEST, key_of
from quorate.backups.marks import Kind, Mark, put
from quorate.errors import BadInput, Unreachable
from quorate.gauges import ENDS, METRICS, WORTH, of_active
from quorate.inventories.reading import parse
from quorate.members.revision_clock import Tick
from quorate.records import Entry
from quorate.settings.machines import Kubernetes
from tests.exporting import AT, DRILLED, EVERYTHING, Away, Exporter, Site, figures, parsed, scraped, snapshot
from tests.factory import INVENTORY, inventory
from tests.fakes.store import MemoryStore, MemoryStores
from tests.hooks import Hook, hooked
from tests.real_etcd import running
from worker.cli.options import new_id
from worker.credentials import Credentials
from worker.eyes import of_schedules
from worker.metrics import Board, served
from worker.past import began
from worker.presence import read

pytestmark = pytest.mark.slow

LOOKED = {  # they are the time of a look, or grow with it
    "quorate_catalogue_read_timestamp_seconds",
    "quorate_clock_last_tick_timestamp_seconds",
    "quorate_rpo_current_seconds",
    "quorate_schedule_next_run_timestamp_seconds",
}


@pytest.fixture
def hook() -> Iterator[Hook]:
    with hooked() as made:
        yield made


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, EVERYTHING)


def lasting(exporter: Exporter) -> dict[object, float]:
    return {key: value for key, value in figures(exporter.scrape()).items() if key[0] not in LOOKED}


class TestCatalogue:
    def test_the_newest_snapshot_that_counts_is_told(self, site: Site) -> None:
        site.keep(snapshot(0, 41))
        site.keep(snapshot(60, 50, stored_bytes=7, duration_s=2.5, keys={"": 30, "/registry/": 20}))
        site.keep(snapshot(120, 5, outcome="suspect", findings=("its revision is 5",)))
        exporter = site.exporter()
        exporter.look()
        assert exporter.figure("quorate_snapshot_last_success_timestamp_seconds", cluster="demo") == (
            AT.timestamp() + 60
        )
        assert exporter.figure("quorate_snapshot_last_attempt_timestamp_seconds", cluster="demo") == (
            AT.timestamp() + 120
        )
        assert exporter.figure("quorate_snapshot_revision", cluster="demo") == 50
        assert exporter.figure("quorate_snapshot_keys", cluster="demo") == 30
        assert exporter.figure("quorate_snapshot_duration_seconds", cluster="demo") == 2.5
        assert exporter.figure("quorate_snapshot_size_bytes", cluster="demo", stage="stored") == 7
        assert exporter.figure("quorate_snapshot_suspect_since_success", cluster="demo") == 1

    def test_a_suspect_one_is_forgotten_when_a_good_one_is_newer(self, site: Site) -> None:
        site.keep(snapshot(0, 5, outcome="suspect", findings=("its revision is 5",)))
        site.keep(snapshot(60, 50))
        exporter = site.exporter()
        exporter.look()
        assert exporter.figure("quorate_snapshot_suspect_since_success", cluster="demo") == 0
        assert exporter.figure("quorate_snapshots", cluster="demo", state="suspect") == 1

    def test_a_degraded_one_counts_and_is_not_verified(self, site: Site) -> None:
        site.keep(snapshot(0, 41))
        site.keep(snapshot(60, 50, outcome="degraded", findings=("b did not answer",)))
        exporter = site.exporter()
        exporter.look()
        assert exporter.figure("quorate_snapshot_last_success_timestamp_seconds", cluster="demo") == (
            AT.timestamp() + 60
        )
        assert exporter.figure("quorate_snapshot_last_verified_timestamp_seconds", cluster="demo") == AT.timestamp()

    def test_what_is_damaged_or_unsigned_counts_for_nothing(self, tmp_path: Path) -> None:
        key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG5RVM0Ty3lKnZLJ0qhEJhWNFYV0c5Fq4VxJ2Qm8ZL1c"
        site = Site(tmp_path, f"    trust: [{key}]\n")
        site.keep(snapshot(0, 41))
        broken = snapshot(60, 50)
        where = tmp_path / "store" / broken.directory
        where.mkdir(parents=True)
        (where / MANIFEST).write_text("{}")
        exporter = site.exporter()
        exporter.look()
        told = {state: exporter.figure("quorate_snapshots", cluster="demo", state=state) for state in WORTH}
        assert told == {"verified": 0, "degraded": 0, "suspect": 0, "quarantined": 0, "doubted": 1, "damaged": 1}
        assert exporter.figure("quorate_snapshot_last_success_timestamp_seconds", cluster="demo") == 0

    def test_an_object_that_has_gone_is_noticed_although_its_manifest_is_known(self, site: Site) -> None:
        kept = site.keep(snapshot(0, 41))
        exporter = site.exporter()
        exporter.look()
        (site.root / "store" / kept.key).unlink()
        exporter.look()
        assert exporter.figure("quorate_snapshots", cluster="demo", state="damaged") == 1
        assert exporter.figure("quorate_snapshots", cluster="demo", state="verified") == 0

    def test_no_manifest_is_read_twice(self, site: Site) -> None:
        kept = site.keep(snapshot(0, 41))
        exporter = site.exporter()
        exporter.look()
        manifest = site.root / "store" / key_of(kept.directory, MANIFEST)
        before = manifest.stat()
        manifest.write_bytes(b"x" * before.st_size)
        os.utime(manifest, ns=(before.st_atime_ns, before.st_mtime_ns))  # as it was, for whoever only lists it
        exporter.look()
        assert exporter.figure("quorate_snapshots", cluster="demo", state="verified") == 1

    def test_a_quarantined_one_counts_for_nothing_until_it_is_proved_again(self, site: Site) -> None:
        site.keep(snapshot(0, 41))
        bad = site.keep(snapshot(60, 50))
        exporter = site.exporter()
        store = DirectoryStore(str(site.root / "store"))
        put(store, Mark(bad.directory, Kind.QUARANTINED, AT + timedelta(hours=1), "tester", "verify-1"))
        exporter.look()
        assert exporter.figure("quorate_snapshot_last_success_timestamp_seconds", cluster="demo") == AT.timestamp()
        assert exporter.figure("quorate_snapshots", cluster="demo", state="quarantined") == 1
        put(store, Mark(bad.directory, Kind.RESTORED, AT + timedelta(hours=2), "tester", "drill-1"))
        exporter.look()
        newest = AT.timestamp() + 60
        assert exporter.figure("quorate_snapshot_last_success_timestamp_seconds", cluster="demo") == newest
        assert exporter.figure("quorate_snapshots", cluster="demo", state="verified") == 2
        for name in ("recheck", "restored"):
            told = exporter.figure(f"quorate_snapshot_last_{name}_timestamp_seconds", cluster="demo")
            assert told == AT.timestamp() + 7200

    def test_what_somebody_has_deleted_by_name_is_told(self, site: Site) -> None:
        kept = site.keep(snapshot(0, 41))
        exporter = site.exporter()
        exporter.look()
        assert exporter.figure("quorate_hidden_objects", cluster="demo", store="here") == 0
        store = MemoryStore()
        store.put(kept.key, (b"x",), lambda _: None)
        store.hide(kept.key)
        exporter.use(MemoryStores(store))
        exporter.eyes.clusters[0].stock.hidden()
        assert exporter.figure("quorate_hidden_objects", cluster="demo", store="here") == 1

    def test_a_copy_that_lags_is_told_by_its_store(self, site: Site) -> None:
        site.keep(snapshot(0, 41), "far")
        site.keep(snapshot(0, 41))
        site.keep(snapshot(60, 50))
        exporter = site.exporter()
        exporter.look()
        copied = exporter.figure("quorate_copy_last_success_timestamp_seconds", cluster="demo", store="far")
        assert copied == AT.timestamp()
        assert exporter.figure("quorate_store_reachable", cluster="demo", store="far") == 1
        assert exporter.figure("quorate_snapshots", cluster="demo", state="verified") == 2


class TestClock:
    def test_what_would_be_lost_now_is_told_as_an_interval(self, site: Site) -> None:
        kept = site.keep(snapshot(time.time() - 1000 - AT.timestamp(), 41))
        exporter = site.exporter()
        since = kept.created_at.timestamp()
        seen = {41: 290, 42: 310, 100: 650}  # each the last of its five minutes, so that none is forgotten
        looks = [Tick(since + at, since + at, "c1", revision, led=True) for revision, at in seen.items()]
        exporter.eyes.wiring.ticks.add("demo", tuple(looks))
        exporter.look()
        least = exporter.figure("quorate_rpo_current_seconds", cluster="demo", bound="least")
        most = exporter.figure("quorate_rpo_current_seconds", cluster="demo", bound="most")
        assert least is not None
        assert most is not None
        assert 0 < most - least < 60
        assert exporter.figure("quorate_cluster_revision", cluster="demo") == 100

    def test_a_member_that_is_silent_is_named(self, site: Site) -> None:
        site.cluster.silent = {"b"}
        exporter = site.exporter()
        exporter.look()
        told = [exporter.figure("quorate_target_reachable", cluster="demo", host=m, check="etcd") for m in "abc"]
        assert told == [1, 0, 1]


class TestRecords:
    def test_every_way_to_end_is_counted_from_nothing(self, site: Site) -> None:
        exporter = site.exporter()
        exporter.look()
        found = {key: value for key, value in exporter.scrape().items() if key[0] == "quorate_runs_total"}
        wanted = {(kind, end) for kind, ends in ENDS.items() for end in ends}
        assert {(dict(labels)["kind"], dict(labels)["result"]) for _, labels in found} == wanted
        assert set(found.values()) == {0}

    def test_an_operation_counts_once_for_each_time_that_it_ended(self, site: Site) -> None:
        home = site.record(new_id("restore"), {"outcome": "held"})
        (home / "outcome-7.json").write_text('{"outcome": "restored"}')
        site.record(new_id("hosts-trust"), {"outcome": "failed"})
        exporter = site.exporter()
        for end in ("held", "restored"):
            assert exporter.figure("quorate_runs_total", cluster="demo", kind="restore", result=end) == 1

    def test_a_failure_is_counted_for_its_cluster_as_the_ledger_wrote_it(self, site: Site) -> None:
        operations, operation = site.settings.operations, new_id("backup")
        journals = FileJournals(operations, "one", time.time)
        entry = Entry(operation, "demo", site.settings.store("demo"), "outcome.json", '{"outcome":"failed"}')
        ledger = Ledger(operations, journals.at, MemoryStores(MemoryStore()))
        ActivityEnvironment().run(ledger.seal, entry)
        exporter = site.exporter()
        assert exporter.figure("quorate_runs_total", cluster="demo", kind="backup", result="failed") == 1
        assert exporter.figure("quorate_audit_chain_ok") == 1

    def test_a_backup_that_failed_is_an_attempt(self, site: Site) -> None:
        kept, operation = site.keep(snapshot()), new_id("backup")
        exporter = site.exporter()
        exporter.look()
        site.record(operation, {"outcome": "failed"})
        exporter.look()
        attempt = exporter.figure("quorate_snapshot_last_attempt_timestamp_seconds", cluster="demo")
        assert attempt == began(operation) > kept.created_at.timestamp()
        assert exporter.figure("quorate_runs_total", cluster="demo", kind="backup", result="failed") == 1

    def test_a_sealed_trail_that_was_changed_is_told(self, site: Site) -> None:
        home = site.record(new_id("backup"), {"outcome": "failed"})
        exporter = site.exporter()
        assert exporter.figure("quorate_audit_chain_ok") == 1
        assert exporter.figure("quorate_audit_trails", state="sealed") == 1
        trail = home / "audit" / "one.jsonl"
        trail.write_text(trail.read_text().replace('"ls"', '"rm"'))
        exporter.look()
        assert exporter.figure("quorate_audit_chain_ok") == 1, "it is read again within the hour"
        exporter.eyes.past.recheck_s = 0.0
        exporter.look()
        assert exporter.figure("quorate_audit_chain_ok") == 0

    def test_an_open_trail_is_not_judged(self, site: Site) -> None:
        home = site.record(new_id("backup"), {"outcome": "failed"})
        trail = home / "audit" / "one.jsonl"
        trail.write_text("\n".join(trail.read_text().splitlines()[:2]) + '\n{"cut')
        exporter = site.exporter()
        assert exporter.figure("quorate_audit_chain_ok") == 1
        assert exporter.figure("quorate_audit_trails", state="open") == 1

    def test_what_runs_and_what_waits_is_told_by_kind(self) -> None:
        told = {
            (f.name, f.labels): f.value for f in of_active(["demo"], [("demo", "restore")], [("demo", "restore")])
        }
        assert told["quorate_run_active", ("demo", "restore")] == 1
        assert told["quorate_run_held", ("demo", "restore")] == 1
        assert told["quorate_run_active", ("demo", "backup")] == 0


class TestSchedules:
    def test_what_a_schedule_has_missed_and_when_it_runs_next_is_told(self, site: Site) -> None:
        exporter = site.exporter()
        assert exporter.figure("quorate_schedule_missed_total", cluster="demo") == 3
        assert exporter.figure("quorate_schedule_paused", cluster="demo") == 0
        assert exporter.figure("quorate_schedule_next_run_timestamp_seconds", cluster="demo") == AT.timestamp()
        assert exporter.figure("quorate_schedule_expected_interval_seconds", cluster="demo") == 3600

    def test_one_that_is_paused_has_no_next_run(self, site: Site) -> None:
        ((want, standing),) = site.schedules.values()
        assert standing
        paused = {"one": (want, replace(standing, paused=True, next=None)), "orphan": (None, standing)}
        told = {figure.name: figure.value for figure in of_schedules(paused)}
        assert told["quorate_schedule_paused"] == 1
        assert "quorate_schedule_next_run_timestamp_seconds" not in told


class TestRestart:
    def test_it_changes_no_figure(self, site: Site) -> None:
        site.keep(snapshot(0, 41))
        site.keep(snapshot(60, 50, outcome="degraded", findings=("b did not answer",)))
        site.record(new_id("backup"), {"outcome": "failed"})
        exporter = site.exporter()
        exporter.look()
        before = lasting(exporter)
        exporter = site.exporter()
        exporter.look()
        assert lasting(exporter) == before
        assert len(before) > 40

    def test_while_the_store_is_away_it_changes_none_either(self, site: Site) -> None:
        site.keep(snapshot(0, 41))
        exporter = site.exporter()
        exporter.look()
        before = {key: value for key, value in lasting(exporter).items() if "snapshot" in key[0]}  # type: ignore[index]
        exporter = site.exporter()
        exporter.use(Away())
        told = lasting(exporter)
        assert {key: told.get(key) for key in before} == before
        with pytest.raises(Unreachable, match="store"):
            exporter.look()
        told = lasting(exporter)
        assert {key: told.get(key) for key in before} == before
        assert exporter.figure("quorate_store_reachable", cluster="demo", store="here") == 0
        assert exporter.figure("quorate_rpo_current_seconds", cluster="demo", bound="most") is not None

    def test_every_figure_has_its_labels_and_a_meaning(self, site: Site) -> None:
        site.keep(snapshot())
        site.record(new_id("drill"), DRILLED)
        exporter = site.exporter()
        exporter.look()
        text = exporter.text
        for metric in METRICS:
            assert f"# HELP {metric.name}" in text
            assert any(name.startswith(metric.name) for name, _ in parsed(text)), metric.name

    def test_credentials_are_told_until_when_they_last(self, site: Site) -> None:
        exporter = site.exporter()
        exporter.look()
        for kind in ("etcd-client", "etcd-ca"):
            at = exporter.figure("quorate_credential_expiry_timestamp_seconds", cluster="demo", kind=kind)
            assert at is not None
            assert at > AT.timestamp()

    def test_whether_backups_could_be_opened_is_told_and_when_a_prune_is_due(self, site: Site) -> None:
        exporter = site.exporter()
        exporter.look()
        assert exporter.figure("quorate_backup_can_be_opened", cluster="demo") == 1
        assert exporter.figure("quorate_retention_expected_interval_seconds", cluster="demo") == 3600
        (site.root / "age.key").write_text(f"{x25519.Identity.generate()}\n")
        exporter.look()
        assert exporter.figure("quorate_backup_can_be_opened", cluster="demo") == 0

    def test_credentials_for_ssh_and_kubernetes_are_told_as_well(self, tmp_path: Path) -> None:
        ca = authority("kubernetes")
        ca.sign("admin").write(tmp_path, "admin")
        user = {"client-certificate-data": b64encode((tmp_path / "admin.crt").read_bytes()).decode()}
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump({"users": [{"name": "admin", "user": user}]}))
        for argv in (
            ("-t", "ed25519", "-N", "", "-f", "ca"),
            ("-t", "ed25519", "-N", "", "-f", "id"),
            ("-s", "ca", "-I", "quorate", "-n", "quorate", "-V", "+1d", "id.pub"),
        ):
            subprocess.run(["ssh-keygen", "-q", *argv], cwd=tmp_path, check=True)
        demo = inventory(tmp_path).clusters["demo"]
        demo = demo.model_copy(
            update={
                "ssh": demo.ssh.model_copy(update={"certificate": f"file:{tmp_path}/id-cert.pub"}),
                "kubernetes": Kubernetes.model_validate(
                    {"kubeconfig": f"file:{tmp_path}/kubeconfig", "api_urls": ["https://127.0.0.1:6443"]}
                ),
            }
        )
        found = Credentials(LocalSecrets({}), X509()).expiries(demo)
        assert found["ssh"] == pytest.approx(time.time() + 86400, abs=120)
        assert found["kubeconfig"] > time.time()
        (tmp_path / "id-cert.pub").write_text("nothing")
        (tmp_path / "kubeconfig").unlink()
        assert Credentials(LocalSecrets({}), X509()).expiries(demo) == {}


class TestAddress:
    def test_a_port_that_is_taken_is_told(self) -> None:
        with served(Board(), "127.0.0.1", 0) as port:
            with pytest.raises(Unreachable, match=f"127.0.0.1:{port}"), served(Board(), "127.0.0.1", port):
                pass
            assert "quorate_build_info" in scraped(f"http://127.0.0.1:{port}/metrics")

    @pytest.mark.parametrize(
        "listen", ["127.0.0.1", "9642", "host:99999", "http://host:9642", "a@host:1", "host:1/x"]
    )
    def test_what_is_no_address_is_refused(self, tmp_path: Path, listen: str) -> None:
        text = INVENTORY.format(state=tmp_path, store=tmp_path) + f'metrics: {{listen: "{listen}"}}\n'
        with pytest.raises(BadInput, match="host:port"):
            parse(text, "quorate.yaml")

    @pytest.mark.parametrize(("listen", "host"), [("127.0.0.1:9642", "127.0.0.1"), ("[::1]:9642", "::1")])
    def test_an_address_may_be_of_either_kind(self, tmp_path: Path, listen: str, host: str) -> None:
        text = INVENTORY.format(state=tmp_path, store=tmp_path) + f'metrics: {{listen: "{listen}"}}\n'
        found = parse(text, "quorate.yaml").metrics
        assert found
        assert (found.host, found.port) == (host, 9642)


@pytest.mark.server
def test_a_daemon_tells_the_clock_of_a_real_etcd_and_the_same_after_a_restart(
    tmp_path: Path, temporal_binary: Path, hook: Hook
) -> None:
    (tmp_path / "url").write_text(hook.url)
    more = f'temporal: {{binary: {temporal_binary}}}\nmetrics: {{listen: "127.0.0.1:0"}}\n'
    site = Site(tmp_path, more + f"notify: {{deadman: file:{tmp_path}/url}}\n")
    site.keep(snapshot())
    config, state = tmp_path / "quorate.yaml", tmp_path / "state"
    with running("3.6", tmp_path / "etcd") as etcd:
        text = config.read_text().replace("http://127.0.0.1:11", etcd.first.target.url)
        text = text.replace("schedule: on", 'schedule: {cron: "0 4 1 1 *"}')  # not while we look
        config.write_text(text)
        with etcd.first.at() as member:
            revision = member.put("a", b"1")
        told = [daemon(config, state, revision) for _ in range(2)]
    assert told[0] == told[1]
    assert [method for method, *_ in hook.calls] == ["GET", "GET"], "the dead man's switch, once a start"


def daemon(config: Path, state: Path, revision: int) -> dict[object, float]:
    """From its start until its figures are whole; those that last."""
    with (state / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker", "--config", str(config), "up"], stdout=log, stderr=log, env=os.environ
        )
    try:
        assert wait(lambda: "metrics" in read(state / "daemon.json"), 60), (state / "log").read_text()[-3000:]
        url = f"http://{read(state / 'daemon.json')['metrics']}/metrics"

        def whole() -> bool:
            """Each look has been taken once."""
            found = parsed(scraped(url))
            looks = {
                "quorate_target_reachable",
                "quorate_run_active",
                "quorate_runs_total",
                "quorate_schedule_paused",
                "quorate_hidden_objects",
                "quorate_credential_expiry_timestamp_seconds",
            }
            reachable = [value for (name, _), value in found.items() if name == "quorate_store_reachable"]
            clock = found.get(("quorate_cluster_revision", (("cluster", "demo"),))) == revision
            attempt = found.get(("quorate_snapshot_last_attempt_timestamp_seconds", (("cluster", "demo"),)))
            return (
                clock and attempt == AT.timestamp() and reachable == [1, 1] and looks <= {name for name, _ in found}
            )

        assert wait(whole, 60), scraped(url) + (state / "log").read_text()[-3000:]
        found = figures(parsed(scraped(url)))
        return {key: value for key, value in found.items() if key[0] not in LOOKED}
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
