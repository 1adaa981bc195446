"""What a node has lost is laid out of a bundle, and nothing that is there is touched."""

import io
import tarfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard
from temporalio.testing import WorkflowEnvironment

from activities.clusters.remains import Remains
from quorate.adoption import adopted
from quorate.backups.catalogue import Bundle, Manifest
from quorate.chosen import BundleRef
from quorate.clusters.cluster import ClusterSeen
from quorate.command import Command
from quorate.converge import Await, Left
from quorate.errors import BadInput, Busy, CommandFailed, Refusal
from quorate.lay import STEPS, member_of, missing, origin, own_urls, plan
from quorate.nodes.lacking import Lacking, above, differing, summed, sums, target
from quorate.nodes.packed import Packed
from quorate.nodes.seen import NodeSeen, PathSeen
from quorate.operation import Outcome, RestoreRequest
from quorate.plan import Choice, Plan
from quorate.settings.machines import Component
from tests.fakes.machine import FakeHosts
from tests.fences import Fences
from tests.manifests import manifest
from tests.world import held, resolve

PKI = "/etc/kubernetes/pki"
KEY, CRT, UNIT = f"{PKI}/apiserver.key", f"{PKI}/apiserver.crt", "/etc/systemd/system/kube-apiserver.service"
MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"
LACKING = Lacking(((KEY, KEY), (CRT, CRT)), (PKI,), "lay-1")


def packed(path: str, text: str = "", mode: int = 0o600) -> Packed:
    return Packed(path, mode, "root", "root", 0, 0, 0, text.encode() or None)


HELD = {PKI: packed(PKI, mode=0o755), KEY: packed(KEY, "key"), CRT: packed(CRT, "crt", 0o644)}

SUMS = {path: HELD[path].sha256 for path in (KEY, CRT)}


def there(**paths: str) -> NodeSeen:
    """Paths by the inode that they are."""
    return NodeSeen(paths={path: seen_as(path, inode) for path, inode in paths.items()})


def seen_as(path: str, inode: str) -> PathSeen:
    return PathSeen("regular file", "root:root", "644" if path.startswith(CRT) else "600", "1", 3, inode)


def words(left: Left[Command]) -> list[str]:
    assert not isinstance(left, Await)
    return [str(act) for act in left]


class TestLaying:
    def test_only_what_is_missing_is_sent_under_a_second_name_with_owner_and_mode(self) -> None:
        seen = there(**{CRT: "1"})
        whole = b"".join(LACKING.tar(LACKING.absent(seen), HELD, seen))
        with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
            found = [(each.name, each.isdir(), each.mode, each.uname) for each in tar]
        assert found == [(PKI[1:], True, 0o755, "root"), (f"{KEY[1:]}.quorate-lay-1", False, 0o600, "root")]

    def test_a_folder_that_is_there_is_not_sent(self) -> None:
        seen = there(**{PKI: "9"})
        whole = b"".join(LACKING.tar(LACKING.absent(seen), HELD, seen))
        with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
            assert not any(each.isdir() for each in tar)

    def test_a_name_is_given_by_a_link_which_overwrites_nothing_once_it_is_on_the_disk(self) -> None:
        seen = there(**{KEY: "1", f"{KEY}.quorate-lay-1": "2", f"{CRT}.quorate-lay-1": "3"})
        synced, link, names = LACKING.place(seen, 0)  # type: ignore[misc]
        assert str(synced).startswith(f"sync {CRT}.quorate-lay-1 ")
        assert (str(link), link.given) == (f"ln -T {CRT}.quorate-lay-1 {CRT}", (f"{CRT}.quorate-lay-1", f"!{CRT}"))
        assert str(names) == f"sync {PKI}"

    def test_a_unit_is_made_known_to_systemd(self) -> None:
        unit = Lacking(((UNIT, UNIT),), (), "lay-1")
        assert words(unit.place(there(**{f"{UNIT}.quorate-lay-1": "1"}), 0))[-1] == "systemctl daemon-reload"

    def test_nothing_is_left_when_everything_has_its_name(self) -> None:
        names = {KEY: "1", f"{KEY}.quorate-lay-1": "1", CRT: "2", f"{CRT}.quorate-lay-1": "2"}
        assert LACKING.absent(there(**names)) == ()
        assert LACKING.place(there(**names), 0) == ()

    def test_the_second_names_go_and_what_was_laid_stays(self) -> None:
        seen = there(**{KEY: "1", f"{KEY}.quorate-lay-1": "1", CRT: "2"})
        assert words(LACKING.settle(seen, 0)) == [f"rm -f {KEY}.quorate-lay-1", f"sync {PKI}"]
        assert LACKING.settle(there(**{KEY: "1", CRT: "2"}), 0) == ()


