"""What a snapshot does not hold: read off the nodes, packed in memory, encrypted, stored and read back."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from temporalio import activity

from activities.backups.unbundling import laid_in
from activities.recording.recorded import RecordedFiles, RecordedHosts, RecordedStores
from activities.recording.tickets import ticket_of
from activities.streams.checksums import Sum
from activities.streams.compression import compressed
from activities.streams.pipeline import beaten
from activities.streams.sealed import sealed
from quorate.backup import BackupTask
from quorate.backups import bundle
from quorate.backups.bundle import NODE_BYTES_MAX, Bundled, Gathered
from quorate.backups.catalogue import key_of
from quorate.backups.laying import script
from quorate.backups.request import BundleRequest
from quorate.command import Command, Node, Ticket
from quorate.converge import Clock, Tick
from quorate.errors import Corrupt, QuorateError, Unreachable
from quorate.nodes.flags import shown
from quorate.nodes.packed import Packed, packing, unpacked
from quorate.nodes.seen import NodeSeen
from quorate.ports import Certificates, Cipher

AT_ONCE = 4  # nodes, each with at most NODE_BYTES_MAX in memory
NODE_S = 60.0  # for all that one is asked


UNWANTED = "where the nodes are none of ours, backup.bundle: off says so"


@dataclass(frozen=True)
class Bundling:
    hosts: RecordedHosts
    files: RecordedFiles
    stores: RecordedStores
    cipher: Cipher
    certificates: Certificates
    clock: Clock = time
    tick: Tick = activity.heartbeat

    @activity.defn(name="snapshots.bundle", no_thread_cancel_exception=True)
    def bundle(self, task: BackupTask) -> Bundled:
        """What cannot be had is a finding: the snapshot is worth having without."""
        ticket = ticket_of(task)
        return beaten(lambda tick: self._bundle(task, ticket, tick), self.tick)

    def _bundle(self, task: BackupTask, ticket: Ticket, tick: Tick) -> Bundled:
        tick("reading the nodes")
        try:
            nodes, silent = self._nodes(task, ticket)
            if not nodes:
                return Bundled(findings=(f"the bundle was not taken: {'; '.join(silent)}; {UNWANTED}",))
            tick("storing the bundle")
            stored = self._stored(task, ticket, nodes, tick)
        except QuorateError as error:
            return Bundled(findings=(f"the bundle was not taken: {error}",))
        found = tuple(f"the bundle lacks {each}" for each in silent)
        return replace(stored, findings=(*found, *(why for each in nodes for why in each.findings)))

    def _nodes(self, task: BackupTask, ticket: Ticket) -> tuple[tuple[Gathered, ...], tuple[str, ...]]:
        """Those that answered, and why others did not."""
        gathering = Gathering(self.hosts, self.files, self.certificates, wanted(task), ticket, self.clock)

        def ask(node: Node) -> Gathered | str:
            try:
                return gathering.of(node)
            except QuorateError as error:
                return f"{node.name}: {error}"

        with ThreadPoolExecutor(AT_ONCE, "bundle") as pool:
            answers = tuple(pool.map(ask, task.request.nodes))
        return (
            tuple(each for each in answers if isinstance(each, Gathered)),
            tuple(each for each in answers if isinstance(each, str)),
        )

    def _stored(self, task: BackupTask, ticket: Ticket, nodes: tuple[Gathered, ...], tick: Tick) -> Bundled:
        """Every attempt has a name of its own: what a dead one has left lies there and counts for nothing."""
        assert task.streamed, "bundled before it was streamed"
        recipients = task.request.recipients
        number = f"-{ticket.attempt}" if ticket.attempt > 1 else ""
        key = key_of(task.streamed.directory, f"bundle{number}.tar.zst{'.age' if recipients else ''}")
        store, sent, packed = self.stores.at(task.request.store, ticket), Sum(), Sum()
        chunks = compressed(sent.of(bundle.tar(wanted(task).inventory, nodes)))
        store.put(key, packed.of(sealed(self.cipher, chunks, recipients)), tick)
        laid = laid_in(store, self.cipher, key, recipients, task.request.identities)
        if laid[0] != packed.sha256 or laid[1] not in {sent.sha256, ""}:
            raise Corrupt(f"the store gave back something else than {key}")
        return Bundled(
            key, sent.size_bytes, sent.sha256, packed.size_bytes, packed.sha256, files=bundle.by_path(nodes)
        )


def wanted(task: BackupTask) -> BundleRequest:
    assert task.request.bundle, "nobody wants a bundle"
    return task.request.bundle


@dataclass(frozen=True, slots=True)
class Gathering:
    """Reading one node: looked at, listed, and what was listed fetched; then what that names, once more."""

    hosts: RecordedHosts
    files: RecordedFiles
    certificates: Certificates
    wanted: BundleRequest
    ticket: Ticket
    clock: Clock

    def of(self, node: Node) -> Gathered:
        limit = self.clock.monotonic() + NODE_S

        def printed(command: Command) -> bytes:
            if self.clock.monotonic() > limit:
                raise Unreachable(f"it took longer than {NODE_S:.0f} s")
            return self.files.printed(node, command, self.ticket, 4 * NODE_BYTES_MAX)

        seen = self.hosts.survey(node, self.wanted.look)
        units = bundle.units_of(printed(bundle.units_command(self.wanted, seen)).decode(errors="replace"))
        return self._fetched(node, seen, units, printed)

    def _fetched(
        self, node: Node, seen: NodeSeen, units: dict[str, dict[str, str]], printed: Callable[[Command], bytes]
    ) -> Gathered:
        flags = bundle.flags_of(seen, self.wanted.etcd)
        signing = bundle.signing_keys(flags)
        first = {*bundle.unit_paths(units), *bundle.named_in(flags), *self.wanted.manifests, *bundle.SETTINGS}
        first |= {each.path for each in seen.programs.manifests}
        command = bundle.listing(first, (*bundle.PKI, *self.wanted.paths), "/etc/kubernetes")
        files, users, groups = bundle.listed(printed(command).decode(errors="replace"))
        kept = tuple(each for each in files if self.wanted.ca_keys or not bundle.authority(each.path, signing))
        fit, large = bundle.fitting(kept)
        packed = self._packed([each.path for each in fit], printed)
        more = bundle.mentioned(packed) - {each.path for each in files}
        if more:
            named, *_ = bundle.listed(printed(bundle.listing(more)).decode(errors="replace"))
            kept_too = (each for each in named if self.wanted.ca_keys or not bundle.authority(each.path, signing))
            fit_too, large_too = bundle.fitting((*fit, *kept_too))
            fit, large = fit_too, (*large, *large_too)
            packed = self._packed([each.path for each in fit], printed)
        return self._told(node, seen, units, self._without_authorities(packed), flags, users, groups, large)

    def _packed(self, files: list[str], printed: Callable[[Command], bytes]) -> tuple[Packed, ...]:
        return unpacked(printed(packing(files, self.wanted.directories)))

    def _without_authorities(self, packed: tuple[Packed, ...]) -> tuple[Packed, ...]:
        """Whatever a key is called: one that an authority's certificate is about signs for it."""
        if self.wanted.ca_keys:
            return packed
        pems = tuple(each.data for each in packed if each.data and b"CERTIFICATE-----" in each.data)
        return tuple(each for each in packed if not each.data or not self.certificates.signs(each.data, pems))

    def _told(
        self,
        node: Node,
        seen: NodeSeen,
        units: dict[str, dict[str, str]],
        packed: tuple[Packed, ...],
        flags: dict[str, dict[str, str]],
        users: dict[str, str],
        groups: dict[str, str],
        large: tuple[str, ...],
    ) -> Gathered:
        owners = {each.owner for each in packed} | {block.get("User", "") for block in units.values()}
        owning = {each.group for each in packed} | {block.get("Group", "") for block in units.values()}
        owning |= {users[name].split(":")[3] for name in owners if name in users}
        about = {
            "format": bundle.FORMAT,
            "node": node.name,
            "host": node.host,
            "machine": seen.machine,
            "architecture": seen.architecture,
            "flags": {name: {k: shown(k, v) for k, v in told.items()} for name, told in sorted(flags.items())},
            "programs": programs(seen),
            "units": units,
            "users": sorted(users[name] for name in owners if name in users),
            "groups": sorted(line for line in groups.values() if {line.split(":")[0], line.split(":")[2]} & owning),
            "files": {each.path: described(each) for each in packed},
        }
        found = (f"the bundle leaves out of {node.name}, for their size: {', '.join(large)}",) if large else ()
        pods = {*self.wanted.manifests, *(each.path for each in seen.programs.manifests)}
        lays = script(node.name, about, packed, self.wanted.directories, pods)
        return Gathered(node.name, about, packed, lays, found)


def programs(seen: NodeSeen) -> dict[str, str]:
    """Where each lies, or the image that it is in."""
    running = {each.program: each.argv[0] for each in seen.programs.processes if each.argv}
    return {**running, **{each.program: each.image for each in seen.programs.manifests}}


def described(each: Packed) -> dict[str, object]:
    about: dict[str, object] = {"owner": f"{each.owner}:{each.group}", "mode": f"{each.mode:o}"}
    if each.data is not None:
        about |= {"size_bytes": len(each.data), "sha256": each.sha256}
    return about
