"""A node's files under one operation: claimed, staged, swapped, put back. The names are the whole state."""

import shlex
from dataclasses import dataclass

from quorate.command import Command, rename, written
from quorate.converge import Left
from quorate.errors import Refusal
from quorate.nodes.durable import parent, whole
from quorate.nodes.room import RESERVE_BYTES, WAL_BYTES, enough, receiving, room_for, staging_bytes
from quorate.nodes.seen import Look, NodeSeen
from quorate.nodes.swapped import SELINUX, Looks, Swapped

WARM_S = 10


@dataclass(frozen=True, slots=True)
class Claim:
    """The node belongs to one operation at a time; looking under a ticket is what claims it."""

    lock_dir: str
    cluster: str
    operation: str

    @property
    def file(self) -> str:
        return f"{self.lock_dir}/{self.cluster}/claim"

    @property
    def home(self) -> str:
        """Where the operation keeps what must outlive us."""
        return f"{self.lock_dir}/{self.cluster}/{self.operation}"

    @property
    def released(self) -> str:
        return f"{self.home}/released"

    def look(self) -> Look:
        return Look(paths=(self.file, self.home, self.released))

    def hold(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """Its first words are synced, for who has a node; that its turn rises is not worth a sync at every look."""
        (home,) = seen.has(self.home)
        folders = (self.home, parent(self.home), self.lock_dir, parent(self.lock_dir))
        begin = Command(("install", "-d", "-m", "0700", self.home))
        return () if home else (begin, Command(("sync", self.file, *folders)))

    def release(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """The moved claim refuses every attempt that is older than this one."""
        claimed, home, released = seen.has(self.file, self.home, self.released)
        if not claimed or released:
            return ()
        begin = () if home else (Command(("install", "-d", "-m", "0700", self.home)),)
        return (*begin, rename(self.file, self.released))


@dataclass(frozen=True, slots=True)
class Records:
    """Small files that an operation leaves at its home on a node, by name: whole or not there."""

    home: str
    texts: tuple[tuple[str, str], ...] = ()

    def look(self) -> Look:
        return Look(paths=tuple(f"{self.home}/{name}" for name, _ in self.texts))

    def write(self, seen: NodeSeen) -> tuple[Command, ...]:
        missing = [(path, text) for name, text in self.texts if (path := f"{self.home}/{name}") not in seen.paths]
        return tuple(act for path, text in missing for act in written(path, text, (f"!{path}",)))


@dataclass(frozen=True, slots=True)
class Restored:
    """How the member is restored; byte-identical on every node but for its name and URLs."""

    tool: str
    name: str
    peer_urls: tuple[str, ...]
    initial_cluster: str
    token: str
    bump: int
    size_bytes: int  # of the snapshot, trailer included
    db_sha256: str  # what the trailer says
    db: Looks
    wal: Looks | None = None  # where the log has a directory of its own

    def argv(self, snapshot: str, target: str, wal: str) -> tuple[str, ...]:
        bump = ("--bump-revision", str(self.bump), "--mark-compacted") if self.bump else ()
        return (
            self.tool,
            "snapshot",
            "restore",
            snapshot,
            f"--name={self.name}",
            f"--initial-cluster={self.initial_cluster}",
            f"--initial-cluster-token={self.token}",
            f"--initial-advertise-peer-urls={','.join(self.peer_urls)}",
            f"--data-dir={target}",
            *((f"--wal-dir={wal}",) if wal else ()),
            *bump,
        )

    @property
    def looks(self) -> tuple[Looks, ...]:
        """Of each directory that is swapped, in their order."""
        return (self.wal, self.db) if self.wal else (self.db,)


@dataclass(frozen=True, slots=True)
class DataDir:
    """The names of one generation of a member's data.

    A mount point cannot be renamed: there `live` is the `member` in it, and its names are in the mount point too.
    A log in a directory of its own is swapped before the database, and each on its own filesystem.
    """

    live: str
    operation: str
    home: str
    generation: int = 1
    mounted: bool = False
    wal_dir: str = ""

    @property
    def db(self) -> Swapped:
        return Swapped(self.live, self.operation, self.generation, "member" if self.mounted else "")

    @property
    def wal(self) -> Swapped | None:
        """None where it lies in what is swapped anyway."""
        apart = self.wal_dir and not inside(self.wal_dir, self.live)
        return Swapped(self.wal_dir, self.operation, self.generation) if apart else None

    @property
    def swapped(self) -> tuple[Swapped, ...]:
        return (self.wal, self.db) if self.wal else (self.db,)

    @property
    def folders(self) -> tuple[str, ...]:
        """In which the names are; a rename is durable when they are synced."""
        return tuple(dict.fromkeys(parent(each.live) for each in self.swapped))

    @property
    def staged(self) -> str:
        return self.db.staged

    @property
    def member(self) -> str:
        """What is staged, as far as etcd calls it `member`."""
        return self.staged if self.mounted else f"{self.staged}/member"

    @property
    def log(self) -> str:
        """Where the staged log is, if not in there."""
        return self.wal.staged if self.wal else self.wal_dir.replace(self.live, self.staged, 1)

    @property
    def part(self) -> str:
        return self.db.part

    @property
    def kept(self) -> str:
        return self.db.kept

    @property
    def arrivals(self) -> str:
        """A directory, so that whatever attempts leave in it is removed by one name."""
        return f"{self.staged}.arriving.part"

    @property
    def snapshot(self) -> str:
        return f"{self.arrivals}/snapshot"

    @property
    def digest(self) -> str:
        """What the restore tool says of the staged db: a hash over every bucket, its revision, its keys."""
        return f"{self.home}/staged-g{self.generation}.json"

    @property
    def pair(self) -> str:
        """Which inodes belong together: a rename keeps them, and in the directories etcd wants no file of ours."""
        return f"{self.home}/pair-g{self.generation}"

    def look(self) -> Look:
        paths = tuple(path for each in self.swapped for path in each.names)
        return self.look_for_pair() | Look(
            paths=(*paths, self.arrivals, self.snapshot, self.digest, SELINUX), texts=(self.digest,)
        )

    def look_for_pair(self) -> Look:
        """Before a start: nothing where there is only one directory."""
        paths = tuple(path for each in self.swapped for path in (each.live, each.kept))
        return Look(paths=paths, texts=(self.pair,)) if self.wal else Look()

    def arriving(self, turn: int, attempt: int) -> str:
        """Every attempt writes to a name of its own, so a late sender spoils nothing."""
        return f"{self.arrivals}/{turn}-{attempt}"

    def look_for_room(self) -> Look:
        """What staging needs to know beside the names."""
        return Look(spaces=tuple(parent(each.live) for each in self.swapped))

    def receive(self, arriving: str, size_bytes: int, unpack: tuple[str, ...]) -> Command:
        argv = receiving(arriving, parent(self.live), staging_bytes(size_bytes), unpack)
        return Command(argv, given=(f"!{self.staged}",))

    def needs_snapshot(self, seen: NodeSeen, size_bytes: int) -> bool:
        """Neither staged nor whole: a cut-off transfer leaves nothing under the final name."""
        staged, live_again = seen.has(self.staged, self.kept)
        there = seen.paths.get(self.snapshot)
        done = staged or live_again or self.restored(seen)
        if done or (there and there.size_bytes == size_bytes):
            return False
        self._room(seen, staging_bytes(size_bytes))
        return True

    def restored(self, seen: NodeSeen) -> bool:
        """What arrived is removed in the same command that restores it, and only when that succeeded."""
        part, arrivals = seen.has(self.part, self.arrivals)
        return part and not arrivals

    def arrived(self, arriving: str) -> Command:
        return Command(("mv", "-T", arriving, self.snapshot), given=(arriving, f"!{self.staged}"))

    def stage(self, restored: Restored, seen: NodeSeen) -> Left[Command]:
        """Check what arrived, restore beside the live data, make it durable, give it its name last."""
        if all(seen.has(self.digest, *(each.staged for each in self.swapped))):
            dressed = zip(self.swapped, restored.looks, strict=True)
            return tuple(act for each, looks in dressed for act in each.unlike(looks, seen))
        if self.kept in seen.paths:
            raise Refusal(f"cannot stage {self.live}: {self.kept} is there, so it was swapped already")
        finish = self._finish(restored, seen)
        if self.restored(seen):
            return finish
        self._room(seen, staging_bytes(restored.size_bytes, arrived=True))
        return *self._restore(restored), *finish

    def _restore(self, restored: Restored) -> tuple[Command, ...]:
        given = (self.snapshot, f"!{self.staged}")
        argv = restored.argv(self.snapshot, self.part, self.wal_part())
        same = f'test "$(tail -c 32 "$1" | od -An -v -tx1 | tr -d " \\n")" = {restored.db_sha256}'
        parts = shlex.join(each.part for each in self.swapped)
        script = f'"$@" && exec rm -rf "$0"; c=$?; rm -rf {parts}; exit $c'
        needed = {parent(each.live): WAL_BYTES + RESERVE_BYTES for each in self.swapped}
        needed[parent(self.live)] = staging_bytes(restored.size_bytes, arrived=True)
        return (
            Command(("sh", "-c", same, "trailer", self.snapshot), given=given),
            Command(("rm", "-rf", *(each.part for each in self.swapped)), given=given),
            *(room_for(size_bytes, directory, given) for directory, size_bytes in needed.items()),
            Command(("sh", "-c", script, self.arrivals, *argv), given=given),
        )

    def _room(self, seen: NodeSeen, needed_bytes: int) -> None:
        """NoSpace before anything is written."""
        for each in self.swapped:
            needed = needed_bytes if each == self.db else WAL_BYTES + RESERVE_BYTES
            enough(seen.spaces.get(parent(each.live)), needed, each.live)

    def wal_part(self) -> str:
        """Where the log is written that is to be staged, if whoever writes it is told."""
        if not self.wal_dir or self.wal:
            return self.wal.part if self.wal else ""
        return self.wal_dir.replace(self.live, self.db.built, 1)

    def _finish(self, restored: Restored, seen: NodeSeen) -> tuple[Command, ...]:
        status = '"$1" snapshot status "$2" --write-out=json > "$3"'
        argv = ("sh", "-c", status, "status", restored.tool, f"{self.part}/member/snap/db", self.digest)
        return self.finished(restored.db, restored.wal, seen, (Command(argv, given=(self.part,)),))

    def finished(
        self, db: Looks, wal: Looks | None, seen: NodeSeen, told: tuple[Command, ...] = ()
    ) -> tuple[Command, ...]:
        """What was built is durable and gets its name; the database last: it says that everything is staged."""
        return (
            *(self._finish_wal(self.wal, wal, seen) if self.wal and wal else ()),
            *self.db.dressed(db, seen),
            *told,
            whole(self.part, self.home),
            *self.db.named(),
            Command(("sync", *self.folders), given=(self.staged,)),
        )

    def _finish_wal(self, wal: Swapped, looks: Looks, seen: NodeSeen) -> tuple[Command, ...]:
        if wal.staged in seen.paths:
            return ()
        script = 'stat -c %i -- "$2" "$3" > "$1"'
        together = Command(("sh", "-c", script, "pair", self.pair, wal.part, self.db.built), given=(wal.part,))
        return (*wal.dressed(looks, seen), together, whole(wal.part, self.home), *wal.named())

    def warm(self) -> Command:
        """Read once more what etcd is about to map: under a full memory much of it was put out again.

        As far as a few seconds go: a slow disk is no reason to undo a restore.
        """
        db = f"{self.staged}/snap/db" if self.mounted else f"{self.staged}/member/snap/db"
        return Command(("sh", "-c", f'timeout {WARM_S} cat "$0" >/dev/null; true', db), given=(db,))

    def discard(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """Remove what this operation built and nobody ever ran: only ever its own names."""
        for each in self.swapped:
            if each.kept in seen.paths:
                raise Refusal(f"will not remove {each.staged}: the data of before is still at {each.kept}")
        ours = (*(path for each in reversed(self.swapped) for path in (each.staged, each.part)), self.arrivals)
        leftovers = tuple(path for path in (*ours, self.digest, self.pair) if path in seen.paths)
        return (Command(("rm", "-rf", *leftovers)),) if leftovers else ()

    def swap(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """The log before the database, each by renames of its own."""
        return tuple(act for each in self.swapped for act in each.swap(seen))

    def put_back(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """Undo a swap, from wherever it stopped, in the other order."""
        return tuple(act for each in reversed(self.swapped) for act in each.put_back(seen))

    def check_pair(self, seen: NodeSeen, *, restored: bool) -> None:
        """Refusal unless log and database are both what was restored, or neither is.

        With the log of another member's life etcd replays what was never in the snapshot, and says nothing.
        """
        staged = seen.texts.get(self.pair, "").split()
        if not self.wal or not (staged or restored):
            return
        lives = [seen.paths.get(each.live) for each in self.swapped]
        inodes = [there.inode if there else "" for there in lives]
        half_way = any(each.kept in seen.paths for each in self.swapped)
        if inodes == staged if restored else not (half_way or set(inodes) & set(staged)):
            return
        told = ", ".join(
            f"{each.live} is {'gone' if not inode else 'restored' if inode in staged else 'from before'}"
            for each, inode in zip(self.swapped, inodes, strict=True)
        )
        raise Refusal(f"will not start etcd: its log and its database do not belong together: {told}")


def inside(path: str, directory: str) -> bool:
    return path.startswith(f"{directory}/")
