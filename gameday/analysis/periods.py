"""Why: months, weeks and quarters begin at the same moment for everybody who counts in them.

In UTC, so that the same journal gives the same review everywhere. A week begins on Monday (ISO 8601).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from gameday.errors import UsageError
from gameday.spec.base import Model

Every = Literal["week", "month"]

_QUARTER: Final = re.compile(r"(\d{4})-?[Qq]([1-4])")
_FIRST_YEAR: Final = 2000


class Period(Model):
    """A part of time: ``begin`` is its first moment, ``end`` the first after it."""

    label: str
    begin: datetime
    end: datetime

    def has(self, at: datetime) -> bool:
        """Whether ``at`` is in it."""
        return self.begin <= at < self.end

    @property
    def last_day(self) -> datetime:
        """Its last day."""
        return self.end - timedelta(days=1)


def quarter(text: str) -> Period:
    """The quarter that ``text`` names, such as 2026Q4. Raises ``UsageError``."""
    found = _QUARTER.fullmatch(text.strip())
    if found is None or int(found[1]) < _FIRST_YEAR:
        raise UsageError(
            f"{text!r} is no quarter", hint="Write the year and one of Q1 to Q4, such as 2026Q4."
        )
    return _quarter(int(found[1]), int(found[2]))


def quarter_of(at: datetime) -> Period:
    """The quarter in which ``at`` is."""
    moment = at.astimezone(UTC)
    return _quarter(moment.year, (moment.month + 2) // 3)


def before(wanted: Period) -> Period:
    """The quarter before the quarter ``wanted``."""
    return quarter_of(wanted.begin - timedelta(days=1))


def _quarter(year: int, number: int) -> Period:
    begin = datetime(year, 3 * number - 2, 1, tzinfo=UTC)
    return _period(f"{year}Q{number}", begin, months_later(begin, 3))


def months_later(begin: datetime, count: int) -> datetime:
    """The first of the month, ``count`` months after the first of the month ``begin``."""
    months = begin.year * 12 + begin.month - 1 + count
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)


def split(begin: datetime, end: datetime, every: Every) -> tuple[Period, ...]:
    """The weeks or months from the one in which ``begin`` is to the one in which ``end`` is reached."""
    return tuple(_months(begin, end) if every == "month" else _weeks(begin, end))


def _months(begin: datetime, end: datetime) -> Iterator[Period]:
    first = datetime(begin.year, begin.month, 1, tzinfo=UTC)
    while first < end:
        after = months_later(first, 1)
        yield _period(f"{first:%Y-%m}", first, after)
        first = after


def _weeks(begin: datetime, end: datetime) -> Iterator[Period]:
    day = datetime(begin.year, begin.month, begin.day, tzinfo=UTC)
    first = day - timedelta(days=day.weekday())
    while first < end:
        after = first + timedelta(weeks=1)
        yield _period(f"{first:%G-W%V}", first, after)
        first = after


def _period(label: str, begin: datetime, end: datetime) -> Period:
    return Period.model_validate({"label": label, "begin": begin, "end": end})
