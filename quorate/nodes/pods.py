"""Static pods as a node shows them: the manifest that the kubelet reads, and what the CRI runs of it."""

import json
import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

SOURCE = "kubernetes.io/config.source"

# One line a question: crictl prints JSON over many, and nothing when the runtime does not answer.
_ASK = r"""
printf 'containers\t'; crictl ps -o json 2>/dev/null | tr -d '\n\t'; echo
printf 'sandboxes\t'; crictl pods --state ready -o json 2>/dev/null | tr -d '\n\t'; echo
"""

# In the namespace that the kubelet's containers have. Nothing where there is no ctr to take anything out with.
IMAGES = r"ctr --namespace k8s.io images ls -q 2>/dev/null | sed 's/^/image\t/'"


@dataclass(frozen=True, slots=True)
class PodSeen:
    """Of one manifest: where its file is, whether a container runs, whether the kubelet keeps its sandbox."""

    there: bool
    parked: bool
    running: bool | None  # None when the CRI did not answer
    sandbox: bool | None

    @property
    def state(self) -> str:
        """In systemd's words, so that whoever looks at a node needs only one kind of them."""
        if self.running is None or self.sandbox is None:
            return "unknown"
        if self.there:
            return "active" if self.running else "activating"
        return "deactivating" if self.running or self.sandbox else "inactive"


def parked(manifest: str) -> str:
    """Beside the kubelet's directory, never in it: on the same filesystem, and not read."""
    path = PurePosixPath(manifest)
    return str(path.parent.parent / f"{path.name}.quorate-fenced")


def container(manifest: str) -> str:
    """The container is named like the file, as kubeadm writes it."""
    return PurePosixPath(manifest).stem


def script(manifests: tuple[str, ...]) -> str:
    """POSIX shell: each manifest by name and where it is, then what the CRI says."""
    lines = [
        rf"""printf 'pod\t%s\t' {q}; [ -e {q} ] && printf there; printf '\t'; [ -e {p} ] && printf parked; echo"""
        for manifest in manifests
        for q, p in [(shlex.quote(manifest), shlex.quote(parked(manifest)))]
    ]
    return "\n".join([*lines, _ASK])


def texts(manifests: tuple[str, ...]) -> str:
    """POSIX shell: the manifests themselves, wherever they are: without a process they tell what it would be told."""
    return "\n".join(
        rf"""for f in {shlex.quote(manifest)} {shlex.quote(parked(manifest))}; do
  [ -f "$f" ] && printf 'manifest\t%s\t%s\t%s\n' {shlex.quote(str(PurePosixPath(manifest).parent))} "$f" \
    "$(base64 -w0 "$f")"; done"""
        for manifest in manifests
    )


def parse(rows: list[list[str]]) -> dict[str, PodSeen]:
    """By manifest, of the lines that the script printed."""
    only = {row[0]: row[1] for row in rows if len(row) == 2}
    containers, sandboxes = _items(only.get("containers", "")), _items(only.get("sandboxes", ""))
    return {
        row[1]: PodSeen(
            there=row[2] == "there",
            parked=row[3] == "parked",
            running=_runs(containers, container(row[1])),
            sandbox=_kept(sandboxes, container(row[1])),
        )
        for row in rows
        if row[0] == "pod" and len(row) == 4
    }


def _items(said: str) -> list[dict[str, Any]] | None:
    try:
        answer = json.loads(said)
    except ValueError:
        return None
    return answer.get("containers") or answer.get("items") or []


def _runs(containers: list[dict[str, Any]] | None, name: str) -> bool | None:
    if containers is None:
        return None
    return any(
        each["metadata"]["name"] == name and each["labels"].get("io.kubernetes.pod.namespace") == "kube-system"
        for each in containers
    )


def _kept(sandboxes: list[dict[str, Any]] | None, name: str) -> bool | None:
    """A static pod is named like its manifest and its node; a Deployment's pod of that name is no file's."""
    if sandboxes is None:
        return None
    return any(
        each["metadata"]["name"].startswith(f"{name}-") and each.get("annotations", {}).get(SOURCE) == "file"
        for each in sandboxes
    )
