"""The daemon's own surroundings: its Temporal server, its figures, and who is told."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from quorate.settings.fields import Path, Reference, Strict, listening


class TemporalTls(Strict):
    ca: Reference | None = None
    cert: Reference | None = None
    key: Reference | None = None

    @model_validator(mode="after")
    def check_pair(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("expected both of cert, key or neither")
        return self


class Temporal(Strict):
    """Without an address `quorate up` starts a server of its own, on loopback."""

    address: str | None = Field(default=None, pattern=r"^[A-Za-z0-9.-]+:[0-9]{1,5}$")
    namespace: str = Field(default="default", pattern=r"^[A-Za-z0-9._-]+$")
    tls: TemporalTls | None = None
    binary: Path | None = None


class Metrics(Strict):
    """Where `/metrics` is served, as host:port; port 0 is any that is free. Whoever reaches it reads the figures."""

    listen: Annotated[str, AfterValidator(listening)]

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])


class Webhook(Strict):
    """Who is told of what failed: any receiver of JSON, Slack, or PagerDuty by its routing key."""

    form: Literal["json", "slack", "pagerduty"] = "json"
    url: Reference | None = None
    key: Reference | None = None

    @model_validator(mode="after")
    def check_form(self) -> Self:
        if self.form == "pagerduty" and not self.key:
            raise ValueError("form pagerduty needs key, the reference of a routing key; url is its own if left out")
        if self.form != "pagerduty" and (self.key or not self.url):
            raise ValueError(f"form {self.form} needs url, the reference of an address, and no key")
        return self


class Notify(Strict):
    """`deadman` is an address that is called every minute while the daemon is well."""

    deadman: Reference | None = None
    webhooks: tuple[Webhook, ...] = ()
