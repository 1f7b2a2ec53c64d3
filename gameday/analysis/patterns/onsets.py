"""Why: a pattern is a matter of what left its usual band when, so all patterns read that the same way.

Puts the signals of a run on one grid, by what they measure, and finds where one rose above a level for
long enough. Short gaps and single values change nothing. What that means is for the patterns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gameday.analysis.effects import usual
from gameday.analysis.model import SignalSeries, Window
from gameday.analysis.series import Values
from gameday.spec.base import format_duration
from gameday.spec.platform import Measure, Platform

# A value this short below the level, or missing, does not end what lasts; one alone does not begin it.
_GAP: Final = timedelta(seconds=12)
_LEAST_VALUES: Final = 2
# A stage's faults still show for so long in signals that are rates over a minute.
LINGER: Final = timedelta(seconds=60)

# A counter that is born with its first event was 0 before, wherever the service was seen at all.
_EVENTS: Final[tuple[Measure, ...]] = (
    "errors",
    "call-failures",
    "retries",
    "pool-waits",
    "pool-timeouts",
    "ooms",
)

_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WHOLE: Final = frozenset({"before", "during", "after"})


@dataclass(frozen=True, slots=True)
class Rise:
    """A signal above its level: the places of its first value and after its last, and how high it was."""

    first: int
    after: int
    peak: float
    usually: float


@dataclass(frozen=True, slots=True)
class Stage:
    """The time in which something that begins belongs to one stage, and the services that it hit."""

    name: str
    begin: datetime
    end: datetime
    hit: frozenset[str]
    first: int
    after: int


class Signals:
    """What was measured of each service over a run, on one grid, gaps as NaN."""

    def __init__(
        self,
        series: Sequence[SignalSeries],
        windows: Sequence[Window],
        platform: Platform,
        hit: Mapping[str, Sequence[str]],
    ) -> None:
        """Take over those of ``series`` that say what they measure."""
        measures = {one.name: one.measures for one in platform.prometheus.signals if one.measures}
        own = [one for one in series if one.signal in measures and one.service and one.values]
        self.platform = platform
        self.step = min((one.step for one in own), default=timedelta(seconds=1))
        self._begin = min((one.begin for one in own), default=_NEVER)
        self._count = max(
            (self._place(one.begin + (len(one.values) - 1) * one.step) + 1 for one in own), default=0
        )
        self._values: dict[tuple[Measure, str], Values] = {}
        for one in own:
            values = self._values.setdefault(
                (measures[one.signal], one.service), np.full(self._count, np.nan)
            )
            for at, value in one.points():
                # Patterns count requests and shares: an infinite one is a division by nothing.
                if math.isfinite(value):
                    values[self._place(at)] = value
        before = next((window for window in windows if window.name == "before"), None)
        self._before = self._slice(before) if before is not None and own else slice(0, 0)
        self._begin_at_nothing()
        self.stages = tuple(self._stages(windows, hit)) if own else ()

    def _begin_at_nothing(self) -> None:
        seen = {service for (_, service), values in self._values.items() if len(self.before(values))}
        for (measure, service), values in self._values.items():
            if measure in _EVENTS and service in seen and not len(self.before(values)):
                values[self._before] = 0.0

    def _place(self, at: datetime) -> int:
        return round((at - self._begin) / self.step)

    def _slice(self, window: Window) -> slice:
        first = max(math.ceil((window.begin - self._begin) / self.step), 0)
        return slice(first, max(math.ceil((window.end - self._begin) / self.step), first))

    def _stages(self, windows: Sequence[Window], hit: Mapping[str, Sequence[str]]) -> Iterator[Stage]:
        """Each stage until the next begins, the last to the end: what a fault leaves behind is its, too."""
        named = sorted((one for one in windows if one.name not in _WHOLE), key=lambda one: one.begin)
        for number, window in enumerate(named):
            after = self._slice(named[number + 1]).start if number + 1 < len(named) else self._count
            at_once = [
                one for one in named if one.begin <= window.begin < one.end + LINGER and one is not window
            ]
            struck = {service for one in (window, *at_once) for service in hit.get(one.name, ())}
            yield Stage(
                window.name, window.begin, window.end, frozenset(struck), self._slice(window).start, after
            )

    def of(self, measure: Measure, service: str) -> Values | None:
        """What was measured; None where nothing was."""
        return self._values.get((measure, service))

    def services(self, measure: Measure) -> list[str]:
        """The services of which this was measured, in the order of platform.yaml."""
        return [one.name for one in self.platform.services if (measure, one.name) in self._values]

    def behind(self, service: str) -> list[str]:
        """All that a service needs: what it calls, and what that calls."""
        found: list[str] = []
        left = [service]
        while left:
            for callee in self.platform.service(left.pop()).calls:
                if callee not in found:
                    found.append(callee)
                    left.append(callee)
        return found

    def before(self, values: Values) -> Values:
        """Of ``values`` those before the faults, without gaps."""
        part = values[self._before]
        return part[~np.isnan(part)]

    def usually(self, values: Values) -> float:
        """Their median before the faults; NaN where there are none."""
        before = self.before(values)
        return float(np.median(before)) if len(before) else math.nan

    def demand(self, service: str) -> Values | None:
        """The requests, queries or commands that a service answered, a second."""
        found = self.of("requests", service)
        return found if found is not None else self.of("queries", service)

    def rises(
        self,
        values: Values | None,
        stage: Stage,
        level: float,
        lasting: timedelta,
        gap: timedelta = _GAP,
    ) -> list[Rise]:
        """Where, from a time in ``stage`` on, ``values`` were above ``level`` and all that was usual.

        Nothing is said of what has no normal, or had been above the level before.
        """
        if values is None or not len(self.before(values)):
            return []
        level = max(level, usual(self.before(values))[1])
        needed = max(_LEAST_VALUES, math.ceil(lasting / self.step))
        with np.errstate(invalid="ignore"):
            above: NDArray[np.bool_] = values > level
        normal = self.usually(values)
        return [
            Rise(first, after, float(np.nanmax(values[first:after])), normal)
            for first, after in _runs(above, 1 + int(gap / self.step))
            if stage.first <= first < stage.after and above[first:after].sum() >= needed
        ]

    def rise(
        self,
        values: Values | None,
        stage: Stage,
        level: float,
        lasting: timedelta,
        gap: timedelta = _GAP,
    ) -> Rise | None:
        """The first of ``rises``, with the peak of all."""
        found = self.rises(values, stage, level, lasting, gap)
        if not found:
            return None
        return Rise(found[0].first, found[-1].after, max(one.peak for one in found), found[0].usually)

    def at(self, place: int) -> datetime:
        """The moment of a place on the grid."""
        return self._begin + place * self.step

    def after_injection(self, place: int, stage: Stage) -> str:
        """When that was, in words."""
        took = max(self.at(place) - stage.begin, timedelta(0))
        return f"{format_duration(timedelta(seconds=round(took.total_seconds())))} after injection"

    def lasted(self, rise: Rise) -> str:
        """How long a rise was, in words."""
        return format_duration(
            timedelta(seconds=round(((rise.after - rise.first) * self.step).total_seconds()))
        )


def _runs(above: NDArray[np.bool_], bridge: int) -> list[tuple[int, int]]:
    """The parts in which ``above`` holds, taking two for one where fewer than ``bridge`` lie between."""
    runs: list[tuple[int, int]] = []
    for place in np.flatnonzero(above).tolist():
        if runs and place - runs[-1][1] < bridge:
            runs[-1] = (runs[-1][0], place + 1)
        else:
            runs.append((place, place + 1))
    return runs


def together(strengths: Sequence[float]) -> float:
    """How sure several independent pieces of evidence make: each leaves less of the doubt."""
    return 1 - math.prod(1 - min(max(one, 0.0), 1.0) for one in strengths)