class TestTakingBack:
    def test_only_what_is_one_file_under_both_names_is_ours(self) -> None:
        seen = there(**{PKI: "9", KEY: "1", f"{KEY}.quorate-lay-1": "1", CRT: "2", f"{CRT}.quorate-lay-1": "3"})
        assert words(LACKING.take_back(seen, 0)) == [
            f"rm -f {KEY}",
            f"rm -f {KEY}.quorate-lay-1 {CRT}.quorate-lay-1",
            f"rmdir --ignore-fail-on-non-empty {PKI}",
        ]

    def test_what_another_has_put_there_stays(self) -> None:
        assert LACKING.take_back(there(**{KEY: "1", CRT: "2"}), 0) == ()


class TestLookingAgain:
    def test_what_is_as_the_bundle_has_it_passes(self) -> None:
        LACKING.check(HELD, there(**{KEY: "1", CRT: "2"}), SUMS)

    @pytest.mark.parametrize(
        ("seen", "found", "said"),
        [
            (there(**{CRT: "2"}), SUMS, f"{KEY}: not there"),
            (there(**{KEY: "1", CRT: "2"}), {**SUMS, CRT: "0"}, f"{CRT}: another content"),
            (
                NodeSeen(paths={KEY: replace(seen_as(KEY, "1"), mode="644"), CRT: seen_as(CRT, "2")}),
                SUMS,
                f"{KEY}: root:root 644, in the bundle root:root 600",
            ),
        ],
    )
    def test_what_is_not_is_named_with_what_differs(self, seen: NodeSeen, found: dict[str, str], said: str) -> None:
        with pytest.raises(CommandFailed, match="not as the bundle has it") as raised:
            LACKING.check(HELD, seen, found)
        assert said in str(raised.value)

    def test_what_was_there_and_is_otherwise_is_named_and_never_quoted(self) -> None:
        wanted = Lacking(((KEY, KEY),), (), "lay-1")
        assert wanted.others(HELD) == (CRT,)
        assert CRT in wanted.look(wanted.others(HELD)).paths
        seen = there(**{KEY: "1", CRT: "2"})
        assert differing((CRT,), HELD, seen, SUMS) == ""
        assert differing((CRT,), HELD, seen, {**SUMS, CRT: "0"}) == f"{CRT}: another content"
        link = PathSeen("symbolic link", "root:root", "777", "1", 3, "2")
        assert differing((CRT,), HELD, NodeSeen(paths={CRT: link}), {CRT: "0"}) == ""

    def test_sums_are_read_as_sha256sum_prints_them(self) -> None:
        assert str(sums((KEY, CRT))) == f"sha256sum -- {KEY} {CRT}"
        assert summed(f"ab  {KEY}\ncd  {CRT}\n") == {KEY: "ab", CRT: "cd"}


def holding(*files: str, node: str = "a", **changes: Any) -> Manifest:
    whole = manifest()
    bundle = Bundle(
        key=f"{whole.directory}/bundle.tar.zst",
        size_bytes=1,
        sha256="0" * 64,
        stored_bytes=1,
        stored_sha256="1" * 64,
        files=dict.fromkeys(files, (node,)),
    )
    return whole.model_copy(update={"bundle": bundle, **changes})


@pytest.fixture
def dry(tmp_path: Path) -> Fences:
    return Fences(None, tmp_path)  # type: ignore[arg-type]


def asked(dry: Fences, **changes: Any) -> RestoreRequest:
    return dry.request("lay", **{"member": "a", "overrides": (), **changes})


def planned(dry: Fences, paths: Iterable[str] = (), **changes: Any) -> Plan:
    return plan(asked(dry, **changes), dry.seen, holding(KEY, CRT), there(**dict.fromkeys(paths, "1")))


