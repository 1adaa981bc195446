"""The seal of a report: one signature over the document, the form, and every byte around it in the file.

A file is what stands before the seal, the seal on one line, what stands behind it. The seal is canonical JSON with
`<`, `>` and `&` written as escapes, so that it means the same in every form and ends none of them early.
"""

import hashlib
import json
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from pydantic import ValidationError

from quorate.audit import canonical
from quorate.errors import Corrupt, NotApproved
from quorate.ports import Signatures, Signing
from quorate.reports.rendering import rendered
from quorate.reports.report import REPORT, Report, encoded
from quorate.sshsig import armored, fingerprint, parsed

NAMESPACE = "quorate-report"
FORMAT = "quorate/seal/v1"
FORMS = {
    "html": ('<template id="quorate-seal">', "</template>"),
    "md": ("<!-- quorate-seal ", " -->"),
    "json": ("", ""),
}
EXCERPT = 60
ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
AGAIN = "quorate report OPERATION  # makes it again from the record"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A file whose seal holds; `key` has made it."""

    report: Report
    form: str
    key: str


def sealed(report: Report, form: str, signing: Signing) -> str:
    """The whole file: in HTML the seal stands before the end of the body, elsewhere behind everything."""
    head, tail = shown(report, form)
    around = digest(head, tail)
    data = {"format": FORMAT, "form": form, "around": around, "document": json.loads(encoded(report))}
    signature = signing.sign(NAMESPACE, canonical(data).encode())
    return f"{head}{escaped(canonical({**data, 'signature': signature}))}{tail}"


def shown(report: Report, form: str) -> tuple[str, str]:
    """What stands before the seal, and what behind it; its marks are part of that."""
    (begin, end), text = FORMS[form], rendered(report, form)
    if form == "html":
        head, body, tail = text.rpartition("</body>")
        return f"{head}{begin}", f"{end}{body}{tail}"
    return f"{text}{begin}", f"{end}\n"


def digest(head: str, tail: str) -> str:
    """Where one ends and the other begins counts as well."""
    parts = (head.encode(), tail.encode())
    return hashlib.sha256(b"".join(len(part).to_bytes(8) + part for part in parts)).hexdigest()


def escaped(text: str) -> str:
    for letter, escape in ESCAPES.items():
        text = text.replace(letter, escape)
    return text


def opened(data: bytes, signatures: Signatures) -> Sealed:
    """Corrupt says what was changed, as far as it can be told."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Corrupt(f"this is not UTF-8, so it is not as it was sealed: {error}", next=AGAIN) from error
    form, head, seal, tail = found(text)
    said = parsed_seal(seal)
    key = proved(said, signatures)
    if said["form"] != form or said["around"] != digest(head, tail):
        raise Corrupt(
            "what is shown is not what was sealed: the page around the seal was changed, the sealed document in it "
            f"is whole{difference(said, head, tail)}",
            next=AGAIN,
        )
    return Sealed(document(said), form, key)


def difference(seal: dict[str, Any], head: str, tail: str) -> str:
    """Where it first differs, if this version renders the document as the one did that has sealed it."""
    if seal["form"] not in FORMS:
        return ""
    was = shown(document(seal), seal["form"])
    if digest(*was) != seal["around"]:
        return ""
    before, now = next((pair for pair in zip(was, (head, tail), strict=True) if pair[0] != pair[1]), ("", ""))
    same = takewhile(lambda pair: pair[0] == pair[1], zip(before, now, strict=False))
    at = sum(1 for _ in same)
    near = slice(max(0, at - EXCERPT // 2), at + EXCERPT)
    return f"; it first differs where it read {before[near]!r} and now reads {now[near]!r}"


def found(text: str) -> tuple[str, str, str, str]:
    """The form, and the file in three parts; the marks around the seal belong to what is around it."""
    for form, (begin, end) in FORMS.items():
        if not begin:
            continue
        at = text.rfind(begin)
        stop = text.find(end, at + len(begin)) if at >= 0 else -1
        if stop >= 0:
            start = at + len(begin)
            return form, text[:start], text[start:stop], text[stop:]
    if text.startswith("{"):
        return "json", "", text.removesuffix("\n"), text[len(text.removesuffix("\n")) :]
    raise Corrupt("there is no seal in this file: it is no report of quorate, or the seal was taken out", next=AGAIN)


def parsed_seal(seal: str) -> dict[str, Any]:
    try:
        data = json.loads(seal)
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"the seal is damaged: {error}", next=AGAIN) from error
    if not isinstance(data, dict) or data.keys() != {"format", "form", "around", "document", "signature"}:
        raise Corrupt("the seal is damaged: it has not the parts that a seal has", next=AGAIN)
    if data["format"] != FORMAT:
        raise Corrupt(f"this seal is of a format that is not known here: {data['format']!r}", next=AGAIN)
    if escaped(canonical(data)) != seal:
        raise Corrupt("the seal is damaged: it is not written as seals are", next=AGAIN)
    return data


def proved(seal: dict[str, Any], signatures: Signatures) -> str:
    """The key that has signed all the rest of the seal."""
    signed = canonical({key: value for key, value in seal.items() if key != "signature"})
    try:
        signature = parsed(str(seal["signature"]))
        signatures.prove(signature, signed.encode())
    except NotApproved as error:
        raise Corrupt(f"the sealed document was changed: {error}", next=AGAIN) from error
    if signature.namespace != NAMESPACE or armored(signature) != seal["signature"]:
        raise Corrupt(f"its signature is one for {signature.namespace!r}, or is not written as it was", next=AGAIN)
    return signature.key


def document(seal: dict[str, Any]) -> Report:
    try:
        report = REPORT.validate_python(seal["document"])
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]["msg"]
        raise Corrupt(f"it is whole, and of a version that this one cannot read: {problem}", next=AGAIN) from error
    if seal["document"].get("sealed_by") != fingerprint(str(parsed(seal["signature"]).key)):
        raise Corrupt("the key that the report names is not the one that has sealed it", next=AGAIN)
    return report
