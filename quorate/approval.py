"""Who may say yes to a plan, what exactly they say yes to, and whether they did."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from quorate.errors import NotApproved
from quorate.operation import Approval, Awaiting, why_not_approved
from quorate.sshsig import Signature, fingerprint

NAMESPACE = "quorate-approve"


@dataclass(frozen=True, slots=True)
class Case:
    """One approval as it came in, and what is awaited."""

    operation: str
    cluster: str
    awaiting: Awaiting
    approval: Approval


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who has approved, or the reason why it does not count."""

    name: str
    why_not: str = ""
    key: str = ""  # the fingerprint of the one that signed

    def __str__(self) -> str:
        if self.why_not:
            return f"denied: {self.why_not}"
        return f"approved by {self.name}" + (f" with the key {self.key}" if self.key else "")


@dataclass(frozen=True, slots=True)
class BrokenGlass:
    """The second person was not waited for."""

    operation: str
    cluster: str
    digest: str
    actor: str
    incident: str
    reason: str

    def __str__(self) -> str:
        return f"glass broken by {self.actor} for incident {self.incident}: {self.reason}"


def message(cluster: str, operation: str, awaiting: Awaiting) -> str:
    """What an approver signs, to the byte: five lines, each with its line feed."""
    return (
        f"quorate-approve v1\ncluster {cluster}\noperation {operation}\ndigest {awaiting.digest}\n"
        f"expires {expiry(awaiting.until)}\n"
    )


def expiry(until: float) -> str:
    return datetime.fromtimestamp(int(until), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def judged(case: Case, signature: Signature | None, now: float) -> Verdict:
    """What an approval is worth; `signature` has been verified over the message of this very case."""
    name, key = case.approval.actor, ""
    if case.awaiting.signers:
        if signature is None:
            return Verdict(name, f"it is not signed; on this cluster approvals are, by {listed(case.awaiting)}")
        key = fingerprint(signature.key)
        holder = next((each.name for each in case.awaiting.signers if each.key == signature.key), "")
        if not holder:
            return Verdict(
                name, f"it is signed with {key}, which is not among the keys of {listed(case.awaiting)}", key
            )
        name = holder
    approval = replace(case.approval, actor=name)
    if now >= case.awaiting.until:
        return Verdict(name, f"it came after {expiry(case.awaiting.until)}", key)
    return Verdict(name, why_not_approved(approval, case.awaiting), key)


def listed(awaiting: Awaiting) -> str:
    return ", ".join(f"{each.name} ({fingerprint(each.key)})" for each in awaiting.signers)


def of_purpose(signature: Signature) -> Signature:
    """NotApproved for a signature that was made for something else, such as a commit."""
    if signature.namespace != NAMESPACE:
        raise NotApproved(f"this signature was made for {signature.namespace!r}, not for {NAMESPACE!r}")
    return signature
