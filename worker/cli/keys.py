"""Whether what is encrypted from now on can be opened again here."""

from typing import TYPE_CHECKING

from activities.sealed import opened
from quorate.errors import Denied

if TYPE_CHECKING:
    from quorate.inventory import Backup
    from quorate.ports import Cipher

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
