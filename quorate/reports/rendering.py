"""The forms of a report: each a pure function of it."""

from quorate.reports.markdown import markdown
from quorate.reports.page import page
from quorate.reports.report import Report


def rendered(report: Report, form: str) -> str:
    """All that is shown; of JSON that is nothing beside the document itself."""
    match form:
        case "html":
            return page(report)
        case "md":
            return markdown(report)
        case _:
            return ""
