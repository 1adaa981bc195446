"""A report in a real browser: it opens without a word on the console, fits a laptop, prints, and needs no colour."""

import re
from pathlib import Path

import pytest

from deploy.lab.chromium import Chromium, make_chromium
from quorate.reports.markup import tag
from quorate.reports.style import STYLE
from quorate.reports.waterfall import patterns, shares
from tests.reports import REPORTS, file_of

pytestmark = pytest.mark.server
LAPTOP = (1280, 800)
WIDTH = re.compile(r'data-width="(\d+)"')


@pytest.fixture(scope="module")
def chromium() -> Chromium:
    """Fails, and says what is missing, where there is none to be had."""
    return make_chromium(print)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for name, report in REPORTS.items():
        (tmp_path / f"{name}.html").write_text(file_of(report(), "html"))
    return tmp_path


def console(said: str) -> list[str]:
    return [line for line in said.splitlines() if "CONSOLE" in line]


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_it_opens_without_a_word_on_the_console(chromium: Chromium, site: Path, name: str) -> None:
    done = chromium.run("--dump-dom", (site / f"{name}.html").as_uri(), profile=site / "profile")
    assert done.returncode == 0, done.stderr[-2000:]
    assert console(done.stderr) == []
    assert REPORTS[name]().verdict.judgement in done.stdout


def test_a_console_that_says_something_would_be_heard(chromium: Chromium, site: Path) -> None:
    (site / "loud.html").write_text("<!doctype html><script>console.error('heard')</script>")
    done = chromium.run("--dump-dom", (site / "loud.html").as_uri(), profile=site / "profile")
    assert any("heard" in line for line in console(done.stderr))


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_nothing_of_it_is_wider_than_a_laptop(chromium: Chromium, site: Path, name: str) -> None:
    assert scrolled(chromium, site, f"{name}.html") <= LAPTOP[0]


def test_what_is_wider_than_a_laptop_would_be_noticed(chromium: Chromium, site: Path) -> None:
    (site / "wide.html").write_text("<!doctype html><div style='width:3000px'>wide</div>")
    assert scrolled(chromium, site, "wide.html") >= 3000


def scrolled(chromium: Chromium, site: Path, name: str) -> int:
    """How wide it is in a frame of a laptop's size: its own policy lets it run nothing, so the frame measures."""
    measure = (
        "const d=f.contentDocument.documentElement;document.body.dataset.width=Math.max(d.scrollWidth,d.clientWidth)"
    )
    frame = (
        f"<iframe id=f src='{name}' width={LAPTOP[0]} height={LAPTOP[1]} frameborder=0 onload='{measure}'></iframe>"
    )
    (site / "frame.html").write_text(f"<!doctype html><body>{frame}")
    argv = ("--allow-file-access-from-files", "--window-size=2000,1200", "--dump-dom", (site / "frame.html").as_uri())
    done = chromium.run(*argv, profile=site / "profile")
    found = WIDTH.search(done.stdout)
    assert found, done.stdout[-500:] + done.stderr[-1000:]
    return int(found[1])


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_it_prints_on_a4_and_what_is_printed_can_be_read(chromium: Chromium, site: Path, name: str) -> None:
    paper = site / "paper.pdf"
    argv = (f"--print-to-pdf={paper}", "--no-pdf-header-footer", (site / f"{name}.html").as_uri())
    done = chromium.run(*argv, profile=site / "profile")
    assert done.returncode == 0, done.stderr[-2000:]
    told = chromium.program("pdfinfo", str(paper))
    assert re.search(r"^Page size: .*A4", told, re.MULTILINE), told
    assert 2 <= int(re.search(r"^Pages: +(\d+)", told, re.MULTILINE)[1]) <= 12  # type: ignore[index]
    words = " ".join(chromium.program("pdftotext", "-layout", str(paper), "-").split())
    report = REPORTS[name]()
    for said in (report.verdict.judgement.value, "Recovery time (RTO)", "Sign-off", report.trail.chains[0].head[:16]):
        assert said in words
    for check in report.checks:
        assert {True: "✓ PASSED", False: "✕ FAILED", None: "? NOT KNOWN"}[check.passed] in words


def test_in_grey_people_are_hatched_and_machines_are_solid(chromium: Chromium, site: Path) -> None:
    """What a printer without colours makes of it."""
    drawn = tag("body", patterns(), shares(1.0, 1.0))
    (site / "grey.html").write_text(f"<!doctype html><style>{STYLE}</style>{drawn}")
    chromium.run(f"--print-to-pdf={site / 'grey.pdf'}", (site / "grey.html").as_uri(), profile=site / "profile")
    chromium.program("pdftoppm", "-gray", "-r", "144", "-singlefile", str(site / "grey.pdf"), str(site / "grey"))
    people, machines = halves((site / "grey.pgm").read_bytes())
    assert max(machines) - min(machines) < 20  # solid
    assert max(people) - min(people) > 80  # lines on a ground
    assert sum(people) / len(people) > sum(machines) / len(machines) + 60


def halves(pgm: bytes) -> tuple[bytes, bytes]:
    """The middle line of the bar: the first thing on the page that is neither white nor thin."""
    _, width, height, _, *_ = pgm.split(maxsplit=4)
    across, pixels = int(width), pgm[-int(width) * int(height) :]
    lines = [pixels[at : at + across] for at in range(0, len(pixels), across)]
    dark = [number for number, line in enumerate(lines) if sum(pixel < 128 for pixel in line) > across * 0.4]
    line = lines[(dark[0] + next(n for n, m in zip(dark, [*dark[1:], -1], strict=True) if m != n + 1)) // 2]
    inside = [number for number, pixel in enumerate(line) if pixel < 250]
    middle = (inside[0] + inside[-1]) // 2
    return line[inside[0] + 20 : middle - 20], line[middle + 20 : inside[-1] - 20]
