"""The file of pinned keys is read as OpenSSH reads it, and a key is replaced without touching another line."""

import base64
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from quorate.errors import BadInput, Refusal
from quorate.nodes.known_hosts import HostKey, Row, compared, name_of, pins, replaced, same


def key(seed: str, kind: str = "ssh-ed25519") -> HostKey:
    return HostKey(kind, base64.b64encode(hashlib.sha256(seed.encode()).digest()).decode())


OLD, NEW, OTHER, RSA = key("old"), key("new"), key("other"), key("rsa", "ssh-rsa")


def line(names: str, pinned: HostKey, marker: str = "") -> str:
    return f"{marker}{names} {pinned.type} {pinned.base64} a comment\n"


class TestReading:
    @pytest.mark.parametrize("names", ["a", "b,a", "a,b", "*", "?", "A"])
    def test_a_line_pins_the_names_it_lists_and_those_its_patterns_match(self, names: str) -> None:
        assert pins(line(names, OLD), "a").keys == (OLD,)

    @pytest.mark.parametrize("names", ["b", "aa", "a.b", "*,!a", "[a]:2222", "# a"])
    def test_no_other_line_does(self, names: str) -> None:
        assert pins(line(names, OLD), "a").keys == ()

    def test_a_port_other_than_22_is_part_of_the_name(self) -> None:
        assert (name_of("a"), name_of("a", 2222)) == ("a", "[a]:2222")
        assert pins(line("[a]:2222", OLD), "[a]:2222").keys == (OLD,)

    @pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="OpenSSH itself hashes here")
    def test_names_that_openssh_has_hashed_are_found(self, tmp_path: Path) -> None:
        file = tmp_path / "known_hosts"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "k"], check=True)
        kind, encoded = (tmp_path / "k.pub").read_text().split()[:2]
        file.write_text(f"a {kind} {encoded}\n")
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, capture_output=True)
        assert "|1|" in file.read_text()
        assert pins(file.read_text(), "a").keys == (HostKey(kind, encoded),)
        assert pins(file.read_text(), "b").keys == ()
        printed = subprocess.run(
            ["ssh-keygen", "-lf", tmp_path / "k.pub"], check=True, capture_output=True, text=True
        )
        assert HostKey(kind, encoded).fingerprint == printed.stdout.split()[1]

    def test_a_revoked_key_is_refused_also_where_it_is_pinned(self) -> None:
        known = pins(line("a", OLD) + line("*", OLD, "@revoked "), "a")
        assert not known.accept(OLD)

    def test_an_authority_pins_no_key(self) -> None:
        known = pins(line("*", OLD, "@cert-authority "), "a")
        assert (known.keys, known.authorities) == ((), (OLD,))

    def test_a_line_that_is_no_key_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="is not a host key"):
            pins("a ssh-ed25519 !!!!\n", "a")


class TestComparing:
    @pytest.mark.parametrize(
        ("known", "shown", "standings", "equal"),
        [
            (line("a", OLD), (OLD,), ["equal"], True),
            (line("a", OLD), (OLD, RSA), ["equal", "not pinned"], True),
            (line("a", OLD) + line("a", RSA), (OLD,), ["equal", "not shown"], True),
            (line("a", OLD) + line("a", RSA), (NEW, RSA), ["differs", "equal"], False),
            (line("a", OLD), (NEW,), ["differs"], False),
            (line("a", OLD) + line("a", OLD, "@revoked "), (OLD,), ["revoked"], False),
            (line("a", RSA), (OLD,), ["not shown", "not pinned"], False),
            ("", (OLD,), ["not pinned"], False),
            (line("a", OLD), (), ["not shown"], False),
        ],
    )
    def test_what_is_pinned_and_what_is_shown(
        self, known: str, shown: tuple[HostKey, ...], standings: list[str], equal: bool
    ) -> None:
        rows = compared(pins(known, "a"), shown)
        assert [row.standing for row in rows] == standings
        assert same(rows) is equal

    def test_a_row_names_both_fingerprints(self) -> None:
        assert compared(pins(line("a", OLD), "a"), (NEW,)) == (
            Row("ssh-ed25519", (OLD.fingerprint,), NEW.fingerprint, "differs"),
        )


class TestReplacing:
    def test_only_that_hosts_key_of_that_type_is_another_one_afterwards(self) -> None:
        before = "# ours\n" + line("b", OTHER) + line("a", OLD) + line("a", RSA) + "\n" + line("[a]:2222", OLD)
        after = replaced(before, "a", NEW)
        assert pins(after, "a").keys == (NEW, RSA)
        kept = [each for each in before.splitlines() if each != line("a", OLD).rstrip()]
        assert [each for each in after.splitlines() if each != f"a {NEW.type} {NEW.base64}"] == kept

    def test_another_name_on_the_same_line_keeps_its_key(self) -> None:
        after = replaced(line("b,a,c", OLD), "a", NEW)
        assert [pins(after, name).keys for name in "abc"] == [(NEW,), (OLD,), (OLD,)]

    def test_a_host_that_was_not_pinned_gets_a_line(self) -> None:
        after = replaced("# nothing", "a", NEW)
        assert after == f"# nothing\na {NEW.type} {NEW.base64}\n"

    def test_two_old_keys_of_the_type_both_go(self) -> None:
        assert pins(replaced(line("a", OLD) + line("a", OTHER), "a", NEW), "a").keys == (NEW,)

    def test_a_pattern_is_not_rewritten(self) -> None:
        with pytest.raises(BadInput, match=r"line 1 pins .* covers more than a"):
            replaced(line("*.lan,?", OLD), "a", NEW)

    def test_a_revoked_key_is_never_pinned(self) -> None:
        with pytest.raises(Refusal, match="@revoked"):
            replaced(line("*", NEW, "@revoked ") + line("a", OLD), "a", NEW)
