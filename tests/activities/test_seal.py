"""The seal of a report: any change of the file is found, and whose seal it is is said."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.adapters.signatures import SshSignatures
from quorate.errors import Corrupt
from quorate.reports.page import page
from quorate.reports.seal import opened, sealed
from tests.reports import KEY, OTHER, drill, file_of, of_drill

pytestmark = pytest.mark.slow

FORMS = ("html", "md", "json")
PROVE = SshSignatures()
REPORT = of_drill(drill())
FILES = {form: file_of(REPORT, form).encode() for form in FORMS}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_as_it_was_sealed_opens_with_the_key_that_has_sealed_it(form: str) -> None:
    found = opened(FILES[form], PROVE)
    assert (found.form, found.key, found.report) == (form, KEY.public_key, REPORT)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=150)
@given(data=st.data())
def test_a_bit_that_is_flipped_anywhere_is_found(form: str, data: st.DataObject) -> None:
    text = bytearray(FILES[form])
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Corrupt):
        opened(bytes(text), PROVE)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=60)
@given(data=st.data())
def test_a_piece_that_is_cut_out_or_put_in_is_found(form: str, data: st.DataObject) -> None:
    text = FILES[form]
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    for changed in (text[:start] + text[end:], text[:start] + b" " + text[start:], text + text[start:end]):
        with pytest.raises(Corrupt):
            opened(changed, PROVE)


@pytest.mark.parametrize("form", FORMS)
def test_the_first_and_the_last_bytes_count_too(form: str) -> None:
    text = FILES[form]
    for changed in (text[1:], text[:-1], b"\n" + text, text + b"\n", text.replace(b"\n", b"\r\n")):
        with pytest.raises(Corrupt):
            opened(changed, PROVE)


def test_a_section_that_is_taken_out_is_found_and_said_to_be_the_page() -> None:
    text = FILES["html"].decode()
    before, _, rest = text.partition('<h2 id="findings">')
    section, _, after = rest.partition("<h2")
    assert "quota" in section
    with pytest.raises(Corrupt, match="the page around the seal was changed"):
        opened(f"{before}<h2{after}".encode(), PROVE)


@pytest.mark.parametrize("form", ["html", "md"])
def test_it_is_said_where_what_is_shown_was_changed(form: str) -> None:
    """In both words, where this version has sealed it."""
    with pytest.raises(Corrupt, match=r"it first differs where it read '.*91 %.*' and now reads '.*11 %.*'"):
        opened(FILES[form].replace(b"91 %", b"11 %", 1), PROVE)


def test_a_document_that_is_changed_is_found_although_the_page_is_as_it_was() -> None:
    with pytest.raises(Corrupt, match="the sealed document was changed"):
        opened(FILES["json"].replace(b'"judgement":"PASSED WITH FINDINGS"', b'"judgement":"PASSED"', 1), PROVE)


def test_a_page_of_another_report_around_a_seal_is_found() -> None:
    other = page(of_drill(drill(name="prod-us"))).encode()
    begin, end = FILES["html"].index(b"<template id"), FILES["html"].index(b"</template>") + len(b"</template>")
    with pytest.raises(Corrupt):
        opened(other.replace(b"</body>", FILES["html"][begin:end] + b"</body>"), PROVE)


def test_a_seal_of_one_form_is_none_for_another() -> None:
    begin, end = FILES["html"].index(b'{"around"'), FILES["html"].index(b"</template>")
    with pytest.raises(Corrupt):
        opened(FILES["html"][begin:end] + b"\n", PROVE)


def test_whoever_seals_it_again_does_so_under_another_key() -> None:
    """The key that the page names is under the seal as well."""
    with pytest.raises(Corrupt, match="the key that the report names"):
        opened(sealed(REPORT, "json", OTHER).encode(), PROVE)


def test_a_signature_for_another_purpose_is_none() -> None:
    seal = json.loads(FILES["json"])
    del seal["signature"]
    from quorate.audit import canonical
    from quorate.reports.seal import escaped

    signature = KEY.sign("quorate-manifest", canonical(seal).encode())
    with pytest.raises(Corrupt, match="quorate-manifest"):
        opened(f"{escaped(canonical({**seal, 'signature': signature}))}\n".encode(), PROVE)


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"{", b"<html></html>", b"\xff\xfe", b"[]\n", b'{"a": 1}\n', b"null", b'{"a":' + b"[" * 9999]
)
def test_what_is_no_report_is_said_to_be_none(text: bytes) -> None:
    with pytest.raises(Corrupt):
        opened(text, PROVE)
