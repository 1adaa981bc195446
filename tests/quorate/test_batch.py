"""A batch is shell, so it is run by a real shell."""

import subprocess
import time
from pathlib import Path

import pytest

from quorate.command import Command, rename
from quorate.converge import Ran
from quorate.nodes import batch


def ran(*acts: Command, look: str = "echo seen") -> tuple[tuple[Ran, ...], str]:
    stdin = "".join(act.stdin for act in acts).encode()
    done = subprocess.run(["sh", "-c", batch.script(acts, look)], input=stdin, capture_output=True, check=True)
    return batch.parsed(acts, done.stdout.decode(), time.time())


def touch(path: Path, *given: str) -> Command:
    return Command(("touch", str(path)), given=given)


def test_every_command_has_its_own_exit_code_and_output() -> None:
    found, looked = ran(Command(("echo", "one\ntwo")), Command(("sh", "-c", "echo no >&2; exit 7")))
    assert [(each.exit, each.tail) for each in found] == [(0, "one\ntwo"), (7, "no")]
    assert looked == "seen\n"


def test_nothing_runs_after_one_that_failed(tmp_path: Path) -> None:
    found, _ = ran(Command(("false",)), touch(tmp_path / "a"))
    assert [each.exit for each in found] == [1]
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("given", ["{}/nowhere", "!{}", "!{}/link"])
def test_a_precondition_that_fell_ends_the_batch_before_its_command(tmp_path: Path, given: str) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    found, looked = ran(touch(tmp_path / "a"), touch(tmp_path / "b", given.format(tmp_path)), touch(tmp_path / "c"))
    assert [each.exit for each in found] == [0, None]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "link"]
    assert looked == "seen\n"


def test_a_precondition_is_looked_at_after_the_commands_before_it(tmp_path: Path) -> None:
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    found, _ = ran(touch(tmp_path / "a"), rename(a, b), rename(a, b))
    assert [each.exit for each in found] == [0, 0, None]


def test_each_command_reads_its_own_bytes_and_nothing_else() -> None:
    found, _ = ran(Command(("cat",), stdin="é1"), Command(("cat",)), Command(("cat",), stdin="two\n"))
    assert [each.tail for each in found] == ["é1", "", "two"]


def test_times_are_those_of_the_machine_and_in_order() -> None:
    first, second = ran(Command(("sleep", "0.1")), Command(("true",)))[0]
    assert 0.08 <= first.duration_s < 5
    assert second.started >= first.started + first.duration_s - 0.02


def test_an_answer_that_was_cut_off_is_no_answer() -> None:
    with pytest.raises(ValueError, match="before the look"):
        batch.parsed((Command(("true",)),), "began\t1.0\n", 0.0)
