"""A snapshot out of the store, as etcd sent it."""

from collections.abc import Iterator

from activities.checksums import proved
from activities.compression import expanded
from activities.sealed import opened
from quorate.catalogue import Manifest
from quorate.errors import Corrupt
from quorate.ports import Cipher, Store
from quorate.snapshot import Examination, Facts, joined


def fetched(store: Store, cipher: Cipher, manifest: Manifest, identities: tuple[str, ...]) -> Iterator[bytes]:
    """Corrupt, before the last piece, where it is not what the manifest says, or no snapshot at all."""
    key = manifest.key
    recipients = manifest.encryption.recipients if manifest.encryption else ()
    stored = proved(store.get(key), manifest.stored_sha256, key)
    examination, held = Examination(), b""
    for piece in joined(expanded(opened(cipher, stored, recipients, identities, key), key)):
        examination.feed(piece)
        if held:
            yield held
        held = piece
    same(examination.facts(), manifest)
    yield held


def same(facts: Facts, manifest: Manifest) -> None:
    """What the bytes say of themselves, beside what was written down when they were stored."""
    wanted = Facts(manifest.size_bytes, manifest.sha256, manifest.db_sha256, manifest.revision)
    if facts != wanted:
        raise Corrupt(
            f"{manifest.id} is a snapshot of {facts.size_bytes} bytes at revision {facts.revision} with sha256 "
            f"{facts.sha256[:12]}…, its manifest says {wanted.size_bytes} at {wanted.revision} with "
            f"{wanted.sha256[:12]}…"
        )
