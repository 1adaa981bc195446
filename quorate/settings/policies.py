"""What becomes of backups: how often, for whom encrypted, what beside the snapshot, how long kept."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from quorate.cron import checked, parsed
from quorate.settings.fields import Duration, LockMode, Path, Recipient, Reference, Strict


class Retention(Strict):
    """Which backups are kept: those that any of these names; without one all are.

    `last` so many; of each of so many hours, days, weeks (ISO), months and years in UTC the last one; and all of the
    time before the newest that `keep_within` spans. The newest `min_verified` stay whatever the rest says.
    """

    last: int = Field(default=0, ge=0)
    hourly: int = Field(default=0, ge=0)
    daily: int = Field(default=0, ge=0)
    weekly: int = Field(default=0, ge=0)
    monthly: int = Field(default=0, ge=0)
    yearly: int = Field(default=0, ge=0)
    keep_within: Duration = 0.0
    min_verified: int = Field(default=3, ge=1)

    @model_validator(mode="after")
    def check_some(self) -> Self:
        rules = ("last", "hourly", "daily", "weekly", "monthly", "yearly", "keep_within")
        if not any(getattr(self, rule) for rule in rules):
            raise ValueError(f"expected at least one of {', '.join(rules)}")
        return self


class Lock(Strict):
    """How long the store itself refuses to give a backup up, from when it was taken (S3 Object Lock)."""

    keep: Duration = Field(gt=0)
    mode: LockMode = "compliance"


SHORTEST_S = 10.0  # Temporal catches up on nothing shorter


def switched(value: object) -> object:
    """`on` is a schedule with nothing said, `off` is none; YAML reads both as truth values."""
    if value is True or value == "on":
        return {}
    return None if value is False or value == "off" else value


class Schedule(Strict):
    """When the daemon takes backups by itself: by `cron` in `time_zone`, or each `every`; each up to `jitter` later.

    With neither it is each `every` of the policy. `on` says no more than that, `off` is no schedule.
    """

    cron: Annotated[str, AfterValidator(checked)] | None = None
    every: Annotated[Duration, Field(ge=SHORTEST_S)] | None = None
    jitter: Annotated[Duration, Field(ge=0)] = 0.0
    time_zone: str = Field(default="UTC", pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$")

    @model_validator(mode="after")
    def check_one(self) -> Self:
        if self.cron and self.every:
            raise ValueError("expected cron or every, not both")
        if self.cron is None and self.time_zone != "UTC":
            raise ValueError("expected a time_zone only with cron: an interval is the same in every zone")
        return self


Switch = Schedule | Literal["on", "off"] | bool | None
UNENCRYPTED = "private keys may lie there for all to read"


class Bundle(Strict):
    """What a backup takes of the nodes beside the snapshot, for a node that is blank: certificates, keys, settings.

    The keys of authorities (`ca.key`) are part of it only where `ca_keys` says so; `paths` are files or directories
    beyond those that processes and units name. Where backups have no recipients there is none, unless `unencrypted`
    says that in so many words.
    """

    ca_keys: bool = False
    paths: tuple[Path, ...] = ()
    unencrypted: Literal["private keys may lie there for all to read"] | None = None


BundleSwitch = Bundle | Literal["on", "off"] | bool | None
PRESETS: Mapping[str, Mapping[str, object]] = {
    "daily-7": {
        "schedule": {"every": "24h", "jitter": "10m"},
        "retention": {"keep_within": "7d", "daily": 7},
        "verify_within": "1d",
    }
}


class Backup(Strict):
    """Where to and how often, and which other stores get a copy.

    What leaves is encrypted for all `recipients`, and `identities` are what opens it.

    A backup with fewer keys than the one before, by more than `shrink_percent`, is suspect. Up to `compare_mib` of
    database every member hashes its data, which blocks its writes for about a second a GiB. A member sends no faster
    than `rate_mib_s`. Of a cluster that cannot vouch for a snapshot (no quorum, every member behind or CORRUPT) there
    is none, or `when_sick` says that one counts as degraded. What was not proved for `verify_within` is fetched and
    compared by the next `verify`; where none was restored in the sandbox for `restore_within`, the newest is then.
    Without a `schedule` nothing is taken by itself; `every` alone says when one is late. A `preset` fills in what is
    left out: `daily-7` is a backup a day, proved again every day, kept for seven.
    """

    preset: Literal["daily-7"] | None = None
    store: str
    copies: tuple[str, ...] = ()
    every: Duration = 3600.0
    schedule: Annotated[Schedule | None, BeforeValidator(switched, json_schema_input_type=Switch)] = None
    shrink_percent: int = Field(default=50, ge=0, le=100)
    when_sick: Literal["refuse", "degraded"] = "refuse"
    compare_mib: int = Field(default=1024, ge=0)
    rate_mib_s: int | None = Field(default=None, ge=1)
    recipients: tuple[Recipient, ...] = ()
    identities: tuple[Reference, ...] = ()
    lock: Lock | None = None
    bundle: Annotated[Bundle | None, BeforeValidator(switched, json_schema_input_type=BundleSwitch)] = Bundle()
    retention: Retention | None = None
    verify_within: Duration = 7 * 86400.0
    restore_within: Annotated[Duration, Field(gt=0)] | None = None

    @model_validator(mode="before")
    @classmethod
    def preset_values(cls, given: object) -> object:
        if isinstance(given, dict) and isinstance(preset := given.get("preset"), str):
            return {**PRESETS.get(preset, {}), **given}
        return given

    @model_validator(mode="after")
    def check_recipients(self) -> Self:
        if twice := sorted({each for each in self.recipients if self.recipients.count(each) > 1}):
            raise ValueError(f"a recipient is named twice: {', '.join(twice)}")
        if self.recipients and self.bundle and self.bundle.unencrypted:
            raise ValueError("expected bundle.unencrypted only without recipients: with them it is encrypted")
        if twice := sorted({each for each in self.stores if self.stores.count(each) > 1}):
            raise ValueError(f"a store is named twice: {', '.join(twice)}")
        return self

    @property
    def stores(self) -> tuple[str, ...]:
        """By name, the one that is written first in front."""
        return (self.store, *self.copies)

    @model_validator(mode="after")
    def check_schedule(self) -> Self:
        if self.schedule and self.expected_s < SHORTEST_S:
            raise ValueError(f"expected every of at least {SHORTEST_S:.0f}s where backups are scheduled")
        if self.schedule and self.schedule.jitter >= self.expected_s:
            raise ValueError(f"expected schedule.jitter below the interval, which is {self.expected_s:.0f}s")
        return self

    @property
    def expected_s(self) -> float:
        """From one backup to the next, at most."""
        if self.schedule and self.schedule.cron:
            return parsed(self.schedule.cron).longest_s
        return (self.schedule.every if self.schedule else None) or self.every
