"""Why: an answer of Prometheus is a value with its time, or the reason why there is none.

What answers are, and how they are read from what the server sent: one to each of several questions that
were asked as one, too. Asking is for ``prometheus``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self

# Tells the answers to several questions apart that were asked as one.
_NUMBER: Final = "gameday_question"
NO_SERIES: Final = "Prometheus has no such series"


class Why(StrEnum):
    """Why a value is unknown."""

    EMPTY = "empty"
    STALE = "stale"
    NAN = "nan"
    ERROR = "error"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class Unknown:
    """No value, and why. Never good news."""

    reason: Why
    detail: str

    def __str__(self) -> str:
        return f"unknown ({self.reason}): {self.detail}"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One value of one series."""

    labels: Mapping[str, str]
    value: float
    at: datetime


@dataclass(frozen=True, slots=True)
class Gap:
    """A series that is there, but has no usable value."""

    labels: Mapping[str, str]
    unknown: Unknown


@dataclass(frozen=True, slots=True)
class Reading:
    """The answer to an instant query: a value or the reason why not, series by series.

    ``failure`` is set where the question as a whole has no answer; there are no series then.
    """

    query: str
    measurements: tuple[Measurement, ...] = ()
    gaps: tuple[Gap, ...] = ()
    failure: Unknown | None = None

    def by(self, label: str, expected: Iterable[str] = ()) -> dict[str, Measurement | Unknown]:
        """By value of ``label``: its measurement, or why there is none.

        Each of ``expected`` has an entry, whatever came. Series without the label stand under "".
        Several series of one value cannot be one answer: that is an error of the query, not a choice.
        """
        missing = self.failure or Unknown(Why.EMPTY, NO_SERIES)
        found: dict[str, Measurement | Unknown] = dict.fromkeys(expected, missing)
        found |= {gap.labels.get(label, ""): gap.unknown for gap in self.gaps}
        found |= {one.labels.get(label, ""): one for one in self.measurements}
        named = [*(one.labels for one in self.measurements), *(gap.labels for gap in self.gaps)]
        counts = Counter(labels.get(label, "") for labels in named)
        for value in (value for value, count in counts.items() if count > 1):
            detail = f"{counts[value]} series for {label}={value!r}; aggregate the query by ({label})"
            found[value] = Unknown(Why.ERROR, detail)
        return found

    def single(self) -> Measurement | Unknown:
        """The only value of a query that yields one; where there are more, that is an error."""
        if self.failure is not None:
            return self.failure
        series: list[Measurement | Unknown] = [*self.measurements, *(gap.unknown for gap in self.gaps)]
        if len(series) != 1:
            return Unknown(Why.ERROR, f"expected one series, found {len(series)}")
        return series[0]

    def outdated(self, age: timedelta | Unknown, limit: timedelta) -> Self | Reading:
        """The same, or nothing but the reason where the data behind it is older than ``limit``."""
        if self.failure is not None:
            return self
        if isinstance(age, Unknown):
            return Reading(self.query, failure=age)
        if age <= limit:
            return self
        seconds, most = age.total_seconds(), limit.total_seconds()
        detail = f"the newest scrape is {seconds:.0f} s old, {most:.0f} s is the limit"
        return Reading(self.query, failure=Unknown(Why.STALE, detail))


@dataclass(frozen=True, slots=True)
class Series:
    """One series over time. Points without a usable value are left out and counted in ``gaps``.

    Infinite ones, such as a P95 beyond the last bucket, are counted there and kept apart.
    """

    labels: Mapping[str, str]
    points: tuple[tuple[datetime, float], ...]
    gaps: int = 0
    infinite: tuple[tuple[datetime, float], ...] = ()

    @property
    def measured(self) -> list[tuple[datetime, float]]:
        """All points, the infinite ones among them, in order of time."""
        return sorted((*self.points, *self.infinite))


@dataclass(frozen=True, slots=True)
class RangeReading:
    """The answer to a range query; ``failure`` is set where there is none."""

    query: str
    series: tuple[Series, ...] = ()
    failure: Unknown | None = None


def joined(queries: Iterable[str]) -> str:
    """One question whose series say to which of ``queries`` they are the answer."""
    # A line of its own for each bracket: a query may end with a comment.
    return " or ".join(
        f'label_replace((\n{query}\n), "{_NUMBER}", "{number}", "", "")'
        for number, query in enumerate(queries)
    )


def parted(queries: Iterable[str], answer: Reading) -> dict[str, Reading]:
    """The answer to each of ``queries``, out of the one to all of them."""
    return {query: _part(query, str(number), answer) for number, query in enumerate(queries)}


def _part(query: str, number: str, answer: Reading) -> Reading:
    measurements = tuple(
        replace(one, labels=_own(one.labels))
        for one in answer.measurements
        if one.labels.get(_NUMBER) == number
    )
    gaps = tuple(
        replace(one, labels=_own(one.labels)) for one in answer.gaps if one.labels.get(_NUMBER) == number
    )
    failure = answer.failure
    if failure is None and not measurements and not gaps:
        failure = Unknown(Why.EMPTY, NO_SERIES)
    return Reading(query, measurements, gaps, failure)


def _own(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name != _NUMBER}


def reading(query: str, answer: list[Any]) -> Reading:
    """The answer to an instant query out of what was sent. Raises whatever reading nonsense raises."""
    if _is_scalar(answer):
        answer = [{"metric": {}, "value": answer}]
    measurements, gaps = [], []
    for item in answer:
        labels = dict(item.get("metric") or {})
        moment, text = item.get("value") or (0.0, "NaN")  # a native histogram has no value
        value = float(text)
        if math.isnan(value):
            gaps.append(
                Gap(labels, Unknown(Why.NAN, f"the value is {text}: there was nothing to compute it from"))
            )
        else:  # infinite ones too: beyond the last bucket is past every limit, not unknown
            measurements.append(Measurement(labels, value, datetime.fromtimestamp(moment, UTC)))
    if not measurements and not gaps:
        return Reading(query, failure=Unknown(Why.EMPTY, NO_SERIES))
    return Reading(query, tuple(measurements), tuple(gaps))


def series(item: Mapping[str, Any]) -> Series:
    """One series out of what was sent. Raises whatever reading nonsense raises."""
    raw = [(datetime.fromtimestamp(moment, UTC), float(text)) for moment, text in item.get("values") or ()]
    points = tuple(point for point in raw if math.isfinite(point[1]))
    infinite = tuple(point for point in raw if math.isinf(point[1]))
    return Series(dict(item.get("metric") or {}), points, len(raw) - len(points), infinite)


def _is_scalar(answer: list[Any]) -> bool:
    return len(answer) == 2 and isinstance(answer[1], str)
