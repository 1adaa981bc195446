"""Times and sizes as a report says them."""

from datetime import UTC, datetime


def span(seconds: float | None) -> str:
    """`0.31 s`, `9.4 s`, `42 s`, `5 min 3 s`, `3 h 5 min`, `2 d 4 h`; a dash for what is not known."""
    if seconds is None:
        return "-"
    if seconds < 9.95:
        return f"{seconds:.2f} s" if abs(seconds) < 1 else f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, name, lesser, below in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            rest = whole % unit // lesser
            return f"{whole // unit} {name}" + (f" {rest} {below}" if rest else "")
    return f"{whole} s"


def interval(least_s: float | None, most_s: float | None) -> str:
    """One time where both ends are the same."""
    if most_s is None:
        return "not known"
    if least_s is None or least_s == most_s:
        return span(most_s) if least_s is not None else f"at most {span(most_s)}"
    return f"{span(least_s) if least_s else '0'} to {span(most_s)}"


def moment(at: float | None) -> str:
    return "-" if not at else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}Z"


def hour(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}Z"
