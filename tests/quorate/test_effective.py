"""What etcd really runs with, told by a command line, an environment, or a file that replaces both."""

import base64
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.nodes.effective import flags, script, words
from quorate.nodes.flags import filled
from quorate.nodes.seen import parse

pytestmark = pytest.mark.slow

PID = "Id=etcd.service\nLoadState=loaded\nActiveState=active\nMainPID=7\n"
DEAD = (
    "Id=etcd.service\nLoadState=loaded\nActiveState=inactive\nMainPID=0\nExecStart={{ path=/e ; argv[]={} ; x=no }}\n"
)
YAML = """name: kim
data-dir: /var/lib/etcd
quota-backend-bytes: 8589934592
peer-transport-security:
  client-cert-auth: true
"""


def told(output: str) -> dict[str, str]:
    return parse(output).units["etcd.service"].flags


def test_a_flag_wins_over_the_environment() -> None:
    said = f"{PID}argv\t7\tetcd\x1f--name=kim\nenv\t7\tETCD_NAME=lee\nenv\t7\tETCD_DATA_DIR=/var/lib/etcd\n"
    assert told(said) == {"name": "kim", "data-dir": "/var/lib/etcd"}


def test_with_a_file_nothing_else_counts() -> None:
    file = base64.b64encode(YAML.encode()).decode()
    said = f"{PID}argv\t7\tetcd\x1f--config-file=/e.yaml\x1f--name=lee\nenv\t7\tETCD_NAME=lee\nconfig\t7\t{file}\n"
    assert told(said) == {
        "config-file": "/e.yaml",
        "name": "kim",
        "data-dir": "/var/lib/etcd",
        "quota-backend-bytes": "8589934592",
        "peer-transport-security.client-cert-auth": "true",
    }


@pytest.mark.parametrize("text", ["", "bm90OiBbYQ==", "LSAx"])
def test_a_file_that_cannot_be_read_is_told_from_an_empty_one(text: str) -> None:
    said = f"{PID}argv\t7\tetcd\x1f--config-file=/e.yaml\nconfig\t7\t{text}\n"
    assert told(said) == {"config-file": "/e.yaml", "unreadable": "true"}


def test_a_unit_that_does_not_run_is_filled_in_from_its_environment_file() -> None:
    dead = DEAD.format("/e --name=${ETCD_NAME} --wal-dir=/w") + 'env\tetcd.service\tETCD_NAME="kim"\n'
    assert told(dead) == {"name": "kim", "wal-dir": "/w"}
    assert filled(parse(dead).units["etcd.service"])


@pytest.mark.parametrize("argv", ["/e $ETCD_OPTS --name=kim", "/e --name=${ETCD_NAME}"])
def test_what_nobody_has_filled_in_is_not_taken_for_all(argv: str) -> None:
    assert not filled(parse(DEAD.format(argv)).units["etcd.service"])


def test_a_process_without_files_is_all_on_its_command_line() -> None:
    assert flags(("etcd", "--name", "kim", "--debug"), {}, None, read=False) == {"name": "kim", "debug": "true"}


@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z-]{0,9}[a-z]", fullmatch=True), st.from_regex(r"[a-z0-9:/.]{1,9}", fullmatch=True)
    )
)
def test_both_ways_of_writing_a_flag_say_the_same(wanted: dict[str, str]) -> None:
    with_equals = ("etcd", *(f"--{name}={value}" for name, value in wanted.items()))
    apart = ("etcd", *(word for name, value in wanted.items() for word in (f"--{name}", value)))
    assert words(with_equals) == words(apart) == wanted


def test_the_script_reads_a_real_process(tmp_path: Path) -> None:
    """A process that is called etcd: its command line, its environment, the file that it names."""
    (tmp_path / "e.yaml").write_text(YAML)
    (tmp_path / "etcd").symlink_to("/bin/sleep")
    command = [str(tmp_path / "etcd"), "60"]
    with subprocess.Popen(command, env={"ETCD_NAME": "kim", "OTHER": "x"}) as process:
        try:
            done = subprocess.run(["sh", "-c", script(())], capture_output=True, text=True, check=False)
        finally:
            process.kill()
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert ["env", str(process.pid), "ETCD_NAME=kim"] in rows
    assert ["argv", str(process.pid), "\x1f".join(command) + "\x1f"] in rows
    assert not any("OTHER" in line for line in done.stdout.splitlines())
