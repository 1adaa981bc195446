"""The shell script, run with what it needs to know."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.lab.age import OURS, recipients
from deploy.lab.binaries import AGE, ETCD
from deploy.lab.errors import LabError
from deploy.lab.quorate_yaml import CONTROL_PLANE
from deploy.lab.supervised import ASIDE, MANIFESTS, supervised

if TYPE_CHECKING:
    from deploy.lab.lab import Lab
    from deploy.lab.spec import LabSpec

SCRIPT = Path(__file__).with_name("usual.sh")
OBJECT = "usual/snapshot.db.zst.age"


def usual(lab: Lab, verb: str, work: Path) -> tuple[float, str]:
    """How long it took, and what it said."""
    began = time.monotonic()
    ran = subprocess.run(
        ["bash", SCRIPT, verb], env={**os.environ, **told(lab, work)}, check=False, capture_output=True, text=True
    )
    if ran.returncode:
        raise LabError(f"usual.sh {verb} ended with {ran.returncode}: {(ran.stdout + ran.stderr)[-600:]}")
    return time.monotonic() - began, ran.stdout


def told(lab: Lab, work: Path) -> dict[str, str]:
    move = f"{sys.executable} -m deploy.bench.objects {lab.name}"
    return {
        "NODES": " ".join(f"{node.name}={node.address}" for node in lab.nodes),
        "ENDPOINTS": ",".join(lab.etcd.endpoints),
        "CA": lab.etcd.ca,
        "CERT": lab.etcd.cert,
        "KEY": lab.etcd.key,
        "SSH_KEY": str(lab.folder / "ssh" / "id_ed25519"),
        "KNOWN_HOSTS": str(lab.folder / "ssh" / "known_hosts"),
        "WORK": str(work),
        "ETCDCTL": str(ETCD[lab.spec.etcd].path("etcdctl")),
        "AGE": str(AGE.path("age")),
        "RECIPIENTS": " ".join(recipients(lab.folder)),
        "IDENTITY": str(lab.folder / OURS),
        "OBJECT": OBJECT,
        "UPLOAD": f"{move} put",
        "DOWNLOAD": f"{move} get",
        "CONTROL_PLANE": " ".join(reversed(CONTROL_PLANE)) if lab.kubeconfig else "",
        **kept_running(lab.spec),
    }


def kept_running(spec: LabSpec) -> dict[str, str]:
    """By units of systemd, or by a kubelet: there etcd is root's, and a wreck has moved a manifest where we would."""
    pods = spec.control_plane == "static-pods"
    return {
        "DATA_DIR": supervised(spec).data_dir,
        "OWNER": "root:root" if pods else "etcd:etcd",
        "MANIFESTS": MANIFESTS if pods else "",
        "ASIDE": ASIDE.format("%s") if pods else "",
        "ETCDUTL": str(ETCD[spec.etcd].path("etcdutl")) if pods else "",
    }


def stages(said: str) -> str:
    """`fetch 1.2, copy 3.4, ...` in seconds, from the moments that the script printed."""
    lines = [line.partition(" ") for line in said.splitlines()]
    spans = (f"{what} {float(after) - float(at):.1f}" for (at, _, what), (after, _, _) in itertools.pairwise(lines))
    return ", ".join(spans)
