"""An API server on top of the sandbox's etcd: in the network of that etcd, which has nothing but loopback.

It writes as any does (leases, default roles), so it is started when all that etcd holds has been compared. No
controller and no scheduler ever runs beside it. What it serves with is its own and thrown away with it; what the
cluster's Secrets are encrypted with comes out of the backup's bundle, and lies where the database does.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from quorate.backups.catalogue import Live
from quorate.command import Command
from quorate.converge import Await, Left
from quorate.database.content import REST
from quorate.drills.sandbox import ALONE, CLIENT, POLL_S, Trial
from quorate.errors import CommandFailed
from quorate.nodes.packed import Packed
from quorate.nodes.seen import NodeSeen, UnitSeen

PORT = 6443
READY_S = 120.0
READYZ = "/readyz"
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"  # whoever asks so is sent no value
PAGE_OBJECTS = 500
READ = {"namespaces": "/registry/namespaces", "secrets": "/registry/secrets"}  # by what they are called in the API
SIGNING, KEY = "service-account-signing-key-file", "service-account-key-file"
ENCRYPTION = "encryption-provider-config"
WORDS = {"service-account-issuer": "https://kubernetes.default.svc", "service-cluster-ip-range": ""}

_LOOPBACK_ALONE = (
    '[ "$(sed 1,2d "/proc/$1/net/dev" | cut -d: -f1 | tr -d " ")" = lo ] || '
    '{ echo "there is more than loopback in its network"; exit 77; }'
)
_RUN = f'set -- self "$@"; {ALONE}; {_LOOPBACK_ALONE}; shift; exec "$@"'
# To where we have come in from outside: a refusal would come from somebody who was reached.
_OUTWARD = rf"""
p=$(systemctl show --property=MainPID --value "$1") && [ "$p" -gt 0 ] || {{ echo "$1 does not run"; exit 1; }}
set -- "$p" "$2" "$3"; {ALONE}; {_LOOPBACK_ALONE}
said=$(LC_ALL=C nsenter --net="/proc/$1/ns/net" timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$2" "$3" 2>&1) &&
  {{ echo "$2 port $3 is reached from within"; exit 1; }}
case $said in
  ''|*[Rr]efused*) echo "$2 port $3 may be reached from within: ${{said:-no answer in 5 s}}"; exit 1;;
esac
printf '%s\n' "${{said##*: }}"
"""
# Made once: whoever runs already has read it.
_PREPARE = r"""
umask 077; mkdir -p "$1"; [ ! -s "$1/token" ] || exit 0
t=$(head -c 24 /dev/urandom | base64 | tr -d /+=) || exit
printf '%s,quorate,quorate,system:masters\n' "$t" >"$1/token.part" && mv -T "$1/token.part" "$1/token"
"""
# The token goes through a pipe: it is a word of no process.
_GET = rf"""
p=$(systemctl show --property=MainPID --value "$1") && [ "$p" -gt 0 ] || {{ echo "$1 does not run"; exit 0; }}
command -v openssl >/dev/null || {{ echo "there is no openssl to ask it with"; exit 0; }}
since=$(systemctl show --property=InactiveExitTimestampMonotonic --value "$1")
set -- "$p" "$2" "$3" "$4"; {ALONE}
nsenter --net="/proc/$1/ns/net" sh -c '
  IFS=, read -r t _ <"$0/token"
  printf "GET %s HTTP/1.0\r\nAuthorization: Bearer %s\r\nAccept: %s\r\n\r\n" "$1" "$t" "$2" |
    timeout 60 openssl s_client -quiet -verify_return_error -verify_ip 127.0.0.1 -CAfile "$0/certs/apiserver.crt" \
      -connect 127.0.0.1:{PORT} 2>/dev/null' "$2" "$3" "$4"
read -r now _ </proc/uptime; printf '\nup %s %s\n' "$since" "$now"
"""
_ANSWER = re.compile(rb"\AHTTP/1\.[01] (\d{3}).*?\r\n\r\n(.*)\nup (\d+) ([\d.]+)\n\Z", re.DOTALL)
_UNREADY = re.compile(r"^\[-\](\S+)", re.MULTILINE)  # of the list that comes with `/readyz`


@dataclass(frozen=True, slots=True)
class Keys:
    """What the cluster's own API server was told: files by their flag, and words; a note says why not."""

    node: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """`up_s` is how long the API server had run when it was given. Status 0: it gave none, and `body` says why."""

    status: int = 0
    body: bytes = b""
    up_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Page:
    """Revisions of the objects on it, and where the next begins."""

    revisions: tuple[int, ...] = ()
    more: str = ""


