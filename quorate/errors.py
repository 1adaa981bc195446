"""The one tree of errors, each kind with a stable exit code and the next thing to do.

* QuorateError                1   a defect of ours
  + BadInput                  2   a file, a flag or a name that makes no sense; nothing was started
  + Refusal                   4   a safety gate said no; nothing was changed
    - NoSpace                 4   a node's disk has no room for what would be written; nothing was
    - OtherVersion            4   an operation is open that only the version which began it can finish
  + NotApproved               5   denied, expired, or the plan is no longer true
  + Unreachable               6   a host, a store or a server did not answer, or refused us
    - LoginRefused            6   etcd's authentication does not know us, or not as root
    - HostKeyChanged          6   the host is not the one that was pinned
    - HostKeyUnknown          6   no host key is pinned for it
    - NoDaemon                6   nothing runs that could carry it out
  + Corrupt                   7   bytes are not what they should be
  + StillRunning              8   our patience ended, the operation goes on
  + Undone                    9   it failed, everything is as it was before
  + Held                     10   it stopped half way and waits for a person
  + Busy                     11   another operation holds the cluster
  + Detached                130   the person who watched went away, the operation goes on
  + Failed                   10   a step failed; the operation decides what that means
    - DidNotConverge         10
    - CommandFailed          10
    - Superseded             10   a later attempt has taken over; this one does nothing

A code never changes its meaning (README, "Exit codes"); an unknown code is a failure.
"""

from typing import ClassVar


class QuorateError(Exception):
    """What happened, with the names in it; `next` is the command to run now."""

    exit_code: ClassVar[int] = 1
    kind: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, next: str = "") -> None:  # noqa: A002 - the field's name in the scripts' contract
        super().__init__(message)
        self.next = next


class BadInput(QuorateError):
    exit_code, kind = 2, "bad-input"


class Refusal(QuorateError):
    exit_code, kind = 4, "refused"


class NoSpace(Refusal):
    kind = "no-space"


class OtherVersion(Refusal):
    kind = "other-version"


class NotApproved(QuorateError):
    exit_code, kind = 5, "not-approved"


class Unreachable(QuorateError):
    exit_code, kind, retryable = 6, "unreachable", True


class Denied(Unreachable):
    """It answered, and will answer the same again: wrong key, wrong password, no such bucket."""

    kind, retryable = "denied", False


class LoginRefused(Denied):
    kind = "login-refused"


class HostKeyChanged(Denied):
    kind = "host-key-changed"


class HostKeyUnknown(Denied):
    kind = "host-key-unknown"


class NoDaemon(Unreachable):
    kind, retryable = "no-daemon", False


class Corrupt(QuorateError):
    exit_code, kind = 7, "corrupt"


class StillRunning(QuorateError):
    exit_code, kind = 8, "still-running"


class Undone(QuorateError):
    exit_code, kind = 9, "undone"


class Held(QuorateError):
    exit_code, kind = 10, "held"


class Busy(QuorateError):
    exit_code, kind = 11, "busy"


class Detached(QuorateError):
    exit_code, kind = 130, "detached"


class Failed(QuorateError):
    exit_code, kind, retryable = 10, "failed", True


class DidNotConverge(Failed):
    """The step's budget is spent; trying the whole step again would only spend it twice."""

    kind, retryable = "did-not-converge", False


class CommandFailed(Failed):
    kind = "command-failed"


class Superseded(Failed):
    kind, retryable = "superseded", False


class AlreadyThere(QuorateError):
    """A create-only put found the key taken; nothing was overwritten."""

    exit_code, kind = 10, "already-there"


class Missing(QuorateError):
    """Nothing is stored under that key."""

    exit_code, kind = 2, "missing"


def kinds(root: type[QuorateError] = QuorateError) -> tuple[type[QuorateError], ...]:
    """Every kind of error there is, the root first."""
    return (root, *(kind for child in root.__subclasses__() for kind in kinds(child)))
