"""A lab that runs: its daemon and its members export every series that the dashboards and the alerts ask for."""

import json
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.lab.lab import Lab
from deploy.lab.process import wait
from tests.e2e.product import Product
from tests.exporting import names, scraped
from tests.hooks import hooked
from tests.worker.test_alerts import ETCDS, OURS, SERIES
from tests.worker.test_dashboards import BOARDS, series

pytestmark = pytest.mark.lab
SEEN_S = 120


@pytest.fixture(scope="module")
def watched(bare_lab: Lab) -> Iterator[Product]:
    """With what figures are about that a lab has not: a schedule, a retention, a copy, and somebody who is told."""
    product = Product(bare_lab, Path(bare_lab.config))
    before = product.config.read_text()
    text = yaml.safe_load(before)
    text["stores"]["here"] = {"directory": str(product.config.parent / "copies")}
    (product.config.parent / "copies").mkdir()
    text["clusters"][bare_lab.name]["backup"] |= {"schedule": "on", "retention": {"last": 9}, "copies": ["here"]}
    text["clusters"][bare_lab.name]["objectives"] |= {"restore_proof": "1d"}
    text["clusters"][bare_lab.name]["drills"] = {"scenarios": {"restore-sandbox": "1d"}}
    held = product.state / "operations" / "drill-01M8MSVM5FQJEXAK1SFXAHZPVG"
    held.mkdir(parents=True)
    (held / "cluster").write_text(bare_lab.name)
    outcome = {"scenario": "restore-sandbox", "outcome": "passed", "clock": {"declared": 1.0, "quorum": 3.0}}
    (held / "outcome.json").write_text(json.dumps(outcome))
    with hooked() as hook:
        (product.config.parent / "hook").write_text(hook.url)
        text["notify"] = {"webhooks": [{"form": "json", "url": f"file:{product.config.parent / 'hook'}"}]}
        product.config.write_text(yaml.safe_dump(text))
        try:
            product.up()
            # Not while the schedule takes its own.
            assert wait(lambda: product.run("backup", product.cluster).returncode == 0, SEEN_S, 1.0)
            yield product
        finally:
            product.down()
            product.config.write_text(before)


def of_the_daemon(product: Product) -> set[str]:
    address = json.loads((product.state / "daemon.json").read_text())["metrics"]
    return names(scraped(f"http://{address}/metrics"))


def of_the_members(lab: Lab) -> set[str]:
    context = ssl.create_default_context(cafile=lab.etcd.ca)
    context.load_cert_chain(lab.etcd.cert, lab.etcd.key)
    found: set[str] = set()
    for endpoint in lab.etcd.endpoints:
        with urllib.request.urlopen(f"{endpoint}/metrics", timeout=10, context=context) as answer:
            found |= names(answer.read().decode())
    return found


def asked(rules: dict[str, dict[str, Any]]) -> set[str]:
    return {name for rule in rules.values() for name in SERIES.findall(rule["expr"])}


def test_the_daemon_exports_what_is_asked_of_it(watched: Product) -> None:
    wanted = series(BOARDS["recoverability"]) | {
        name for rule in OURS.values() for name in SERIES.findall(rule["expr"])
    }
    wait(lambda: wanted <= of_the_daemon(watched), SEEN_S)
    assert wanted - of_the_daemon(watched) == set()


def test_the_members_export_what_is_asked_of_them(watched: Product) -> None:
    wanted = series(BOARDS["etcd"]) | asked(ETCDS)
    wait(lambda: wanted <= of_the_members(watched.lab), SEEN_S)
    assert wanted - of_the_members(watched.lab) == set()
