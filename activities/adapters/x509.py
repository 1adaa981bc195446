"""Certificates as cryptography reads them."""

from collections.abc import Iterable, Iterator
from contextlib import suppress

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from quorate.nodes.certificates import Certificate

UNREADABLE = (ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm)
NO_EXTENSION = (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, *UNREADABLE)


class X509:
    """The port Certificates."""

    def read(self, pem: str) -> Certificate | None:
        """None for what is no certificate."""
        try:
            found = x509.load_pem_x509_certificate(pem.encode())
            return Certificate(
                subject=found.subject.rfc4514_string(),
                not_before=found.not_valid_before_utc.timestamp(),
                not_after=found.not_valid_after_utc.timestamp(),
                names=names(found),
                authority=authority(found),
            )
        except UNREADABLE:
            return None

    def signs(self, key: bytes, certificates: Iterable[bytes]) -> bool:
        """Whether a file is the private key of an authority that one of these is the certificate of."""
        if b"PRIVATE KEY-----" not in key:
            return False
        try:
            public = spki(serialization.load_pem_private_key(key, None).public_key())
        except UNREADABLE:
            return False
        return any(authority(each) and spki(each.public_key()) == public for each in read_all(certificates))


def spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def read_all(pems: Iterable[bytes]) -> Iterator[x509.Certificate]:
    for pem in pems:
        with suppress(*UNREADABLE):
            yield from x509.load_pem_x509_certificates(pem)


def names(found: x509.Certificate) -> tuple[str, ...]:
    with suppress(*NO_EXTENSION):
        said = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        addresses = said.get_values_for_type(x509.IPAddress)
        return (*said.get_values_for_type(x509.DNSName), *map(str, addresses))
    return ()


def authority(found: x509.Certificate) -> bool:
    with suppress(*NO_EXTENSION):
        return bool(found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    return False
