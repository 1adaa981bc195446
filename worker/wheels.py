"""Wheels of what is installed here: made from the installed files themselves, so no registry has to be there."""

import base64
import hashlib
import io
import re
import sysconfig
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import worker
from quorate.errors import BadInput, Corrupt

OWN = "quorate"
PACKAGES = ("quorate", "activities", "workflows", "worker")
NAME = re.compile(r"^[A-Za-z0-9._-]+")
WRITTEN_BY_PIP = {"INSTALLER", "REQUESTED", "direct_url.json", "RECORD", "uv_cache.json"}
EPOCH = (1980, 1, 1, 0, 0, 0)  # so that the same contents are the same bytes
PURE = "Wheel-Version: 1.0\nGenerator: quorate\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def python() -> str:
    """For which Python and machine they are."""
    return f"Python {sysconfig.get_python_version()} on {sysconfig.get_platform()}"


def wheels() -> dict[str, bytes]:
    """By file name: Quorate's own, and one of everything that it needs."""
    found = dict(wheel(each) for name, each in sorted(needed(OWN, {}).items()) if name != OWN)
    own = metadata.distribution(OWN)
    return {**found, f"{OWN}-{own.version}-py3-none-any.whl": packed(own, PURE, own_files())}


def needed(name: str, known: dict[str, metadata.Distribution]) -> dict[str, metadata.Distribution]:
    """What is required is installed, or its marker says that it is not required here."""
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return known
    known[canonical(name)] = found
    for required in found.requires or ():
        wanted = NAME.match(required)
        if wanted and canonical(wanted[0]) not in known and "extra ==" not in required.partition(";")[2]:
            needed(wanted[0], known)
    return known


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def wheel(found: metadata.Distribution) -> tuple[str, bytes]:
    said = found.read_text("WHEEL") or ""
    tags = [line.partition(": ")[2].split("-") for line in said.splitlines() if line.startswith("Tag: ")]
    if not tags:
        raise BadInput(f"{found.name} was not installed from a wheel: it cannot be packed")
    tag = "-".join(".".join(sorted({each[at] for each in tags})) for at in range(3))
    name = f"{re.sub('[-_.]+', '_', found.name)}-{found.version}-{tag}.whl"
    return name, packed(found, said, dict(installed(found)))


def installed(found: metadata.Distribution) -> Iterator[tuple[str, bytes]]:
    """Every file that its own record vouches for; Corrupt for one that is not as it was installed.

    Scripts lie outside and are left out: pip makes those that are entry points anew.
    """
    for each in found.files or ():
        if each.hash and ".." not in each.parts and not each.is_absolute() and each.suffix != ".pyc":
            data = Path(str(each.locate())).read_bytes()
            if digest(data, each.hash.mode) != each.hash.value:
                raise Corrupt(f"{each} of {found.name} is not as it was installed", next="install Quorate anew")
            yield each.as_posix(), data


def own_files() -> dict[str, bytes]:
    """Also where Quorate runs from its sources."""
    root = Path(worker.__file__).parent.parent
    found = {path.relative_to(root).as_posix(): path for name in PACKAGES for path in (root / name).rglob("*.py")}
    found |= {f"worker/pages/{name}": path for name, path in pages().items()}
    return {name: path.read_bytes() for name, path in found.items()}


def pages() -> dict[str, Path]:
    """The runbooks: beside the sources, or with the installed packages."""
    here = Path(worker.__file__).parent
    for root in (here / "pages", here.parent / "runbooks"):
        if found := {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*.md"))}:
            return found
    raise BadInput("the runbooks are not installed with this Quorate: no kit was written")


def packed(found: metadata.Distribution, said: str, files: dict[str, bytes]) -> bytes:
    folder = f"{re.sub('[-_.]+', '_', found.name)}-{found.version}.dist-info"
    inside = {name: data for name, data in files.items() if ".dist-info/" not in name}
    inside |= {
        f"{folder}/{name.partition('.dist-info/')[2]}": data
        for name, data in files.items()
        if ".dist-info/" in name and name.rpartition("/")[2] not in WRITTEN_BY_PIP
    }
    for name in ("METADATA", "entry_points.txt"):
        if text := found.read_text(name):
            inside[f"{folder}/{name}"] = text.encode()
    inside[f"{folder}/WHEEL"] = said.encode()
    lines = [f"{name},sha256={digest(data)},{len(data)}" for name, data in sorted(inside.items())]
    inside[f"{folder}/RECORD"] = "\n".join([*lines, f"{folder}/RECORD,,", ""]).encode()
    return zipped(inside)


def zipped(files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """The same files are the same bytes; those of a wheel whatever zlib there is, so kits can be compared."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type, entry.external_attr, entry.create_system = compression, 0o644 << 16, 3
            archive.writestr(entry, data, compresslevel=1)
    return out.getvalue()


def digest(data: bytes, mode: str = "sha256") -> str:
    return base64.urlsafe_b64encode(hashlib.new(mode, data).digest()).rstrip(b"=").decode()
