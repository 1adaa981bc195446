"""The catalogue: which snapshots exist. One without a manifest, or with a wrong one, does not."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from quorate.audit import canonical
from quorate.backups.marks import UNMARKED, Standing, remarkable, standings
from quorate.errors import BadInput, Corrupt
from quorate.ports import Store, Stored

SNAPSHOT, ENCRYPTED, MANIFEST = "snapshot.db.zst", "snapshot.db.zst.age", "manifest.json"
BUNDLE = re.compile(r"^bundle(-\d+)?\.tar\.zst(\.age)?$")
MANIFEST_BYTES_MAX = 1 << 20
LATEST = "latest"
ACCEPTS = " accepts that: "  # between who and why, in a finding
HOME = re.compile(r"^([^/]+/[0-9a-f]{1,16}/\d{8}T\d{6}Z-\d+)/")
RESTORED = re.compile(r"^[^/]+/operations/restore-[^/]+/outcome(-\d+)?\.json$")  # of one taken over there are more

Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{1,16}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class Part(BaseModel):
    """Unknown fields are kept out: a newer format is another format."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Source(Part):
    """The member that was asked."""

    name: str
    id: Hex
    version: str


class Peer(Part):
    """A member of the cluster as it was."""

    name: str
    id: Hex
    peer_urls: tuple[str, ...]
    learner: bool = False


class Hash(Part):
    """The source's own hash of all keys at `revision`; comparable only at the same compact revision."""

    hash: Count
    revision: Count
    compact_revision: int


class Compression(Part):
    name: Literal["zstd"] = "zstd"
    level: int = 3


class Encryption(Part):
    """For whom; each of them alone can open it."""

    name: Literal["age"] = "age"
    recipients: tuple[str, ...] = Field(min_length=1)


class Contents(Part):
    """The content digest (`quorate.database.content`), and the records it is of, by the prefix of their keys."""

    digest: Digest
    records: Count
    prefixes: Mapping[str, Count]


class PagesSeen(Part):
    """Pages of the database: in use and sound, free, and of the free ones those that are torn."""

    used: Count
    free: Count
    torn: Count


class Live(Part):
    """Keys at the manifest's revision; the leased ones go when their lease does."""

    keys: Count
    leased: Count


class Bundle(Part):
    """What lies beside it for nodes that are blank (`quorate.backups.bundle`): `files` are the nodes, by path.

    `sha256` and `size_bytes` are of the tar, `stored_*` of the object.
    """

    key: str
    size_bytes: Count
    sha256: Digest
    stored_bytes: Count
    stored_sha256: Digest
    files: Mapping[str, tuple[str, ...]]


class Verification(Part):
    """What was proved of the stored object before this was written.

    Not `decrypted`: it is what was sent there, and whether it can be opened nobody tried, for want of an identity.
    """

    trailer: Literal[True] = True
    read_back: Literal[True] = True
    decrypted: bool = True


