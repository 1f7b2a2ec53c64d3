"""Why: whether a platform gets better is told by the same few numbers, counted the same way each month.

Works the metrics of reviews out of the rows of the history, for a period and for each week or month, and
says whether they move and how sure that is. What each number means stands beside it, in words, and in
docs/reference/metrics-of-reviews.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Final, Literal

from pydantic import Field

from gameday.analysis.coverage import Growth
from gameday.analysis.model import Share
from gameday.analysis.periods import Every, Period, split
from gameday.journal.history import RunRow
from gameday.journal.store import Verdict
from gameday.spec.base import Model

METHOD: Final = (
    "Trend: Mann-Kendall test (Kendall's tau against time, exact where there are few values); slope: "
    "Theil-Sen, with its interval of 95 %"
)
CONFIDENCE: Final = 0.95

MetricName = Literal["mttr", "mtbf", "availability", "success-rate", "interventions", "coverage"]
Direction = Literal["better", "worse", "none", "unknown"]

# Of four values in strict order chance makes one pair of orders in twelve (p = 0.083): never rare enough.
_LEAST: Final = 5
_HOUR_S: Final = 3600.0
# A hypothesis was put to the test and got an answer.
_JUDGED: Final = frozenset({Verdict.HELD, Verdict.DISPROVED, Verdict.ABORTED})
_FAILED: Final = frozenset({Verdict.DISPROVED, Verdict.ABORTED})


class Value(Model):
    """One number: None where there is nothing to make it of. ``low`` to ``high`` is its interval."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    count: Annotated[int, Field(ge=0, description="how many runs, recoveries or faults it is made of")] = 0
    note: str = ""


class Metric(Model):
    """What one number of a review means."""

    name: MetricName
    title: str
    unit: str
    better: Literal["higher", "lower"]
    definition: str


class Point(Model):
    """The number of one week or month."""

    period: Period
    value: Value


class Trend(Model):
    """How one number moves from one week or month to the next; ``slope`` is by week or month."""

    metric: MetricName
    by: Every
    points: tuple[Point, ...]
    direction: Direction
    slope: float | None = None
    low: float | None = None
    high: float | None = None
    p: Annotated[Share | None, Field(description="how often chance alone would look like this")] = None
    words: str


METRICS: Final[Mapping[MetricName, Metric]] = {
    one.name: one
    for one in (
        Metric(
            name="mttr",
            title="Mean time to recovery",
            unit="s",
            better="lower",
            definition=(
                "How long a service that was not well took to be well again and stay so, counted from the "
                "kill of its pods or else from the end of the fault: the mean over all services and stages "
                "that came back. Those that stayed well or were not seen do not count; those that were not "
                "back in time are told beside it, for they have no length."
            ),
        ),
        Metric(
            name="mtbf",
            title="Mean time between failures",
            unit="h",
            better="higher",
            definition=(
                "The hours of all judged runs together, each from its begin to its end, for each run that "
                "disproved its hypothesis or was aborted by a guardrail. So it does not fall only because "
                "more is tried. Without any failure it is longer than all those hours, and has no value."
            ),
        ),
        Metric(
            name="availability",
            title="Availability",
            unit="%",
            better="higher",
            definition=(
                "The mean of the signal availability over all services and samples of all runs, faults "
                "included: of 100 targets, how many answered. A run counts by its number of samples."
            ),
        ),
        Metric(
            name="success-rate",
            title="Success rate",
            unit="%",
            better="higher",
            definition=(
                "Of 100 runs that were carried out to a judgement (held, disproved, aborted), those whose "
                "hypothesis held; with Wilson's interval of 95 %. Runs that were refused, stopped by a "
                "person or ended in an error say nothing of the platform and do not count."
            ),
        ),
        Metric(
            name="interventions",
            title="Manual interventions",
            unit="a run",
            better="lower",
            definition=(
                "How often people stepped in, for each run that began: notes marked as an intervention, "
                "and runs that a person stopped. Refused runs never began."
            ),
        ),
        Metric(
            name="coverage",
            title="Coverage",
            unit="%",
            better="higher",
            definition=(
                "Of 100 faults that services can meet, those that were met by the end of the period, since "
                "the first run: each sort of fault at each service counts once, as in the table of "
                "coverage, and as services and experiments are declared today. It stays where nothing new "
                "is tried."
            ),
        ),
    )
}


def worked_out(rows: Iterable[RunRow], period: Period, growth: Growth) -> dict[MetricName, Value]:
    """Every metric over ``rows``, those of ``period``; runs that go on are left out.

    ``growth`` is of all runs, those before it too.
    """
    ended = [row for row in rows if row.verdict is not None]
    found = {name: work(ended) for name, work in _WORK.items()}
    found["coverage"] = _coverage(period, growth)
    return found


