"""age by pyrage: what leaves is what `age -r` makes, what comes back is what `age -d -i` prints.

pyrage pushes into a file and a pipeline pulls: so it works in a thread of its own, with a pipe between them.
"""

import fcntl
import io
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pyrage

from quorate.errors import BadInput, Corrupt, Denied
from quorate.ports import KeyPair, Secrets

READ_BYTES = 1 << 19
BUFFER_BYTES, PIPE_BYTES = 1 << 18, 1 << 20  # the most that a pipe of an ordinary user may hold
SSH, PEM = ("ssh-ed25519", "ssh-rsa"), b"-----BEGIN"
KINDS = {"AGE-SECRET-KEY-1": pyrage.x25519.Identity, "AGE-PLUGIN-": pyrage.plugin.Identity}
RECIPIENTS = (pyrage.x25519.Recipient, pyrage.tag.Recipient, pyrage.tagpq.Recipient)
NATIVE_PQ = "AGE-SECRET-KEY-PQ-1"


class Silent:
    """What a plugin that wants to talk to somebody meets: nobody is there at 3 a.m."""

    def display_message(self, message: str) -> None:
        del message

    def confirm(self, message: str, yes: str, no: str | None) -> None:
        del message, yes, no

    def request_public_string(self, description: str) -> None:
        del description

    def request_passphrase(self, description: str) -> None:
        del description


@dataclass(frozen=True, slots=True)
class Age:
    secrets: Secrets

    def encrypted(self, chunks: Iterable[bytes], recipients: tuple[str, ...]) -> Iterator[bytes]:
        """For every one of them; BadInput, before the first byte, names one that cannot be used."""
        keys = keys_of(recipients)
        return through(chunks, lambda source, sink: pyrage.encrypt_io(source, sink, keys), "what goes to the store")

    def decrypted(self, chunks: Iterable[bytes], identities: tuple[str, ...], what: str) -> Iterator[bytes]:
        """With whichever fits; Denied where none does, Corrupt where the bytes were changed or end too early."""
        keys = [key for each in identities for key in identities_of(self.secrets.resolve(each), each)]
        if not keys:
            raise Denied(f"{what} is encrypted, and no identity is given that could open it")
        return through(chunks, lambda source, sink: pyrage.decrypt_io(source, sink, keys), what)

    def pair(self) -> KeyPair:
        made = pyrage.x25519.Identity.generate()
        return KeyPair(str(made.to_public()), str(made))


def keys_of(recipients: tuple[str, ...]) -> list[Any]:
    """Those of one plugin go to it together."""
    if not recipients:
        raise BadInput("there is nobody to encrypt for")
    keys = [recipient(each) for each in recipients]
    plain = [each for each in keys if not isinstance(each, pyrage.plugin.Recipient)]
    for name, group in by_plugin(each for each in keys if isinstance(each, pyrage.plugin.Recipient)):
        with usable(f"the recipients of age-plugin-{name}"):
            plain.append(pyrage.plugin.RecipientPluginV1(name, group, [], Silent()))
    return plain


def recipient(text: str) -> Any:
    """Age's own, an SSH key, or one of a plugin."""
    if text.startswith(SSH):
        with usable(f"the recipient {text[:40]}…"):
            return pyrage.ssh.Recipient.from_str(text)
    for kind in RECIPIENTS:
        with suppress(pyrage.RecipientError):
            return kind.from_str(text)
    with usable(f"the recipient {text}"):
        return pyrage.plugin.Recipient.from_str(text)


def identities_of(text: bytes, reference: str) -> list[Any]:
    """Of a file as age reads it: one a line, or one SSH key."""
    with usable(f"the identity in {reference}"):
        if text.startswith(PEM):
            return [pyrage.ssh.Identity.from_buffer(text)]
        lines = [line for each in text.decode("utf-8", "replace").splitlines() if (line := each.strip())]
        found = [identity(line, reference) for line in lines if not line.startswith("#")]
        plain = [each for each in found if not isinstance(each, pyrage.plugin.Identity)]
        plugins = by_plugin(each for each in found if isinstance(each, pyrage.plugin.Identity))
        return [*plain, *(pyrage.plugin.IdentityPluginV1(name, group, Silent()) for name, group in plugins)]


