"""A client of one API server that makes and overwrites ConfigMaps, and what an API server holds of them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.lab.https import Caller, NoAnswerError
from deploy.lab.ready import api_identity
from deploy.robustness.readings import Stored, Write

if TYPE_CHECKING:
    from deploy.lab.lab import Lab, Node

NAMESPACE = "quorate-robustness"
MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
ANSWER_S = 2.0
OTHERS = "kube-root-ca.crt"  # that Kubernetes puts into every namespace


@dataclass(frozen=True, slots=True)
class Client:
    """With the administrator's certificate."""

    api: Caller
    run: str
    through: str

    def write(self, number: int) -> Write:
        """Every other one is of a name of its own; the rest overwrite one and the same, which comes first."""
        again = number % 2 == 1
        name = f"{self.run}-{self.through}" + ("" if number == 0 or again else f"-{number:06d}")
        body = {"metadata": {"name": name}, "data": {"value": str(number)}}
        began = time.monotonic()
        try:
            answer = self.api.call("PUT", f"{MAPS}/{name}", body) if again else self.api.call("POST", MAPS, body)
            revision = int(answer["metadata"]["resourceVersion"])
        except (NoAnswerError, ValueError, KeyError, TypeError):
            revision = 0
        return Write(name, self.through, began, time.monotonic(), revision=revision, value=str(number))


def client(lab: Lab, node: Node, run: str) -> Client:
    return Client(Caller(node.api_url, api_identity(lab), ANSWER_S), run, node.name)


def prepared(lab: Lab) -> None:
    """A namespace, and nothing in it that was written by anybody before."""
    api = Caller(lab.nodes[0].api_url, api_identity(lab))
    api.call("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}, (200, 201, 409))
    api.call("DELETE", MAPS)


def stored(lab: Lab, node: Node) -> dict[str, Stored] | str:
    """All of them as this API server tells them, or why it does not."""
    try:
        items = Caller(node.api_url, api_identity(lab), ANSWER_S).call("GET", MAPS)["items"]
    except NoAnswerError as error:
        return str(error)
    return {
        each["metadata"]["name"]: Stored(int(each["metadata"]["resourceVersion"]), each["data"]["value"])
        for each in items
        if each["metadata"]["name"] != OTHERS
    }
