"""API servers that are on no member's node: named in the plan and the report, and nothing done to them."""

from pathlib import Path

import pytest

from quorate.clusters.kubeconfig import server
from quorate.inventory import Cluster
from quorate.operation import RestoreRequest
from quorate.plan import Plan
from quorate.restore import plan
from quorate.settings.machines import Kubernetes
from tests.factory import inventory
from tests.worker.test_power import GONE

URL = "https://10.1.0.1:6443"
KUBECONFIG = f"""
current-context: there
contexts: [{{name: there, context: {{cluster: k, user: u}}}}]
clusters: [{{name: other, cluster: {{server: "https://x:1"}}}}, {{name: k, cluster: {{server: "{URL}"}}}}]
"""


def planned(root: Path, **changes: object) -> Plan:
    whole = inventory(root)
    settings: Cluster = whole.clusters["demo"].model_copy(update=changes)
    return plan(RestoreRequest("restore-1", "demo", settings, whole.stores["here"], "latest", "ann"), GONE)


def test_they_are_to_be_restarted_after_a_restore(tmp_path: Path) -> None:
    kubernetes = Kubernetes(kubeconfig="file:/k", api_urls=(URL,))
    told = planned(tmp_path, control_plane=(), kubernetes=kubernetes)
    (said,) = told.afterwards
    assert f"the API servers at {URL} are on no node of this cluster" in said
    assert {"start-api", "verify-api"} & {step.key for step in told.chosen.steps} == set()


def test_nothing_is_said_where_they_run_beside_etcd_or_there_are_none(tmp_path: Path) -> None:
    assert planned(tmp_path).afterwards == ()
    assert planned(tmp_path, control_plane=(), kubernetes=None).afterwards == ()


@pytest.mark.parametrize(
    ("text", "url"), [(KUBECONFIG, URL), ("{}", ""), ("", ""), ("a: [", ""), ("current-context: there", "")]
)
def test_a_kubeconfig_leads_to_the_server_of_its_current_context(text: str, url: str) -> None:
    assert server(text.encode()) == url
