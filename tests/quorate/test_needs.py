"""Room on a node: for data beside data, and for the tools that a restore gives it."""

from dataclasses import replace
from pathlib import Path

import pytest

from quorate.clusters.cluster import Silence
from quorate.nodes.image import PROGRAM_BYTES
from quorate.nodes.room import MIB, RESERVE_BYTES
from quorate.nodes.seen import NodeSeen
from quorate.restore import look_of
from quorate.restoring.gates import closed
from quorate.restoring.needs import extras_on, tools
from quorate.restoring.source import Holdings
from tests.factory import LIVE, STORED_TOOL, inventory
from tests.quorate.test_gates import DOWN, NODE, with_nodes
from tests.quorate.test_image import NODE as POD
from tests.quorate.test_image import SETTINGS

HOME, PLENTY = "/var/lib/quorate", 10**12
TOOL = replace(STORED_TOOL, size_bytes=20 * MIB)
LACKS = replace(NODE, tools={}, stored=TOOL)
NEEDED = f"needed are 192 MiB at {LIVE}"
GIVEN = "for the tools that it is given"


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (
            replace(LACKS, spaces={LIVE: PLENTY, HOME: 147 * MIB}),
            f"b has 147 MiB free at {HOME}; {NEEDED}, and 148 MiB at {HOME} on b, {GIVEN}",
        ),
        (
            replace(LACKS, spaces={LIVE: 211 * MIB, HOME: 211 * MIB}, devices={LIVE: "7", HOME: "7"}),
            f"b has 211 MiB free at {LIVE}; {NEEDED}, and 20 MiB more on b, {GIVEN}",
        ),
        (
            replace(LACKS, spaces={LIVE: 191 * MIB, HOME: PLENTY}, devices={LIVE: "7", HOME: "8"}),
            f"b has 191 MiB free at {LIVE}; {NEEDED}",
        ),
        (replace(LACKS, spaces={LIVE: 213 * MIB, HOME: 213 * MIB}, devices={LIVE: "7", HOME: "7"}), ""),
        (replace(LACKS, spaces={LIVE: 193 * MIB, HOME: 148 * MIB}, devices={LIVE: "7", HOME: "8"}), ""),
        (replace(NODE, spaces={LIVE: PLENTY, HOME: 0}), ""),
        (replace(LACKS, spaces={LIVE: PLENTY}), ""),
    ],
    ids=["apart", "on one disk", "data alone", "both fit", "each fits", "has its own tool", "nobody looked"],
)
def test_a_tool_out_of_the_store_needs_room_where_the_claim_lies(node: NodeSeen, said: str, tmp_path: Path) -> None:
    gates = closed(inventory(tmp_path).clusters["demo"], with_nodes(b=node), DOWN.manifests[-1])
    assert [(gate.id, gate.evidence) for gate in gates] == ([("no-space", said)] if said else [])


def test_a_survey_looks_where_the_claim_lies(tmp_path: Path) -> None:
    assert look_of(inventory(tmp_path).clusters["demo"]).spaces == (LIVE, HOME)


def test_of_an_image_each_program_counts_as_the_largest_that_there_is(tmp_path: Path) -> None:
    cluster = inventory(tmp_path).clusters["demo"].model_copy(update={"etcd": SETTINGS})
    node = replace(POD, spaces={HOME: 0})
    sizes = [
        [each.size_bytes - RESERVE_BYTES for each in tools(cluster, node, runs_a_copy=copy)] for copy in (False, True)
    ]
    assert sizes == [[PROGRAM_BYTES], [2 * PROGRAM_BYTES]]


def test_where_a_stopped_member_is_replayed_from_its_image_etcd_itself_is_given_too(tmp_path: Path) -> None:
    cluster = inventory(tmp_path).clusters["demo"].model_copy(update={"etcd": SETTINGS})
    node = replace(POD, spaces={HOME: 0}, tools={SETTINGS.restore_tool: "3.6.14"})
    seen = replace(DOWN, nodes=dict.fromkeys("abc", node), etcd=dict.fromkeys("abc", Silence("refused")))
    sizes = {
        name: sum(each.size_bytes for each in extras_on(name, node, cluster, seen, Holdings("a", "c1")))
        for name in "abc"
    }
    assert sizes == {"a": PROGRAM_BYTES + RESERVE_BYTES, "b": 0, "c": 0}
