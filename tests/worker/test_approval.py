"""Who may say yes to a plan, and what their yes is worth."""

from dataclasses import replace
from pathlib import Path

import pytest

from quorate.approval import Case, judged, message, of_purpose
from quorate.errors import BadInput, NotApproved
from quorate.inventories.reading import parse
from quorate.inventory import Inventory
from quorate.operation import Approval, Awaiting, why_malformed
from quorate.restore import plan
from quorate.sshsig import Signature, Signer, public_key
from tests.factory import INVENTORY
from tests.quorate.test_gates import DOWN
from tests.quorate.test_plan import request
from worker.cli.options import Given
from worker.cli.waiting import waiting_for

BOB = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIsQmMWxMv0pPNGx7PaSZuBqMZ0eeXWm2yRQhzNlDkmz"
CAM = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIsQmMWxMv0pPNGx7PaSZuBqMZ0eeXWm2yRQhzNlDkm0"
DIGEST, UNTIL = "5" * 64, 1795879800.75
AWAITING = Awaiting(DIGEST, 2, ("ann",), UNTIL, ("ann", "bob", "cam"), ())
KEYED = replace(AWAITING, approvers=("ann", "bob"), signers=(Signer("bob", BOB), Signer("ann", CAM)))
YES = Approval(DIGEST, "bob", until=UNTIL)


def by(key: str) -> Signature:
    return Signature(key, "quorate-approve", "sha512", "ssh-ed25519", b"")


def test_what_is_signed_is_this_to_the_byte() -> None:
    """An approver reads it, and a signature that was made elsewhere is over just these bytes: never change it."""
    assert message("prod", "restore-01ABC", AWAITING) == (
        f"quorate-approve v1\ncluster prod\noperation restore-01ABC\ndigest {DIGEST}\nexpires 2026-11-28T15:30:00Z\n"
    )


@pytest.mark.parametrize(
    ("awaiting", "approval", "signature", "name", "why_not"),
    [
        (AWAITING, YES, None, "bob", ""),
        (replace(AWAITING, approvers=()), replace(YES, actor="zoe"), None, "zoe", ""),
        (AWAITING, replace(YES, actor="zoe"), None, "zoe", "zoe is not among the approvers: ann, bob, cam"),
        (AWAITING, replace(YES, actor="ann"), None, "ann", "ann has approved already"),
        (AWAITING, replace(YES, digest="6" * 64), None, "bob", "has digest 555555555555, not 666666666666"),
        (AWAITING, replace(YES, until=UNTIL + 60), None, "bob", "another expiry"),
        (KEYED, YES, None, "bob", "it is not signed; on this cluster approvals are, by bob (SHA256:"),
        (KEYED, YES, by(BOB), "bob", ""),
        (KEYED, replace(YES, actor="zoe"), by(BOB), "bob", ""),  # whoever hands it in: the key tells
        (KEYED, YES, by(CAM), "ann", "ann has approved already"),  # the one who asked, under another name
        (KEYED, YES, by(BOB[:-1] + "A"), "bob", "which is not among the keys of bob (SHA256:"),
        (KEYED, replace(YES, digest="6" * 64), by(BOB), "bob", "has digest 555555555555"),
    ],
)
def test_an_approval_counts_or_it_is_said_why_not(
    awaiting: Awaiting, approval: Approval, signature: Signature | None, name: str, why_not: str
) -> None:
    verdict = judged(Case("restore-1", "demo", awaiting, approval), signature, UNTIL - 1)
    assert verdict.name == name
    assert why_not in verdict.why_not and bool(why_not) is bool(verdict.why_not)
    assert bool(verdict.key) is (signature is not None)


def test_an_approval_that_comes_too_late_does_not_count() -> None:
    verdict = judged(Case("restore-1", "demo", AWAITING, YES), None, UNTIL)
    assert verdict.why_not == "it came after 2026-11-28T15:30:00Z"


def test_a_signature_that_was_made_for_something_else_does_not_count() -> None:
    with pytest.raises(NotApproved, match="made for 'git'"):
        of_purpose(replace(by(BOB), namespace="git"))


@pytest.mark.parametrize(
    ("approval", "awaiting", "why_not"),
    [
        (YES, AWAITING, ""),
        (YES, None, "no approval is awaited"),
        (replace(YES, digest="5" * 12), AWAITING, "is no digest"),
        (replace(YES, digest="5" * 63 + "G"), AWAITING, "is no digest"),
        (Approval(DIGEST, "bob"), AWAITING, "another version"),
        (replace(YES, signature="x" * 10_000), AWAITING, "another version"),
        (replace(YES, digest="6" * 64), AWAITING, ""),  # well formed: to deny it is the check's, which audits
    ],
)
def test_only_form_and_phase_are_looked_at_first(approval: Approval, awaiting: Awaiting | None, why_not: str) -> None:
    found = why_malformed(approval, awaiting)
    assert why_not in found and bool(why_not) is bool(found)


