"""Signs of what keeps a cluster down, beside what a step looks at: only a survey asks for them.

Certificates go out as what stands between their BEGIN and END and nothing else of the file; of a key only its
sha256 leaves the node.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

from quorate.nodes.certificates import plain
from quorate.nodes.pods import parked

DIAL_S = 1
# Of a log of JSON the lines of these levels; before etcd 3.5 a journal has only the words.
TELLING = '"level":"(fatal|panic|error)"|panic:|denied|no space left|cannot|invalid downgrade|expired'
SECRET_FLAGS = (
    "encryption-provider-config",
    "service-account-key-file",
    "service-account-signing-key-file",
)


@dataclass(frozen=True, slots=True)
class Ask:
    """Whose signs: etcd and its client ports, and the API server where there is one, as a node calls them."""

    etcd: str
    ports: tuple[int, ...] = ()
    api: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """A file that the API server is told to read keys from; no hash, no file."""

    flag: str
    path: str
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Signs:
    pems: dict[str, tuple[str, ...]] = field(default_factory=dict)  # certificates by file
    absent: tuple[str, ...] = ()  # certificates that etcd is told of and that are not there
    addresses: frozenset[str] = frozenset()  # of every interface; none = nobody could tell
    words: tuple[str, ...] = ()  # etcd's last, and systemd's about it; only where it is not active
    clients: dict[str, int] = field(default_factory=dict)  # connections to the client ports by address
    us: str = ""  # the address that the node sees us come from
    overrides: str = ""  # --etcd-servers-overrides
    keys: tuple[Key, ...] = ()


# Names and values on lines of their own, whether of flags, of variables, of YAML or of a manifest: the paths whose
# name ends as asked for, with that name before them.
_PATHS = r"""
told() { tr ' =:",\047{}' '\n' | awk -v want="$1" '
  /^\// && name ~ want {print name, $0}
  $0 != "" {name = tolower($0); gsub(/_/, "-", name); sub(/^.*--/, "", name)}'; }
running() { for p in $(pidof "$1"); do tr '\0' '\n' </proc/"$p"/cmdline; done 2>/dev/null; }
"""

_CERTIFICATES = r"""
t=$(running etcd; for p in $(pidof etcd); do tr '\0' '\n' </proc/"$p"/environ | grep '^ETCD_'; done)
[ -n "$t" ] || t=$(FILES)
c=$(printf '%s\n' "$t" | told 'config-file$' | while read -r _ f; do cat "$f"; done 2>/dev/null)
set --
for f in $(printf '%s\n%s\n' "$t" "$c" | told '(cert|ca)-file$' | cut -d' ' -f2 | sort -u); do
  if [ -r "$f" ]; then set -- "$@" "$f"; else printf 'absent\t%s\n' "$f"; fi
done
[ $# = 0 ] || awk '
  /-----BEGIN CERTIFICATE-----/ {on = ++n[FILENAME] <= 4; if (on) printf "cert\t%s\t", FILENAME}
  on {printf "%s ", $0}
  /-----END CERTIFICATE-----/ && on {on = 0; print ""}' "$@"
"""

_KEYS = r"""
t=$(running kube-apiserver); [ -n "$t" ] || t=$(FILES)
printf '%s\n' "$t" | sed -n 's/^[ -]*--etcd-servers-overrides=/overrides\t/p
  /^--etcd-servers-overrides$/{n;s/^/overrides\t/p}'
printf '%s\n' "$t" | told '^(FLAGS)$' | while read -r flag f; do
  s=; [ -r "$f" ] && s=$(sha256sum <"$f"); printf 'key\t%s\t%s\t%s\n' "$flag" "$f" "${s%% *}"
done
"""

_US = r"""
[ -n "$SSH_CONNECTION" ] ||
  SSH_CONNECTION=$(tr '\0' '\n' </proc/$PPID/environ 2>/dev/null | sed -n 's/^SSH_CONNECTION=//p')
printf 'us\t%s\n' "${SSH_CONNECTION%% *}"
"""

# What it said last of all that is worth telling; nobody reads a journal for a member that runs.
_WORDS = r"""
[ "$(systemctl is-active UNIT)" = active ] || timeout 3 journalctl -u UNIT -n 100 -o cat --no-pager 2>/dev/null |
  grep -iE 'TELLING|oom|result' | tail -n 8 | cut -c1-700 | sed 's/^/word\t/'
"""
_POD_WORDS = r"""
[ -n "$(pidof etcd)" ] ||
  timeout 3 sh -c 'crictl ps -a -q --name "^etcd$" | head -n 1 | xargs -r crictl logs --tail 100' 2>&1 |
  grep -iE 'TELLING' | tail -n 8 | cut -c1-700 | sed 's/^/word\t/'
"""


def script(ask: Ask) -> str:
    """POSIX shell for a survey; nothing of it may fail or wait for long."""
    lines = ["ip -o addr 2>/dev/null", _US, _PATHS, _CERTIFICATES.replace("FILES", _files(ask.etcd))]
    if ask.ports:
        ports = " or ".join(f"sport = :{port}" for port in ask.ports)
        lines.append(rf"""ss -Htn state established '( {ports} )' 2>/dev/null | sed 's/^/client\t/'""")
    if ask.api:
        lines.append(_KEYS.replace("FILES", _files(ask.api)).replace("FLAGS", "|".join(SECRET_FLAGS)))
    words = _POD_WORDS if ask.etcd.startswith("/") else _WORDS.replace("UNIT", shlex.quote(ask.etcd))
    return "\n".join([*lines, words.replace("TELLING", TELLING)])


def _files(process: str) -> str:
    """What tells a process that does not run: its manifest, or its unit and the files that the unit names."""
    quoted = shlex.quote(process)
    if process.startswith("/"):
        return f"cat {quoted} {shlex.quote(parked(process))} 2>/dev/null"
    return (
        f"systemctl show -p ExecStart -p Environment --value {quoted} | tr ' ' '\\n'; "
        f"systemctl show -p EnvironmentFiles --value {quoted} | sed 's/ (ignore_errors=.*//' | "
        'while read -r f; do cat "$f"; done 2>/dev/null'
    )


def dials(targets: tuple[str, ...]) -> str:
    """Whether each `host:port` takes a connection from this node: all at once, none for longer than a second."""
    tries = "\n".join(f"dial {shlex.quote(host)} {port} &" for host, _, port in (t.rpartition(":") for t in targets))
    return rf"""
dial() {{
  said=$(timeout {DIAL_S} bash -c ": </dev/tcp/$1/$2" 2>&1); code=$?
  case "$code $said" in
    0*) how=open ;; *refused*) how=refused ;; 124*) how=silent ;; 127*|126*) how=untried ;; *) how=unreachable ;;
  esac
  printf 'dial\t%s:%s\t%s\n' "$1" "$2" "$how"
}}
{tries}
wait"""


def dialled(rows: list[list[str]]) -> dict[str, str]:
    return {row[1]: row[2] for row in rows if row[0] == "dial" and len(row) == 3}


def parse(lines: list[str], rows: list[list[str]]) -> Signs:
    only = {row[0]: row[1] for row in rows if len(row) == 2}
    return Signs(
        pems=_pems(rows),
        absent=tuple(row[1] for row in rows if row[0] == "absent" and len(row) == 2),
        addresses=frozenset(_addresses(lines)),
        words=tuple(line.partition("\t")[2] for line in lines if line.startswith("word\t")),
        clients=_clients(rows),
        us=plain(only.get("us", "")),
        overrides=only.get("overrides", "").strip(),
        keys=tuple(Key(*row[1:]) for row in rows if row[0] == "key" and len(row) == 4),
    )


def _pems(rows: list[list[str]]) -> dict[str, tuple[str, ...]]:
    """Base64 has no spaces, so what was joined by them is taken apart again; of the two lines around it too."""
    out: dict[str, tuple[str, ...]] = {}
    for row in rows:
        if row[0] == "cert" and len(row) == 3:
            text = re.sub(r"-----(BEGIN|END) CERTIFICATE-----", "", row[2])
            pem = "\n".join(["-----BEGIN CERTIFICATE-----", *text.split(), "-----END CERTIFICATE-----", ""])
            out[row[1]] = (*out.get(row[1], ()), pem)
    return out


def _addresses(lines: list[str]) -> Iterator[str]:
    """Of `2: eth0    inet 172.18.0.2/16 brd …`, as ip(8) says it."""
    for line in lines:
        if (found := re.match(r"\d+: \S+ +inet6? ([0-9a-fA-F.:]+)", line)) and (address := plain(found[1])):
            yield address


def _clients(rows: list[list[str]]) -> dict[str, int]:
    """Of `0 0 10.0.0.1:2379 10.0.0.9:41234`, as ss(8) says it of one state."""
    out: dict[str, int] = {}
    for row in rows:
        if row[0] == "client" and len(row) == 2 and len(words := row[1].split()) >= 4:
            peer = plain(words[3].rpartition(":")[0])
            out[peer] = out.get(peer, 0) + 1
    return out