def trends(rows: Sequence[RunRow], whole: Period, by: Every, growth: Growth) -> tuple[Trend, ...]:
    """How each metric moved over the weeks or months of ``whole``; ``growth`` is of all runs."""
    periods = split(whole.begin, whole.end, by)
    parts: dict[str, list[RunRow]] = {period.label: [] for period in periods}
    found = iter(sorted((row for row in rows if whole.has(row.started_at)), key=lambda row: row.started_at))
    row = next(found, None)
    for period in periods:
        while row is not None and row.started_at < period.end:
            parts[period.label].append(row)
            row = next(found, None)
    values = [(period, worked_out(parts[period.label], period, growth)) for period in periods]
    return tuple(
        _trend(METRICS[name], by, [Point(period=period, value=own[name]) for period, own in values])
        for name in METRICS
    )


def _trend(metric: Metric, by: Every, points: Sequence[Point]) -> Trend:
    known = [(place, one.value.value) for place, one in enumerate(points) if one.value.value is not None]
    base = {"metric": metric.name, "by": by, "points": points}
    if len(known) < _LEAST:
        have = f"{len(known)} {by}{'s' * (len(known) != 1)} with a value"
        words = f"too few runs to tell: {have}, at least {_LEAST} are needed"
        return Trend.model_validate(base | {"direction": "unknown", "words": words})
    places, values = [float(place) for place, _ in known], [value for _, value in known]
    p, slope, low, high = _moves(places, values)
    certain = p <= 1 - CONFIDENCE and slope != 0
    direction: Direction = "none"
    if certain:
        direction = "better" if (slope > 0) == (metric.better == "higher") else "worse"
    moved = f"by {slope:+.3g} {metric.unit} a {by} ({low:+.3g} to {high:+.3g}; p = {p:.3f})"
    words = f"gets {direction}, {moved}" if certain else f"no trend can be told, {moved}"
    if min(values) == max(values):
        words = "stays the same"
    return Trend.model_validate(
        base | {"direction": direction, "slope": slope, "low": low, "high": high, "p": p, "words": words}
    )


def _moves(places: Sequence[float], values: Sequence[float]) -> tuple[float, float, float, float]:
    """How likely chance alone is, and the slope with its interval."""
    from scipy import stats  # noqa: PLC0415 - half a second, only where there is something to tell

    if min(values) == max(values):
        return 1.0, 0.0, 0.0, 0.0
    p = float(stats.kendalltau(places, values).pvalue)
    slope = stats.theilslopes(values, places, alpha=CONFIDENCE)
    return (1.0 if math.isnan(p) else p), float(slope.slope), float(slope.low_slope), float(slope.high_slope)


def _mttr(rows: Sequence[RunRow]) -> Value:
    recoveries = [one for row in rows for one in row.recoveries]
    took = [max(one.took_s, 0.0) for one in recoveries if one.outcome == "back" and one.took_s is not None]
    never = sum(one.outcome == "not-back" for one in recoveries)
    note = f"{never} not back in time" if never else ""
    return Value(value=_mean(took), count=len(took), note=note)


def _mtbf(rows: Sequence[RunRow]) -> Value:
    ran = [row for row in rows if row.verdict in _JUDGED and row.ended_at is not None]
    hours = sum((row.ended_at - row.started_at).total_seconds() for row in ran if row.ended_at) / _HOUR_S
    failures = sum(row.verdict in _FAILED for row in ran)
    if not failures:
        return Value(count=len(ran), note=f"no failure in {hours:.1f} h of runs" if ran else "")
    return Value(value=hours / failures, count=len(ran), note=f"{failures} in {hours:.1f} h of runs")


def _availability(rows: Sequence[RunRow]) -> Value:
    seen = [(row.availability, row.samples) for row in rows if row.availability is not None and row.samples]
    weight = sum(samples for _, samples in seen)
    mean = sum(value * samples for value, samples in seen) / weight if weight else None
    return Value(value=None if mean is None else 100 * mean, count=len(seen))


def _success_rate(rows: Sequence[RunRow]) -> Value:
    judged = [row for row in rows if row.verdict in _JUDGED]
    if not judged:
        return Value()
    held = sum(row.verdict is Verdict.HELD for row in judged)
    low, high = _wilson(held, len(judged))
    return Value(
        value=100 * held / len(judged),
        low=100 * low,
        high=100 * high,
        count=len(judged),
        note=f"{held} of {len(judged)}",
    )


def _wilson(held: int, of: int) -> tuple[float, float]:
    from scipy import stats  # noqa: PLC0415 - as above

    interval = stats.binomtest(held, of).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def _interventions(rows: Sequence[RunRow]) -> Value:
    began = [row for row in rows if row.verdict is not Verdict.REFUSED]
    count = sum(row.interventions + (row.verdict is Verdict.STOPPED) for row in began)
    value = count / len(began) if began else None
    return Value(value=value, count=len(began), note=f"{count} in {len(began)} runs" if began else "")


def _coverage(period: Period, growth: Growth) -> Value:
    found = growth.by(period)
    if found is None:
        return Value()
    met, of = found
    return Value(value=100 * met / of if of else None, count=met, note=f"{met} of {of}")


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


# What follows from the runs of a period alone.
_WORK: Final[Mapping[MetricName, Callable[[Sequence[RunRow]], Value]]] = {
    "mttr": _mttr,
    "mtbf": _mtbf,
    "availability": _availability,
    "success-rate": _success_rate,
    "interventions": _interventions,
}