def read(approvers: str) -> Inventory:
    text = INVENTORY.format(state="/state", store="/store")
    return parse(text + f"    approval: {{people: 2, approvers: {approvers}}}\n", "q.yaml")


class TestTheInventory:
    def test_names_are_enough(self) -> None:
        approval = read("[bob, cam]").clusters["demo"].approval
        assert (approval.names, approval.signers) == (("bob", "cam"), ())

    def test_with_keys_comments_are_left_out_and_a_name_may_have_two(self) -> None:
        text = f'[{{name: bob, ssh_key: "{BOB} bob@laptop"}}, {{name: bob, ssh_key: {CAM}}}]'
        approval = read(text).clusters["demo"].approval
        assert (approval.names, approval.signers) == (("bob",), (Signer("bob", BOB), Signer("bob", CAM)))

    @pytest.mark.parametrize(
        ("approvers", "said"),
        [
            (f"[{{name: bob, ssh_key: {BOB}}}, cam]", "for every approver or for none; none has cam"),
            (f"[{{name: bob, ssh_key: {BOB}}}, {{name: cam, ssh_key: {BOB}}}]", "one key cannot stand for two"),
            ("[{name: bob, ssh_key: ssh-dss AAAA}]", "of one of the types ssh-ed25519, ecdsa"),
            ("[{name: bob, ssh_key: /home/bob/.ssh/id.pub}]", "expected a public SSH key"),
            (f"[{{name: bob, ssh_key: {BOB[:-8]}}}]", "this ssh-ed25519 key is not whole"),
            (f"[{{name: bob, ssh_key: {BOB.replace('ssh-ed25519', 'ssh-rsa')}}}]", "this ssh-rsa key is not whole"),
            ("[{name: bob, colour: red}]", "no such field"),
        ],
    )
    def test_a_key_that_could_prove_nothing_is_a_mistake(self, approvers: str, said: str) -> None:
        with pytest.raises(BadInput) as raised:
            read(approvers)
        assert said in str(raised.value)
        assert "q.yaml:14" in str(raised.value)
        assert "AAAA" not in str(raised.value)  # it may be the private one

    def test_a_short_rsa_key_is_not_believed(self) -> None:
        short = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAQQDT" + "A" * 80 + "=="
        with pytest.raises(ValueError, match="too short|not whole"):
            public_key(short)


def test_the_plan_carries_the_keys_and_its_digest_covers_them(tmp_path: Path) -> None:
    asked = request(tmp_path)
    listed = read(f"[{{name: bob, ssh_key: {BOB}}}]").clusters["demo"].approval
    keyed = replace(asked, settings=asked.settings.model_copy(update={"approval": listed}))
    other = listed.approvers[0].model_copy(update={"ssh_key": CAM})
    changed = listed.model_copy(update={"approvers": (other,)})
    swapped = replace(asked, settings=asked.settings.model_copy(update={"approval": changed}))
    plans = [plan(each, DOWN) for each in (asked, keyed, swapped)]
    assert [each.chosen.signers for each in plans] == [(), (Signer("bob", BOB),), (Signer("bob", CAM),)]
    assert len({each.chosen.digest() for each in plans}) == 3


class TestWhatIsSaidWhileItIsAwaited:
    def test_who_has_who_may_until_when_and_the_command(self) -> None:
        text = waiting_for(KEYED, "restore-1", Given())
        assert text == (
            "waits for approval until 2026-11-28T15:30:00Z: 1 of 2 (ann); who may: bob, with an SSH key\n"
            f"  quorate approve restore-1 --digest {DIGEST} --key FILE"
        )

    @pytest.mark.parametrize(
        ("awaiting", "said"),
        [
            (AWAITING, "who may: bob, cam\n  quorate approve restore-1 --digest 5"),
            (AWAITING, "--as bob"),
            (replace(AWAITING, approvers=()), "who may: anybody else\n"),
            (replace(AWAITING, approvers=()), "--as NAME"),
            (replace(AWAITING, approved_by=()), "0 of 2 (nobody); who may: ann, bob, cam"),
            (replace(AWAITING, approvers=("ann",)), "who may: nobody else"),
        ],
    )
    def test_names_without_keys_and_none_at_all(self, awaiting: Awaiting, said: str) -> None:
        assert said in waiting_for(awaiting, "restore-1", Given())
