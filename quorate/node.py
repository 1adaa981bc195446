"""A node's files under one operation: claimed, staged, swapped, put back. The names are the whole state."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from quorate.command import Command, rename
from quorate.converge import Left
from quorate.errors import Refusal
from quorate.seen import Look, NodeSeen

SELINUX = "/sys/fs/selinux/enforce"  # there where SELinux is on, whether it enforces or not


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
        (home,) = seen.has(self.home)
        return () if home else (Command(("install", "-d", "-m", "0700", self.home)), Command(("sync", self.file)))

    def release(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """The moved claim refuses every attempt that is older than this one."""
        claimed, home, released = seen.has(self.file, self.home, self.released)
        if not claimed or released:
            return ()
        begin = () if home else (Command(("install", "-d", "-m", "0700", self.home)),)
        return (*begin, rename(self.file, self.released))


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
    owner: str
    mode: str = "700"

    @property
    def exact_mode(self) -> str:
        """With five digits chmod also clears the bits that a directory has inherited."""
        return f"{int(self.mode, 8):05o}"

    def argv(self, snapshot: str, target: str) -> tuple[str, ...]:
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
            *bump,
        )


@dataclass(frozen=True, slots=True)
class Swapped:
    """A directory that gives way to another by renames; the names beside it are the whole state."""

    live: str
    operation: str
    generation: int = 1

    @property
    def staged(self) -> str:
        return f"{self.live}.quorate-{self.operation}-g{self.generation}"

    @property
    def part(self) -> str:
        return f"{self.staged}.part"

    @property
    def kept(self) -> str:
        return f"{self.live}.before-{self.operation}"

    def swap(self, seen: NodeSeen) -> tuple[Command, ...]:
        """Keep the live one under another name, place the staged in its stead."""
        keep, place = rename(self.live, self.kept), rename(self.staged, self.live)
        match seen.has(self.live, self.staged, self.kept):
            case (True, True, False):
                return keep, place, self.durable
            case (False, True, True):
                return place, self.durable
            case (False, True, False):  # wiped: nothing to keep, and a mark that says so
                return self._mark(), place, self.durable
            case (True, False, True):
                return ()
        raise Refusal(f"cannot swap {self.live}: {self._there(seen)}")

    def put_back(self, seen: NodeSeen) -> tuple[Command, ...]:
        """Undo a swap, from wherever it stopped."""
        displace, restore = rename(self.live, self.staged), rename(self.kept, self.live)
        if self.kept in seen.paths and seen.paths[self.kept].kind != "directory":
            restore = Command(("rm", "-f", self.kept))  # the mark of a wiped node
        match seen.has(self.live, self.staged, self.kept):
            case (_, _, False):
                return ()
            case (False, True, True):
                return restore, self.durable
            case (True, False, True):
                return displace, restore, self.durable
        raise Refusal(f"cannot put {self.kept} back: {self._there(seen)}")

    @property
    def durable(self) -> Command:
        return Command(("sync", parent(self.live)))

    def _mark(self) -> Command:
        return Command(("install", "-m", "0600", "/dev/null", self.kept), given=(f"!{self.live}", f"!{self.kept}"))

    def _there(self, seen: NodeSeen) -> str:
        names = (self.live, self.staged, self.kept)
        return "there are " + (", ".join(path for path in names if path in seen.paths) or "none of its names")


@dataclass(frozen=True, slots=True)
class DataDir:
    """The names of one generation of a data directory, all on one filesystem.

    A mount point cannot be renamed: there `live` is the `member` in it, and its names are in the mount point too.
    """

    live: str
    operation: str
    home: str
    generation: int = 1
    mounted: bool = False

    @property
    def db(self) -> Swapped:
        return Swapped(self.live, self.operation, self.generation)

    @property
    def staged(self) -> str:
        return self.db.staged

    @property
    def part(self) -> str:
        return self.db.part

    @property
    def kept(self) -> str:
        return self.db.kept

    @property
    def built(self) -> str:
        """What is to be live, in what the restore tool has made."""
        return f"{self.part}/member" if self.mounted else self.part

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

    def look(self) -> Look:
        paths = (self.live, self.staged, self.kept, self.part, self.arrivals, self.snapshot, self.digest, SELINUX)
        return Look(paths=paths, texts=(self.digest,))

    def arriving(self, turn: int, attempt: int) -> str:
        """Every attempt writes to a name of its own, so a late sender spoils nothing."""
        return f"{self.arrivals}/{turn}-{attempt}"

    def receive(self, arriving: str, unpack: tuple[str, ...]) -> Command:
        script = 'umask 077; mkdir -p "${0%/*}"; "$@" > "$0"'
        return Command(("sh", "-c", script, arriving, *unpack), given=(f"!{self.staged}",))

    def needs_snapshot(self, seen: NodeSeen, size_bytes: int) -> bool:
        """Neither staged nor whole: a cut-off transfer leaves nothing under the final name."""
        staged, live_again = seen.has(self.staged, self.kept)
        there = seen.paths.get(self.snapshot)
        done = staged or live_again or self.restored(seen)
        return not done and (there is None or there.size_bytes != size_bytes)

    def restored(self, seen: NodeSeen) -> bool:
        """What arrived is removed in the same command that restores it, and only when that succeeded."""
        part, arrivals = seen.has(self.part, self.arrivals)
        return part and not arrivals

    def arrived(self, arriving: str) -> Command:
        return Command(("mv", "-T", arriving, self.snapshot), given=(arriving, f"!{self.staged}"))

    def stage(self, restored: Restored, seen: NodeSeen) -> Left[Command]:
        """Check what arrived, restore beside the live data, make it durable, give it its name last."""
        staged, kept, digest, part = seen.has(self.staged, self.kept, self.digest, self.part)
        if staged and digest:
            return (*self._looking_wrong(restored, seen), *((self._emptied(),) if part and self.mounted else ()))
        if kept:
            raise Refusal(f"cannot stage {self.live}: {self.kept} is there, so it was swapped already")
        finish = self._finish(restored, seen)
        return finish if self.restored(seen) else (*self._restore(restored), *finish)

    def _restore(self, restored: Restored) -> tuple[Command, ...]:
        given = (self.snapshot, f"!{self.staged}")
        argv = restored.argv(self.snapshot, self.part)
        same = f'test "$(tail -c 32 "$1" | od -An -v -tx1 | tr -d " \\n")" = {restored.db_sha256}'
        return (
            Command(("sh", "-c", same, "trailer", self.snapshot), given=given),
            Command(("rm", "-rf", self.part), given=given),
            Command(("sh", "-c", '"$@" && rm -rf "$0"', self.arrivals, *argv), given=given),
        )

    def _looking_wrong(self, restored: Restored, seen: NodeSeen) -> tuple[Command, ...]:
        """What does not have the owner and the mode that it was given: a filesystem may have its own mind."""
        there = seen.paths[self.staged]
        owner = () if there.owner == restored.owner else (Command(("chown", restored.owner, self.staged)),)
        mode = () if there.mode == restored.mode else (Command(("chmod", restored.exact_mode, self.staged)),)
        return (*owner, *mode)

    def _label(self, seen: NodeSeen) -> tuple[Command, ...]:
        """As SELinux labels the live data; where that is gone, as its policy says for the name."""
        live, on = seen.has(self.live, SELINUX)
        if not on:
            return ()
        if live:
            return (Command(("chcon", "-R", f"--reference={self.live}", self.built), given=(self.live, self.part)),)
        script = 'chcon -R "$(matchpathcon -n "$1")" "$2"'
        return (Command(("sh", "-c", script, "label", self.live, self.built), given=(self.part,)),)

    def _finish(self, restored: Restored, seen: NodeSeen) -> tuple[Command, ...]:
        part, db = self.part, f"{self.part}/member/snap/db"
        status = '"$1" snapshot status "$2" --write-out=json > "$3"'
        return (
            Command(("chown", "-R", restored.owner, part), given=(part,)),
            Command(("chmod", restored.exact_mode, self.built), given=(part,)),
            *self._label(seen),
            Command(("sh", "-c", status, "status", restored.tool, db, self.digest), given=(part,)),
            Command(("sh", "-c", 'find "$1" "$2" -exec sync {} +', "durable", part, self.digest), given=(part,)),
            Command(("mv", "-T", self.built, self.staged), given=(part, f"!{self.staged}")),
            *((self._emptied(),) if self.mounted else ()),
            Command(("sync", parent(self.live)), given=(self.staged,)),
        )

    def _emptied(self) -> Command:
        """Of a mount point's part only `member` was wanted."""
        return Command(("rmdir", self.part), given=(self.staged,))

    def discard(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """Remove what this operation built and nobody ever ran: only ever its own names."""
        if any(seen.has(self.kept)):
            raise Refusal(f"will not remove {self.staged}: the data of before is still at {self.kept}")
        leftovers = tuple(path for path in (self.staged, self.part, self.arrivals, self.digest) if path in seen.paths)
        return (Command(("rm", "-rf", *leftovers)),) if leftovers else ()

    def swap(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """Keep the live data under another name, place the restored in its stead."""
        return self.db.swap(seen)

    def put_back(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """Undo a swap, from wherever it stopped."""
        return self.db.put_back(seen)


def parent(path: str) -> str:
    return str(PurePosixPath(path).parent)
