"""Which programs a lab needs, and where they are once made."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.lab.binaries import CONTROL_PLANE, CRICTL, ETCD, NODE_AGENT, TEMPORAL, VERSITYGW, Recipe, make
from deploy.lab.cache import cache, held
from deploy.lab.errors import LabError
from deploy.lab.pod_images import folder as pod_images
from deploy.lab.spec import LABEL

if TYPE_CHECKING:
    from docker import DockerClient

    from deploy.lab.process import Say
    from deploy.lab.spec import LabSpec

DEBIAN_ETCD = "3.4.23"
KUBERNETES_PARTS: dict[str, tuple[Recipe, ...]] = {
    "none": (),
    "systemd": (CONTROL_PLANE,),
    "static-pods": (CONTROL_PLANE, NODE_AGENT, CRICTL),
    "external": (CONTROL_PLANE,),
}
UNPACK = (
    "set -e; cd /tmp; apt-get -qq update; apt-get -qq download etcd-server etcd-client; "
    "for deb in *.deb; do dpkg-deb -x $deb /unpacked; done"
)


def recipes(spec: LabSpec) -> tuple[Recipe, ...]:
    """What is built from source for this lab."""
    wanted = (*((ETCD[spec.etcd],) if spec.etcd in ETCD else ()), VERSITYGW, TEMPORAL)
    return (*wanted, *KUBERNETES_PARTS[spec.control_plane])


def make_parts(spec: LabSpec, say: Say) -> None:
    """Every program built from source; the ones on the host also get a name without a version."""
    for recipe in recipes(spec):
        make(recipe, say)
    for recipe in (TEMPORAL, VERSITYGW):
        for name, _ in recipe.programs:
            link(cache() / "bin" / name, recipe.path(name))


def node_programs(spec: LabSpec) -> list[Path]:
    """The folders a node sees under /opt, named for the part; etcd of a static pod is in its image alone."""
    parts = [recipe.folder for recipe in KUBERNETES_PARTS[spec.control_plane]]
    if spec.control_plane == "static-pods":
        return [*parts, pod_images(spec)]
    return [etcd_programs(spec), *parts]


def sandbox_programs(spec: LabSpec) -> list[Path]:
    """An etcd, and an API server where the cluster has one."""
    return [etcd_programs(spec), *([] if spec.control_plane == "none" else [CONTROL_PLANE.folder])]


def etcd_programs(spec: LabSpec) -> Path:
    return ETCD[spec.etcd].folder if spec.etcd in ETCD else debian_etcd_folder()


def debian_etcd_folder() -> Path:
    return cache() / "etcd" / DEBIAN_ETCD


def make_debian_etcd(client: DockerClient, image: str, say: Say) -> None:
    """etcd 3.4 is no Go module: Debian's packages, unpacked in a container and not installed."""
    folder = debian_etcd_folder()
    with held("build-etcd"):
        if (folder / "etcdctl").is_file():
            return
        say(f"lab: unpacking etcd {DEBIAN_ETCD} from Debian's packages (usually 10 s)")
        beside = cache() / "work" / "etcd-3.4"
        for stale in (beside, folder):
            shutil.rmtree(stale, ignore_errors=True)
        with tarfile.open(fileobj=io.BytesIO(unpack(client, image))) as unpacked:
            unpacked.extractall(beside, filter="data")
        folder.parent.mkdir(parents=True, exist_ok=True)
        (beside / "bin").rename(folder)


def unpack(client: DockerClient, image: str) -> bytes:
    """The packages' programs as a tar; through the archive call, for logs mangle what is no text."""
    container = client.containers.create(image, ["-c", UNPACK], entrypoint="/bin/sh", labels={LABEL: "-"})
    try:
        container.start()
        if container.wait()["StatusCode"]:
            raise LabError(f"Debian's etcd packages could not be had: {container.logs().decode()[-300:]}")
        return b"".join(container.get_archive("/unpacked/usr/bin")[0])
    finally:
        container.remove(force=True, v=True)


def link(name: Path, target: Path) -> None:
    """Replaced in one step: another lab may be starting the program."""
    name.parent.mkdir(parents=True, exist_ok=True)
    if name.is_symlink() and name.resolve() == target:
        return
    beside = name.with_suffix(".new")
    beside.unlink(missing_ok=True)
    beside.symlink_to(target)
    beside.replace(name)
