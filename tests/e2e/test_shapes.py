"""The ways in which etcd is told what to do under systemd: each backed up and restored without a word changed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from deploy.lab.lab import Lab, digest, load
from quorate.nodes.effective import words
from tests.e2e.conftest import product
from tests.e2e.drafting import drafted, loaded, ours
from tests.e2e.product import Product, on_node

pytestmark = pytest.mark.lab
HEALTHY = ("--override-gate", "quorum-healthy", "--reason", "it is a test")
DROP_IN = "/etc/systemd/system/etcd.service.d/50-shape.conf"
FILE = "/etc/etcd/told"
TLS = ("cert-file", "key-file", "trusted-ca-file")


@pytest.fixture(scope="module")
def alone(alone_lab: Lab) -> Iterator[Product]:
    for quorate in product(alone_lab):
        load(alone_lab, 2)
        yield quorate


def flags(made: Lab) -> dict[str, str]:
    """What the lab's own unit says on its command line."""
    return words(tuple(on_node(made, "tr '\\0' '\\n' </proc/$(pidof etcd)/cmdline").splitlines()))


def as_file(said: dict[str, str]) -> tuple[str, str]:
    config: dict[str, object] = {name: each for name, each in said.items() if not name.endswith(("-file", "-auth"))}
    for prefix, section in (("", "client-transport-security"), ("peer-", "peer-transport-security")):
        config[section] = {**{name: said[f"{prefix}{name}"] for name in TLS}, "client-cert-auth": True}
    config["quota-backend-bytes"] = int(said["quota-backend-bytes"])
    return f"/usr/local/bin/etcd --config-file {FILE}", yaml.safe_dump(config)


def as_environment(said: dict[str, str]) -> tuple[str, str]:
    """All of it: etcd does not start when a flag and a variable say the same."""
    lines = [f'ETCD_{name.upper().replace("-", "_")}="{value}"' for name, value in said.items()]
    return "/usr/local/bin/etcd", "\n".join(lines)


@contextmanager
def told(made: Lab, command: str, text: str) -> Iterator[None]:
    """By a drop-in, which stays beside those of ours."""
    drop_in = f"[Service]\nEnvironmentFile=-{FILE}\nExecStart=\nExecStart={command}"
    restart = "systemctl daemon-reload; systemctl restart etcd"
    on_node(made, f"mkdir -p {DROP_IN.rpartition('/')[0]}; cat >{FILE} <<'END'\n{text}\nEND\n")
    on_node(made, f"cat >{DROP_IN} <<'END'\n{drop_in}\nEND\n{restart}")
    try:
        yield
    finally:
        on_node(made, f"rm -f {DROP_IN} {FILE}; {restart}")


@pytest.mark.parametrize("shape", [as_environment, as_file])
def test_it_is_backed_up_and_restored_as_it_is(alone: Product, shape: object) -> None:
    made = alone.lab
    with told(made, *shape(flags(made))):  # type: ignore[operator]
        before = digest(made)
        assert alone.backup()["outcome"] == "verified"
        assert alone.restore(*HEALTHY)["outcome"] == "restored"
        assert digest(made) == before
        on_node(made, "systemctl stop etcd")  # with no process, its unit and its files tell the same
        assert alone.json("plan", "restore", alone.cluster)["refusals"] == []
        on_node(made, "systemctl start etcd")


@pytest.mark.parametrize("shape", [as_environment, as_file])
def test_a_setting_that_changed_since_the_backup_is_named_wherever_it_is_written(
    alone: Product, shape: object
) -> None:
    made = alone.lab
    with told(made, *shape(flags(made))):  # type: ignore[operator]
        alone.backup()
        on_node(made, f"sed -i 's/8589934592/4294967296/' {FILE}; systemctl restart etcd")
        plan = alone.json("plan", "restore", alone.cluster, exit_code=4)
        differs = next(gate["evidence"] for gate in plan["refusals"] if gate["id"] == "config-differs")
        assert "--quota-backend-bytes is 4294967296, at the backup it was 8589934592" in differs


@contextmanager
def renamed(made: Lab, file: str, unit: str) -> Iterator[None]:
    units = "/etc/systemd/system"
    on_node(
        made, f"systemctl disable --now etcd; mv {units}/etcd.service {units}/{file}; systemctl enable --now {unit}"
    )
    try:
        yield
    finally:
        on_node(made, f"systemctl disable --now {unit}; mv {units}/{file} {units}/etcd.service")
        on_node(made, "systemctl enable --now etcd")


@pytest.mark.parametrize("shape", [as_environment, as_file])
def test_init_writes_the_labs_own_inventory_whether_etcd_runs_or_not(
    alone: Product, tmp_path: Path, shape: object
) -> None:
    made = alone.lab
    with told(made, *shape(flags(made))):  # type: ignore[operator]
        running = drafted(made, tmp_path / "running", *ours(made))
        assert (running.code, running.differing(made), running.said["findings"]) == (0, set(), [])
        on_node(made, "systemctl stop etcd")
        dead = drafted(made, tmp_path / "dead", *ours(made))
        on_node(made, "systemctl start etcd")
        assert (dead.code, dead.differing(made)) == (3, set())


@pytest.mark.parametrize(("file", "unit"), [("kv.service", "kv.service"), ("etcd@.service", "etcd@main.service")])
def test_init_finds_the_unit_by_whatever_name(alone: Product, tmp_path: Path, file: str, unit: str) -> None:
    made = alone.lab
    with renamed(made, file, unit):
        running = drafted(made, tmp_path / "running", *ours(made))
        on_node(made, f"systemctl stop {unit}")
        dead = drafted(made, tmp_path / "dead", *ours(made))
    for each in (running, dead):
        assert each.differing(made) == {f"clusters.{made.name}.etcd.unit"}
        assert loaded(each.config)["clusters"][made.name]["etcd"]["unit"] == unit


SHUT = """
table inet shut {
    chain input { type filter hook input priority 0; iif != lo tcp dport 2379 reject with tcp reset; }
}
"""


def test_init_knows_an_etcd_that_only_its_own_node_reaches(alone: Product, tmp_path: Path) -> None:
    made = alone.lab
    on_node(made, f"echo '{SHUT}' | nft -f -")
    try:
        drawn = drafted(made, tmp_path, *ours(made))
        assert (drawn.code, drawn.differing(made)) == (0, {f"clusters.{made.name}.ssh.forward"})
        found = Product(made, drawn.config).json("inspect", made.name, exit_code=3)
        assert [each["id"] for each in found["findings"]] == ["no-backup"]
    finally:
        on_node(made, "nft delete table inet shut")
