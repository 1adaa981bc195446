"""What a cluster's owners want of a recovery, and who of them has to say yes."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from quorate.settings.fields import Duration, Strict
from quorate.sshsig import Signer, public_key


class Objectives(Strict):
    """`restore_proof` is how old the last proof may be that a backup of the cluster can be restored."""

    rto: Duration
    rpo: Duration
    restore_proof: Duration | None = None


class Assigned(Strict):
    """Whose the findings of a report are, a person or a team, and within how long each is to be closed."""

    owner: str = Field(min_length=1, max_length=64)
    within: Duration | None = None


def named(value: object) -> object:
    """A bare name is an approver who is believed without a signature."""
    return {"name": value} if isinstance(value, str) else value


class Approver(Strict):
    name: str = Field(min_length=1, max_length=64)
    ssh_key: Annotated[str, AfterValidator(public_key)] | None = None


class Approval(Strict):
    """Two people: the one who asks, and another one who runs `quorate approve`.

    Where keys are listed that one signs; a name may stand with several keys.
    """

    people: Literal[1, 2] = 1
    approvers: tuple[Annotated[Approver, BeforeValidator(named, json_schema_input_type=str | Approver)], ...] = ()
    expires: Duration = 1800.0

    @model_validator(mode="after")
    def check_keys(self) -> Self:
        keys = [each.ssh_key for each in self.approvers if each.ssh_key]
        if keys and (without := [each.name for each in self.approvers if not each.ssh_key]):
            raise ValueError(f"expected an ssh_key for every approver or for none; none has {', '.join(without)}")
        if twice := sorted({each.name for each in self.approvers if each.ssh_key and keys.count(each.ssh_key) > 1}):
            raise ValueError(f"one key cannot stand for two approvers: {', '.join(twice)}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.name for each in self.approvers))

    @property
    def signers(self) -> tuple[Signer, ...]:
        return tuple(Signer(each.name, each.ssh_key) for each in self.approvers if each.ssh_key)
