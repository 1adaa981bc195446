"""An API server started on the etcd in the sandbox, waited for, and read through; from within its network."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from temporalio import activity

from activities.backups.unbundling import pulled
from activities.drills.sandbox import manifest_of
from activities.recording.recorded import RecordedHosts, RecordedStores
from activities.recording.tickets import ticket_of
from activities.streams.pipeline import beaten
from quorate.backups.catalogue import Manifest
from quorate.command import Command, Ticket
from quorate.converge import Clock, Tick, converge
from quorate.drills.sandbox import POLL_S, journal
from quorate.drills.sandbox_api import (
    READ,
    READY_S,
    READYZ,
    Answer,
    ApiServer,
    Keys,
    answered,
    keys_of,
    miscounted,
    page_of,
    told,
    version_told,
    wanted,
)
from quorate.errors import CommandFailed, DidNotConverge, QuorateError, Refusal, Unreachable
from quorate.nodes.packed import unpacked
from quorate.ports import Cipher, Host
from quorate.prove import ProveTask, Served

INTERNAL, BELIEVED = 500, 3  # how it answers what it cannot decrypt, and how often that has to be said
JOURNAL_CHARACTERS = 500
LOGIN = "clients have to log in to this etcd, and an API server that is started here cannot"


@dataclass(frozen=True)
class ApiServing:
    hosts: RecordedHosts
    stores: RecordedStores
    cipher: Cipher
    clock: Clock = time
    tick: Tick = activity.heartbeat

    @activity.defn(name="sandbox.serve", no_thread_cancel_exception=True)
    def serve(self, task: ProveTask) -> Served:
        """Not before it is seen that nothing leads out of the network in which it will run."""
        return self._beaten(task, self._serve)

    @activity.defn(name="sandbox.ask", no_thread_cancel_exception=True)
    def ask(self, task: ProveTask) -> Served:
        """How many there are, of what the backup held: what it has written itself is younger."""
        return self._beaten(task, self._ask)

    def _beaten(self, task: ProveTask, work: Callable[[ProveTask, Ticket, Tick], Served]) -> Served:
        ticket = ticket_of(task)
        return beaten(lambda tick: work(task, ticket, tick), self.tick)

    def _serve(self, task: ProveTask, ticket: Ticket, tick: Tick) -> Served:
        manifest, api = manifest_of(self.stores, task, ticket), api_of(task)
        if manifest.auth:
            return Served(LOGIN)
        node, host = task.request.node, self.hosts.at(task.request.node, api.trial.look(), ticket)
        host.look()
        try:
            version = version_told(said_to(host, api.version(), tick))
            way_out = said_to(host, api.outward(node.host, node.ssh.port), tick)
        except CommandFailed as error:
            return Served(f"{node.name}: {error}")
        keys = self._keys(task, manifest, ticket)
        facts = {"api_server": version, "keys": keys.node or "its own", "way_out": f"{node.host}: {way_out}"}
        notes = (keys.note,) if keys.note else ()
        try:
            facts["readyz_s"] = f"{self._started(task, host, api, keys, tick):.2f}"
        except Refusal as error:
            return Served(str(error), notes, facts)
        except (CommandFailed, DidNotConverge) as error:
            said = " ".join(host.do((journal(api.trial.api_unit),), tick).ran[0].tail.split())
            return Served(f"{error}; its journal ends: {said[-JOURNAL_CHARACTERS:]}", notes, facts)
        return Served("", notes, facts)

    def _keys(self, task: ProveTask, manifest: Manifest, ticket: Ticket) -> Keys:
        """Without a bundle it has none of the cluster's, and says so."""
        if manifest.bundle is None:
            return Keys(note="the backup has no bundle: the API server had keys of its own")
        store = self.stores.at(task.request.store, ticket)
        try:
            return keys_of(unpacked(b"".join(pulled(store, self.cipher, manifest, task.request.identities))))
        except Unreachable:
            raise
        except QuorateError as error:
            return Keys(note=f"the bundle could not be used: {error}")

    def _started(self, task: ProveTask, host: Host, api: ApiServer, keys: Keys, tick: Tick) -> float:
        """How long it took until it was ready, by the clock of that machine."""
        for command in api.lay(keys):
            said_to(host, command, tick)
        converge(host, lambda seen, _: api.start(keys, seen), READY_S, self.clock, tick)
        return self._ready(task, api, tick)

    def _ready(self, task: ProveTask, api: ApiServer, tick: Tick) -> float:
        """Refusal where it says three times why it never will be: waiting gives it no keys."""
        deadline, refused = self.clock.monotonic() + READY_S, 0
        while (answer := self._look(task, api.get(READYZ))).status != 200:
            secrets = self._look(task, api.page("secrets")) if answer.status else Answer()
            refused = refused + 1 if secrets.status == INTERNAL else 0
            if refused == BELIEVED:
                raise Refusal(f"its secrets cannot be read: {told(secrets)}")
            if self.clock.monotonic() > deadline:
                raise DidNotConverge(f"it was not ready after {READY_S:.0f} s: {told(answer)}")
            tick(f"an API server starts: {told(answer)}")
            self.clock.sleep(POLL_S)
        return answer.up_s

    def _look(self, task: ProveTask, question: Command) -> Answer:
        return answered(b"".join(self.hosts.read(task.request.node, question)))

    def _ask(self, task: ProveTask, ticket: Ticket, _tick: Tick) -> Served:
        manifest, api = manifest_of(self.stores, task, ticket), api_of(task)
        self.hosts.at(task.request.node, api.trial.look(), ticket).look()
        facts, notes = dict[str, str](), list[str]()
        for kind in READ:
            try:
                found = self._counted(task, api, kind, manifest.revision, ticket)
            except CommandFailed as error:
                return Served(f"its {kind} cannot be read: {error}", tuple(notes), facts)
            facts[kind] = str(found)
            expected = wanted(manifest.live, kind)
            if why := miscounted(kind, found, expected):
                return Served(why, tuple(notes), facts)
            if expected is None:
                notes.append(f"the manifest has not counted {kind}: the API server's were not compared")
        return Served("", tuple(notes), facts)

    def _counted(self, task: ProveTask, api: ApiServer, kind: str, revision: int, ticket: Ticket) -> int:
        """Page by page, each on record; no value of any of them leaves the machine."""
        found, more = 0, ""
        while True:
            page = self.hosts.taken(
                task.request.node,
                api.page(kind, more),
                ticket,
                lambda chunks: page_of(answered(b"".join(chunks))),
            )
            found += sum(each <= revision for each in page.revisions)
            if not (more := page.more):
                return found


def api_of(task: ProveTask) -> ApiServer:
    return ApiServer(task.request.trial, task.request.api_server)


def said_to(host: Host, command: Command, tick: Tick) -> str:
    """CommandFailed in the command's own words: it may be a whole script."""
    (ran,) = host.do((command,), tick).ran
    if ran.exit != 0:
        raise CommandFailed(ran.tail or f"`{command.argv[0]}` exited {ran.exit}")
    return ran.tail
