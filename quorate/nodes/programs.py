"""The programs of a cluster on a node, and who keeps each: a unit of whatever name, or a static pod's manifest."""

import base64
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import yaml

ETCD = "etcd"
API = "kube-apiserver"
PROGRAMS = (ETCD, API, "kube-controller-manager", "kube-scheduler")
KUBELET = "kubelet.service"
TOOLS = ("etcdutl", "etcdctl")
FENCED = ".quorate-fenced"

# One line a process. Its cgroup names the unit that keeps it, so a wrapper or an odd name hides nothing.
_RUNNING = r"""
for n in %s; do for p in $(pidof "$n"); do
  printf 'program\t%%s\t%%s\t%%s\t%%s\t' "$n" "$p" "$(readlink /proc/"$p"/cwd)" "$(tr '\n\t' '  ' </proc/"$p"/cgroup)"
  tr '\0' '\037' </proc/"$p"/cmdline; echo
done; done
"""
# Where nothing runs, units are found by what they would start; a name below *.wants is an instance of a template.
_UNITS = r"""
u=$(for d in /etc/systemd/system /run/systemd/system /usr/local/lib/systemd/system /usr/lib/systemd/system \
  /lib/systemd/system; do
  grep -lsE '^[[:space:]]*ExecStart=.*(%s)' "$d"/*.service "$d"/*.service.d/*.conf "$d"/*.wants/*.service
done | sed 's,\.d/[^/]*$,,; s,.*/,,' | grep -v '@\.service$' | sort -u)
[ -z "$u" ] || { echo; systemctl show --property=%s -- $u; }
"""
_MANIFESTS = r"""
d=$(sed -n 's/^staticPodPath:[[:space:]]*"\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' /var/lib/kubelet/config.yaml 2>/dev/null)
d=${d:-/etc/kubernetes/manifests}; d=${d%%/}
for f in "$d"/*.yaml "$d"/*.yml "${d%%/*}"/*%s; do
  [ -f "$f" ] && printf 'manifest\t%%s\t%%s\t%%s\n' "$d" "$f" "$(base64 -w0 "$f")"
done
"""
_TOOLS = r"""
e=$(pidof etcd); e=$(readlink /proc/"${e%%%% *}"/exe)
for t in %s; do
  asked=: last=
  for f in "$(command -v $t)" /usr/local/bin/$t /usr/bin/$t /usr/sbin/$t /opt/bin/$t /opt/etcd/$t "${e%%/*}/$t"; do
    case $asked in *:"$f":*) continue ;; esac
    asked=$asked$f:
    [ -x "$f" ] || continue
    [ "$f" -ef "$last" ] || { last=$f; v=$("$f" version 2>/dev/null | head -n 1); }
    printf 'tool\t%%s\t%%s\n' "$f" "$v"
  done
done
"""


@dataclass(frozen=True, slots=True)
class Process:
    program: str
    pid: int
    cwd: str
    cgroup: str
    argv: tuple[str, ...]

    @property
    def in_pod(self) -> bool:
        return "kubepods" in self.cgroup

    @property
    def unit(self) -> str:
        """The service that keeps it, the last part of its cgroup; nothing in a container or a login."""
        found = re.findall(r"/([^/\s]+\.service)(?=\s|$)", self.cgroup)
        return found[-1] if found and "user@" not in self.cgroup else ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A static pod of one of the programs; `path` is where the kubelet reads it, also while it is parked."""

    path: str
    program: str
    container: str
    argv: tuple[str, ...]
    mounts: tuple[tuple[str, str], ...] = ()  # (in the container, on the host)
    image: str = ""

    def on_host(self, path: str) -> str:
        """Where a path of the container lies on the node; the same where nothing is mounted."""
        fitting = [each for each in self.mounts if PurePosixPath(path).is_relative_to(each[0])]
        if not fitting:
            return path
        inside, outside = max(fitting, key=lambda each: len(each[0]))
        return str(PurePosixPath(outside) / PurePosixPath(path).relative_to(inside))


@dataclass(frozen=True, slots=True)
class ProgramsSeen:
    processes: tuple[Process, ...] = ()
    manifests: tuple[Manifest, ...] = ()


def running() -> str:
    """POSIX shell: what runs, and which manifests would run it."""
    return _RUNNING % " ".join(PROGRAMS) + _MANIFESTS % FENCED


def script(properties: str) -> str:
    """The same, and which units would run it, which of etcd's tools there are: twice as much for a node to do."""
    return "\n".join([running(), _TOOLS % " ".join(TOOLS), _UNITS % ("|".join(PROGRAMS), properties)])


def parse(rows: list[list[str]]) -> ProgramsSeen:
    return ProgramsSeen(
        tuple(
            Process(r[1], int(r[2]), r[3], r[4].strip(), tuple(r[5].rstrip("\x1f").split("\x1f")))
            for r in rows
            if r[0] == "program" and len(r) == 6
        ),
        tuple(
            dict.fromkeys(
                each for r in rows if r[0] == "manifest" and len(r) == 4 for each in read(read_at(r[1], r[2]), r[3])
            )
        ),
    )


def read_at(folder: str, path: str) -> str:
    """The kubelet's name of a manifest that may be parked beside its folder."""
    return f"{folder}/{PurePosixPath(path).name.removesuffix(FENCED)}"


def read(path: str, text: str) -> tuple[Manifest, ...]:
    """The programs that a manifest would run; nothing for one that is none of ours, or no manifest."""
    try:
        spec = yaml.safe_load(base64.b64decode(text))["spec"]
        volumes = {each["name"]: each.get("hostPath", {}).get("path", "") for each in spec.get("volumes", ())}
        found = [_manifest(path, each, volumes) for each in spec["containers"]]
    except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return ()
    return tuple(each for each in found if each.program in PROGRAMS)


def _manifest(path: str, container: dict[str, Any], volumes: dict[str, str]) -> Manifest:
    """A container without a command runs what its image says, so it is known by its own name."""
    argv = tuple(map(str, (*(container.get("command") or [container["name"]]), *container.get("args", ()))))
    mounts = tuple(
        (str(each["mountPath"]), volumes[each["name"]])
        for each in container.get("volumeMounts", ())
        if volumes.get(each["name"])
    )
    return Manifest(
        path, PurePosixPath(argv[0]).name, str(container["name"]), argv, mounts, str(container.get("image", ""))
    )
