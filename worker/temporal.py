"""How a Temporal server is reached, what ours finds there, and what is wrong where it is not reached."""

import re
from collections.abc import Mapping
from datetime import timedelta

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client, TLSConfig
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.runtime import Runtime
from temporalio.service import RPCError, RPCStatusCode

from quorate.errors import Denied, Unreachable
from worker import disk
from worker.embedded import ATTRIBUTES
from worker.settings import Settings

RPC = timedelta(seconds=5)
# A schedule is described by a query of the server's own workflow; one that its worker has forgotten takes 5 s more.
ASKED = timedelta(seconds=20)
REMEDY = "quorate --config {path} up --detach  # once {once}"
# What the client's core says, in our words; what it will say again is final.
TROUBLES = (
    (r"InvalidCertificate\(UnknownIssuer", "its certificate is not signed by temporal.tls.ca", True),
    (r"InvalidCertificate\(NotValidForName", "its certificate is for another name", True),
    (r"InvalidCertificate\(Expired", "its certificate has expired", True),
    (r"AlertReceived\(", "it does not accept our certificate, temporal.tls.cert", True),
    (r"InvalidContentType|InvalidMessage", "it does not speak TLS, and temporal.tls is set", True),
    (r"ConnectionRefused", "nothing listens there", False),
    (r"dns error", "there is no host of that name", False),
    (r"transport error|Canceled", "it hangs up; it may want {want}", False),
)
FINAL = (RPCStatusCode.NOT_FOUND, RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED)


async def connected(settings: Settings, address: str, runtime: Runtime | None = None) -> Client:
    """One try: Denied where the next one would end alike, Unreachable where it may not."""
    try:
        return await Client.connect(
            address,
            namespace=settings.inventory.temporal.namespace,
            tls=tls(settings),
            data_converter=pydantic_data_converter,
            connect_timeout=RPC,
            runtime=runtime,
        )
    except RuntimeError as error:
        raise unreached(settings, address, str(error)) from error
    except RPCError as error:
        raise refused(settings, address, error) from error


def tls(settings: Settings) -> TLSConfig | bool:
    section = settings.inventory.temporal.tls
    if section is None:
        return False
    from worker.wiring import Wiring  # every adapter: only who needs a secret pays for it

    resolve = Wiring(settings, "tls").secrets.resolve
    ca, cert, key = (resolve(each) if each else None for each in (section.ca, section.cert, section.key))
    return TLSConfig(server_root_ca_cert=ca, client_cert=cert, client_private_key=key)


def unreached(settings: Settings, address: str, said: str) -> Unreachable:
    """In words, as far as they are known."""
    secured = settings.inventory.temporal.tls
    want = "another client certificate than temporal.tls.cert" if secured else "TLS, and temporal.tls is not set"
    for pattern, words, final in TROUBLES:
        if re.search(pattern, said):
            kind = Denied if final else Unreachable
            message = f"Temporal at {address}: {words.format(want=want)}"
            return kind(message, next=remedy(settings, "that is put right"))
    plain = said.removeprefix("Failed client connect: ")
    return Unreachable(f"Temporal at {address} does not answer: {plain}", next=remedy(settings, "it answers"))


def refused(settings: Settings, address: str, error: RPCError) -> Unreachable:
    """It answers, and says no or not now; one of ours that cannot write says neither why nor what would help."""
    namespace = settings.inventory.temporal.namespace
    if error.status is RPCStatusCode.NOT_FOUND and namespace in error.message:
        create = f"temporal operator namespace create --address {address} --namespace {namespace} --retention 90d"
        return Denied(f"Temporal at {address} has no namespace {namespace}", next=create)
    if why := full(settings):
        return Unreachable(f"Temporal at {address}: {error.message}; {why}", next=disk.remedy(settings.state))
    kind = Denied if error.status in FINAL else Unreachable
    return kind(f"Temporal at {address}: {error.message}", next=remedy(settings, "that is put right"))


def full(settings: Settings) -> str:
    """Why a server of ours cannot write, or nothing: another one has a disk of its own."""
    return "" if settings.inventory.temporal.address else disk.full(settings.state)


def remedy(settings: Settings, once: str) -> str:
    return REMEDY.format(path=settings.path, once=once)


async def namespace_kept_s(settings: Settings, client: Client) -> int:
    """How long our namespace keeps what is over; Denied where it is not there."""
    request = DescribeNamespaceRequest(namespace=client.namespace)
    try:
        found = await client.workflow_service.describe_namespace(request, timeout=RPC)
    except RPCError as error:
        raise refused(settings, client.service_client.config.target_host, error) from error
    return int(found.config.workflow_execution_retention_ttl.ToSeconds())


async def attributes(client: Client) -> frozenset[str]:
    """Which search attributes of ours the namespace has; none where it does not tell."""
    request = ListSearchAttributesRequest(namespace=client.namespace)
    try:
        found = await client.operator_service.list_search_attributes(request, timeout=RPC)
    except RPCError:
        return frozenset()
    keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    return frozenset(name for name in ATTRIBUTES if found.custom_attributes.get(name) == keyword)


async def in_order(client: Client) -> tuple[str, ...]:
    """For cluster, kind and operation; "" for one that the namespace has not."""
    there = await attributes(client)
    return tuple(name if name in there else "" for name in ATTRIBUTES)


async def described(client: Client, values: Mapping[str, str]) -> TypedSearchAttributes:
    """Those of the values that the namespace has an attribute for: an unknown one would be refused."""
    there = await attributes(client)
    pairs = [
        SearchAttributePair(SearchAttributeKey.for_keyword(name), value)
        for name, value in values.items()
        if name in there
    ]
    return TypedSearchAttributes(pairs)
