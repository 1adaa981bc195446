"""Who vouches for a manifest: our own key signs each, and the inventory's `trust` says whose signature counts."""

from collections.abc import Iterable, Mapping

from quorate.backups.catalogue import Manifest
from quorate.errors import NotApproved
from quorate.ports import Signatures, Signing
from quorate.sshsig import fingerprint, parsed

NAMESPACE = "quorate-manifest"


def signed(manifest: Manifest, signing: Signing) -> Manifest:
    """The same manifest by the same key is the same bytes."""
    return manifest.model_copy(update={"signature": signing.sign(NAMESPACE, manifest.encode())})


def doubted(manifests: Iterable[Manifest], trusted: tuple[str, ...], signatures: Signatures) -> Mapping[str, str]:
    """By id, why nobody that is trusted vouches for it; nothing where the inventory trusts nobody in particular."""
    return {each.id: why for each in manifests if trusted and (why := why_not(each, trusted, signatures))}


def why_not(manifest: Manifest, trusted: tuple[str, ...], signatures: Signatures) -> str:
    if not manifest.signature:
        return "its manifest is not signed"
    try:
        signature = parsed(manifest.signature)
        signatures.prove(signature, manifest.model_copy(update={"signature": ""}).encode())
    except NotApproved as error:
        return f"its manifest: {error}"
    if signature.namespace != NAMESPACE:
        return f"its manifest bears a signature for {signature.namespace!r}, not for {NAMESPACE!r}"
    if signature.key not in trusted:
        return f"its manifest is signed by {fingerprint(signature.key)}, which `trust` does not name"
    return ""
