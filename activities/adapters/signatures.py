"""SSH signatures, proved with `cryptography`: a worker needs no ssh-keygen."""

from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from quorate.errors import NotApproved
from quorate.sshsig import Signature, blob, strings

CURVES: dict[bytes, tuple[ec.EllipticCurve, hashes.HashAlgorithm]] = {
    b"nistp256": (ec.SECP256R1(), hashes.SHA256()),
    b"nistp384": (ec.SECP384R1(), hashes.SHA384()),
    b"nistp521": (ec.SECP521R1(), hashes.SHA512()),
}
FOREIGN = (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError, KeyError, IndexError, OverflowError)


@dataclass(frozen=True, slots=True)
class SshSignatures:
    def prove(self, signature: Signature, message: bytes) -> None:
        try:
            PROOFS[signature.key.split()[0]](strings(blob(signature.key)), signature, signature.covers(message))
        except FOREIGN as error:
            raise NotApproved(
                "the signature does not match: it was made over something else, or by another key"
            ) from error


def by_ed25519(key: list[bytes], signature: Signature, data: bytes) -> None:
    ed25519.Ed25519PublicKey.from_public_bytes(key[1]).verify(signature.raw, data)


def by_ecdsa(key: list[bytes], signature: Signature, data: bytes) -> None:
    curve, hashed = CURVES[key[1]]
    r, s = (int.from_bytes(each) for each in strings(signature.raw))
    ec.EllipticCurvePublicKey.from_encoded_point(curve, key[2]).verify(
        encode_dss_signature(r, s), data, ec.ECDSA(hashed)
    )


def by_rsa(key: list[bytes], signature: Signature, data: bytes) -> None:
    exponent, modulus = (int.from_bytes(each) for each in key[1:])
    hashed = hashes.SHA512() if signature.algorithm.endswith("512") else hashes.SHA256()
    raw = signature.raw.rjust((modulus.bit_length() + 7) // 8, b"\0")  # leading zeros may be left out
    rsa.RSAPublicNumbers(exponent, modulus).public_key().verify(raw, data, padding.PKCS1v15(), hashed)


PROOFS: dict[str, Callable[[list[bytes], Signature, bytes], None]] = {
    "ssh-ed25519": by_ed25519,
    "sk-ssh-ed25519@openssh.com": by_ed25519,
    "ecdsa-sha2-nistp256": by_ecdsa,
    "ecdsa-sha2-nistp384": by_ecdsa,
    "ecdsa-sha2-nistp521": by_ecdsa,
    "sk-ecdsa-sha2-nistp256@openssh.com": by_ecdsa,
    "ssh-rsa": by_rsa,
}
