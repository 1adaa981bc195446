"""The guard is shell, so it is run by a real shell."""

import fcntl
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.restoring.nodes import LAST_TURN
from quorate.command import Command, Ticket
from quorate.errors import Busy, Superseded, Unreachable
from quorate.nodes import guard
from quorate.nodes.room import receiving
from tests.e2e.product import until


def ran(home: Path, ticket: Ticket, how: str, command: Command) -> tuple[int, str]:
    line = guard.guarded(str(home), ticket, how, command)
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=20, check=False)
    return done.returncode, done.stdout


def ticket(turn: int = 1, attempt: int = 1, operation: str = "op") -> Ticket:
    return Ticket(operation, turn, attempt, "swap")


def look(home: Path, *order: int, operation: str = "op") -> tuple[int, str]:
    return ran(home, ticket(*order, operation=operation), "look", Command(("echo", "seen")))


def act(home: Path, *order: int, operation: str = "op") -> tuple[int, str]:
    return ran(home, ticket(*order, operation=operation), "do", Command(("echo", "acted")))


def test_looking_claims_a_free_node_and_raises_the_claim(tmp_path: Path) -> None:
    for order in ((1, 1), (1, 2), (2, 1)):
        assert look(tmp_path, *order) == (0, "seen\n")
        assert (tmp_path / "claim").read_text() == f"op {order[0]} {order[1]} swap\n"


def test_nothing_acts_on_a_node_that_was_not_claimed(tmp_path: Path) -> None:
    exit_code, output = act(tmp_path, 1, 1)
    assert (exit_code, output) == (79, "quorate-guard: fell claim\n")
    assert guard.refused(output, "a") is None


@pytest.mark.parametrize(("first", "late"), [((2, 1), (1, 3)), ((1, 2), (1, 1)), ((10, 1), (9, 1))])
def test_an_older_attempt_neither_looks_nor_acts(
    tmp_path: Path, first: tuple[int, int], late: tuple[int, int]
) -> None:
    look(tmp_path, *first)
    for exit_code, output in (look(tmp_path, *late), act(tmp_path, *late)):
        assert guard.silenced(output, exit_code)
        assert isinstance(guard.refused(output, "a"), Superseded)


def test_another_operation_is_refused_by_name(tmp_path: Path) -> None:
    look(tmp_path, 1, 1)
    _, output = look(tmp_path, 9, 9, operation="other")
    error = guard.refused(output, "a")
    assert isinstance(error, Busy)
    assert "operation op" in str(error)


def test_nodes_that_are_taken_over_are_free_for_the_next_and_closed_to_a_late_attempt_of_before(
    tmp_path: Path,
) -> None:
    """As `nodes.inherit` does it: under a ticket of the operation that was aborted, above all of its turns."""
    look(tmp_path, 7, 2)
    (tmp_path / "op").mkdir()
    look(tmp_path, LAST_TURN, 1)
    release = Command(("mv", "-T", str(tmp_path / "claim"), str(tmp_path / "op" / "released")))
    assert ran(tmp_path, ticket(LAST_TURN), "do", release)[0] == 0
    assert look(tmp_path, 1, 1, operation="next") == (0, "seen\n")
    for exit_code, output in (look(tmp_path, 8, 1), act(tmp_path, 8, 1)):
        assert guard.silenced(output, exit_code)
        assert isinstance(guard.refused(output, "a"), Busy)
    assert act(tmp_path, 1, 1, operation="next") == (0, "acted\n")


def test_after_the_release_an_older_attempt_does_nothing_and_nobody_acts(tmp_path: Path) -> None:
    look(tmp_path, 3, 1)
    (tmp_path / "op").mkdir()
    (tmp_path / "claim").rename(tmp_path / "op" / "released")
    assert isinstance(guard.refused(look(tmp_path, 2, 9)[1], "a"), Superseded)
    assert look(tmp_path, 3, 2) == (0, "seen\n")
    assert act(tmp_path, 3, 2)[1] == "quorate-guard: fell claim\n"
    assert not (tmp_path / "claim").exists()


def test_a_precondition_that_fell_stops_the_command(tmp_path: Path) -> None:
    look(tmp_path, 1, 1)
    for path in (str(tmp_path / "nowhere"), f"!{tmp_path}"):
        exit_code, output = ran(tmp_path, ticket(), "do", Command(("touch", f"{tmp_path}/ran"), given=(path,)))
        assert (exit_code, output) == (79, f"quorate-guard: fell {path}\n")
    assert not (tmp_path / "ran").exists()


@pytest.mark.server  # slow: it waits for a lock
def test_a_command_that_still_runs_keeps_the_next_one_out(tmp_path: Path) -> None:
    look(tmp_path, 1, 1)
    line = guard.guarded(str(tmp_path), ticket(), "do", Command(("sh", "-c", "echo on; exec sleep 30")))
    with subprocess.Popen(["sh", "-c", line], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "on\n"
        error = guard.refused(look(tmp_path, 2, 1)[1], "a")
        running.kill()
    assert isinstance(error, Unreachable)  # asked again until the step's budget is spent
    assert error.retryable


def sending(home: Path, target: Path, *order: int) -> "subprocess.Popen[str]":
    """As an attempt that has begun to receive; its input stays open."""
    receive = Command(receiving(str(target), str(home), 0, ("cat",)))
    line = guard.guarded(str(home), ticket(*order), "send", receive)
    return subprocess.Popen(["sh", "-c", line], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_what_is_still_being_sent_keeps_nobody_out_and_is_removed_with_the_rest(tmp_path: Path) -> None:
    look(tmp_path, 1, 1)
    target = tmp_path / "arriving" / "1-1"
    with sending(tmp_path, target, 1, 1) as running:
        until(target.exists, 10)
        look(tmp_path, 2, 1)
        assert ran(tmp_path, ticket(2), "do", Command(("rm", "-r", str(target.parent))))[0] == 0
        running.communicate("late")
    assert not target.parent.exists()


def test_who_sends_after_the_undo_leaves_nothing(tmp_path: Path) -> None:
    """The undo waits for nobody: whoever was on his way to the lock finds the claim raised."""
    look(tmp_path, 1, 1)
    target = tmp_path / "arriving" / "1-1"
    with (tmp_path / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with sending(tmp_path, target, 1, 1) as running:
            assert running.poll() is None
            (tmp_path / "claim").write_text("op 2 1 undo\n")
            fcntl.flock(lock, fcntl.LOCK_UN)
            said, _ = running.communicate("late")
    assert isinstance(guard.refused(said, "a"), Superseded)
    assert not target.parent.exists()


def test_a_commands_own_exit_code_is_passed_on(tmp_path: Path) -> None:
    look(tmp_path, 1, 1)
    exit_code, output = ran(tmp_path, ticket(), "do", Command(("sh", "-c", "echo no; exit 79")))
    assert (exit_code, guard.silenced(output, exit_code)) == (79, False)


@given(word=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40))
def test_no_word_of_a_command_becomes_two(word: str) -> None:
    line = guard.guarded("/tmp", ticket(), "do", Command(("printf", "%s", word)))
    import shlex

    assert shlex.split(line)[-1] == word
