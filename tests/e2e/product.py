"""Quorate as its users run it: the command line, a daemon, a lab of real nodes."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.lab.lab import Lab, Node, node_exec
from deploy.lab.spec import S3, Etcd

QUORATE = Path(__file__).parents[2] / ".venv/bin/quorate"
OURS = "/var/lib/etcd/*.quorate-* /var/lib/quorate/*/claim /var/lib/quorate/fence/* /etc/systemd/system/*/00-quorate*"


@dataclass
class Product:
    lab: Lab
    config: Path

    @property
    def cluster(self) -> str:
        return self.lab.name

    @property
    def state(self) -> Path:
        return self.config.parent / "state"

    def run(self, *words: str, timeout_s: float = 420) -> subprocess.CompletedProcess[str]:
        argv = [str(QUORATE), "--config", str(self.config), *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=False)

    def json(self, *words: str, exit_code: int = 0) -> dict[str, Any]:
        done = self.run(*words, "-o", "json")
        assert done.returncode == exit_code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def up(self) -> None:
        done = self.run("up", "--detach")
        assert done.returncode == 0, done.stdout + done.stderr

    def down(self) -> None:
        self.run("down")

    def backup(self) -> dict[str, Any]:
        return self.json("backup", self.cluster)

    def restore(self, *more: str, exit_code: int = 0) -> dict[str, Any]:
        return self.json("restore", self.cluster, "--confirm", self.cluster, *more, exit_code=exit_code)

    def begin_restore(self, *more: str) -> subprocess.Popen[str]:
        argv = [str(QUORATE), "--config", str(self.config), "restore", self.cluster]
        argv += ["--confirm", self.cluster, *more, "-o", "json"]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def pid(self, name: str) -> int:
        return int(json.loads((self.state / f"{name}.json").read_text())["pid"])

    def kill(self, name: str) -> None:
        os.kill(self.pid(name), signal.SIGKILL)

    def trail(self, operation: str = "") -> list[dict[str, Any]]:
        """Every record of an operation's audit trail so far, or of the newest operation."""
        folders = sorted((self.state / "operations").glob(operation or "restore-*"), key=lambda p: p.stat().st_mtime)
        lines = (
            [
                line
                for path in (folders[-1] / "audit").glob("*.jsonl")
                for line in path.read_text().splitlines()
                if line.endswith("}")
            ]
            if folders
            else []
        )
        return [json.loads(line) for line in lines]

    def acts(self, operation: str) -> list[tuple[str, str]]:
        """(place, command) of everything that ran and said it succeeded."""
        done: list[tuple[str, str]] = []
        for path in sorted((self.state / "operations" / operation / "audit").glob("*.jsonl")):
            intents: dict[int, tuple[str, str]] = {}
            for record in (json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")):
                if record["event"] == "intent":
                    intents[record["seq"]] = (record["place"], " ".join(record["argv"]))
                if record["event"] == "outcome" and record.get("exit") == 0:
                    done.append(intents[record["of"]])
        return done


def on_node(made: Lab, script: str, number: int = 0) -> str:
    """What a script prints that succeeds there."""
    code, said = node_exec(made, made.machines[number].name, ["sh", "-ec", script])
    assert code == 0, said
    return said.strip()


def left(product: Product, node: Node) -> list[str]:
    """What Quorate has laid on a node and not taken away, kept data aside."""
    return node_exec(product.lab, node.name, ["sh", "-c", f"ls -d {OURS} 2>/dev/null"])[1].split()


def alone(home: Path, etcd: str, temporal: dict[str, Any]) -> Product:
    """A cluster of one member that nobody reaches by SSH: a backup does not need to."""
    home.mkdir()
    member = {"name": "a", "host": "127.0.0.1", "peer_urls": ["http://127.0.0.1:1"], "client_urls": [etcd]}
    ssh = {"user": "nobody", "identity": f"file:{home}/id", "known_hosts": f"{home}/known_hosts", "port": 1}
    settings = {"data_dir": "/var/lib/etcd/default"}
    inventory = {
        "apiVersion": "quorate/v1",
        "state_dir": str(home / "state"),
        "temporal": temporal,
        "stores": {"here": {"directory": str(home / "store")}},
        "clusters": {home.name: {"ssh": ssh, "etcd": settings, "members": [member], "backup": {"store": "here"}}},
    }
    (home / "store").mkdir()
    config = home / "quorate.yaml"
    config.write_text(yaml.safe_dump(inventory))
    return Product(Lab(str(config), (), Etcd((), "", "", ""), S3("", "", "", ""), None), config)


def until(what: Callable[[], bool], deadline_s: float = 60, poll_s: float = 0.01) -> None:
    deadline = time.monotonic() + deadline_s
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(poll_s)
