"""Why: functions over a range vector look at one window of one series at a time.

Each takes ``(series, first, after, start, end)``: the samples ``[first, after)`` of ``series`` in
the window from ``start`` to ``end`` (ms), and answers a value, or None where there is none. The
rules, extrapolation at the edges above all, are those of Prometheus 2.42's ``promql/functions.go``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

from sandbox.prometheus.promql.values import total, variance
from sandbox.prometheus.storage import Series

RangeFunction = Callable[[Series, int, int, int, int], float | None]


def _extrapolated(
    series: Series, first: int, after: int, start: int, end: int, *, counter: bool
) -> float | None:
    count = after - first
    if count < 2:
        return None
    times, values = series.times, series.values
    last = after - 1
    first_value = values[first]
    growth = values[last] - first_value
    if counter:
        growth += series.lost_to_resets(first, last)
    first_time, last_time = times[first], times[last]
    sampled = (last_time - first_time) / 1000
    to_start = (first_time - start) / 1000
    to_end = (end - last_time) / 1000
    between = sampled / (count - 1)
    if counter and growth > 0 and first_value >= 0:
        to_start = min(to_start, sampled * (first_value / growth))
    threshold = between * 1.1
    covered = sampled + (to_start if to_start < threshold else between / 2)
    covered += to_end if to_end < threshold else between / 2
    return growth * (covered / sampled)


def increase(series: Series, first: int, after: int, start: int, end: int) -> float | None:
    """How much a counter grew."""
    return _extrapolated(series, first, after, start, end, counter=True)


def rate(series: Series, first: int, after: int, start: int, end: int) -> float | None:
    """How much a counter grew per second."""
    grown = _extrapolated(series, first, after, start, end, counter=True)
    return None if grown is None else grown / ((end - start) / 1000)


def delta(series: Series, first: int, after: int, start: int, end: int) -> float | None:
    """How much a gauge changed."""
    return _extrapolated(series, first, after, start, end, counter=False)


def idelta(series: Series, first: int, after: int, start: int, end: int) -> float | None:
    """The change between the last two samples."""
    if after - first < 2:
        return None
    return series.values[after - 1] - series.values[after - 2]


def irate(series: Series, first: int, after: int, start: int, end: int) -> float | None:
    """A counter's growth per second between the last two samples."""
    if after - first < 2:
        return None
    before, last = series.values[after - 2], series.values[after - 1]
    passed = (series.times[after - 1] - series.times[after - 2]) / 1000
    return (last if last < before else last - before) / passed


def changes(series: Series, first: int, after: int, start: int, end: int) -> float:
    """How often the value changed."""
    window = series.values[first:after]
    return float(
        sum(
            1
            for before, now in pairwise(window)
            if now != before and not (math.isnan(now) and math.isnan(before))
        )
    )


def resets(series: Series, first: int, after: int, start: int, end: int) -> float:
    """How often a counter started anew."""
    window = series.values[first:after]
    return float(sum(1 for before, now in pairwise(window) if now < before))


def _regression(series: Series, first: int, after: int, origin: int) -> tuple[float, float]:
    values = series.values[first:after]
    if all(value == values[0] for value in values):
        return (math.nan, math.nan) if math.isinf(values[0]) else (0.0, values[0])
    seconds = [(time - origin) / 1000 for time in series.times[first:after]]
    count = len(values)
    sum_x, sum_y = total(seconds), total(values)
    covariance = total([x * y for x, y in zip(seconds, values, strict=True)]) - sum_x * sum_y / count
    slope = covariance / (total([x * x for x in seconds]) - sum_x * sum_x / count)
    return slope, sum_y / count - slope * sum_x / count


def deriv(series: Series, first: int, after: int, start: int, end: int) -> float | None:
    """The slope per second, by least squares."""
    if after - first < 2:
        return None
    return _regression(series, first, after, series.times[first])[0]


def predict_linear(series: Series, first: int, after: int, now: int, ahead_s: float) -> float | None:
    """The value ``ahead_s`` seconds after ``now`` (ms), by least squares."""
    if after - first < 2:
        return None
    slope, intercept = _regression(series, first, after, now)
    return slope * ahead_s + intercept


def holt_winters(series: Series, first: int, after: int, smoothing: float, trend: float) -> float | None:
    """The double exponential smoothing of the window."""
    if after - first < 2:
        return None
    values = series.values[first:after]
    previous, level, slope = 0.0, values[0], values[1] - values[0]
    for index in range(1, len(values)):
        if index > 1:
            slope = trend * (level - previous) + (1 - trend) * slope
        previous = level
        level = smoothing * values[index] + (1 - smoothing) * (level + slope)
    return level


def _extreme(series: Series, first: int, after: int, better: Callable[[float, float], bool]) -> float:
    window = series.values[first:after]
    found = window[0]
    for value in window:
        if better(value, found) or math.isnan(found):
            found = value
    return found


def max_over_time(series: Series, first: int, after: int, start: int, end: int) -> float:
    """The greatest value; NaN only where there is no other."""
    return _extreme(series, first, after, lambda value, found: value > found)


def min_over_time(series: Series, first: int, after: int, start: int, end: int) -> float:
    """The smallest value; NaN only where there is no other."""
    return _extreme(series, first, after, lambda value, found: value < found)


def avg_over_time(series: Series, first: int, after: int, start: int, end: int) -> float:
    """The mean of the samples."""
    return total(series.values[first:after]) / (after - first)


def sum_over_time(series: Series, first: int, after: int, start: int, end: int) -> float:
    """The sum of the samples."""
    return total(series.values[first:after])


def count_over_time(series: Series, first: int, after: int, start: int, end: int) -> float:
    """How many samples there are."""
    return float(after - first)


def stdvar_over_time(series: Series, first: int, after: int, start: int, end: int) -> float:
    """The population variance of the samples."""
    return variance(series.values[first:after])


def stddev_over_time(series: Series, first: int, after: int, start: int, end: int) -> float:
    """The population standard deviation of the samples."""
    return math.sqrt(variance(series.values[first:after]))


def last_over_time(series: Series, first: int, after: int, start: int, end: int) -> float:
    """The most recent sample."""
    return series.values[after - 1]


def present_over_time(series: Series, first: int, after: int, start: int, end: int) -> float:
    """1 wherever there is a sample."""
    return 1.0


FUNCTIONS: dict[str, RangeFunction] = {
    function.__name__: function
    for function in (
        avg_over_time,
        changes,
        count_over_time,
        delta,
        deriv,
        idelta,
        increase,
        irate,
        last_over_time,
        max_over_time,
        min_over_time,
        present_over_time,
        rate,
        resets,
        stddev_over_time,
        stdvar_over_time,
        sum_over_time,
    )
}
