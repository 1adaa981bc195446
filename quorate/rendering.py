"""The forms of a report: each a pure function of it."""

from quorate.report import Report
from quorate.report_html import page
from quorate.report_md import markdown


def rendered(report: Report, form: str) -> str:
    """All that is shown; of JSON that is nothing beside the document itself."""
    match form:
        case "html":
            return page(report)
        case "md":
            return markdown(report)
        case _:
            return ""
