"""API servers on machines that are no member's: clients of etcd like any other, but that they are known by their URL.

They are shut out from the fence until etcd is verified and not stopped, since the inventory has no way to their
machines; that they read what was restored is the raised revision's doing, under which their watches have ended.
"""

from collections.abc import Iterator

from quorate.inventory import Cluster


def elsewhere(settings: Cluster) -> tuple[str, ...]:
    """The URLs of API servers, where none runs beside etcd."""
    return settings.kubernetes.api_urls if settings.kubernetes and not settings.control_plane else ()


def afterwards(settings: Cluster) -> Iterator[str]:
    """What is left to do for a person."""
    if urls := elsewhere(settings):
        yield (
            f"the API servers at {', '.join(urls)} are on no node of this cluster: they were shut out, not stopped. "
            "Restart kube-apiserver on each of them, then kube-controller-manager, kube-scheduler and every kubelet: "
            "what they have in memory is from before"
        )