def identity(line: str, reference: str) -> Any:
    """BadInput quotes nothing of what may be a secret."""
    if line.startswith(NATIVE_PQ):
        raise BadInput(
            f"{reference} holds a post-quantum identity, which is used by way of a plugin",
            next="age-plugin-pq -identity -o NEW.key OLD.key, and age-plugin-pq in the daemon's PATH",
        )
    for start, kind in KINDS.items():
        if line.startswith(start):
            return kind.from_str(line)
    raise BadInput(f"{reference} holds something that is no identity of age, nor an SSH key without a passphrase")


def by_plugin(keys: Iterable[Any]) -> list[tuple[str, list[Any]]]:
    ordered = sorted(keys, key=lambda each: each.plugin())
    return [(name, list(group)) for name, group in groupby(ordered, key=lambda each: each.plugin())]


@contextmanager
def usable(what: str) -> Iterator[None]:
    try:
        yield
    except (pyrage.RecipientError, pyrage.IdentityError) as error:
        raise BadInput(f"{what} cannot be used: {error}") from error
    except (pyrage.EncryptError, pyrage.DecryptError) as error:
        raise Denied(f"{what} cannot be used: {error}") from error


class Source(io.RawIOBase):
    """Chunks as a file; what they raise is kept, for pyrage tells only that something was."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._held = chunks, memoryview(b"")
        self.error: BaseException | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._held:
            try:
                chunk = next(self._chunks, None)
            except BaseException as error:
                self.error = error
                raise
            if chunk is None:
                return 0
            self._held = memoryview(chunk)
        size = min(len(buffer), len(self._held))
        buffer[:size], self._held = self._held[:size], self._held[size:]
        return size


class Sink(io.RawIOBase):
    """The near end of a pipe; what could not be written is kept, for pyrage does not always tell.

    Once it is `over` nothing reaches the pipe any more: its descriptor may be somebody else's by then.
    """

    def __init__(self, pipe: int) -> None:
        self._pipe, self.over = pipe, False
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.over:
            return len(data)
        try:
            return os.write(self._pipe, data)
        except OSError as error:
            self.error = error
            raise


def through(chunks: Iterable[bytes], work: Callable[[Any, Any], None], what: str) -> Iterator[bytes]:
    """What `work` makes of them, at the pace of whoever takes it; an end without an error is a whole one.

    pyrage reads 8 KiB and writes 64 KiB at a time: buffers in between, and a pipe that holds more than those, take
    half of its time away (2.6 s of processor for 700 MiB without, 1.3 s with them).
    """
    reader, writer = os.pipe()
    with suppress(OSError):  # slower, where a user has too many of them
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    source, sink, raised = Source(iter(chunks)), Sink(writer), list[BaseException]()

    def run() -> None:
        try:
            buffer = io.BufferedWriter(sink, BUFFER_BYTES)
            work(io.BufferedReader(source, READ_BYTES), buffer)
            buffer.flush()
        except BaseException as error:  # noqa: BLE001 - it is raised again by whoever takes
            raised.append(error)
        finally:
            sink.over = True
            os.close(writer)

    threading.Thread(target=run, name="age", daemon=True).start()
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        while piece := pipe.read(READ_BYTES):
            yield piece
    if source.error:
        raise source.error
    for error in filter(None, (sink.error, *raised)):
        raise translated(error, what) from error


def translated(error: BaseException, what: str) -> BaseException:
    """Ours for any exception of pyrage."""
    if isinstance(error, pyrage.DecryptError) and "matching keys" in str(error):
        return Denied(f"{what}: none of the identities opens it, or its header was changed")
    if isinstance(error, (pyrage.DecryptError, OSError)):
        return Corrupt(f"{what} cannot be decrypted: its bytes are not what was encrypted ({error})")
    return Denied(f"{what} cannot be encrypted: {error}") if isinstance(error, pyrage.EncryptError) else error
