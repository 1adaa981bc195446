"""A bundle that lies in the store: proved once more, or opened for whoever asks for it."""

from collections.abc import Iterator

from activities.streams.checksums import Sum, drain, proved
from activities.streams.compression import expanded
from activities.streams.sealed import opened
from quorate.backups.catalogue import Bundle, Manifest
from quorate.chosen import BundleRef
from quorate.errors import BadInput, QuorateError
from quorate.ports import Cipher, Store


def laid_in(
    store: Store, cipher: Cipher, key: str, recipients: tuple[str, ...], identities: tuple[str, ...]
) -> tuple[str, str]:
    """The sha256 of the object and of the tar in it, "" where nobody here can open it."""
    packed, sent = Sum(), Sum()
    chunks = packed.of(store.get(key))
    if recipients and not identities:
        drain(chunks)
        return packed.sha256, ""
    drain(sent.of(expanded(opened(cipher, chunks, recipients, identities, key), key)))
    return packed.sha256, sent.sha256


def unsound(store: Store, cipher: Cipher, manifest: Manifest, identities: tuple[str, ...]) -> str:
    """Why its bundle is not what was stored, or nothing; of the snapshot that says nothing.

    Read twice before it is believed: once may be the network's.
    """
    if manifest.bundle is None:
        return ""
    return differing(store, cipher, manifest, identities) and differing(store, cipher, manifest, identities)


def differing(store: Store, cipher: Cipher, manifest: Manifest, identities: tuple[str, ...]) -> str:
    wanted = of(manifest)
    try:
        packed, sent = laid_in(store, cipher, wanted.key, manifest.recipients, identities)
    except QuorateError as error:
        return str(error)
    if packed != wanted.stored_sha256 or sent not in {wanted.sha256, ""}:
        return f"{wanted.key} has sha256 {packed[:12]}…, its manifest says {wanted.stored_sha256[:12]}…"
    return ""


def pulled(store: Store, cipher: Cipher, manifest: Manifest, identities: tuple[str, ...]) -> Iterator[bytes]:
    """The tar; Corrupt before its last bytes where it is not the one that was stored."""
    return whole(store, cipher, of(manifest), manifest.recipients, identities)


def whole(
    store: Store,
    cipher: Cipher,
    wanted: Bundle | BundleRef,
    recipients: tuple[str, ...],
    identities: tuple[str, ...],
) -> Iterator[bytes]:
    stored = proved(store.get(wanted.key), wanted.stored_sha256, wanted.key)
    clear = opened(cipher, stored, recipients, identities, wanted.key)
    return proved(expanded(clear, wanted.key), wanted.sha256, wanted.key)


def of(manifest: Manifest) -> Bundle:
    if manifest.bundle is None:
        raise BadInput(f"{manifest.id} has no bundle", next=f"quorate snapshots show {manifest.id}")
    return manifest.bundle
