"""Whether what is encrypted from now on can be opened again here, and what is signed here is believed."""

from typing import TYPE_CHECKING

from activities.streams.sealed import opened
from quorate.errors import Denied, Refusal

if TYPE_CHECKING:
    from quorate.ports import Cipher, Signing
    from quorate.settings.policies import Backup

SAMPLE = b"a few bytes"


def tried(cipher: "Cipher", policy: "Backup") -> str:
    """In words; an error says which key cannot be used, or that none of ours opens it."""
    if not policy.recipients:
        return "not encrypted: whoever reads the store reads every Secret"
    if not policy.identities:
        raise Denied(
            "a backup could not be opened when it is read back, nor a restore begun: backup.identities is empty",
            next='backup: {identities: ["file:/path/age.key"]} in the inventory',
        )
    sealed = cipher.encrypted((SAMPLE,), policy.recipients)
    assert b"".join(opened(cipher, sealed, policy.recipients, policy.identities, "a sample")) == SAMPLE
    count = len(policy.recipients)
    return f"for {count} recipient{'s' if count > 1 else ''}, and an identity of ours opens it"


def vouched(signing: "Signing", trust: tuple[str, ...]) -> str:
    """Refusal where whoever reads a manifest of this machine would not believe it."""
    key = signing.public_key
    if trust and key not in trust:
        raise Refusal(f"manifests are signed here by {key}, which `trust` does not name: they would not count")
    return f"manifests are signed by {key}" + ("" if trust else "; `trust` is empty, so nobody looks at signatures")
