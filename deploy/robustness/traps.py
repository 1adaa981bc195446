"""One command of a restore is stopped on its node until a fault has struck: commands and renames are counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from docker.errors import APIError

from deploy.lab.errors import LabError
from deploy.lab.lab import node_exec
from deploy.lab.wreck import do
from deploy.robustness.faults import SESSIONS

if TYPE_CHECKING:
    from deploy.lab.lab import Lab, Node

FOLDER = "/var/lib/robustness"
USER, SHELL = "quorate", "/bin/bash"
MOVE = "/usr/local/sbin/mv"  # before the real one in the path of sudo
COUNT = f"""#!/bin/sh
n=1; until mkdir {FOLDER}/$n 2>/dev/null; do n=$((n + 1)); done
echo "$*" > {FOLDER}/$n/words
stand() {{
    [ $n = $(cat {FOLDER}/number) ] || return 0
    : > {FOLDER}/reached
    until [ -e {FOLDER}/go ]; do sleep 0.02; done
}}
left() {{ read -r _ _ _ parent _ < /proc/$$/stat; [ "$parent" != "$PPID" ]; }}
"""
RUN = f'{SHELL} "$@"'
TRAPS = {  # what a remote command or a rename does when its turn comes
    "call": f"stand; left && exit 255; exec {RUN}\n",
    "late-call": f"stand; exec {RUN}\n",
    "called": f"{RUN}; c=$?; stand; exit $c\n",
    "rename": 'stand; exec /usr/bin/mv "$@"\n',
}
LAY = f"""
rm -rf {FOLDER}; mkdir -m 1777 {FOLDER}; echo "$1" > {FOLDER}/number
printf %s "$2" > {FOLDER}/trap; chmod 755 {FOLDER}/trap
if [ "$3" = rename ]; then ln -sf {FOLDER}/trap {MOVE}; exit; fi
usermod -s {FOLDER}/trap {USER}
# A session has the shell that was the user's when it began.
{SESSIONS.format("KILL")}
"""
TAKE_AWAY = f"touch {FOLDER}/go; rm -f {MOVE}; usermod -s {SHELL} {USER}"


@dataclass(frozen=True, slots=True)
class Trap:
    """For the command of a number, counted from the beginning of a restore on one node.

    `call`: it has come in and never runs if its connection is gone by then; `late-call`: it runs all the same;
    `called`: it has run, and its answer is kept back; `rename`: a file or directory is about to get another name.
    """

    lab: Lab
    node: Node
    kind: str
    number: int

    def lay(self) -> None:
        do(self.lab, self.node, "sh", "-c", LAY, "lay", str(self.number), COUNT + TRAPS[self.kind], self.kind)

    def caught(self) -> bool:
        return node_exec(self.lab, self.node, ["test", "-e", f"{FOLDER}/reached"])[0] == 0

    def let_go(self) -> bool:
        """False where the node is not there to be told so."""
        try:
            return node_exec(self.lab, self.node, ["touch", f"{FOLDER}/go"])[0] == 0
        except (APIError, LabError):
            return False

    def take_away(self) -> None:
        do(self.lab, self.node, "sh", "-c", TAKE_AWAY)
