"""Whether backups could be proved in the sandbox now; nothing is left there."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quorate.inventory import Cluster, Sandbox
    from worker.wiring import Wiring


def ready(wiring: "Wiring", cluster: "Cluster", sandbox: "Sandbox", version: str) -> str:
    """Logged in to; its etcd is of the version that runs. A restore tool it may lack: the store may have one."""
    from quorate.etcd import minor
    from quorate.sandbox import fit, node_of, version_of_etcd
    from quorate.seen import Look
    from worker.screen import size

    there = node_of(cluster, sandbox)
    look = Look(paths=(sandbox.etcd,), spaces=(sandbox.data_dir,), tools=(sandbox.restore_tool,))
    seen = wiring.hosts.survey(there, look)
    said = b""
    if sandbox.etcd in seen.paths:
        said = b"".join(wiring.hosts.read(there, version_of_etcd(sandbox.etcd)))
    if version:
        fit(said.decode(errors="replace"), version, sandbox.etcd, there.name)
    tool = seen.tools.get(sandbox.restore_tool, "")
    has = f"restore tool {tool}" if tool else "no restore tool: the store's is sent"
    if minor(tool or version) != minor(version):
        has = f"restore tool {tool}, which is of another version: the store's is sent"
    return f"etcd {minor(version) or 'unknown'}, {has}; {size(seen.spaces.get(sandbox.data_dir, 0))} free"
