"""References resolved from files and the environment that the daemon was given."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from quorate.errors import Denied


@dataclass(frozen=True, slots=True)
class LocalSecrets:
    environment: Mapping[str, str]

    def resolve(self, reference: str) -> bytes:
        """The value, without a trailing newline; Denied names the reference, never the value."""
        kind, _, name = reference.partition(":")
        if kind == "env":
            if name not in self.environment:
                raise Denied(f"{reference}: this variable is not set where the daemon runs")
            return self.environment[name].encode()
        try:
            return Path(name).read_bytes().removesuffix(b"\n")
        except OSError as error:
            raise Denied(f"{reference}: {error.strerror}") from error
