"""What Quorate itself logs in with, and until when: certificates for etcd, for Kubernetes and for SSH."""

from contextlib import suppress
from dataclasses import dataclass

from cryptography.hazmat.primitives.serialization import SSHCertificate, load_ssh_public_identity

from quorate.clusters.kubeconfig import client_certificate
from quorate.errors import QuorateError
from quorate.inventory import Cluster
from quorate.ports import Certificates, Secrets

FOR_EVER = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Credentials:
    secrets: Secrets
    certificates: Certificates

    def expiries(self, cluster: Cluster) -> dict[str, float]:
        """By what they are; one that cannot be read is left out, and so is one that is for ever."""
        found: dict[str, float | None] = {}
        if tls := cluster.etcd.tls:
            found |= {"etcd-client": self._pem(self._read(tls.cert)), "etcd-ca": self._pem(self._read(tls.ca))}
        if cluster.kubernetes:
            found["kubeconfig"] = self._pem(client_certificate(self._read(cluster.kubernetes.kubeconfig)))
        if cluster.ssh.certificate:
            found["ssh"] = of_ssh(self._read(cluster.ssh.certificate))
        return {kind: at for kind, at in found.items() if at is not None}

    def _read(self, reference: str) -> bytes:
        try:
            return self.secrets.resolve(reference)
        except QuorateError:
            return b""

    def _pem(self, data: bytes) -> float | None:
        certificate = self.certificates.read(data.decode(errors="replace"))
        return certificate.not_after if certificate else None


def of_ssh(data: bytes) -> float | None:
    found = None
    with suppress(ValueError):
        found = load_ssh_public_identity(data.strip())
    return float(found.valid_before) if isinstance(found, SSHCertificate) and found.valid_before < FOR_EVER else None
