"""Why: twenty charts that show nothing hide the one that does.

Chooses from what is known of a run what is worth a chart: every signal that was watched or that a stage
had to show, then those that moved, the most telling first; and says what was left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from gameday.analysis.model import Effect, SignalSeries, Window
from gameday.journal.store import Observation
from gameday.monitor.watch import Watch
from gameday.run.asked import plain
from gameday.spec.base import Comparison
from gameday.spec.showing import Showing

if TYPE_CHECKING:
    from gameday.report.charts import Chart
    from gameday.report.data import ReportData

# Beyond these, charts of what only moved are looked at by nobody; the table has every signal.
_MOST: Final = 12
_WHOLE: Final = frozenset({"before", "during", "after"})


@dataclass(frozen=True, slots=True)
class Telling:
    """The charts of a run, and the signals that have none.

    ``moved`` and ``quiet`` were neither watched nor had to be shown; of ``unseen`` there is nothing to draw.
    """

    charts: tuple[Chart, ...]
    moved: tuple[str, ...] = ()
    quiet: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()


def telling(data: ReportData) -> Telling:
    """What is drawn of a run, the most telling first, and what is not."""
    watches = {watch.name: watch for watch in (data.plan.watches if data.plan else ())}
    of_signal: dict[str, list[SignalSeries]] = {}
    for one in data.series:
        of_signal.setdefault(one.signal, []).append(one)
    for name, watch in watches.items():
        of_signal.setdefault(name, sampled(watch, data.observations))
    shown, unseen = _shown(data, watches)
    effects = data.analysis.effects if data.analysis is not None else ()
    changed = {one.signal for one in effects if one.change in {"worse", "better"}}
    known = sorted(
        (name for name, lines in of_signal.items() if lines), key=lambda name: (-_weight(name, effects), name)
    )
    wanted = [name for name in known if name in watches or name in shown]
    others = [name for name in known if name in changed and name not in wanted]
    room = max(_MOST - len(wanted), 0)
    return Telling(
        charts=tuple(
            _chart(data, name, of_signal[name], watches.get(name), shown.get(name, ()), effects)
            for name in (*wanted, *others[:room])
        ),
        moved=tuple(others[room:]),
        quiet=tuple(sorted(set(known).difference(wanted, others))),
        unseen=(*(name for name in watches if not of_signal[name]), *unseen) if known else (),
    )


def _shown(
    data: ReportData, watches: Mapping[str, Watch]
) -> tuple[dict[str, list[tuple[str, Showing]]], list[str]]:
    """What stages had to show, by its signal, each with its stage; and that of which nothing was kept."""
    named = {plain(one.query): one.signal for one in data.series if one.query}
    named |= {plain(one.query): one.name for one in watches.values() if one.query and one.scope == "service"}
    found: dict[str, list[tuple[str, Showing]]] = {}
    unseen = []
    for stage in data.plan.stages if data.plan else ():
        for one in stage.must_show:
            name = named.get(plain(one.query))
            if name is not None:
                found.setdefault(name, []).append((stage.name, one))
            elif not data.series or any(each.query for each in data.series):
                # Series that an earlier version kept do not say which query they answer.
                unseen.append(f"{one.name} of {stage.name}")
    return found, unseen


def _weight(name: str, effects: Sequence[Effect]) -> float:
    """How far a signal moved to the bad side, in what was normal for it."""
    worse = [one for one in effects if one.signal == name and one.change == "worse" and one.before]
    return max((_times(one) for one in worse), default=0.0)


def _times(one: Effect) -> float:
    usual = abs(one.before.median) if one.before is not None else 0.0
    # What was 0 before moved endlessly far; a hundredfold is as telling.
    return min(abs(one.shift or 0.0) / usual, 100.0) if 0 < usual < math.inf else 100.0


def _chart(
    data: ReportData,
    name: str,
    lines: list[SignalSeries],
    watch: Watch | None,
    shown: Sequence[tuple[str, Showing]],
    effects: Sequence[Effect],
) -> Chart:
    # matplotlib takes half a second to come: only for whoever draws.
    from gameday.report.charts import Chart  # noqa: PLC0415

    stages = data.stages
    own = [one for one in effects if one.signal == name and one.before is not None]
    farthest = max(own, key=_times, default=None)
    band = None
    if farthest is not None and farthest.before is not None and math.isfinite(farthest.before.p95):
        band = (farthest.before.least, farthest.before.p95)
    return Chart(
        title=name,
        unit=(watch.unit if watch is not None else "") or lines[0].unit,
        lines=sorted(lines, key=lambda one: one.service),
        stages=stages,
        limits=_limits(watch, shown),
        band=band,
        band_of=farthest.service if farthest is not None else "",
    )


def _limits(watch: Watch | None, shown: Sequence[tuple[str, Showing]]) -> dict[str, Comparison]:
    named: list[tuple[str, Comparison | None]] = []
    if watch is not None:
        named = [("expect", watch.expect), ("tolerate", watch.tolerate), ("abort when", watch.abort_when)]
    found = {word: limit for word, limit in named if limit is not None}
    if found.get("tolerate") == found.get("expect"):
        found.pop("tolerate", None)
    for stage, one in shown:
        asked = (("must reach", one.reaches), ("then return", one.returns), ("must stay", one.stays_within))
        for word, limit in asked:
            if limit is not None and found.setdefault(word, limit) != limit:
                found[f"{word} in {stage}"] = limit
    return found


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
