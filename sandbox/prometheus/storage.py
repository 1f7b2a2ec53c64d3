"""Why: samples must be cheap to append and windows of them cheap to find, for hours of virtual time.

Each series is two parallel arrays that only grow; ``bisect`` finds a window. Staleness is kept
beside the samples (Prometheus marks it with a special NaN among them), and counter resets are
summed up as they are first asked for, so that ``rate`` costs the same over any window. It leaves
meaning to ``promql`` and sources to ``scraper``. Times are milliseconds since the Unix epoch.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence

from sandbox.prometheus.labels import NAME, Labels
from sandbox.prometheus.matching import Matcher


class Series:
    """The samples of one label set, in the order of their times."""

    __slots__ = ("_reset_at", "_reset_sum", "_scanned", "labels", "stale_at", "times", "values")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.times: array[int] = array("q")
        self.values: array[float] = array("d")
        self.stale_at: list[int] = []
        self._reset_at: list[int] = []
        self._reset_sum: list[float] = []
        self._scanned = 1

    @classmethod
    def of(cls, labels: Labels, times: Iterable[int], values: Iterable[float]) -> Series:
        """A series that holds these samples, in the order of their times."""
        series = cls(labels)
        series.times.extend(times)
        series.values.extend(values)
        return series

    def append(self, time: int, value: float) -> None:
        """Add a sample at ``time``, which is later than every other."""
        self.times.append(time)
        self.values.append(value)

    def mark_stale(self, time: int) -> None:
        """Say that the series ended at ``time``: from then on instant selectors do not see it."""
        if not self.stale_at or self.stale_at[-1] < time:
            self.stale_at.append(time)

    def at(self, time: int, lookback: int) -> int:
        """The index of the sample that an instant selector sees at ``time``; -1 for none."""
        times = self.times
        index = bisect_right(times, time) - 1
        if index < 0 or times[index] < time - lookback:
            return -1
        if self.stale_at:
            marker = bisect_right(self.stale_at, time) - 1
            if marker >= 0 and self.stale_at[marker] >= times[index]:
                return -1
        return index

    def window(self, start: int, end: int) -> tuple[int, int]:
        """The indexes ``[first, after)`` of the samples with start <= time <= end."""
        first = bisect_left(self.times, start)
        return first, bisect_right(self.times, end, first)

    def lost_to_resets(self, first: int, last: int) -> float:
        """What a counter had counted before each reset between the samples ``first`` and ``last``."""
        if self._scanned < len(self.values):
            self._scan()
        if not self._reset_at:
            return 0.0
        low = bisect_right(self._reset_at, first)
        high = bisect_right(self._reset_at, last)
        if low == high:
            return 0.0
        return self._reset_sum[high - 1] - (self._reset_sum[low - 1] if low else 0.0)

    def forget_before(self, time: int) -> None:
        """Drop the samples older than ``time``; their counter resets go with them."""
        cut = bisect_left(self.times, time)
        if not cut:
            return
        del self.times[:cut]
        del self.values[:cut]
        del self.stale_at[: bisect_left(self.stale_at, time)]
        # Indexes have moved: what is left is scanned again when it is next asked for.
        self._reset_at.clear()
        self._reset_sum.clear()
        self._scanned = 1

    def _scan(self) -> None:
        values = self.values
        total = self._reset_sum[-1] if self._reset_sum else 0.0
        for index in range(self._scanned, len(values)):
            if values[index] < values[index - 1]:
                total += values[index - 1]
                self._reset_at.append(index)
                self._reset_sum.append(total)
        self._scanned = len(values)


class Storage:
    """Every series there is, found by its labels or by matchers."""

    def __init__(self) -> None:
        self._series: dict[Labels, Series] = {}
        self._by_name: dict[str, list[Series]] = {}
        self._generation = 0

    @property
    def generation(self) -> int:
        """Changes whenever a series comes or goes: what was selected before may be out of date."""
        return self._generation

    def forget_before(self, time: int) -> None:
        """Drop what is older than ``time``, and every series that has ended and of which nothing is left."""
        for series in list(self._series.values()):
            ended = bool(series.stale_at)
            series.forget_before(time)
            if ended and not series.times:
                del self._series[series.labels]
                self._by_name[series.labels.get(NAME)].remove(series)
                self._generation += 1

    def series(self, labels: Labels) -> Series:
        """The series with exactly these labels; born where there is none."""
        found = self._series.get(labels)
        if found is None:
            found = self._series[labels] = Series(labels)
            self._generation += 1
            self._by_name.setdefault(labels.get(NAME), []).append(found)
        return found

    def append(self, labels: Mapping[str, str], time: int, value: float) -> None:
        """Add one sample, at a time later than every other of its series."""
        self.series(Labels.of(labels)).append(time, value)

    def select(self, matchers: Sequence[Matcher]) -> list[Series]:
        """The series that satisfy all ``matchers``, in the order of their birth."""
        name = next((m.value for m in matchers if m.name == NAME and m.op == "="), None)
        among: Iterable[Series] = self._series.values() if name is None else self._by_name.get(name, ())
        rest = [m for m in matchers if not (m.name == NAME and m.op == "=" and m.value == name)]
        return [series for series in among if all(m.matches(series.labels) for m in rest)]

    def all(self) -> Iterable[Series]:
        """Every series, in the order of their birth."""
        return self._series.values()
