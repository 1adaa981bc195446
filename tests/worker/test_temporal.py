"""What the client's core says of a server that it does not reach, in our words."""

from pathlib import Path

import pytest
from temporalio.service import RPCError, RPCStatusCode

from quorate.errors import Denied, Unreachable
from tests.factory import INVENTORY
from worker.settings import Settings, load
from worker.temporal import refused, unreached

HUNG_UP = (
    'Failed client connect: `get_system_info` call error after connection: Status { code: Unknown, message: "%s" }'
)
TLS = (
    "Failed client connect: Server connection error: tonic::transport::Error(Transport, ConnectError(Custom { %s }))"
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    config = tmp_path / "quorate.yaml"
    text = INVENTORY.format(state=tmp_path / "state", store=tmp_path / "store")
    config.write_text(text + "temporal: {address: 'far:7233', namespace: ours}\n")
    return load(config)


@pytest.mark.parametrize(
    ("said", "told", "kind"),
    [
        (TLS % "error: InvalidCertificate(UnknownIssuer)", "not signed by temporal.tls.ca", Denied),
        (TLS % "error: InvalidCertificate(NotValidForNameContext { .. })", "for another name", Denied),
        (TLS % "error: InvalidCertificate(ExpiredContext { .. })", "has expired", Denied),
        (TLS % "error: AlertReceived(CertificateRequired)", "does not accept our certificate", Denied),
        (TLS % "error: InvalidMessage(InvalidContentType)", "does not speak TLS", Denied),
        (TLS % 'kind: ConnectionRefused, message: "Connection refused"', "nothing listens there", Unreachable),
        (TLS % '"dns error"', "no host of that name", Unreachable),
        (HUNG_UP % "transport error", "may want TLS, and temporal.tls is not set", Unreachable),
        (HUNG_UP % "nobody has seen this before", "nobody has seen this before", Unreachable),
    ],
)
def test_what_keeps_us_away_is_told_in_words(
    settings: Settings, said: str, told: str, kind: type[Unreachable]
) -> None:
    error = unreached(settings, "far:7233", said)
    assert type(error) is kind
    assert told in str(error)
    assert error.next.startswith(f"quorate --config {settings.path} up --detach")


@pytest.mark.parametrize(
    ("status", "message", "kind", "following"),
    [
        (RPCStatusCode.NOT_FOUND, "Namespace ours is not found.", Denied, "temporal operator namespace create"),
        (RPCStatusCode.PERMISSION_DENIED, "Request unauthorized.", Denied, "up --detach"),
        (RPCStatusCode.UNAVAILABLE, "not now", Unreachable, "up --detach"),
    ],
)
def test_what_it_refuses_is_told_with_the_way_on(
    settings: Settings, status: RPCStatusCode, message: str, kind: type[Unreachable], following: str
) -> None:
    error = refused(settings, "far:7233", RPCError(message, status, b""))
    assert type(error) is kind
    assert following in error.next
