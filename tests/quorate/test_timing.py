from quorate.converge import Ran, Receipt
from quorate.nodes.seen import NodeSeen
from quorate.nodes.supervisor import Systemd, stopped
from quorate.restoring.timing import measured

ETCD = Systemd("etcd", "etcd.service", (2379,), grace_s=0.2)
STOP = str(stopped([ETCD]))
PROOF = str(ETCD.proof(NodeSeen()))


def test_an_outage_is_from_the_first_stop_anywhere_to_the_first_write() -> None:
    fences = [
        Receipt((Ran(STOP, 0, started=11.0), Ran(PROOF, 0, started=11.3))),
        Receipt((Ran(STOP, 0, started=10.5),)),
    ]
    verified = [Receipt(facts={"first_write": "12.25", "served_revision": "7", "cluster_id": "abc"})]
    found = measured({"fence": fences, "verify": verified})
    assert (found.outage_s, found.served_revision, found.cluster_id) == (1.75, 7, "abc")


def test_where_nothing_was_stopped_there_was_no_outage() -> None:
    assert measured({"fence": [Receipt((Ran(PROOF, 0, started=11.3),))]}).outage_s is None


def test_a_member_that_does_not_run_any_more_is_a_finding_also_of_an_undo() -> None:
    released = [Receipt(), Receipt(facts={"down": "b: etcd.service is failed"})]
    assert measured({"undo-claim": released}).findings == (
        "ran before and does not run now: b: etcd.service is failed",
    )
    assert measured({"release": [Receipt()]}).findings == ()
