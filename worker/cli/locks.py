"""Whether the store really refuses to give up what is locked: tried, on an object that is there for nothing else."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from quorate.errors import Denied, Failed

if TYPE_CHECKING:
    from quorate.ports import Store
    from quorate.settings.policies import Lock

CANARY = "canary/lock"
SPAN = timedelta(days=1)  # so at most one version a day, however often it is asked


def held(store: "Store", cluster: str, lock: "Lock | None") -> str:
    """In words; Failed where the store gives up what it should hold."""
    if lock is None:
        return "no lock (backup.lock): who has the keys of the daemon can remove every backup"
    key = f"{cluster}/{CANARY}"
    if not (there := store.ls(key)) or not store.locked(key):
        if there:
            store.remove(key)
        store.put(key, (b"it must not be possible to remove this\n",), lambda _: None)
        store.lock(key, datetime.now(UTC) + SPAN, lock.mode)
    until = store.locked(key)
    try:
        store.remove(key)
    except Denied:
        return f"a canary {until} ({lock.mode}) could not be removed"
    raise Failed(
        f"the store has removed {key}, which was {until or 'to be locked and was not'}: nothing holds the backups",
        next="enable Object Lock on the bucket; rights to bypass governance belong to nobody whom a daemon uses",
    )
