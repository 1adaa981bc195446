"""What lies encrypted in the store, where it has recipients."""

from collections.abc import Iterable, Iterator

from quorate.ports import Cipher


def opened(
    cipher: Cipher, chunks: Iterator[bytes], recipients: tuple[str, ...], identities: tuple[str, ...], what: str
) -> Iterator[bytes]:
    return cipher.decrypted(chunks, identities, what) if recipients else chunks


def sealed(cipher: Cipher, chunks: Iterable[bytes], recipients: tuple[str, ...]) -> Iterator[bytes]:
    return cipher.encrypted(chunks, recipients) if recipients else iter(chunks)