@dataclass(frozen=True, slots=True)
class ApiServer:
    """What it lies and runs on: the directory and the etcd of a trial."""

    trial: Trial
    program: str

    @property
    def home(self) -> str:
        return f"{self.trial.home}/api"

    @property
    def certificates(self) -> str:
        return f"{self.home}/certs"

    def file(self, flag: str) -> str:
        return f"{self.home}/{flag}"

    def version(self) -> Command:
        return Command((self.program, "--version"))

    def outward(self, host: str, port: int) -> Command:
        """Fails where anything but loopback is in etcd's network, or that address is reached out of it."""
        return Command(("sh", "-c", _OUTWARD, "outward", self.trial.unit, host, str(port)))

    def lay(self, keys: Keys) -> tuple[Command, ...]:
        """A token that never leaves that machine, and the files; for root alone."""
        given = (self.trial.data,)
        files = (
            Command(("install", "-m", "0600", "/dev/stdin", self.file(flag)), given, data.decode())
            for flag, data in keys.files.items()
        )
        return (Command(("sh", "-c", _PREPARE, "prepare", self.home), given), *files)

    def start(self, keys: Keys, seen: NodeSeen) -> Left[Command]:
        unit = seen.units.get(self.trial.api_unit, UnitSeen(self.trial.api_unit))
        if unit.state == "failed":
            raise CommandFailed(f"{self.program} does not run on what was restored from the backup")
        if unit.gone:
            return (Command(self._argv(keys), given=(self.trial.data, self.home)),)
        return () if unit.state == "active" else Await(f"an API server starts: {unit.state}", POLL_S)

    def get(self, path: str, accept: str = "application/json") -> Command:
        """From within its network."""
        return Command(("sh", "-c", _GET, "get", self.trial.api_unit, self.home, path, accept))

    def page(self, kind: str, more: str = "") -> Command:
        following = f"&continue={more}" if more else ""
        return self.get(f"/api/v1/{kind}?limit={PAGE_OBJECTS}{following}", METADATA)

    def _argv(self, keys: Keys) -> tuple[str, ...]:
        etcd = self.trial.unit
        above = (f"JoinsNamespaceOf={etcd}", f"BindsTo={etcd}", f"After={etcd}")
        # It has nothing to take its leave of, and with watches open it would take a minute for it.
        killed = ("KillSignal=SIGKILL", "SuccessExitStatus=SIGKILL", f"TimeoutStartSec={READY_S:.0f}")
        run = self.trial.transient(self.trial.api_unit, *above, *killed)
        return (*run, "sh", "-c", _RUN, "alone", self.program, *self._flags(keys))

    def _flags(self, keys: Keys) -> Iterator[str]:
        own = f"{self.certificates}/apiserver.key"  # which it makes before it reads it
        signing = self.file(SIGNING) if SIGNING in keys.files else own
        verifying = self.file(KEY) if KEY in keys.files else signing
        yield from (
            f"--etcd-servers={CLIENT}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={PORT}",
            f"--cert-dir={self.certificates}",
            f"--token-auth-file={self.home}/token",
            "--anonymous-auth=false",
            "--authorization-mode=RBAC",
            # Webhooks are asked over a network, and a compaction or an endpoint is nobody's who is thrown away.
            "--disable-admission-plugins=MutatingAdmissionWebhook,ValidatingAdmissionWebhook",
            "--endpoint-reconciler-type=none",
            "--etcd-compaction-interval=0",
            "--watch-cache=false",
            f"--{SIGNING}={signing}",
            f"--{KEY}={verifying}",
        )
        if ENCRYPTION in keys.files:
            yield f"--{ENCRYPTION}={self.file(ENCRYPTION)}"
        words = WORDS | keys.words
        yield from (f"--{name}={words[name]}" for name in WORDS if words[name])


def keys_of(packed: Iterable[Packed]) -> Keys:
    """Of a bundle, from the first node that an API server ran on."""
    by_path = {each.path: each.data for each in packed if each.data is not None}
    for path in sorted(by_path):
        node, _, name = path.strip("/").partition("/")
        flags = json.loads(by_path[path] or b"{}")["flags"].get("kube-apiserver") if name == "node.json" else None
        if flags:
            return _keys(node, flags, by_path)
    return Keys(note="the bundle is of no node that an API server ran on")


def _keys(node: str, flags: Mapping[str, str], by_path: Mapping[str, bytes | None]) -> Keys:
    named = {
        flag: by_path.get(f"/{node}/rootfs{flags[flag]}") for flag in (ENCRYPTION, KEY, SIGNING) if flag in flags
    }
    files = {flag: data for flag, data in named.items() if data}
    lacking = ", ".join(f"{flags[flag]} (--{flag})" for flag in named if flag not in files)
    note = f"the bundle of {node} lacks {lacking}" if lacking else ""
    return Keys(node, files, {name: flags[name] for name in WORDS if flags.get(name)}, note)


def answered(said: bytes) -> Answer:
    found = _ANSWER.match(said)
    if found is None:
        return Answer(body=said)
    return Answer(int(found[1]), found[2], round(float(found[4]) - int(found[3]) / 1e6, 2))


def page_of(answer: Answer) -> Page:
    """CommandFailed in the server's own words where it is none."""
    if answer.status != 200:
        raise CommandFailed(told(answer))
    body: dict[str, Any] = json.loads(answer.body)
    revisions = (int(each["metadata"]["resourceVersion"]) for each in body.get("items") or ())
    return Page(tuple(revisions), body.get("metadata", {}).get("continue", ""))


def told(answer: Answer) -> str:
    """What it says, for a person."""
    if not answer.status:
        return ": ".join(filter(None, ("it does not answer", answer.body.decode(errors="replace").strip()[-300:])))
    try:
        said = str(json.loads(answer.body)["message"])
    except (ValueError, KeyError, TypeError):
        said = answer.body.decode(errors="replace")
        said = ", ".join(_UNREADY.findall(said)) or said
    return f"it answers {answer.status}: {said.strip()[-300:]}"


def wanted(live: Mapping[str, Live], kind: str) -> int | None:
    """How many a manifest has counted; None where it has not counted them by themselves."""
    if found := live.get(READ[kind]):
        return found.keys
    return None if REST in live or not live else 0


def miscounted(kind: str, found: int, manifest: int | None) -> str:
    if manifest is None or found == manifest:
        return ""
    return f"it tells {found} {kind}, the manifest has counted {manifest}"


def version_told(said: str) -> str:
    """`v1.34.2`, or nothing."""
    found = re.search(r"Kubernetes (v[\d.]+\S*)", said)
    return found[1] if found else ""