class TestPlanning:
    def test_what_is_missing_is_laid_on_that_node_alone_and_its_control_plane_starts(self, dry: Fences) -> None:
        whole = planned(dry, (CRT, PKI, "/etc", "/etc/kubernetes"))
        (share,) = whole.chosen.shares
        assert (share.member, share.lays, share.makes) == ("a", ((KEY, KEY),), ())
        assert whole.chosen.bundle == BundleRef(f"{manifest().directory}/bundle.tar.zst", "0" * 64, "1" * 64)
        assert whole.chosen.snapshot.id == manifest().id
        assert whole.chosen.steps == STEPS

    def test_folders_that_are_missing_too_are_made(self, dry: Fences) -> None:
        (share,) = planned(dry, ("/etc",)).chosen.shares
        assert share.makes == ("/etc/kubernetes", PKI)

    def test_what_is_laid_and_out_of_which_bundle_is_what_is_approved(self, dry: Fences) -> None:
        digests = {planned(dry).chosen.digest(), planned(dry, (CRT,)).chosen.digest()}
        other = replace(planned(dry).chosen, bundle=BundleRef("other", "2" * 64, "3" * 64))
        assert len({*digests, other.digest()}) == 3

    def test_without_a_control_plane_nothing_is_started(self, dry: Fences) -> None:
        settings = dry.settings.model_copy(update={"control_plane": (), "kubernetes": None})
        whole = planned(dry, settings=settings)
        assert [step.key for step in whole.chosen.steps] == ["claim", "lay", "settle", "release"]

    def test_a_manifest_is_laid_where_no_kubelet_reads_it_and_one_that_is_fenced_is_there(self, dry: Fences) -> None:
        api = Component(role="kube-apiserver", manifest=MANIFEST)
        request = asked(dry, settings=dry.settings.model_copy(update={"control_plane": (api,)}))
        fenced = "/etc/kubernetes/kube-apiserver.yaml.quorate-fenced"
        assert missing(request, holding(MANIFEST), NodeSeen())[0] == ((fenced, MANIFEST),)
        assert missing(request, holding(MANIFEST), there(**{fenced: "1"}))[0] == ()
        assert missing(request, holding(MANIFEST), there(**{MANIFEST: "1"}))[0] == ()
        assert target(KEY, (MANIFEST,)) == KEY

    def test_a_name_that_no_backup_takes_is_not_laid(self, dry: Fences) -> None:
        strange = holding("/etc/../root/.ssh/authorized_keys", "/run/x", "relative", KEY)
        assert missing(asked(dry), strange, NodeSeen())[0] == ((KEY, KEY),)

    def test_where_nothing_is_missing_nothing_is_begun(self, dry: Fences) -> None:
        with pytest.raises(Refusal, match="nothing is missing on a of what demo/.* holds of it; nothing was changed"):
            planned(dry, (KEY, CRT))

    def test_a_node_that_is_frozen_is_thawed_first(self, dry: Fences) -> None:
        etcd = dry.machines["a"].units["etcd.service"]
        drop_in, flag = (
            "/etc/systemd/system/etcd.service.d/00-quorate-fence.conf",
            "/var/lib/quorate/fence/etcd.service",
        )
        dry.machines["a"].files |= {drop_in: f"AssertPathExists=!{flag}", flag: ""}
        etcd.state, etcd.loaded = "inactive", (drop_in,)
        with pytest.raises(Refusal, match="a is frozen") as raised:
            planned(dry)
        assert raised.value.next == "quorate thaw demo"

    def test_a_node_that_an_operation_has_is_left_alone(self, dry: Fences) -> None:
        dry.machines["a"].claim = ("restore-9", 1, 1)
        with pytest.raises(Busy, match="restore-9 has claimed a"):
            planned(dry)

    def test_a_node_that_is_silent_is_not_guessed_at(self, dry: Fences) -> None:
        dry.machines["a"].away = True
        with pytest.raises(Refusal, match="a cannot be looked at: does not answer"):
            planned(dry)

    def test_a_node_that_there_is_not_is_told_with_those_that_there_are(self, dry: Fences) -> None:
        with pytest.raises(BadInput, match="demo has no node 'z'; it has a, b, c"):
            member_of(asked(dry, member="z"))

    def test_of_all_api_servers_its_own_is_waited_for(self, dry: Fences) -> None:
        (member, *_) = dry.settings.members
        both = ("https://127.0.0.1:6443", "https://127.0.0.2:6443")
        assert tuple(own_urls(both, member)) == both[:1]
        assert tuple(own_urls(both[1:], member)) == both[1:]


class TestOrigin:
    def seen(self, *manifests: Manifest, **changes: Any) -> ClusterSeen:
        return ClusterSeen({}, {}, manifests=manifests, **changes)

    def test_it_is_the_newest_whose_bundle_has_the_node(self, dry: Fences) -> None:
        mine, other = holding(KEY), holding(KEY, node="b", id="demo/20261122T104500Z-42")
        assert origin(asked(dry), self.seen(mine, other, manifest())) == mine

    @pytest.mark.parametrize("snapshot", ["latest", "demo/20261121T104500Z-41"])
    def test_without_one_a_backup_is_the_next_thing_to_do(self, dry: Fences, snapshot: str) -> None:
        with pytest.raises(Refusal, match="bundle") as raised:
            origin(asked(dry, snapshot=snapshot), self.seen(holding(KEY, node="b")))
        assert raised.value.next == "quorate backup demo"

    def test_one_that_nobody_vouches_for_lays_nothing_even_by_its_name(self, dry: Fences) -> None:
        mine = holding(KEY)
        with pytest.raises(Refusal, match="nobody signed it; nothing was changed"):
            origin(asked(dry, snapshot=mine.id), self.seen(mine, doubted={mine.id: "nobody signed it"}))

    def test_a_store_that_is_away_is_said_to_be(self, dry: Fences) -> None:
        with pytest.raises(Refusal, match="the store cannot be read: no route"):
            origin(asked(dry), self.seen(store="no route"))