class Manifest(Part):
    """One snapshot. `size_bytes` and `sha256` are of the bytes etcd sent, trailer included; `db_sha256` is the
    trailer; `stored_*` are of the object. `revision` is what a restored member serves; the one in the id is
    the linearizable revision when the stream began, and only a name. `keys` counts by prefix, "" being all.
    `flags` are those that each member's etcd ran with; of a member that is not in it they are not known.
    With `auth` clients had to log in, and will have to again. Without `encryption` it lies
    there for all to read. `content` and `pages` are of what the store gave back; `live` counts keys by prefix
    as `content` counts their records. `bundle` lies beside it. `signature` is an SSH signature over all the rest.
    """  # noqa: D205 - every field that its name does not explain

    format: Literal["quorate/manifest/v1"] = "quorate/manifest/v1"
    id: str
    key: str
    cluster: str
    cluster_id: Hex
    created_at: datetime
    duration_s: float
    revision: Count
    size_bytes: Count
    sha256: Digest
    db_sha256: Digest
    stored_bytes: Count
    stored_sha256: Digest
    compression: Compression = Compression()
    encryption: Encryption | None = None
    source: Source
    members: tuple[Peer, ...]
    keys: Mapping[str, int]
    hash_kv: Hash | None
    operation: str
    actor: str
    verification: Verification = Verification()
    outcome: Literal["verified", "degraded", "suspect"]
    findings: tuple[str, ...] = ()
    flags: Mapping[str, Mapping[str, str]] = {}
    auth: bool = False
    content: Contents | None = None
    pages: PagesSeen | None = None
    live: Mapping[str, Live] = {}
    bundle: Bundle | None = None
    signature: str = ""

    @model_validator(mode="after")
    def check_names(self) -> Self:
        if self.created_at.utcoffset() != timedelta(0):
            raise ValueError("created_at is not in UTC")
        if (
            self.key != key_of(self.directory, ENCRYPTED if self.encryption else SNAPSHOT)
            or self.id != f"{self.cluster}/{self.directory.split('/')[-1]}"
        ):
            raise ValueError("id, key, cluster and cluster_id do not belong together")
        if self.bundle and not BUNDLE.match(self.bundle.key.removeprefix(f"{self.directory}/")):
            raise ValueError("its bundle lies elsewhere")
        if (self.outcome == "verified") != (not self.findings):
            raise ValueError("verified means that there are no findings, every other outcome that there are some")
        return self

    @property
    def recipients(self) -> tuple[str, ...]:
        """For whom it is encrypted, and its bundle; nobody where all may read it."""
        return self.encryption.recipients if self.encryption else ()

    @property
    def counts(self) -> bool:
        """Whether `latest` may mean it, and whoever keeps or removes backups may count it as one."""
        return self.outcome != "suspect"

    @property
    def accepted(self) -> bool:
        """Somebody has said that it counts, although the cluster had shrunk or fallen back."""
        return any(ACCEPTS in each for each in self.findings)

    @property
    def directory(self) -> str:
        return f"{self.cluster}/{self.cluster_id}/{self.id.rpartition('/')[2]}"

    @property
    def keys_stored(self) -> tuple[str, ...]:
        """Every object of it, the manifest last."""
        return (self.key, *((self.bundle.key,) if self.bundle else ()), self.manifest_key)

    @property
    def held_bytes(self) -> int:
        """In the store, bundle included."""
        return self.stored_bytes + (self.bundle.stored_bytes if self.bundle else 0)

    @property
    def version(self) -> str:
        """Of the etcd that it came from."""
        return self.source.version

    @property
    def manifest_key(self) -> str:
        return key_of(self.directory, MANIFEST)

    def encode(self) -> bytes:
        """The same manifest is always the same bytes, also one that was written before a field was added."""
        data = self.model_dump(mode="json")
        if not self.encryption:
            del data["encryption"]
        if not self.signature:
            del data["signature"]
        if self.verification.decrypted:
            del data["verification"]["decrypted"]
        for later in ("content", "pages", "live", "bundle"):
            if not data[later]:
                del data[later]
        return canonical(data).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Shelf:
    """What lies in a store for one cluster, oldest first; `damaged` says why a manifest is not believed, by its key.

    `marks` is how they stand, by the directory of the snapshot; `strays` are the keys, with their sizes, of whatever
    lies where a snapshot would and has no manifest, or is being removed.
    """

    manifests: tuple[Manifest, ...]
    damaged: dict[str, str]
    marks: Mapping[str, Standing] = field(default_factory=dict)
    strays: Mapping[str, int] = field(default_factory=dict)

    def standing(self, manifest: Manifest) -> Standing:
        return self.marks.get(manifest.directory, UNMARKED)

    @property
    def quarantined(self) -> Mapping[str, str]:
        """By id, why it does not count."""
        return {each.id: quarantine(at) for each in self.manifests if (at := self.standing(each).quarantined)}

    def sound(self, doubted: Collection[str] = ()) -> tuple[Manifest, ...]:
        """Those that are neither doubted nor in quarantine, oldest first; suspect ones too."""
        out = {*doubted, *self.quarantined}
        return tuple(each for each in self.manifests if each.id not in out)


def directory(cluster: str, cluster_id: str, at: datetime, revision: int) -> str:
    return f"{cluster}/{cluster_id}/{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{revision}"


def key_of(directory: str, name: str) -> str:
    return f"{directory}/{name}"


def id_of(directory: str) -> str:
    """What people say: `prod/20261121T104500Z-8812345`."""
    cluster, _, name = directory.split("/")
    return f"{cluster}/{name}"


def parse(text: bytes, key: str) -> Manifest:
    """Corrupt on anything that we would not have written at that key."""
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "as a whole"
        raise Corrupt(f"{key} is not a manifest: {where}: {first['msg']}") from error
    if manifest.manifest_key != key:
        raise Corrupt(f"{key} is the manifest of {manifest.manifest_key}: it was moved")
    if manifest.encode() != text:
        raise Corrupt(f"{key} is not as it was written: its JSON is not canonical")
    return manifest


def shelf(store: Store, cluster: str) -> Shelf:
    """Every snapshot of the cluster that is believed, every manifest that is not, and how they stand.

    One whose removal has begun is not there any more.
    """
    listing = store.ls(f"{cluster}/")
    return arranged(listing, {each.key: tried(store, each.key) for each in wanted(listing)})


def tried(store: Store, key: str) -> Manifest | Corrupt:
    try:
        return parse(read(store, key), key)
    except Corrupt as error:
        return error


def wanted(listing: Collection[Stored]) -> tuple[Stored, ...]:
    """The manifests of what is listed, but for those whose removal has begun."""
    found = [each for each in listing if each.key.endswith(f"/{MANIFEST}")]
    going = {home for home, standing in standings(each.key for each in listing).items() if standing.pruned}
    return tuple(each for each in found if home_of(each.key) not in going)


