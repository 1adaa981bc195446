"""Whether backups could be proved in the sandbox now; nothing is left there."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quorate.command import Node
    from quorate.inventory import Cluster
    from quorate.settings.machines import Sandbox
    from worker.wiring import Wiring


def ready(wiring: "Wiring", cluster: "Cluster", sandbox: "Sandbox", version: str) -> str:
    """Logged in to; its etcd is of the version that runs. A restore tool it may lack: the store may have one."""
    from quorate.drills.sandbox import fit, node_of, version_of_etcd
    from quorate.members.etcd import minor
    from quorate.nodes.seen import Look
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
    if sandbox.api_server:
        has += f", API server {api_server(wiring, there, sandbox.api_server)}"
    return f"etcd {minor(version) or 'unknown'}, {has}; {size(seen.spaces.get(sandbox.data_dir, 0))} free"


def api_server(wiring: "Wiring", there: "Node", program: str) -> str:
    """Its version; Refusal where it could not be started, or not be asked."""
    from quorate.command import Command
    from quorate.drills.sandbox_api import version_told
    from quorate.errors import CommandFailed, Refusal

    try:
        said = b"".join(wiring.hosts.read(there, Command((program, "--version"))))
        b"".join(wiring.hosts.read(there, Command(("openssl", "version"))))
    except CommandFailed as error:
        raise Refusal(f"no API server can be proved in the sandbox {there.name}: {error}") from error
    if not (version := version_told(said.decode(errors="replace"))):
        raise Refusal(f"{program} on the sandbox {there.name} is no kube-apiserver")
    return version
