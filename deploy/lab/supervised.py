"""Who keeps etcd running on a node: systemd a unit, or a kubelet a static pod."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.lab.units import DATA_DIR

if TYPE_CHECKING:
    from deploy.lab.spec import LabSpec

MANIFESTS = "/etc/kubernetes/manifests"
MANIFEST = f"{MANIFESTS}/etcd.yaml"
ASIDE = "/etc/kubernetes/{}.yaml.quorate-fenced"  # where Quorate would put a manifest, and so finds it
STOPPED = ASIDE.format("etcd")
# Moving the manifest away is what lasts; the rest only spares the grace and waits for the kubelet to have seen it.
STOP_POD = f"""
[ ! -e {MANIFEST} ] || mv {MANIFEST} {STOPPED}
while [ -n "$(crictl pods --quiet --name '^etcd-' --state ready)" ]; do
    crictl ps --quiet --name '^etcd$' | xargs --no-run-if-empty crictl stop --timeout 0
    sleep 0.2
done
"""
STOP_S = 60
# An API server without its etcd hangs, and the kubelet with it: it would see no manifest for up to two minutes.
START_POD = f"""
[ ! -e {STOPPED} ] || mv {STOPPED} {MANIFEST}
pkill --signal KILL --exact kube-apiserver || true
"""


@dataclass(frozen=True, slots=True)
class Supervised:
    """How etcd is killed, stopped for good and started, as commands of the node."""

    data_dir: str
    kill: tuple[str, ...]
    comes_back: str
    stop: tuple[str, ...]
    start: tuple[str, ...]


UNIT = Supervised(
    data_dir=DATA_DIR,
    kill=("systemctl", "kill", "--signal=SIGKILL", "etcd.service"),
    comes_back="its unit says Restart=on-abnormal, so it comes back",
    stop=("sh", "-c", "systemctl kill --signal=SIGKILL etcd.service && systemctl stop etcd.service"),
    start=("systemctl", "start", "--no-block", "etcd.service"),
)
STATIC_POD = Supervised(
    data_dir="/var/lib/etcd",
    kill=("pkill", "--signal", "KILL", "--exact", "etcd"),
    comes_back="its kubelet starts it again, at once or, after the last kill, only when the backoff is over",
    stop=("timeout", str(STOP_S), "sh", "-c", STOP_POD),
    start=("sh", "-c", START_POD),
)


def supervised(spec: LabSpec) -> Supervised:
    return STATIC_POD if spec.control_plane == "static-pods" else UNIT
