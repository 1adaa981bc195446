"""What a drill may take away of the API servers: what runs them, and which of their files a bundle can give back."""

import time
from dataclasses import dataclass

from temporalio import activity

from activities.clusters.catalogued import Shelving, straight
from activities.drills.drilling import together
from activities.recording.recorded import RecordedHosts, RecordedStores
from activities.recording.tickets import ticket_of
from activities.streams.pipeline import beaten
from quorate import lay
from quorate.backups import bundle
from quorate.backups.catalogue import LATEST, Manifest, find
from quorate.backups.provenance import doubted
from quorate.command import Ticket
from quorate.converge import Clock, Tick
from quorate.drill import DrillTask, Exposed
from quorate.drills import aiming
from quorate.errors import BadInput, Refusal
from quorate.nodes.seen import Look, NodeSeen, kept_by
from quorate.ports import Signatures
from quorate.restoring.shares import component


@dataclass(frozen=True)
class Exposing:
    hosts: RecordedHosts
    stores: RecordedStores
    signatures: Signatures
    clock: Clock = time
    shelf: Shelving = straight
    tick: Tick = activity.heartbeat

    @activity.defn(name="drill.exposed", no_thread_cancel_exception=True)
    def exposed(self, task: DrillTask) -> Exposed:
        """Refusal, before anything is broken, where no backup that counts has a bundle."""
        ticket = ticket_of(task)
        return beaten(lambda _: self._exposed(task, ticket), self.tick)

    def _exposed(self, task: DrillTask, ticket: Ticket) -> Exposed:
        request, settings = task.request, task.request.settings
        manifest = self._newest(task, ticket)
        api = next((each for each in settings.control_plane if each.role == aiming.API), None)
        if api is None:
            raise Refusal(f"the inventory names no {aiming.API} of {request.cluster}; nothing was broken")
        etcd = settings.etcd
        wanted = kept_by(etcd.process) | kept_by(api.process) | Look(spaces=(etcd.data_dir,), running=True)
        nodes = {each.name: each for each in request.nodes}
        seen = together(nodes, lambda name: self.hosts.survey(nodes[name], wanted))
        there = {name: each for name, each in seen.items() if isinstance(each, NodeSeen)}
        return Exposed(
            manifest.id,
            {name: component(settings, api, each, quorum=True) for name, each in there.items()},
            {
                name: aiming.needed(lay.held_of(manifest, name), bundle.flags_of(each, etcd.process))
                for name, each in there.items()
            },
        )

    def _newest(self, task: DrillTask, ticket: Ticket) -> Manifest:
        request = task.request
        stock = self.shelf(self.stores.at(request.store, ticket), request.store, request.cluster)
        doubts = doubted(stock.manifests, request.settings.trust, self.signatures)
        holding = tuple(each for each in stock.manifests if each.bundle)
        try:
            return find(holding, LATEST, request.cluster, (), (*doubts, *stock.quarantined))
        except BadInput as error:
            said = "no backup that counts has a bundle, so nothing could be laid again; nothing was broken"
            raise Refusal(said, next=f"quorate backup {request.cluster}") from error
