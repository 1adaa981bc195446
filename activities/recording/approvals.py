"""An approval is looked at, and what became of it goes on record, denied or not."""

from dataclasses import dataclass

from temporalio import activity

from activities.recording.recorded import OpenJournal
from quorate.approval import BrokenGlass, Case, Verdict, expiry, judged, message, of_purpose
from quorate.audit import Act
from quorate.converge import Clock, Ran
from quorate.errors import NotApproved
from quorate.ports import Signatures
from quorate.sshsig import Signature, parsed

STEP = "approval"


@dataclass(frozen=True)
class Approvals:
    signatures: Signatures
    journals: OpenJournal
    clock: Clock

    @activity.defn(name="approvals.check")
    def check(self, case: Case) -> Verdict:
        """The signature is recorded as it came, so that an auditor can verify it again without us."""
        journal, given = self.journals(case.operation), case.approval
        signed = ("--signature", given.signature) if given.signature else ()
        argv = ("approve", case.operation, "--digest", given.digest, "--expires", expiry(given.until), *signed)
        seq = journal.intent(Act(case.operation, STEP, case.cluster, argv, given.actor))
        began = self.clock.monotonic()
        try:
            verdict = self.verdict(case)
        except BaseException as error:
            journal.outcome(seq, error)
            raise
        took = self.clock.monotonic() - began
        code = NotApproved.exit_code if verdict.why_not else 0
        journal.outcome(seq, Ran("approve", code, str(verdict), self.clock.time(), took))
        return verdict

    def verdict(self, case: Case) -> Verdict:
        try:
            return judged(case, self.proved(case), self.clock.time())
        except NotApproved as error:
            return Verdict(case.approval.actor, str(error))

    def proved(self, case: Case) -> Signature | None:
        """Where keys are listed; elsewhere a signature would prove nothing."""
        if not case.awaiting.signers or not case.approval.signature:
            return None
        signature = of_purpose(parsed(case.approval.signature))
        self.signatures.prove(signature, message(case.cluster, case.operation, case.awaiting).encode())
        return signature

    @activity.defn(name="approvals.break_glass")
    def break_glass(self, broken: BrokenGlass) -> None:
        why = ("--incident", broken.incident, "--reason", broken.reason)
        argv = ("break-glass", broken.operation, "--digest", broken.digest, *why)
        journal = self.journals(broken.operation)
        seq = journal.intent(Act(broken.operation, STEP, broken.cluster, argv, broken.actor))
        journal.outcome(seq, Ran("break-glass", 0, str(broken), self.clock.time()))