def test_folders_are_told_from_the_outermost_in() -> None:
    assert above((KEY, UNIT)) == ("/etc", "/etc/kubernetes", PKI, "/etc/systemd", "/etc/systemd/system")


@pytest.mark.server
class TestWorkflow:
    LOST = (f"{PKI}/ca.crt", f"{PKI}/sa.key")

    @pytest.fixture
    def fences(self, temporal: WorkflowEnvironment, tmp_path: Path) -> Fences:
        world = Fences(temporal.client, tmp_path)
        world.machines["a"].units["kube-apiserver.service"].state = "inactive"
        return world

    def files(self, fences: Fences) -> dict[str, str]:
        return {path: text for path, text in fences.machines["a"].files.items() if path.startswith("/etc/kubernetes")}

    async def test_what_is_missing_is_there_again_its_control_plane_runs_and_no_second_name_is_left(
        self, fences: Fences
    ) -> None:
        fences.machines["a"].files[self.LOST[0]] = "mine"
        others = {name: fences.machines[name].ran.copy() for name in "bc"}
        async with fences.worker():
            result = await fences.run("lay")
        assert (result.outcome, result.member, result.snapshot) == (Outcome.LAID, "a", manifest().id)
        assert self.files(fences) == {self.LOST[0]: "mine", self.LOST[1]: "a key"}
        assert fences.units["a"] == ("active", "active", "active")
        assert {name: fences.machines[name].ran for name in "bc"} == others
        assert fences.machines["a"].claim is None

    @pytest.mark.parametrize("breaks", ["tar", f"ln -T {PKI}/sa.key"])
    async def test_what_fails_half_way_is_taken_away_again(self, fences: Fences, breaks: str) -> None:
        before = self.files(fences)
        fences.machines["a"].breaks = breaks
        async with fences.worker():
            result = await fences.run("lay")
        assert (result.outcome, self.files(fences)) == (Outcome.UNDONE, before)
        assert fences.machines["a"].claim is None
        assert fences.units["a"] == ("active", "inactive", "inactive")

    async def test_a_bundle_that_is_not_what_was_stored_lays_nothing(self, fences: Fences) -> None:
        fences.shelf.objects[f"{manifest().directory}/bundle.tar.zst"] = zstandard.compress(b"another")
        async with fences.worker():
            result = await fences.run("lay")
        assert (result.outcome, self.files(fences)) == (Outcome.UNDONE, {})
        assert result.error
        assert (result.error.kind, "is not what was stored" in result.error.message) == ("corrupt", True)

    @pytest.mark.parametrize(
        ("choice", "outcome", "left"), [(Choice.ROLLBACK, Outcome.UNDONE, 0), (Choice.ABORT, Outcome.HELD, 4)]
    )
    async def test_where_nothing_starts_on_it_a_person_says_what_becomes_of_it(
        self, fences: Fences, choice: Choice, outcome: Outcome, left: int
    ) -> None:
        fences.machines["a"].breaks = "systemctl start"
        async with fences.worker():
            handle = await fences.start("lay")
            hold = await held(handle)
            assert (hold.step, len(self.files(fences))) == ("start-api", 4)
            await resolve(handle, hold.number, choice)
            assert (await handle.result()).outcome is outcome
        assert len(self.files(fences)) == left

    async def test_one_that_was_aborted_is_adopted_and_ends(self, fences: Fences) -> None:
        fences.machines["a"].breaks = "systemctl start"
        async with fences.worker():
            handle = await fences.start("lay")
            await resolve(handle, (await held(handle)).number, Choice.ABORT)
            assert (await handle.result()).outcome is Outcome.HELD
            found = adopted(Remains(FakeHosts(fences.machines)).found("demo", fences.settings), "demo")
            assert (found.plan.chosen.runbook, found.step) == ("lay", "start-api")
            fences.machines["a"].breaks = ""
            handle = await fences.start("lay", adopted=found, member="")
            await resolve(handle, (await held(handle)).number, Choice.RETRY)
            result = await handle.result()
        assert (result.outcome, result.member) == (Outcome.LAID, "a")
        assert len(self.files(fences)) == 2

    async def test_a_worker_that_dies_at_any_act_changes_nothing_about_the_outcome(self, fences: Fences) -> None:
        async with fences.worker():
            await fences.run("lay")
        acts = len(fences.machines["a"].ran)
        assert acts > 8
        for at in range(acts):
            world = Fences(fences.client, fences.root / str(at))
            world.machines["a"].dies_at = at
            async with world.worker():
                assert (await world.run("lay")).outcome is Outcome.LAID, at
            assert self.files(world) == self.files(fences)
