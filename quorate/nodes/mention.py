"""Words that a file of a node may have: whether they are there, told in the look that asks for more."""

import shlex
from typing import NamedTuple


class Mention(NamedTuple):
    """A text in a file; or, where no path is given, in any file that systemd reads for a unit."""

    where: str
    text: str


def script(mention: Mention) -> str:
    """POSIX shell: one line a file that has the text."""
    where, text = shlex.quote(mention.where), shlex.quote(mention.text)
    files = where
    if not mention.where.startswith("/"):
        files = (
            f"$(systemctl show -p FragmentPath -p DropInPaths -p EnvironmentFiles --value -- {where} "
            "| sed 's/ (ignore_errors=.*//')"
        )
    return rf"""for f in {files}; do
  grep -qF -- {text} "$f" 2>/dev/null && printf 'mention\t%s\t%s\n' "$f" {text}; done"""


def parse(rows: list[list[str]]) -> frozenset[Mention]:
    return frozenset(Mention(*row[1:]) for row in rows if row[0] == "mention" and len(row) == 3)
