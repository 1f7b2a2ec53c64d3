"""Why: the numbers of an analysis are worked out in one place, away from whatever is waited for.

Puts the record of a run and its series through the analysis. It needs scipy, which takes its time to
come, so it is imported only where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from gameday.analysis import budget, detection, score
from gameday.analysis.effects import METHOD, Worse, effects
from gameday.analysis.findings import Learned, findings
from gameday.analysis.model import Analysis, SignalSeries
from gameday.analysis.patterns import find
from gameday.analysis.patterns.blind import unseen
from gameday.analysis.series import Table
from gameday.plan.model import Plan
from gameday.run.asked import asked
from gameday.run.kept import Kept, window, worse_of
from gameday.spec.platform import Platform
from gameday.spec.showing import Showing

_LOWER_IS_WORSE: Final = frozenset({"availability", "requests", "queries"})
# By these a fault shows to whoever looks at what users get.
_TELLING: Final = frozenset(
    {"availability", "errors", "latency", "call-failures", "breaker", "restarts", "ooms", "queue"}
)


def direction(platform: Platform, plan: Plan | None) -> Callable[[str], Worse]:
    """Says of a signal in which direction it gets worse: by what it measures, or by its limits."""
    known: dict[str, Worse] = {}
    if plan is not None:
        known = {name: _worse_shown(one) for name, one in asked(plan, platform).items()}
        known |= {watch.name: worse_of(watch) for watch in plan.watches}
    for signal in platform.prometheus.signals:
        if signal.measures is not None:
            known[signal.name] = "lower" if signal.measures in _LOWER_IS_WORSE else "higher"
    return lambda signal: known.get(signal, "higher")


def _worse_shown(wanted: Showing) -> Worse:
    """What a fault must reach is where it is worse; what it must stay within is where it is well."""
    limit = wanted.reaches or wanted.stays_within
    upwards = limit is not None and limit.operator in {">", ">="}
    return "higher" if upwards == (wanted.reaches is not None) else "lower"


def work_out(
    kept: Kept, platform: Platform, series: Sequence[SignalSeries], missing: Sequence[str], now: datetime
) -> Analysis:
    """The analysis of a run from its record and its series. Takes time; waits for nothing."""
    windows, plan = kept.windows, kept.plan
    named = {window.name: window for window in windows}
    worse_when = direction(platform, plan)
    table = Table(series)
    found = effects(series, windows, worse_when)
    since = window("since", windows[1].begin, windows[2].end) if windows else None
    budgets, unknown = budget.spent(table, platform, named.get("before"), since)
    told = [one.name for one in platform.prometheus.signals if one.measures in _TELLING]
    patterns = find(series, windows, platform, hit=kept.hit)
    learned = Learned(
        experiment=plan.experiment,
        owner=plan.owner,
        broken=kept.broken,
        patterns=patterns,
        returns=kept.returns,
        budgets=budgets,
        alerts=kept.alerts,
        shown=[event.data for event in kept.events if event.kind == "shown"],
    )
    return Analysis.model_validate(
        {
            "run": kept.record.run,
            "at": now,
            "method": METHOD,
            "windows": windows,
            "effects": found,
            "detections": detection.detections(
                table, windows[3:], named.get("before"), told, worse_when, kept.alerts
            ),
            "returns": kept.returns,
            "budgets": budgets,
            "patterns": patterns,
            "alerts": kept.alerts,
            "scores": score.scores(platform, found, budgets, kept.returns, plan.recovery.timeout),
            "findings": findings(learned, platform),
            "missing": (
                *missing,
                *unknown,
                *unseen(table, platform, windows[3:]),
                *(() if windows else ("nothing was injected",)),
            ),
        }
    )
