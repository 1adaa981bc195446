"""The drawings of a report, as SVG without a script: patterns and words tell apart, colour never does alone."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from quorate.measure import Gap, Probed
from quorate.reports.markup import Safe, join, tag
from quorate.reports.report import Bar, Mark, Row
from quorate.reports.spoken import hour, span

WIDTH, LEFT, RIGHT, LINE = 960.0, 326.0, 92.0, 26.0
NAME, LETTER = 14.0, 7.0  # a row of names above the lanes, and how wide a small letter is
LABEL_MAX = 42
LANES = (("etcd", "read"), ("etcd", "write"), ("apiserver", "read"), ("apiserver", "write"))


def drawing(height: float, title: str, *inside: object) -> Safe:
    """Its title is what a screen reader says."""
    view = f"0 0 {WIDTH:g} {height:g}"
    return tag("svg", tag("title", title), *inside, viewBox=view, role="img", class_="drawing", width="100%")


def patterns() -> Safe:
    """People are hatched, machines solid, what failed is crossed, what nobody watched is dotted; once a page."""
    hatch = tag("path", d="M0 6L6 0M-1 1L1 -1M5 7L7 5", class_="stroke")
    cross = tag("path", d="M0 0L6 6M6 0L0 6", class_="stroke")
    dots = tag("circle", cx=2, cy=2, r=0.9, class_="dot")
    ground = tag("rect", width=6, height=6, class_="ground")
    six = {"width": 6, "height": 6, "patternUnits": "userSpaceOnUse"}
    found = (("people", hatch), ("failed", cross), ("unwatched", dots))
    defined = [tag("pattern", ground, drawn, id=f"fill-{kind}", **six) for kind, drawn in found]
    return tag("svg", tag("defs", *defined), width=0, height=0, class_="patterns", aria_hidden="true")


def words(x: float, y: float, said: str, **more: object) -> Safe:
    return tag("text", said, x=round(x, 1), y=round(y, 1), **more)


def box(x: float, y: float, width: float, height: float, kind: str) -> Safe:
    """`kind` is a pattern, or machine, which is solid."""
    fill = None if kind == "machine" else f"url(#fill-{kind})"
    rounded = {"x": round(x, 2), "y": round(y, 2), "width": round(max(width, 1.5), 2), "height": round(height, 2)}
    return tag("rect", **rounded, class_=f"bar {kind}", fill=fill)


def shares(people_s: float, machine_s: float) -> Safe:
    """Whose time it was: one line, both by length."""
    whole = people_s + machine_s or 1.0
    edge = WIDTH * people_s / whole
    parts = [
        box(0, 4, edge, 24, "people"),
        box(edge, 4, WIDTH - edge, 24, "machine"),
        words(0, 46, f"people {span(people_s)}"),
        words(WIDTH, 46, f"machines {span(machine_s)}", text_anchor="end"),
    ]
    return drawing(52, f"people {span(people_s)}, machines {span(machine_s)}", *parts)


def waterfall(bars: Sequence[Bar]) -> Safe:
    """Every step where it began and ended, on one scale."""
    since, until = min(bar.since for bar in bars), max(bar.until for bar in bars)
    height = LINE * len(bars) + 30
    lines = [line(bar, number, since, until) for number, bar in enumerate(bars)]
    return drawing(height, "steps over time", *axis(since, until, height - 22), *lines)


def squeezed(bars: Sequence[Bar]) -> bool:
    """Whether people took so long that nothing could be seen of what machines did."""
    steps = [bar for bar in bars if bar.who == "machine"]
    if len(steps) < 3 or len(steps) == len(bars):
        return False
    whole = max(bar.until for bar in bars) - min(bar.since for bar in bars)
    return (max(bar.until for bar in steps) - min(bar.since for bar in steps)) < whole / 2


def gathered(bars: Sequence[Bar]) -> tuple[Bar, ...]:
    """What people did, and all that machines did as one."""
    steps = [bar for bar in bars if bar.who == "machine"]
    since, until = min(bar.since for bar in steps), max(bar.until for bar in steps)
    state = "failed" if any(bar.state == "failed" for bar in steps) else "done"
    together = Bar(f"All {len(steps)} steps", "machine", since, until, state)
    return tuple(sorted((*(bar for bar in bars if bar.who == "people"), together), key=lambda bar: bar.since))


def line(bar: Bar, number: int, since: float, until: float) -> Safe:
    y = number * LINE + 5
    x, width = at(bar.since, since, until), at(bar.until, since, until) - at(bar.since, since, until)
    kind = "failed" if bar.state == "failed" else bar.who
    label = bar.label if len(bar.label) <= LABEL_MAX else bar.label[: LABEL_MAX - 1] + "…"
    what = "places" if any("://" in place for place in bar.places) else "nodes"
    where = f" · {len(bar.places)} {what}" if len(bar.places) > 1 and len(label) < LABEL_MAX - 9 else ""
    said = span(bar.until - bar.since) + (f" {bar.state}" if bar.state != "done" else "")
    said = f"{said} (people)" if bar.who == "people" else said
    name = tag("text", label, tag("tspan", where, class_="soft"), x=0, y=y + 12)
    return join(name, box(x, y, width, 16, kind), *length(x, x + max(width, 1.5), y + 8, said))


def length(x: float, end: float, y: float, said: str) -> Iterator[Safe]:
    """What is said of a bar: behind it where there is room, else in it, else before it."""
    wide = len(said) * LETTER + 12
    if end + wide <= WIDTH:
        yield words(end + 6, y + 4, said, class_="small halo")
    elif wide < end - x:
        yield from plate((x + end) / 2, y, wide, said)
    else:
        yield words(x - 6, y + 4, said, class_="small halo", text_anchor="end")


def plate(middle: float, y: float, wide: float, said: str) -> Iterator[Safe]:
    yield tag("rect", x=round(middle - wide / 2, 1), y=y - 8, width=round(wide, 1), height=16, class_="plate")
    yield words(middle, y + 4, said, class_="small", text_anchor="middle")


def axis(since: float, until: float, bottom: float) -> Iterator[Safe]:
    """Lines at even times, counted from the beginning."""
    whole = max(until - since, 0.001)
    for number in range(5):
        x = LEFT + (WIDTH - LEFT - RIGHT) * number / 4
        yield tag("line", x1=round(x, 1), x2=round(x, 1), y1=0, y2=bottom, class_="grid")
        said = hour(since) if number == 0 else f"+{span(whole * number / 4)}"
        yield words(x, bottom + 15, said, class_="small soft", text_anchor="middle")


def at(time: float, since: float, until: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (time - since) / max(until - since, 0.001)


def probed(probe: Probed, clock: Sequence[Mark]) -> Safe:
    """A lane for each kind of try: a line where it went through, a crossed box where it did not."""
    tried = {(each.surface, each.verb): each for each in probe.tries}
    lanes = [lane for lane in LANES if lane in tried]
    signs = staggered(readings(probe, clock))
    head = 12 + NAME * (1 + max((sign.row for sign in signs), default=0))
    bottom = head + LINE * len(lanes) + 8
    parts: list[Safe] = [*axis(probe.began, probe.ended, bottom)]
    above: list[Safe] = []  # nothing hides what is written
    for number, lane in enumerate(lanes):
        tries = tried[lane]
        count = f" · {tries.failed} of {tries.made} failed"
        y = head + number * LINE + 12
        parts.append(tag("text", f"{lane[0]} {lane[1]}s", tag("tspan", count, class_="soft"), x=0, y=y + 4))
        parts += lane_of(probe, lane, y)
        above += plates(probe, lane, y)
    for since, until in probe.unwatched:
        x = at(since, probe.began, probe.ended)
        parts.append(box(x, head, at(until, probe.began, probe.ended) - x, LINE * len(lanes), "unwatched"))
    signed = [shown(sign, bottom) for sign in signs]
    return drawing(bottom + 22, "what the probe could do, over time", *parts, *signed, *above)


@dataclass(frozen=True, slots=True)
class Sign:
    """A name above the lanes, in the first row that has room for it."""

    name: str
    x: float
    row: int = 0


def readings(probe: Probed, clock: Sequence[Mark]) -> list[Sign]:
    named = [(mark.at, mark.name.replace("_", " ")) for mark in clock if mark.at]
    named += [((since + until) / 2, "unwatched") for since, until in probe.unwatched]
    inside = sorted((time, name) for time, name in named if probe.began <= time <= probe.ended)
    return [Sign(name, at(time, probe.began, probe.ended)) for time, name in inside]


def staggered(signs: Iterable[Sign]) -> list[Sign]:
    taken: list[float] = []
    out = []
    for sign in signs:
        half = len(sign.name) * LETTER / 2
        row = next((number for number, end in enumerate(taken) if end < sign.x - half - 6), len(taken))
        taken[row : row + 1] = [sign.x + half]
        out.append(Sign(sign.name, sign.x, row))
    return out


def shown(sign: Sign, bottom: float) -> Safe:
    x, y = round(sign.x, 1), 11 + sign.row * NAME
    named = words(x, y, sign.name, class_="small halo", text_anchor="middle")
    if sign.name == "unwatched":
        return named
    return join(tag("line", x1=x, x2=x, y1=y + 3, y2=bottom, class_="reading"), named)


def lane_of(probe: Probed, lane: tuple[str, str], y: float) -> Iterator[Safe]:
    yield tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="through")
    for gap in probe.gaps:
        if (gap.surface, gap.verb) == lane:
            x, end = ends(gap, probe)
            yield box(x, y - 8, end - x, 16, "failed")


def ends(gap: Gap, probe: Probed) -> tuple[float, float]:
    until = gap.until if gap.until is not None else probe.ended
    return at(gap.since, probe.began, probe.ended), at(until, probe.began, probe.ended)


def plates(probe: Probed, lane: tuple[str, str], y: float) -> Iterator[Safe]:
    """The length of every gap: in it where there is room, else as of any bar."""
    for gap in probe.gaps:
        if (gap.surface, gap.verb) == lane:
            until = gap.until if gap.until is not None else probe.ended
            said = f"out {span(until - gap.since)}" + ("" if gap.until is not None else " and still")
            x, end = ends(gap, probe)
            wide = len(said) * LETTER + 12
            yield from plate((x + end) / 2, y, wide, said) if wide < end - x else length(x, end, y, said)


def sparkline(rows: Sequence[Row], name: str, values: Sequence[float | None]) -> Safe:
    """Oldest to newest; the last one is this operation, the dashed line the median of all."""
    known = [(number, value) for number, value in enumerate(values) if value is not None]
    if len(known) < 2:
        return Safe("")
    top, step = max(value for _, value in known) or 1.0, (WIDTH - LEFT - RIGHT) / max(len(values) - 1, 1)
    points = [(LEFT + step * number, 58 - 36 * value / top) for number, value in known]
    middle = median(value for _, value in known)
    y = 58 - 36 * middle / top
    dots = [
        join(
            tag("circle", cx=round(x, 1), cy=round(y_, 1), r=5 if number == len(rows) - 1 else 3.5, class_="point"),
            words(x, y_ - 9, span(value), class_="small halo", text_anchor="middle"),
        )
        for (x, y_), (number, value) in zip(points, known, strict=True)
    ]
    parts = [
        words(0, 40, name),
        words(0, 56, f"median {span(middle)}", class_="small soft"),
        tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=round(y, 1), y2=round(y, 1), class_="middle"),
        tag("polyline", points=" ".join(f"{x:.1f},{y_:.1f}" for x, y_ in points), class_="trend"),
        *dots,
        words(
            points[-1][0],
            points[-1][1] + 18,
            "this one" if known[-1][0] == len(rows) - 1 else "",
            class_="small soft",
            text_anchor="middle",
        ),
    ]
    return drawing(82, f"{name}, oldest to newest", *parts)
