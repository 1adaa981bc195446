"""Where the scenarios are: those that come with Quorate, and the files of its users."""

from pathlib import Path

from quorate.drills.scenario import Scenario, parse
from quorate.errors import BadInput

SUFFIX = ".yaml"


def ours() -> dict[str, Path]:
    """By name: beside the sources, or with the installed packages."""
    here = Path(__file__).parent
    for root in (here / "pages" / "drills", here.parent / "runbooks" / "drills"):
        if root.is_dir():
            return {path.stem: path for path in sorted(root.glob(f"*{SUFFIX}"))}
    raise BadInput("the scenarios are not installed with this Quorate; give the file of one of your own")


def read(path: Path) -> Scenario:
    """BadInput lists every mistake with its line."""
    try:
        return parse(path.read_text(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from error


def scenario(wanted: str) -> Scenario:
    """By its name, or by the path of its file."""
    if wanted.endswith(SUFFIX) or "/" in wanted:
        return read(Path(wanted))
    known = ours()
    if wanted not in known:
        raise BadInput(
            f"there is no scenario {wanted!r}; known: {', '.join(known)}, or the path of a file",
            next="quorate drill ls",
        )
    return read(known[wanted])
