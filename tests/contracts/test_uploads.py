"""What a machine stores: by the files of its state directory, and by the fake, the same."""

from pathlib import Path

import pytest

from activities.adapters.uploads import FileUploads
from quorate.errors import Failed
from quorate.ports import Uploads
from tests.fakes.uploads import MemoryUploads

A, B = "s3://a/x", "file:///b"


@pytest.fixture(params=["files", "memory"])
def uploads(request: pytest.FixtureRequest, tmp_path: Path) -> Uploads:
    return FileUploads(tmp_path / "uploads") if request.param == "files" else MemoryUploads()


def reborn(uploads: Uploads) -> Uploads:
    """The next process of the same machine."""
    if isinstance(uploads, FileUploads):
        return FileUploads(uploads.folder)
    assert isinstance(uploads, MemoryUploads)
    return uploads.reborn()


def test_what_is_being_stored_is_live_in_its_process_and_left_to_the_next(uploads: Uploads) -> None:
    with uploads.storing(A, "k"):
        assert (uploads.live(A), uploads.left(A)) == ({"k"}, frozenset())
        assert (reborn(uploads).live(A), reborn(uploads).left(A)) == (frozenset(), {"k"})
        assert uploads.live(B) == reborn(uploads).left(B) == frozenset()


def test_what_is_whole_is_forgotten(uploads: Uploads) -> None:
    with uploads.storing(A, "k"), uploads.storing(A, "l"):
        pass
    assert uploads.live(A) == uploads.left(A) == reborn(uploads).left(A) == frozenset()


def test_what_failed_is_left_until_somebody_has_ended_it(uploads: Uploads) -> None:
    with pytest.raises(Failed), uploads.storing(A, "k"):
        raise Failed("the store went away")
    assert (uploads.live(A), uploads.left(A)) == (frozenset(), {"k"})
    uploads.forget(B, "k")
    assert uploads.left(A) == {"k"}
    uploads.forget(A, "k")
    uploads.forget(A, "k")
    assert uploads.left(A) == frozenset()


def test_where_nothing_can_be_noted_nothing_is_stored(tmp_path: Path) -> None:
    (tmp_path / "uploads").write_text("in the way")
    with pytest.raises(Failed, match="so nothing is stored"), FileUploads(tmp_path / "uploads").storing(A, "k"):
        pytest.fail("it was stored")


def test_a_torn_note_is_of_nothing_that_was_begun(tmp_path: Path) -> None:
    (tmp_path / "0.json").write_text('{"place": "s3')
    assert FileUploads(tmp_path).left(A) == frozenset()
