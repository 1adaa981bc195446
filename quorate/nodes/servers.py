"""API servers that name members which are gone in `--etcd-servers`: taken out while they are stopped.

An API server asks any of them; one that is gone costs it a timeout now and then, and one that comes back with its old
data would be asked again if nothing shut it out.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from quorate.command import Command
from quorate.converge import Left
from quorate.inventory import Cluster
from quorate.nodes.effective import words
from quorate.nodes.mention import Mention
from quorate.nodes.pods import parked
from quorate.nodes.seen import Look, NodeSeen, UnitSeen
from quorate.settings.machines import Member

FLAG = "etcd-servers"
API = "kube-apiserver"


def asked(settings: Cluster, gone: tuple[Member, ...]) -> tuple[Mention, ...]:
    """What to look for in the files of the API servers' units, or in their manifests."""
    keepers = [each.process for each in settings.control_plane if each.role == API]
    return tuple(Mention(keeper, url) for keeper in keepers for url in urls(gone))


def urls(gone: tuple[Member, ...]) -> tuple[str, ...]:
    return tuple(url for member in gone for url in member.client_urls)


def named(settings: Cluster, node: NodeSeen, gone: tuple[Member, ...]) -> tuple[Mention, ...]:
    """What is to be taken out on a node: nothing where no other server would be left, or where it cannot be told."""
    keeper = next((each.process for each in settings.control_plane if each.role == API), "")
    left = set(servers(node.units.get(keeper, UnitSeen(keeper)))) - set(urls(gone))
    if not left:
        return ()
    away = {keeper: parked(keeper)} if keeper.startswith("/") else {}
    found = (Mention(away.get(each.where, each.where), each.text) for each in node.mentions)
    return tuple(sorted(each for each in found if each.text in urls(gone)))


def servers(unit: UnitSeen) -> tuple[str, ...]:
    argv = unit.manifest.argv if unit.manifest else unit.argv
    return tuple(filter(None, words(argv).get(FLAG, "").split(",")))


@dataclass(frozen=True, slots=True)
class Unlisting:
    """On one node; the files as they were are kept at the operation's home."""

    mentions: tuple[Mention, ...]
    home: str

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.where for each in self.mentions))

    def original(self, file: str) -> str:
        """With its whole path in its name: a unit and an environment file may be called alike."""
        return f"{self.home}/before{file.replace('-', '--').replace('/', '-')}"

    def look(self) -> Look:
        return Look(paths=(*self.files, *map(self.original, self.files)), mentions=self.mentions)

    def take_out(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """What is still named after that was not one of several: the step says so and fails."""
        left = [each for each in self.mentions if each in seen.mentions]
        if not left:
            return ()
        files = dict.fromkeys(each.where for each in left)
        kept = tuple(self._keep(file) for file in files if self.original(file) not in seen.paths)
        edits = tuple(self._edit(file, [each.text for each in left if each.where == file]) for file in files)
        return (*kept, *edits, *self._reread())

    def put_back(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """The very same bytes, by a rename."""
        there = [file for file in self.files if self.original(file) in seen.paths]
        acts = tuple(act for file in there for act in self._back(file))
        return (*acts, *self._reread()) if acts else ()

    def _keep(self, file: str) -> Command:
        original = self.original(file)
        script = 'cp -a -- "$0" "$1.part" && sync "$1.part" && mv -T "$1.part" "$1"'
        return Command(("sh", "-c", script, file, original), given=(file, f"!{original}"))

    def _edit(self, file: str, texts: list[str]) -> Command:
        program = ";".join(edit for text in texts for edit in edits_of(text))
        return Command(("sed", "-i", program, file), given=(file, self.original(file)))

    def _back(self, file: str) -> tuple[Command, ...]:
        original = self.original(file)
        folder = str(PurePosixPath(file).parent)
        script = 'cp -a -- "$1" "$0.quorate.part" && sync "$0.quorate.part" && mv -T "$0.quorate.part" "$0"'
        return (
            Command(("sh", "-c", script, file, original), given=(original,)),
            Command(("sync", folder)),
            Command(("rm", "-f", original), given=(original,)),
        )

    def _reread(self) -> tuple[Command, ...]:
        folders = dict.fromkeys(str(PurePosixPath(file).parent) for file in self.files)
        return Command(("sync", *self.files, *folders)), Command(("systemctl", "daemon-reload"))


def edits_of(text: str) -> Iterator[str]:
    """For sed: out of the middle or the end of a list, then from its beginning."""
    quoted = re.sub(r"([.\[\]*^$#\\])", r"\\\1", text)
    yield rf"s#,{quoted}\([^0-9A-Za-z]\|$\)#\1#g"
    yield f"s#{quoted},##g"
