"""What the demo does to the cluster and sees of it, past Quorate: as any client of etcd and Kubernetes."""

from __future__ import annotations

import hashlib
import json
import time
from base64 import b64decode
from typing import TYPE_CHECKING, Any

from deploy.demo.telling import StoryError
from deploy.lab.https import Caller, NoAnswerError
from deploy.lab.load import MAPS, NAMESPACE, text
from deploy.lab.ready import api_identity, etcd_identity

if TYPE_CHECKING:
    from deploy.lab.lab import Lab

LATE = "/quorate-story/late-"
LATE_END = "/quorate-story/late."  # "." comes right after "-"
LATE_KEYS = 5
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
REPLICA_SETS = f"/apis/apps/v1/namespaces/{NAMESPACE}/replicasets"
PATIENCE_S = 60


def etcd(lab: Lab, member: int = 0) -> Caller:
    return Caller(lab.etcd.endpoints[member], etcd_identity(lab))


def api(lab: Lab) -> Caller:
    return Caller(lab.nodes[0].api_url, api_identity(lab))


def revision(lab: Lab) -> int:
    """The highest that any member names."""
    read = [etcd(lab, at).call("POST", "/v3/kv/range", {"key": text(b"x")}) for at in range(len(lab.nodes))]
    return max(int(each["header"]["revision"]) for each in read)


def write(lab: Lab, member: int, key: str, value: str) -> str:
    """Through this very member; what a read through it answers afterwards."""
    caller = etcd(lab, member)
    caller.call("POST", "/v3/kv/put", {"key": text(key.encode()), "value": text(value.encode())})
    answer = caller.call("POST", "/v3/kv/range", {"key": text(key.encode())})
    return b64decode(answer["kvs"][0]["value"]).decode()


def write_late(lab: Lab) -> None:
    """What nobody has a backup of."""
    for number in range(LATE_KEYS):
        write(lab, 0, f"{LATE}{number}", "written after the backup")
    api(lab).call("POST", MAPS, {"metadata": {"name": "late"}, "data": {"written": "after the backup"}})


def late(lab: Lab) -> tuple[int, int]:
    """How many keys and objects there are that were written after the backup."""
    asked = {"key": text(LATE.encode()), "range_end": text(LATE_END.encode()), "count_only": True}
    keys = int(etcd(lab).call("POST", "/v3/kv/range", asked).get("count", 0))
    return keys, sum(name == "late" for name in (item["metadata"]["name"] for item in maps(lab)))


def maps(lab: Lab) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = api(lab).call("GET", MAPS)["items"]
    return items


def objects(lab: Lab) -> str:
    """Name, uid and content of every object of ours, as one number; uids tell a restored one from a new one."""
    ours = [
        item for item in (*maps(lab), *deployments(lab)) if item["metadata"]["name"].startswith(("load-", "shop"))
    ]
    lines = sorted(
        json.dumps(
            [item["metadata"]["name"], item["metadata"]["uid"], item.get("data"), item.get("spec")], sort_keys=True
        )
        for item in ours
    )
    total = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return f"{len(lines)} objects {total[:16]}"


def deployments(lab: Lab) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = api(lab).call("GET", DEPLOYMENTS)["items"]
    return items


def deploy(lab: Lab, name: str) -> str:
    """Create a Deployment; the ReplicaSet that the controller manager made of it."""
    labels = {"app": name}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "shop/web:1"}]}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": pod}
    api(lab).call("POST", DEPLOYMENTS, {"metadata": {"name": name}, "spec": spec})
    return awaited_replica_set(lab, name)


def awaited_replica_set(lab: Lab, name: str) -> str:
    limit = time.monotonic() + PATIENCE_S
    while time.monotonic() < limit:
        for item in api(lab).call("GET", REPLICA_SETS)["items"]:
            owners = [owner["name"] for owner in item["metadata"].get("ownerReferences", ())]
            if name in owners and item["status"].get("replicas") == 2:
                return f"{name} has a ReplicaSet with 2 pods"
        time.sleep(0.2)
    raise StoryError(f"the controller manager made no ReplicaSet of the Deployment {name} in {PATIENCE_S} s")


def refused(lab: Lab) -> str:
    """What a client sees that writes now; an accepted write is not the disaster that was wanted."""
    for at in range(len(lab.nodes)):
        caller = Caller(lab.etcd.endpoints[at], etcd_identity(lab), timeout_s=2)
        try:
            caller.call("POST", "/v3/kv/put", {"key": text(b"/quorate-story/now"), "value": text(b"?")})
        except NoAnswerError:
            continue
        return f"{lab.nodes[at].name} accepted it"
    return "refused by every member"