def latest(listing: Collection[Stored], last: int) -> tuple[Stored, ...]:
    """So many of the manifests that are listed, the newest by their names; 0 is all of them."""
    found = sorted(wanted(listing), key=lambda each: home_of(each.key).rpartition("/")[2])
    return tuple(found[-last:])


def of_latest(listing: Collection[Stored], last: int) -> tuple[tuple[Stored, ...], int]:
    """What belongs to so many of the manifests, the newest, and how many come before them.

    Of those the marks too that say more than that each was verified once: a restore proves all of them. And the
    outcomes of restores, of which there are never many.
    """
    found = latest(listing, 0)
    there = {home_of(each.key) for each in found[-last:]}
    rows = (each for each in listing if home_of(each.key) in there or remarkable(each.key) or of_restore(each.key))
    return tuple(rows), max(0, len(found) - last)


def arranged(listing: Iterable[Stored], read: Mapping[str, Manifest | Corrupt]) -> Shelf:
    """What was listed, and what its manifests say or why they are not to be believed."""
    sizes = {stored.key: stored.size_bytes for stored in listing}
    marks = standings(sizes)
    manifests, damaged = [], {}
    for key, found in read.items():
        try:
            if isinstance(found, Corrupt):
                raise found
            manifests.append(believed(found, sizes))
        except Corrupt as error:
            damaged[key] = str(error)
    kept = {home_of(each) for each in (*damaged, *(each.manifest_key for each in manifests))}
    strays = {key: size for key, size in sizes.items() if (home := home_of(key)) and home not in kept}
    return Shelf(tuple(sorted(manifests, key=age)), damaged, marks, strays)


def home_of(key: str) -> str:
    """The directory of the snapshot that a key belongs to, "" where it is no snapshot's."""
    found = HOME.match(key)
    return found[1] if found else ""


def of_restore(key: str) -> bool:
    """Whether it is the outcome of a restore on record."""
    return RESTORED.match(key) is not None


def quarantine(at: datetime) -> str:
    return f"it is quarantined since {at:%Y-%m-%d %H:%M}Z: it was not what it should be"


def load(store: Store, cluster: str) -> tuple[Manifest, ...]:
    return shelf(store, cluster).manifests


def read(store: Store, key: str) -> bytes:
    """Whole, if it is as small as a manifest is."""
    text = bytearray()
    for chunk in store.get(key):
        text += chunk
        if len(text) > MANIFEST_BYTES_MAX:
            raise Corrupt(f"{key} is too large for a manifest")
    return bytes(text)


def believed(manifest: Manifest, sizes: Mapping[str, int]) -> Manifest:
    """Its object is there and as large as it should be."""
    if (found := sizes.get(manifest.key)) != manifest.stored_bytes:
        raise Corrupt(f"{manifest.key} should have {manifest.stored_bytes} bytes, found {found or 'nothing'}")
    return manifest


def age(manifest: Manifest) -> tuple[datetime, int]:
    return manifest.created_at, manifest.revision


def lineage(cluster_id: str, links: Iterable[tuple[str, str]] = ()) -> frozenset[str]:
    """A cluster id and those it descends from; `links` are (before, after) of each restore."""
    before = {after: before for before, after in links}
    ids: list[str] = []
    current: str | None = cluster_id
    while current and current not in ids:
        ids.append(current)
        current = before.get(current)
    return frozenset(ids)


def newest(manifests: Iterable[Manifest], lineage: Collection[str]) -> Manifest | None:
    """The newest of the lineage, or of all where none is known (no member answers, no restore is on record).

    A degraded one counts: it is proved as well, and loses less than an older one. A suspect one does not. Of one
    cluster id the highest revision is the newest, whatever the clock said of whoever took it: only one that somebody
    has accepted may have fallen back.
    """
    related = [each for each in manifests if each.counts and (not lineage or each.cluster_id in lineage)]
    if not related:
        return None
    last = max(related, key=age)
    own = [each for each in related if each.cluster_id == last.cluster_id]
    since = max(map(age, (each for each in own if each.accepted)), default=min(map(age, own)))
    return max((each for each in own if age(each) >= since), key=lambda each: (each.revision, each.created_at))


def find(
    manifests: Iterable[Manifest],
    wanted: str,
    cluster: str,
    lineage: Collection[str],
    discounted: Collection[str] = (),
) -> Manifest:
    """By id, or `latest` of the lineage, which is none of the discounted; BadInput names what there is."""
    known = tuple(each for each in manifests if each.cluster == cluster)
    named = (each for each in known if each.id == wanted)
    found = (
        newest((each for each in known if each.id not in discounted), lineage)
        if wanted == LATEST
        else next(named, None)
    )
    if found is None:
        there = ", ".join(each.id for each in sorted(known, key=age)[-3:]) or "none"
        of = f" of the cluster ids {', '.join(sorted(lineage))}" if wanted == LATEST and lineage else ""
        raise BadInput(
            f"there is no snapshot {wanted}{of} of {cluster}; the newest that exist: {there}",
            next=f"quorate snapshots ls {cluster}",
        )
    return found
