"""etcd on machines of its own: its API servers are elsewhere, and another client writes into it as they do."""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.lab.https import Caller, NoAnswerError
from deploy.lab.lab import node_exec
from deploy.lab.ready import api_identity, api_ready
from tests.e2e.conftest import lab, product
from tests.e2e.drafting import drafted, ours
from tests.e2e.product import Product, until
from tests.e2e.test_restore import Hammer, get, put

pytestmark = pytest.mark.lab
HEALTHY = ("--override-gate", "quorum-healthy", "--reason", "it is a test")
MAPS = "/api/v1/namespaces/default/configmaps"
CACHED = f"{MAPS}?resourceVersion=0"
RESTART = ["systemctl", "restart", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]


@pytest.fixture(scope="module")
def external() -> Iterator[Product]:
    """Three members, and one machine with a control plane and no etcd."""
    for made in lab("x", members=3, etcd="3.6", control_plane="external"):
        yield from product(made)


def api(quorate: Product) -> Caller:
    return Caller(quorate.lab.outside[0].api_url, api_identity(quorate.lab))


def made_map(quorate: Product, name: str) -> None:
    api(quorate).call("POST", MAPS, {"metadata": {"name": name}})


def listed(quorate: Product, path: str = MAPS) -> set[str]:
    """An API server that lists anew what it has in its cache says 429, to be asked again."""
    answer: dict[str, Any] = {}

    def answered() -> bool:
        with suppress(NoAnswerError):
            answer.update(api(quorate).call("GET", path))
        return bool(answer)

    until(answered, poll_s=0.2)
    return {each["metadata"]["name"] for each in answer["items"]}


def test_init_writes_the_labs_own_inventory_but_for_the_api_servers_that_it_marks(
    external: Product, tmp_path: Path
) -> None:
    drawn = drafted(external.lab, tmp_path, *ours(external.lab))
    assert (drawn.code, drawn.differing(external.lab)) == (0, set())
    (marked,) = [line for line in drawn.text.splitlines() if "api_urls" in line]
    assert "DECIDE: no API server runs beside etcd" in marked


def test_api_servers_that_the_inventory_does_not_name_are_strangers_to_it(external: Product) -> None:
    inventory = yaml.safe_load(external.config.read_text())
    del inventory["clusters"][external.cluster]["kubernetes"]
    config = external.config.with_name("unknowing.yaml")
    config.write_text(yaml.safe_dump(inventory))
    external.backup()
    plan = Product(external.lab, config).json("plan", "restore", external.cluster, *HEALTHY, exit_code=4)
    (gate,) = plan["refusals"]
    assert (gate["id"], gate["overridable"]) == ("unknown-clients", True)
    assert external.lab.outside[0].address in gate["evidence"]


def test_neither_they_nor_another_client_write_before_the_restore_is_verified(external: Product) -> None:
    """Both hammer all the time; what they have written since the backup is gone from what they read."""
    made = external.lab
    made_map(external, "kept")
    put(external, "/client/kept")
    external.backup()
    made_map(external, "lost")
    put(external, "/client/lost")
    posts = (f"{made.outside[0].api_url}{MAPS}",)
    with (
        Hammer.of(made.etcd) as client,
        Hammer(posts, api_identity(made), {"metadata": {"generateName": "hammer-"}}) as server,
    ):
        result = external.restore(*HEALTHY)
        ended = time.time()
        until(lambda: all(each.written[-1:] > [ended] for each in (client, server)), poll_s=0.1)
    for each in (client, server):
        each.check(external.trail(result["operation"]))
    assert {"lost", "kept"} & listed(external) == {"kept"}
    assert (get(external, "/client/kept"), get(external, "/client/lost")) == ("x", "")
    (left,) = result["findings"]
    assert f"the API servers at {made.outside[0].api_url} are on no node" in left
    assert node_exec(made, made.outside[0].name, RESTART)[0] == 0
    until(lambda: api_ready(made, made.outside[0].api_url), poll_s=0.2)
    made_map(external, "since")
    until(lambda: {"since", "lost", "kept"} & listed(external, CACHED) == {"since", "kept"}, poll_s=0.2)
    assert external.json("inspect", external.cluster)["findings"] == []
