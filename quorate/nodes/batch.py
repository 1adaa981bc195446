"""Several commands and a look in one remote call: what every round trip costs is paid once."""

import shlex

from quorate.command import Command
from quorate.converge import Ran

END = "\x1e"  # behind what each command said; nothing that runs on a node prints it alone on a line
SEEN = "quorate-seen"

_BEGIN = r"""
u() { read -r u _ </proc/uptime; }
u; printf 'began\t%s\n\036\n' "$u"
while :; do
"""
_TOLD = r"""c=$?; u; printf 'ran\t%s\t%s\t%s\n%s\n\036\n' "$c" "$s" "$u" "$o"; [ "$c" = 0 ] || break"""


def script(acts: tuple[Command, ...], look: str) -> str:
    """POSIX shell: each command while its preconditions hold and the one before it succeeded, then the look."""
    lines = "\n".join(f"{given(act)}\nu; s=$u; o=$({run(act)} 2>&1); {_TOLD}" for act in acts)
    return f"{_BEGIN}{lines}\nbreak; done\nprintf '{SEEN}\\n'\n{look}"


def run(act: Command) -> str:
    """Of the bytes on standard input each command gets its own, so no file's content is ever in an argv."""
    size_bytes = len(act.stdin.encode())
    return f"head -c {size_bytes} | {act}" if act.stdin else f"{act} </dev/null"


def given(act: Command) -> str:
    """Ends the batch when a precondition no longer holds: nothing is printed for a command that did not run."""
    return "\n".join(f"{_missing(path)} && break" for path in act.given)


def _missing(path: str) -> str:
    quoted = shlex.quote(path.removeprefix("!"))
    if path.startswith("!"):
        return f"{{ [ -e {quoted} ] || [ -L {quoted} ]; }}"
    return f"[ ! -e {quoted} ]"


def parsed(acts: tuple[Command, ...], output: str, started: float) -> tuple[tuple[Ran, ...], str]:
    """What ran and the look's output; the first command that did not run has no exit code. ValueError if cut off."""
    said, seen, looked = output.rpartition(f"{SEEN}\n")
    if not seen:
        raise ValueError("it ends before the look")
    (began, *told) = [block.partition("\n") for block in said.split(f"\n{END}\n")[:-1]]
    zero = float(began[0].split("\t")[1])
    ran = [_ran(act, head, tail, started - zero) for act, (head, _, tail) in zip(acts, told, strict=False)]
    if len(ran) < len(acts) and not (ran and ran[-1].exit):
        ran.append(Ran(str(acts[len(ran)]), None))
    return tuple(ran), looked


def _ran(act: Command, head: str, tail: str, offset: float) -> Ran:
    _, code, since, until = head.split("\t")
    return Ran(str(act), int(code), tail.strip()[-4096:], offset + float(since), float(until) - float(since))
