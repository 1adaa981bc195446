"""Signing an approval with `ssh-keygen`, by a key in a file or in an agent."""

import subprocess
import tempfile
from pathlib import Path

from quorate.approval import NAMESPACE, listed
from quorate.errors import BadInput
from quorate.operation import Awaiting
from quorate.sshsig import public_key


def signed(message: str, key: Path) -> str:
    """The signature as it is armored; a passphrase is asked for on the terminal."""
    argv = ["ssh-keygen", "-q", "-Y", "sign", "-n", NAMESPACE, "-f", str(key)]
    try:
        done = subprocess.run(argv, input=message.encode(), capture_output=True, check=False)
    except FileNotFoundError:
        raise BadInput("there is no ssh-keygen here: sign elsewhere, with --print-message and --signature") from None
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())
        raise BadInput(f"ssh-keygen could not sign with {key}: {said}")
    return done.stdout.decode()


def signed_by_agent(message: str, awaiting: Awaiting) -> str:
    """By the first key of the agent that may approve; BadInput names those that may."""
    wanted = {each.key for each in awaiting.signers if each.name not in awaiting.approved_by}
    key = next((each for each in of_agent() if each in wanted), None)
    if key is None:
        raise BadInput(f"no key of your agent may approve this: give --key FILE; keys that may: {listed(awaiting)}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "key.pub"
        path.write_text(f"{key}\n")
        return signed(message, path)


def of_agent() -> list[str]:
    """Public keys, without comments; none where there is no agent."""
    try:
        done = subprocess.run(["ssh-add", "-L"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return []
    out = []
    for line in done.stdout.splitlines() if done.returncode == 0 else ():
        try:
            out.append(public_key(line))
        except ValueError:
            continue
    return out
