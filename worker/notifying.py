"""Tells webhooks what has happened, and a dead man's switch that we live; no operation ever waits for either."""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quorate.errors import Denied, Failed, QuorateError
from quorate.gauges import Figure
from quorate.notices import Notice, body
from quorate.ports import Secrets, Webhooks
from quorate.settings.service import Webhook
from worker import embedded

GIVEN_UP_S = 86400.0  # nobody wants to hear of it a day later
FORGOTTEN_S = 7 * 86400.0
BACKOFF_S, BACKOFF_MAX_S = 5.0, 300.0
SILENT_S = 90.0
PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"


@dataclass(frozen=True, slots=True)
class Outbox:
    """What each receiver was told, in the state directory: a restart neither forgets nor repeats."""

    path: Path
    lock: threading.Lock = field(default_factory=threading.Lock)

    def waiting(self, receiver: str, notices: Iterable[Notice], now: float) -> tuple[Notice, ...]:
        """The oldest first; nothing from before the receiver was first named."""
        kept = self._of(receiver, now)
        left = (each for each in notices if each.at >= kept["since"] and each.id not in kept["told"])
        return tuple(sorted((each for each in left if now - each.at < GIVEN_UP_S), key=lambda each: each.at))

    def tell(self, receiver: str, notice: Notice, now: float) -> None:
        with self.lock:
            kept = self._read().get(receiver, {"since": now, "told": {}})
            told = {id_: at for id_, at in kept["told"].items() if now - at < FORGOTTEN_S}
            self._write(receiver, {**kept, "told": {**told, notice.id: notice.at}})

    def _of(self, receiver: str, now: float) -> dict[str, Any]:
        with self.lock:
            if (kept := self._read().get(receiver)) is None:
                kept = {"since": now, "told": {}}
                self._write(receiver, kept)
            return kept

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            return dict(json.loads(self.path.read_text()))
        except (OSError, ValueError, TypeError):
            return {}

    def _write(self, receiver: str, kept: dict[str, Any]) -> None:
        embedded.replace(self.path, json.dumps({**self._read(), receiver: kept}))


@dataclass(slots=True)
class Receiver:
    """One webhook; after a failure it is left alone for a while, longer each time."""

    settings: Webhook
    webhooks: Webhooks
    secrets: Secrets
    outbox: Outbox
    notices: Callable[[], Iterable[Notice]]
    failures: int = 0
    quiet_until: float = 0.0
    trouble: QuorateError | None = None

    @property
    def name(self) -> str:
        """The same for the same reference, which is no secret."""
        where = f"{self.settings.url or ''} {self.settings.key or ''}"
        return f"{self.settings.form}-{hashlib.sha256(where.encode()).hexdigest()[:6]}"

    @property
    def waiting(self) -> tuple[Notice, ...]:
        return self.outbox.waiting(self.name, self.notices(), time.time())

    @property
    def figures(self) -> tuple[Figure, ...]:
        return (Figure("quorate_notices_waiting", (self.name,), len(self.waiting)),)

    def send(self) -> None:
        """What is refused keeps nothing else waiting; where nobody answers all of it waits."""
        if self.trouble and time.monotonic() < self.quiet_until:
            raise self.trouble
        self.trouble = self._send_all()
        if self.trouble:
            self.failures += 1
            self.quiet_until = time.monotonic() + min(BACKOFF_MAX_S, BACKOFF_S * 2**self.failures)
            raise self.trouble
        self.failures = 0

    def _send_all(self) -> QuorateError | None:
        refused: QuorateError | None = None
        for notice in self.waiting:
            try:
                self._send(notice)
            except Denied as error:
                refused = refused or error
            except QuorateError as error:
                return error
        return refused

    def _send(self, notice: Notice) -> None:
        settings = self.settings
        url = self.secrets.resolve(settings.url).decode() if settings.url else PAGERDUTY
        key = self.secrets.resolve(settings.key).decode() if settings.key else ""
        text = json.dumps(body(settings.form, notice, key)).encode()
        self.webhooks.call(f"webhook {self.name}", url.strip(), text)
        self.outbox.tell(self.name, notice, time.time())


@dataclass(frozen=True, slots=True)
class Switch:
    """Somebody outside rings when we are not heard any more; `silent_s` is for how long Temporal has not answered."""

    url: str
    webhooks: Webhooks
    secrets: Secrets
    silent_s: Callable[[], float]

    def ping(self) -> None:
        """Not while we could carry nothing out."""
        if (silent_s := self.silent_s()) > SILENT_S:
            raise Failed(f"the dead man's switch is left alone: Temporal has not answered for {silent_s:.0f} s")
        self.webhooks.call("the dead man's switch", self.secrets.resolve(self.url).decode().strip())
