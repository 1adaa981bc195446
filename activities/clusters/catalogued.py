"""The catalogue of one cluster in one store, as a machine remembers it and compares it with the store."""

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TypeVar

from pydantic import ValidationError

from quorate.backups.catalogue import Manifest, Shelf, arranged, home_of, of_restore, parse, read, shelf, wanted
from quorate.errors import Corrupt, Missing, QuorateError
from quorate.ports import Memory, Noted, Remembered, Store, Stored
from quorate.settings.stores import Store as StoreSettings

T = TypeVar("T")
Shelving = Callable[[Store, StoreSettings, str], Shelf]  # what lies in that store for a cluster, listed now
READERS = 16  # manifests are read at once; the S3 adapter has a connection for each
PAGE = 1000  # what S3 lists with one request, which is asked every time
FRESH_S = 150.0  # two looks of the daemon, and how long one may take


@dataclass(frozen=True, slots=True)
class Known:
    noted: Noted
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Glance:
    """A shelf as it was when it was compared; where `older` ones were left out, without its strays."""

    shelf: Shelf
    compared: float
    older: int = 0
    restores: int = 0  # of which there is a record


@dataclass(slots=True)
class Catalogued:
    """No manifest is read twice, no signature proved twice; `said` is what keeps it from remembering."""

    memory: Memory
    place: str
    cluster: str
    clock: Callable[[], float] = time.time
    known: dict[str, Known] | None = None  # by the key of the manifest; None before anything was recalled
    said: str = ""

    def look(self, store: Store) -> Shelf:
        """The same as `catalogue.shelf`: the store is listed, and what it has that is new is read."""
        if self.known is None:
            self.known = recalled(self._recall())
        writes, at = self._tried(lambda: self.memory.writes(self.place, self.cluster), -1), self.clock()
        listing = store.ls(f"{self.cluster}/")
        there = {each.key: each for each in wanted(listing)}
        same = {key: each for key, each in self.known.items() if alike(each.noted.stored, there.get(key))}
        read_now = fetched(store, [each for key, each in there.items() if key not in same])
        gone = {home_of(each.stored.key) for each in read_now if each.manifest is None}
        listing = tuple(each for each in listing if not gone or home_of(each.key) not in gone)
        new = {
            each.stored.key: Known(Noted(each.stored, each.text), each.manifest)
            for each in read_now
            if isinstance(each.manifest, Manifest)
        }
        self.known = {**same, **new}
        noted = [each.noted for each in new.values()]
        self._tried(lambda: self.memory.keep(self.place, self.cluster, listing, noted, at, writes), None)
        bad = {each.stored.key: each.manifest for each in read_now if isinstance(each.manifest, Corrupt)}
        return arranged(listing, {**{key: each.manifest for key, each in self.known.items()}, **bad})

    def glance(self, within_s: float = FRESH_S, last: int = 0) -> Glance | None:
        """As it was compared with the store not longer ago than this, and when; the store is not asked.

        Nothing where the store could as well be asked at once. With `last` no more than so many, the newest.
        """
        found = self._recall(last)
        if not 0 <= self.clock() - found.compared <= within_s or found.objects <= PAGE:
            return None
        self.known = recalled(found)
        if {each.key for each in wanted(found.listing)} != self.known.keys():
            return None  # of what is not believed only the store can say why
        shelf = arranged(found.listing, {key: each.manifest for key, each in self.known.items()})
        restores = sum(of_restore(each.key) for each in found.listing)
        return Glance(replace(shelf, strays={}) if found.older else shelf, found.compared, found.older, restores)

    @property
    def recalls(self) -> bool:
        """Whether the store was compared before: another look then reads no more than what is new."""
        return bool(self._recall(1).listing)

    def doubted(
        self, shelf: Shelf, trusted: tuple[str, ...], why_not: Callable[[Manifest], str]
    ) -> Mapping[str, str]:
        """As `provenance.doubted`; what these keys have said of a manifest once is not asked again."""
        if not trusted:
            return {}
        trust, known = digest(trusted), self.known or {}
        said = {each.manifest_key: self._said(each, trust) for each in shelf.manifests}
        new = {each.manifest_key: why_not(each) for each in shelf.manifests if said[each.manifest_key] is None}
        for key in new.keys() & known.keys():
            old = known[key]
            known[key] = Known(Noted(old.noted.stored, old.noted.text, trust, new[key]), old.manifest)
        if new:
            self._tried(lambda: self.memory.judge(self.place, self.cluster, trust, new), None)
        both = {**said, **new}
        return {each.id: why for each in shelf.manifests if (why := both[each.manifest_key])}

    def forget(self) -> None:
        self.known = None
        self._tried(lambda: self.memory.forget(self.place, self.cluster), None)

    def _said(self, manifest: Manifest, trust: str) -> str | None:
        found = (self.known or {}).get(manifest.manifest_key)
        return found.noted.doubt if found and found.noted.trust == trust else None

    def _recall(self, last: int = 0) -> Remembered:
        found = self._tried(lambda: self.memory.recall(self.place, self.cluster, last), Remembered())
        self.said = self.said or found.said
        return found

    def _tried(self, ask: Callable[[], T], otherwise: T) -> T:
        """A memory that fails keeps nobody from the store."""
        try:
            return ask()
        except QuorateError as error:
            self.said = str(error)
            return otherwise


@dataclass(frozen=True, slots=True)
class Read:
    """No manifest: it went away between the listing and now."""

    stored: Stored
    text: bytes
    manifest: Manifest | Corrupt | None


def fetched(store: Store, those: Iterable[Stored]) -> list[Read]:
    """Read at once and parsed one after another: the second is all processor, and threads only get in its way."""
    with ThreadPoolExecutor(READERS, "manifests") as pool:
        return [understood(*each) for each in pool.map(lambda each: (each, text_of(store, each.key)), those)]


def text_of(store: Store, key: str) -> bytes | Corrupt | None:
    try:
        return read(store, key)
    except Corrupt as error:
        return error
    except Missing:
        return None


def understood(stored: Stored, text: bytes | Corrupt | None) -> Read:
    if not isinstance(text, bytes):
        return Read(stored, b"", text)
    try:
        return Read(stored, text, parse(text, stored.key))
    except Corrupt as error:
        return Read(stored, text, error)


def recalled(found: Remembered) -> dict[str, Known]:
    """They were proved to be as they were written before they were kept; one that is damaged since is read again."""
    known = {}
    for key, noted in found.noted.items():
        try:
            manifest = Manifest.model_validate_json(noted.text)
        except ValidationError:
            continue
        if manifest.manifest_key == key:
            known[key] = Known(noted, manifest)
    return known


def alike(known: Stored, there: Stored | None) -> bool:
    return there is not None and (known.size_bytes, known.etag) == (there.size_bytes, there.etag)


def straight(store: Store, _settings: StoreSettings, cluster: str) -> Shelf:
    """Without a memory: all of it is read."""
    return shelf(store, cluster)


def digest(trusted: tuple[str, ...]) -> str:
    return sha256("\n".join(sorted(trusted)).encode()).hexdigest()
