"""The one remote call that every act goes through: lock, claim, preconditions, then the command.

An attempt that Temporal gave up may still be running; here, on the node and under its lock, is the only
place where it can be stopped from acting after its successor.
"""

import shlex

from quorate.command import Command, Ticket
from quorate.errors import Busy, QuorateError, Superseded, Unreachable

SAID = "quorate-guard: "

# $1 directory, $2 operation, $3 turn, $4 attempt, $5 step and verb, $6 how: look, or do | send, $7 number of
# preconditions. The step in the claim is for whoever has to take over with nothing but the nodes.
# What is sent would hold the lock for as long as it takes: it closes descriptor 9 once the file is open that it
# writes to. One that is late finds the claim raised, or its file is removed with the others: it leaves nothing.
_GUARD = r"""
d=$1 op=$2 turn=$3 attempt=$4 at=$5 how=$6 n=$7; shift 7; umask 022
no() { printf 'quorate-guard: %s\n' "$*"; exit 79; }
[ -d "$d" ] || mkdir -p -m 0700 "$d" || exit 1
exec 9>>"$d/lock"; flock -w 3 9 || no busy
over= c=$op t=-1 a=0
if [ -f "$d/claim" ]; then read -r c t a _ <"$d/claim"
elif [ -f "$d/$op/released" ]; then read -r c t a _ <"$d/$op/released"; over=1; fi
[ "$c" = "$op" ] || no claimed "$c"
if [ "$t" -gt "$turn" ] || { [ "$t" -eq "$turn" ] && [ "$a" -gt "$attempt" ]; }; then no superseded "$t" "$a"; fi
if [ "$how" = look ]; then
  if [ -z "$over" ] && [ "$t $a" != "$turn $attempt" ]; then
    printf '%s %s %s %s\n' "$op" "$turn" "$attempt" "$at" >"$d/claim.new" && mv "$d/claim.new" "$d/claim" || exit 1
  fi
elif [ -n "$over" ] || [ "$t" -lt 0 ]; then no fell claim; fi
while [ "$n" -gt 0 ]; do
  case $1 in
    !*) p=${1#!}; if [ -e "$p" ] || [ -L "$p" ]; then no fell "$1"; fi ;;
    *) [ -e "$1" ] || no fell "$1" ;;
  esac
  shift; n=$((n - 1))
done
exec "$@"
"""


def guarded(directory: str, ticket: Ticket, how: str, command: Command) -> str:
    """The whole remote command line; every word of it is quoted."""
    words = (
        "sh", "-c", _GUARD, "quorate", directory,
        ticket.holder or ticket.operation, str(ticket.turn), str(ticket.attempt),
        f"{ticket.step} {ticket.verb}".strip(), how,
        str(len(command.given)), *command.given, *command.argv,
    )  # fmt: skip
    return shlex.join(words)


def refused(output: str, node: str) -> QuorateError | None:
    """What the guard said, as an error; None when it was only a precondition that fell."""
    what, _, rest = output.strip().splitlines()[-1].removeprefix(SAID).partition(" ")
    match what:
        case "claimed":
            return Busy(f"{node} belongs to operation {rest}", next=f"quorate operations show {rest}")
        case "superseded":
            return Superseded(f"{node}: a later attempt ({rest}) has taken over")
        case "busy":
            return Unreachable(f"{node}: an earlier command of this operation is still running there")
    return None


def silenced(output: str, exit_code: int) -> bool:
    """Whether it was the guard that spoke, not the command."""
    lines = output.strip().splitlines()
    return exit_code == 79 and bool(lines) and lines[-1].startswith(SAID)
