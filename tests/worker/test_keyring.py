"""Who can open the backups is tried and not believed, and a new key is never written over an old one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.activities.test_encrypted import Key
from tests.fakes.store import MemoryStore
from tests.worker.test_cli import Cli
from tests.workflows.test_backup import Bench, a_cluster

pytestmark = pytest.mark.slow


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    return Cli(tmp_path, capsys)


class House:
    """A cluster whose backups are encrypted for two, of which one key is here and one in the safe."""

    def __init__(self, cli: Cli) -> None:
        self.cli = cli
        self.ours, self.escrow = Key(cli.root), Key(cli.root, "escrow.key")
        self.policy(self.ours, self.escrow)

    def policy(self, *recipients: Key) -> None:
        names = ", ".join(f'"{each.recipient}"' for each in recipients)
        policy = f'backup: {{store: here, recipients: [{names}], identities: ["{self.ours.reference}"]}}'
        lines = self.cli.config.read_text().splitlines()
        text = "\n".join(f"    {policy}" if line.strip().startswith("backup:") else line for line in lines)
        self.cli.config.write_text(f"{text}\n")

    def take(self, *recipients: Key) -> str:
        store = MemoryStore()
        bench = Bench(
            a_cluster(), store, name="demo", recipients=tuple(each.recipient for each in recipients),
            identities=(recipients[0].reference,),
        )  # fmt: skip
        made = bench.carry_out()
        for key, data in store.objects.items():
            path = self.cli.root / "store" / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return made.snapshot


@pytest.fixture
def house(cli: Cli) -> House:
    return House(cli)


def test_each_recipient_says_who_opens_it_here(house: House) -> None:
    kept = house.take(house.ours, house.escrow)
    code, said = house.cli.json("keys", "ls", "demo")
    assert (code, said["newest"], said["still_for"]) == (0, kept, {})
    assert [(row["opened_by"], row["newest_backup"]) for row in said["recipients"]] == [
        ([house.ours.reference], True),
        ([], True),
    ]
    assert "escrow" in house.cli("keys", "ls", "demo")[1]


def test_a_recipient_that_the_newest_backup_does_not_know_is_a_finding(house: House) -> None:
    house.take(house.ours)
    code, said = house.cli.json("keys", "ls", "demo")
    assert (code, [row["newest_backup"] for row in said["recipients"]]) == (3, [True, False])


def test_backups_that_only_a_former_key_opens_are_counted(house: House) -> None:
    house.take(house.escrow)
    house.policy(house.ours)
    code, said = house.cli.json("keys", "ls", "demo")
    assert (code, said["still_for"]) == (3, {house.escrow.recipient: 1})
    assert "1 older backups can be opened by" in house.cli("keys", "ls", "demo")[1]


def test_without_recipients_it_says_what_that_means(cli: Cli) -> None:
    code, out, _ = cli("keys", "ls", "demo")
    assert (code, "every Secret" in out) == (3, True)


def test_the_escrow_key_is_tried_on_all_of_the_newest_backup(house: House) -> None:
    kept = house.take(house.ours, house.escrow)
    code, said = house.cli.json("keys", "test", "demo", "--identity", str(house.cli.root / "escrow.key"))
    assert (code, said["ok"], said["snapshot"]) == (0, True, kept)
    stranger = Key(house.cli.root, "stranger.key")
    code, said = house.cli.json("keys", "test", "demo", "--identity", str(house.cli.root / stranger.name))
    assert (code, said["ok"], said["error"]["kind"]) == (6, False, "denied")


def test_an_escrow_key_opens_nothing_that_was_changed(house: House) -> None:
    house.take(house.ours, house.escrow)
    path = next((house.cli.root / "store").rglob("*.age"))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert house.cli.json("keys", "test", "demo", "--identity", str(house.cli.root / "escrow.key"))[0] == 7


def test_a_new_key_is_for_its_owner_alone_and_never_written_over_another(house: House) -> None:
    kept = house.take(house.ours)
    file = house.cli.root / "new.key"
    code, said = house.cli.json("keys", "rotate", "demo", "--to", str(file))
    assert (code, said["needed_for"], said["file"]) == (0, [kept], str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    assert said["recipient"] in file.read_text()
    before = file.read_bytes()
    code, out, err = house.cli("keys", "rotate", "demo", "--to", str(file))
    assert (code, "is there already" in err, file.read_bytes()) == (2, True, before)
    assert "AGE-SECRET" not in out + err + str(said)


def test_what_is_made_opens_what_is_encrypted_for_it(house: House) -> None:
    file = house.cli.root / "new.key"
    recipient = house.cli.json("keys", "rotate", "demo", "--to", str(file))[1]["recipient"]
    text = house.cli.config.read_text().replace(house.ours.recipient, recipient)
    house.cli.config.write_text(text.replace(house.ours.reference, f"file:{file}"))
    assert house.cli.json("keys", "ls", "demo")[1]["recipients"][0]["opened_by"] == [f"file:{file}"]
