"""When a backup is due, in the five fields of cron as Temporal reads them."""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
PART = re.compile(r"(\*|[a-z0-9]+)(?:-([a-z0-9]+))?(?:/([0-9]+))?")
WINDOW = (date(2024, 1, 1), date(2034, 1, 1))  # with three leap days, so that every date comes in it
DAY_S = 86400


@dataclass(frozen=True, slots=True)
class Field:
    """One of the five: what may stand in it."""

    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()
    first: int = 0  # the number of the first name

    def values(self, text: str) -> frozenset[int]:
        return frozenset(value for part in text.split(",") for value in self.part(part))

    def part(self, text: str) -> range:
        found = PART.fullmatch(text.lower())
        if found is None or (found[1] == "*" and found[2]) or found[3] == "0":
            raise self.wrong(text)
        if found[1] == "*":
            first, last = self.least, self.most
        else:
            first = self.value(found[1], text)
            last = self.value(found[2], text) if found[2] else self.most if found[3] else first
        if first > last:
            raise self.wrong(text)
        return range(first, last + 1, int(found[3] or 1))

    def value(self, word: str, text: str) -> int:
        if word in self.names:
            return self.names.index(word) + self.first
        if not word.isdecimal() or not self.least <= int(word) <= self.most:
            raise self.wrong(text)
        return int(word)

    def wrong(self, text: str) -> ValueError:
        named = f" or {self.names[0]}-{self.names[-1]}" if self.names else ""
        return ValueError(f"{self.name} is {text!r}: expected {self.least}-{self.most}{named}, *, a list, a-b or */n")


FIELDS = (
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day of month", 1, 31),
    Field("month", 1, 12, MONTHS, 1),
    Field("day of week", 0, 7, DAYS),  # 7 is Sunday as well
)


@dataclass(frozen=True, slots=True)
class Cron:
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    def on(self, day: date) -> bool:
        return day.month in self.months and day.day in self.days and day.isoweekday() % len(DAYS) in self.weekdays

    @property
    def times(self) -> tuple[int, ...]:
        """Of a day, as seconds after midnight."""
        return tuple(sorted(3600 * hour + 60 * minute for hour in self.hours for minute in self.minutes))

    @property
    def longest_s(self) -> float:
        """From one time to the next, at most; a clock that is put forward or back is not looked at."""
        times, dates = self.times, self.dates()
        inside = [later - earlier for earlier, later in pairwise(times)]
        apart = [(later - earlier).days for earlier, later in pairwise(dates)]
        return float(max(*inside, max(apart) * DAY_S + times[0] - times[-1], 0))

    def dates(self) -> tuple[date, ...]:
        first, last = WINDOW
        every = (first + timedelta(days=number) for number in range((last - first).days))
        return tuple(day for day in every if self.on(day))


def parsed(text: str) -> Cron:
    """ValueError names the field and what may stand there.

    Where both a day of the month and a day of the week are asked for, cron takes either and Temporal only what is
    both: that is refused, for one of the two would be surprised.
    """
    words = text.split()
    if len(words) != len(FIELDS):
        raise ValueError("expected five fields: minute, hour, day of month, month, day of week, such as 0 */6 * * *")
    minutes, hours, days, months, weekdays = (field.values(word) for field, word in zip(FIELDS, words, strict=True))
    made = Cron(minutes, hours, days, months, frozenset(day % len(DAYS) for day in weekdays))
    if words[2] != "*" and words[4] != "*":
        raise ValueError("expected * as day of month or as day of week: programs differ in what both together mean")
    if not made.dates():
        raise ValueError("no day of any year is that day of the month")
    return made


def checked(text: str) -> str:
    """As it is written, if it is one."""
    parsed(text)
    return text
