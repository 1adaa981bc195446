"""The images of static pods: the lab's own programs under the names that kubeadm asks for."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.lab.binaries import CONTROL_PLANE, ETCD, KUBERNETES
from deploy.lab.cache import cache, held
from deploy.lab.image import build

if TYPE_CHECKING:
    from pathlib import Path

    from docker import DockerClient

    from deploy.lab.process import Say
    from deploy.lab.spec import LabSpec

REPOSITORY = "quorate.lab"
PAUSE = "3.10.1"  # what kubeadm asks for; containerd.toml says the same


@dataclass(frozen=True, slots=True)
class PodImage:
    """One image and the programs in it; nothing else is in it, no shell either, as in those that are published."""

    name: str
    tag: str
    programs: tuple[Path, ...] = ()

    @property
    def reference(self) -> str:
        return f"{REPOSITORY}/{self.name}:{self.tag}"

    def dockerfile(self, node_image: str) -> str:
        if not self.programs:
            return f'FROM scratch\nCOPY --from={node_image} /usr/bin/catatonit /pause\nENTRYPOINT ["/pause", "-P"]\n'
        copies = "".join(f"COPY {program.name} /usr/local/bin/\n" for program in self.programs)
        return f"FROM scratch\n{copies}ENV PATH=/usr/local/bin\n"


def etcd_tag(spec: LabSpec) -> str:
    """kubeadm reads the version from it, and chooses its flags by that."""
    return f"{ETCD[spec.etcd].version}-0"


def wanted(spec: LabSpec) -> tuple[PodImage, ...]:
    """Everything that kubeadm's four manifests name, and the sandbox."""
    etcd = ETCD[spec.etcd]
    components = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    return (
        PodImage("pause", PAUSE),
        PodImage("etcd", etcd_tag(spec), tuple(etcd.path(name) for name, _ in etcd.programs)),
        *(PodImage(name, f"v{KUBERNETES}", (CONTROL_PLANE.path(name),)) for name in components),
    )


def folder(spec: LabSpec) -> Path:
    """Archives as `docker save` writes them; a node imports all of one folder."""
    return cache() / "pod-images" / f"{KUBERNETES}-etcd-{ETCD[spec.etcd].version}"


def make_pod_images(client: DockerClient, node_image: str, spec: LabSpec, say: Say) -> None:
    """Unless the cache has them."""
    with held("pod-images"):
        missing = [image for image in wanted(spec) if not archive(spec, image).is_file()]
        if missing:
            say(f"lab: making {len(missing)} images of the control plane's programs (usually 15 s)")
        for image in missing:
            make(client, node_image, image, archive(spec, image))


def archive(spec: LabSpec, image: PodImage) -> Path:
    return folder(spec) / f"{image.name}.tar"


def make(client: DockerClient, node_image: str, image: PodImage, into: Path) -> None:
    """Built, saved and forgotten by the engine; the archive is renamed when it is whole."""
    work = cache() / "work" / "pod-images" / image.name
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    (work / "Dockerfile").write_text(image.dockerfile(node_image))
    for program in image.programs:
        os.link(program, work / program.name)
    build(client, image.reference, work, lambda _: None)
    saved = work / "saved.tar"
    with saved.open("wb") as sink:
        sink.writelines(client.images.get(image.reference).save(named=image.reference))
    client.images.remove(image.reference)
    into.parent.mkdir(parents=True, exist_ok=True)
    saved.replace(into)
    shutil.rmtree(work)
