"""A snapshot out of the store, as etcd sent it."""

from collections.abc import Iterator

from activities.streams.checksums import drain, proved, until_last
from activities.streams.compression import expanded
from activities.streams.sealed import opened
from activities.streams.walking import Walking
from quorate.backups.catalogue import Contents, Manifest
from quorate.database.content import Content
from quorate.database.snapshot import Examination, Facts, joined
from quorate.database.walk import Walked
from quorate.errors import Corrupt
from quorate.ports import Cipher, Store


def fetched(
    store: Store,
    cipher: Cipher,
    manifest: Manifest,
    identities: tuple[str, ...],
    examination: Examination | None = None,
) -> Iterator[bytes]:
    """Corrupt, before the last piece, where it is not what the manifest says, or no snapshot at all."""
    examination = examination or Examination(manifest.revision)
    key = manifest.key
    stored = proved(store.get(key), manifest.stored_sha256, key)
    pieces = joined(expanded(opened(cipher, stored, manifest.recipients, identities, key), key))
    return until_last(examined(pieces, examination), lambda: same(examination.facts(), manifest))


def examined(pieces: Iterator[bytes], examination: Examination) -> Iterator[bytes]:
    for piece in pieces:
        examination.feed(piece)
        yield piece


def looked_through(store: Store, cipher: Cipher, manifest: Manifest, identities: tuple[str, ...]) -> None:
    """Corrupt where `fetched` says so, or where a page in use or the content is not what it was.

    It is read twice where its manifest says what it holds: which pages are in use is known only at the end.
    """
    examination = Examination(manifest.revision)
    drain(fetched(store, cipher, manifest, identities, examination))
    if manifest.content:
        walking = Walking(examination.uses)
        drain(walking.of(fetched(store, cipher, manifest, identities)))
        walked = walking.walked()
        same_content(walked.content, manifest.content, manifest.id)
        same_pages(walked, manifest)


def same_content(found: Content, wanted: Contents, snapshot: str) -> None:
    if (found.digest, found.records, found.prefixes) != (wanted.digest, wanted.records, wanted.prefixes):
        raise Corrupt(
            f"{snapshot} holds {found.records} records with the content digest {found.digest[:12]}…, "
            f"its manifest says {wanted.records} with {wanted.digest[:12]}…"
        )


def same_pages(found: Walked, manifest: Manifest) -> None:
    seen = (found.used, found.free, found.torn)
    if manifest.pages and seen != (wanted := (manifest.pages.used, manifest.pages.free, manifest.pages.torn)):
        raise Corrupt(f"of {manifest.id} {seen} pages are in use, free and torn, its manifest says {wanted}")


def same(facts: Facts, manifest: Manifest) -> None:
    """What the bytes say of themselves, beside what was written down when they were stored."""
    wanted = Facts(manifest.size_bytes, manifest.sha256, manifest.db_sha256, manifest.revision)
    if facts != wanted:
        raise Corrupt(
            f"{manifest.id} is a snapshot of {facts.size_bytes} bytes at revision {facts.revision} with sha256 "
            f"{facts.sha256[:12]}…, its manifest says {wanted.size_bytes} at {wanted.revision} with "
            f"{wanted.sha256[:12]}…"
        )
