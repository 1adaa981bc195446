"""kube-apiserver over HTTPS (urllib3), with the client certificate of a kubeconfig."""

import base64
import json
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

import urllib3
import yaml

from activities.adapters.memory_file import in_memory
from quorate.errors import Denied, Unreachable
from quorate.ports import Api, KubeNode, Lease, Secrets

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
SECRETS = "/api/v1/secrets?limit=500"
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
INTERNAL = 500
TIMEOUT = urllib3.Timeout(connect=2.0, read=5.0)
PROMPT = urllib3.Timeout(connect=1.0, read=2.0)  # of a probe


@dataclass(frozen=True, slots=True)
class KubeApis:
    secrets: Secrets
    timeout: urllib3.Timeout = TIMEOUT

    def at(self, kubeconfig: str, url: str, dial: str = "") -> Api:
        context, name = tls(self.secrets.resolve(kubeconfig), kubeconfig), urlsplit(url).hostname
        named: dict[str, Any] = {"server_hostname": name, "assert_hostname": name} if dial else {}
        pool = urllib3.PoolManager(ssl_context=context, retries=False, timeout=self.timeout, **named)
        return KubeApi(url, pool, f"https://{dial}" if dial else url)


@dataclass(frozen=True, slots=True)
class KubeApi:
    url: str
    pool: urllib3.PoolManager
    dialled: str

    def ready(self) -> None:
        self._call("GET", "/readyz")

    def version(self) -> str:
        said = (self._call("GET", "/version") or {}).get("gitVersion", "")
        return str(said).removeprefix("v")

    def write_lease(self, name: str, holder: str) -> None:
        now = stamp()
        spec = {"holderIdentity": holder, "renewTime": now, "acquireTime": now, "leaseDurationSeconds": 60}
        there = self._get(name)
        lease = there or {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": "kube-system"},
        }
        lease["spec"] = spec
        self._call("PUT" if there else "POST", f"{LEASES}/{name}" if there else LEASES, lease)

    def nodes(self) -> tuple[KubeNode, ...]:
        listed = (self._call("GET", "/api/v1/nodes") or {}).get("items", [])
        return tuple(
            KubeNode(
                each["metadata"]["name"],
                tuple(found["address"] for found in each.get("status", {}).get("addresses", [])),
            )
            for each in listed
        )

    def lease(self, name: str) -> Lease | None:
        there = self._get(name)
        if there is None:
            return None
        return Lease(there.get("spec", {}).get("holderIdentity") or "", int(there["metadata"]["resourceVersion"]))

    def free(self, name: str, lease: Lease) -> bool:
        """As client-go's own ReleaseOnCancel does; the resource version makes it a compare-and-swap."""
        there = self._get(name)
        if there is None or int(there["metadata"]["resourceVersion"]) != lease.revision:
            return False
        now = stamp()
        spec = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": now, "acquireTime": now}
        there["spec"] = {**there["spec"], **spec}
        return self._call("PUT", f"{LEASES}/{name}", there, fine=409) is not None

    def unreadable_secrets(self) -> str:
        """Asked for their metadata alone, for which a server decrypts them all the same; no value is sent to us."""
        more = ""
        while True:
            path = f"{SECRETS}&continue={quote(more)}" if more else SECRETS
            status, said = self._ask("GET", path, accept=METADATA)
            if status == INTERNAL:
                return f"{self.url} answers GET {path} with {status}: {said[:300]}"
            if not (more := self._understood("GET", path, status, said).get("metadata", {}).get("continue", "")):
                return ""

    def _get(self, name: str) -> dict[str, Any] | None:
        return self._call("GET", f"{LEASES}/{name}", fine=404)

    def _call(self, method: str, path: str, body: object = None, fine: int = 0) -> dict[str, Any] | None:
        status, said = self._ask(method, path, body)
        return None if status == fine else self._understood(method, path, status, said)

    def _ask(self, method: str, path: str, body: object = None, accept: str = "application/json") -> tuple[int, str]:
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Accept": accept, **({"Content-Type": "application/json"} if data else {})}
        try:
            answer = self.pool.request(method, self.dialled + path, body=data, headers=headers)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(f"{self.url} does not answer: {error}") from error
        return answer.status, answer.data.decode(errors="replace")

    def _understood(self, method: str, path: str, status: int, said: str) -> dict[str, Any]:
        if status in {401, 403}:
            raise Denied(f"{self.url} refuses {method} {path}: {said[:300]}")
        if status >= 400:
            raise Unreachable(f"{self.url} answers {method} {path} with {status}: {said[:300]}")
        found: dict[str, Any] = json.loads(said) if said.startswith("{") else {}
        return found


def stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def tls(text: bytes, name: str) -> ssl.SSLContext:
    """The context of a kubeconfig's only cluster and user; its keys never touch a disk."""
    try:
        config = yaml.safe_load(text)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        context = ssl.create_default_context(cadata=data_of(cluster, "certificate-authority").decode())
        with in_memory(data_of(user, "client-certificate") + data_of(user, "client-key")) as path:
            context.load_cert_chain(path)
    except (KeyError, IndexError, TypeError, ValueError, OSError, yaml.YAMLError) as error:
        raise Denied(f"{name} is not a kubeconfig with a client certificate: {error}") from error
    context.check_hostname = True
    return context


def data_of(section: dict[str, str], field: str) -> bytes:
    if f"{field}-data" in section:
        return base64.b64decode(section[f"{field}-data"])
    with open(section[field], "rb") as file:  # noqa: PTH123 - a path from the kubeconfig, as kubectl reads it
        return file.read()
