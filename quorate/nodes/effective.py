"""What etcd really runs with: its command line, its environment, or a configuration file that replaces both.

Source of the precedence: E:server/etcdmain/config.go, configFromFile and configFromCmdLine: with a file nothing
else counts; without one a flag on the command line wins over `ETCD_…` in the environment (newer ones do not start
when both say it: E:pkg/flags/flag.go, SetFlagsFromEnv).
"""

import base64
import shlex
from collections.abc import Iterable, Mapping
from string import Template
from typing import Any

import yaml

PREFIX = "ETCD_"
FILE = "config-file"
UNKNOWN = "$"  # stands for the flags that are in a variable which nobody has filled in

# Of every process, and of every unit that has none: what systemd would give it, and the file that it would read.
_PATH = r"""awk '/^--?config-file$/{getline; print} /^--?config-file=/{sub(/^[^=]*=/,""); print}'"""
_PROCESSES = rf"""
for p in $(pidof etcd); do
  printf 'argv\t%s\t' "$p"; tr '\0' '\037' </proc/"$p"/cmdline; echo
  tr '\0' '\n' </proc/"$p"/environ | sed -n "s/^\(ETCD_[A-Z_]*=.*\)/env\t$p\t\1/p"
  f=$(tr '\0' '\n' </proc/"$p"/cmdline | {_PATH})
  [ -n "$f" ] || f=$(tr '\0' '\n' </proc/"$p"/environ | sed -n 's/^ETCD_CONFIG_FILE=//p')
  [ -n "$f" ] && printf 'config\t%s\t%s\n' "$p" "$(base64 -w0 /proc/"$p"/root"$f" 2>/dev/null)"
done
"""


def script(units: tuple[str, ...]) -> str:
    """POSIX shell for a survey; a unit's files are read only where it has no process."""
    return "\n".join([_PROCESSES, *(_unit(unit) for unit in units)])


def _unit(unit: str) -> str:
    q = shlex.quote(unit)
    return rf"""
if [ "$(systemctl show -p MainPID --value {q})" = 0 ]; then
  systemctl show -p EnvironmentFiles --value {q} | sed 's/ (ignore_errors=.*//' | while read -r f; do
    [ -f "$f" ] && sed -n "s/^[[:space:]]*\(ETCD_[A-Z_]*=.*\)/env\t{unit}\t\1/p" "$f"
  done
  systemctl show -p Environment --value {q} | tr ' ' '\n' | sed -n "s/^\(ETCD_[A-Z_]*=.*\)/env\t{unit}\t\1/p"
  f=$(systemctl show -p ExecStart --value {q} | tr ' ' '\n' | {_PATH} | head -n 1)
  [ -n "$f" ] && printf 'config\t%s\t%s\n' {q} "$(base64 -w0 "$f" 2>/dev/null)"
fi
"""


def environments(rows: list[list[str]]) -> dict[str, dict[str, str]]:
    """`ETCD_DATA_DIR="/x"` as data-dir: /x, by pid or unit."""
    out: dict[str, dict[str, str]] = {}
    for row in rows:
        if row[0] == "env" and len(row) == 3 and row[2].startswith(PREFIX):
            name, _, value = row[2].removeprefix(PREFIX).partition("=")
            out.setdefault(row[1], {})[name.lower().replace("_", "-")] = unquoted(value)
    return out


def files(rows: list[list[str]]) -> dict[str, dict[str, str] | None]:
    """The configuration file by pid or unit; None when it could not be read."""
    return {row[1]: from_file(row[2]) for row in rows if row[0] == "config" and len(row) == 3}


def from_file(text: str) -> dict[str, str] | None:
    try:
        found = yaml.safe_load(base64.b64decode(text))
    except (ValueError, yaml.YAMLError):
        return None
    return dict(_flat(found)) if isinstance(found, dict) else None


def _flat(found: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """As flags are written; sections (the two of TLS) are told by their own names."""
    for name, value in found.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", text) for inner, text in _flat(value))
        elif value is not None:
            yield str(name), str(value).lower() if isinstance(value, bool) else str(value)


def unquoted(value: str) -> str:
    """As systemd reads a value of an EnvironmentFile."""
    value = value.strip()
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def flags(
    argv: tuple[str, ...], environment: Mapping[str, str], file: Mapping[str, str] | None, *, read: bool
) -> dict[str, str]:
    """By name, without dashes; `read` tells whether there is a file at all."""
    known = expanded(argv, environment)
    given = {**environment, **words(known)}
    if unknown := [word for word in known if word.startswith("$")]:
        given[UNKNOWN] = " ".join(unknown)
    if not read:
        return given
    return {FILE: given.get(FILE, ""), **(file or {"unreadable": "true"})}


def expanded(argv: tuple[str, ...], environment: Mapping[str, str]) -> tuple[str, ...]:
    """A unit's `${ETCD_NAME}`, which systemd has yet to fill in where nothing runs."""
    raw = {PREFIX + name.upper().replace("-", "_"): value for name, value in environment.items()}
    return tuple(Template(word).safe_substitute(raw) for word in argv)


def words(argv: tuple[str, ...]) -> dict[str, str]:
    """`--name=x` and `--name x` alike; a bare flag is `true`."""
    out: dict[str, str] = {}
    left = list(argv[1:])
    while left:
        word = left.pop(0)
        if not word.startswith("-"):
            continue
        name, equals, value = word.lstrip("-").partition("=")
        if not equals:
            value = left.pop(0) if left and not left[0].startswith("-") else "true"
        out[name] = value
    return out
