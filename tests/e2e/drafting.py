"""`quorate init` against a lab: what it writes is the lab's own inventory, but for the lines that it marks."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.lab.lab import Lab
from quorate.inventories.reading import Loc, parse, walk
from quorate.inventories.writing import MARK
from tests.e2e.product import QUORATE


@dataclass(frozen=True)
class Drafted:
    code: int
    said: dict[str, Any]
    config: Path

    @property
    def text(self) -> str:
        return self.config.read_text()

    def differing(self, lab: Lab) -> set[str]:
        """Every field that is not as in the lab's own inventory, and stands on no marked line.

        Where a lab's daemon serves its figures no cluster can tell, nor that faults may be laid there.
        """
        marked = self._marked()
        mine, theirs = (loaded(path) for path in (self.config, Path(lab.config)))
        return {
            ".".join(map(str, loc))
            for loc in different(mine, theirs)
            if loc != ("metrics",) and loc[-1] != "drills" and not any(loc[: len(each)] == each for each in marked)
        }

    def _marked(self) -> list[Loc]:
        lines = {number for number, line in enumerate(self.text.splitlines(), 1) if MARK in line}
        return [
            loc for loc, line in walk(yaml.compose(self.text, Loader=yaml.SafeLoader), ()) if line in lines and loc
        ]


def loaded(path: Path) -> dict[str, Any]:
    return parse(path.read_text(), str(path)).model_dump()


def different(mine: object, theirs: object, loc: Loc = ()) -> Iterator[Loc]:
    if isinstance(mine, dict) and isinstance(theirs, dict):
        for key in {*mine, *theirs}:
            yield from different(mine.get(key), theirs.get(key), (*loc, key))
    elif isinstance(mine, list | tuple) and isinstance(theirs, list | tuple) and len(mine) == len(theirs):
        for number, pair in enumerate(zip(mine, theirs, strict=True)):
            yield from different(*pair, (*loc, number))
    elif mine != theirs:
        yield loc


def drafted(lab: Lab, home: Path, *more: str, host: int = 0) -> Drafted:
    """With the key that the lab gave us, and nothing else of it."""
    home.mkdir(exist_ok=True)
    config = home / "quorate.yaml"
    argv = [str(QUORATE), "init", f"quorate@{lab.nodes[host].address}", "--cluster", lab.name]
    argv += ["--identity", str(lab.folder / "ssh/id_ed25519"), "--out", str(config), "-o", "json", *more]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert "Traceback" not in done.stderr, done.stderr
    return Drafted(done.returncode, json.loads(done.stdout), config)


def ours(lab: Lab) -> tuple[str, ...]:
    """What whoever works on this lab has already: host keys pinned, a certificate for etcd, a kubeconfig."""
    kubeconfig = ("--kubeconfig", lab.kubeconfig) if lab.kubeconfig else ()
    return (
        *("--ca", lab.etcd.ca, "--cert", lab.etcd.cert, "--key", lab.etcd.key, *kubeconfig),
        *("--known-hosts", str(lab.folder / "ssh/known_hosts"), "--state-dir", str(lab.folder / "state")),
    )


def fingerprints(lab: Lab) -> tuple[str, ...]:
    """As each console would say them."""
    listed = subprocess.run(
        ["ssh-keygen", "-lf", str(lab.folder / "ssh/known_hosts")], capture_output=True, text=True, check=True
    )
    return tuple(word for line in listed.stdout.splitlines() for word in ("--fingerprint", line.split()[1]))
