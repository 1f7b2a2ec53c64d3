"""Why: signals are compared moment by moment, so all of a run lie on one grid of time.

Puts what Prometheus answered on that grid, and gives the values of a window as an array. A moment
without a value stays one: nothing is filled in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from gameday.analysis.model import SignalSeries, Window

Values = NDArray[np.float64]


def on_grid(
    signal: str,
    service: str,
    points: Iterable[tuple[datetime, float]],
    *,
    unit: str = "",
    query: str = "",
    begin: datetime,
    end: datetime,
    step: timedelta,
) -> SignalSeries:
    """The points on a grid from ``begin`` to ``end``, each at the moment that it is nearest to.

    Infinite ones are values: nothing is worse than what went past every bucket, or never came.
    """
    count = max(int((end - begin) / step) + 1, 0)
    values: list[float | None] = [None] * count
    for at, value in points:
        place = round((at - begin) / step)
        if 0 <= place < count and not math.isnan(value):
            values[place] = value
    return SignalSeries.model_validate(
        {
            "signal": signal,
            "service": service,
            "unit": unit,
            "query": query,
            "begin": begin,
            "step": step,
            "values": values,
        }
    )


class Table:
    """The series of a run as arrays, to be cut into windows many times over."""

    def __init__(self, series: Sequence[SignalSeries]) -> None:
        """Take the values of ``series`` over; gaps become NaN."""
        self._series = {(one.signal, one.service): one for one in series}
        self._arrays = {
            key: np.array([np.nan if value is None else value for value in one.values], dtype=np.float64)
            for key, one in self._series.items()
        }

    def services(self, signal: str) -> list[str]:
        """The services of which there is this signal, in order."""
        return sorted(service for name, service in self._series if name == signal)

    def window(self, signal: str, service: str, window: Window | None) -> Values:
        """The values in ``window``, gaps left out; empty where there is no such series or window."""
        series = self._series.get((signal, service))
        if series is None or window is None:
            return np.empty(0)
        array = self._arrays[signal, service][self._slice(series, window)]
        return array[~np.isnan(array)]

    def finite(self, signal: str, service: str, window: Window | None) -> Values:
        """The same without what is infinite, to be added up."""
        values = self.window(signal, service, window)
        return values[np.isfinite(values)]

    def raw(self, signal: str, service: str, window: Window) -> tuple[datetime, timedelta, Values]:
        """The values in ``window`` with their gaps, the moment of the first, and the step."""
        series = self._series[signal, service]
        part = self._slice(series, window)
        return series.begin + part.start * series.step, series.step, self._arrays[signal, service][part]

    @staticmethod
    def _slice(series: SignalSeries, window: Window) -> slice:
        first = max(math.ceil((window.begin - series.begin) / series.step), 0)
        return slice(first, max(math.ceil((window.end - series.begin) / series.step), first))
