"""`python -m deploy.lab`: up, down, load, digest, wreck, ls."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from docker.errors import DockerException

from deploy.lab import lab as labs
from deploy.lab.spec import CONTROL_PLANES, ETCD, MEMBERS
from deploy.lab.wreck import KINDS


def main() -> int:
    """Errors are a sentence on stderr, never a traceback."""
    asked = parser().parse_args()
    try:
        VERBS[asked.verb](asked)
    except labs.LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except DockerException as error:
        print(f"lab: the Docker engine refused: {error}; `down` and `up` start clean", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted; the next `up` of this name starts clean", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m deploy.lab", description="Real clusters to wreck.")
    verbs = top.add_subparsers(dest="verb", required=True)
    for verb, does in VERBS.items():
        one = verbs.add_parser(verb, help=does.__doc__, description=does.__doc__)
        if verb != "ls":
            one.add_argument("lab")
        add_options(verb, one)
    return top


def add_options(verb: str, one: argparse.ArgumentParser) -> None:
    if verb == "up":
        one.add_argument("--members", type=int, default=3, choices=MEMBERS)
        one.add_argument("--etcd", default="3.6", choices=ETCD)
        one.add_argument("--control-plane", default="systemd", choices=CONTROL_PLANES)
        one.add_argument("--sandbox", action="store_true", help="one more machine, where backups are proved")
        one.add_argument("--data-tmpfs-mib", type=int, help="bound the data filesystem, for fill-disk")
    if verb == "load":
        one.add_argument("--mib", type=int, default=64)
    if verb == "wreck":
        one.add_argument("kind", choices=KINDS)
        one.add_argument("node", nargs="?", help="a name or a number; the first when left out")


def up(asked: argparse.Namespace) -> None:
    """Bring a lab up."""
    spec = labs.LabSpec(
        asked.lab, asked.members, asked.etcd, asked.control_plane, asked.data_tmpfs_mib, asked.sandbox
    )
    labs.up(spec, say)


def down(asked: argparse.Namespace) -> None:
    """Remove a lab and everything of it."""
    labs.down(asked.lab, say)


def load(asked: argparse.Namespace) -> None:
    """Fill etcd with deterministic data."""
    labs.load(labs.load_lab(asked.lab), asked.mib)
    say(f"lab: {asked.lab} holds {asked.mib} MiB under /quorate-load/")


def digest(asked: argparse.Namespace) -> None:
    """Print what etcd holds, to compare."""
    print(json.dumps(asdict(labs.digest(labs.load_lab(asked.lab)))))


def wreck(asked: argparse.Namespace) -> None:
    """Break something."""
    say(labs.wreck(labs.load_lab(asked.lab), asked.kind, asked.node))


def ls(_: argparse.Namespace) -> None:
    """List the labs and whether they are healthy."""
    for name, state in labs.labs():
        print(f"{name:20} {state}")


def say(line: str) -> None:
    print(line, flush=True)


VERBS = {"up": up, "down": down, "load": load, "digest": digest, "wreck": wreck, "ls": ls}

if __name__ == "__main__":
    sys.exit(main())
