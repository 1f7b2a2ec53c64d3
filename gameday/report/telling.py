"""Why: twenty charts that show nothing hide the one that does.

Chooses from what is known of a run what is worth a chart: every signal that was watched, and those that
changed; the most telling one first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from gameday.analysis.model import Effect, SignalSeries, Window
from gameday.journal.store import Observation
from gameday.monitor.watch import Watch
from gameday.spec.base import Comparison

if TYPE_CHECKING:
    from gameday.report.charts import Chart
    from gameday.report.data import ReportData

# Beyond these, charts are looked at by nobody; the table has every signal.
_MOST: Final = 12
_WHOLE: Final = frozenset({"before", "during", "after"})


def charts(data: ReportData) -> list[Chart]:
    """The charts of a run, the most telling first."""
    watches = {watch.name: watch for watch in (data.plan.watches if data.plan else ())}
    of_signal: dict[str, list[SignalSeries]] = {}
    for one in data.series:
        of_signal.setdefault(one.signal, []).append(one)
    for name, watch in watches.items():
        of_signal.setdefault(name, sampled(watch, data.observations))
    effects = data.analysis.effects if data.analysis is not None else ()
    moved = {one.signal for one in effects if one.change in {"worse", "better"}}
    wanted = [name for name in of_signal if of_signal[name] and (name in watches or name in moved)]
    wanted.sort(key=lambda name: (-_weight(name, effects), name not in watches, name))
    return [_chart(data, name, of_signal[name], watches.get(name), effects) for name in wanted[:_MOST]]


def _weight(name: str, effects: Sequence[Effect]) -> float:
    """How far a signal moved to the bad side, in what was normal for it."""
    worse = [one for one in effects if one.signal == name and one.change == "worse" and one.before]
    return max((_times(one) for one in worse), default=0.0)


def _times(one: Effect) -> float:
    usual = abs(one.before.median) if one.before is not None else 0.0
    # What was 0 before moved endlessly far; a hundredfold is as telling.
    return min(abs(one.shift or 0.0) / usual, 100.0) if 0 < usual < math.inf else 100.0


def _chart(
    data: ReportData, name: str, lines: list[SignalSeries], watch: Watch | None, effects: Sequence[Effect]
) -> Chart:
    # matplotlib takes half a second to come: only for whoever draws.
    from gameday.report.charts import Chart  # noqa: PLC0415

    stages = data.stages
    own = [one for one in effects if one.signal == name and one.before is not None]
    farthest = max(own, key=_times, default=None)
    band = None
    if farthest is not None and farthest.before is not None and math.isfinite(farthest.before.p95):
        band = (farthest.before.least, farthest.before.p95)
    limits: dict[str, Comparison] = {}
    if watch is not None:
        named = (("expect", watch.expect), ("tolerate", watch.tolerate), ("abort when", watch.abort_when))
        limits = {word: limit for word, limit in named if limit is not None}
        if limits.get("tolerate") == limits.get("expect"):
            limits.pop("tolerate", None)
    return Chart(
        title=name,
        unit=(watch.unit if watch is not None else "") or lines[0].unit,
        lines=sorted(lines, key=lambda one: one.service),
        stages=stages,
        limits=limits,
        band=band,
        band_of=farthest.service if farthest is not None else "",
    )


def sampled(watch: Watch, observations: Sequence[Observation]) -> list[SignalSeries]:
    """What the run itself sampled, for a signal of which no series was kept; on a grid of seconds."""
    own = [one for one in observations if one.signal == watch.name]
    if not own:
        return []
    begin, end = own[0].at, own[-1].at
    step = max(timedelta(seconds=1), (end - begin) / 400)
    found = []
    for service in sorted({one.service for one in own}):
        values: list[float | None] = [None] * (int((end - begin) / step) + 1)
        last: float | None = None
        moments = {round((one.at - begin) / step): one.value for one in own if one.service == service}
        for place in range(len(values)):
            last = moments.get(place, last)
            values[place] = last
        found.append(
            SignalSeries.model_validate(
                {"signal": watch.name, "service": service, "unit": watch.unit}
                | {"begin": begin, "step": step, "values": values}
            )
        )
    return found


def stages_of(windows: Sequence[Window]) -> tuple[Window, ...]:
    """Those windows that are stages."""
    return tuple(one for one in windows if one.name not in _WHOLE)
