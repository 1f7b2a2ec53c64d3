"""Why: the steady state is judged before anything is broken, and "normal" is written down.

Fetches the window before the run. A signal that cannot be seen now cannot protect anybody later, so
it refuses the run.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from gameday.analysis.baseline import Baseline, summarise
from gameday.clients.prometheus import RangeReading
from gameday.errors import RefusedError
from gameday.monitor.judge import unmet
from gameday.monitor.sampler import Sampler, seen
from gameday.monitor.watch import Watch
from gameday.run.context import Run
from gameday.run.reasons import grouped
from gameday.spec.base import format_duration

# Prometheus answers at most 11,000 points a series; this keeps far below for any window.
_MOST_POINTS: Final = 300


async def judge_steady_state(run: Run, sampler: Sampler) -> None:
    """Look once and refuse where any ``expect`` does not hold or anything is unknown.

    The sampler has learned then which services have data: one that is missing later is noticed.
    """
    readings = await sampler.look()
    reasons = grouped(unmet(run.plan.watches, readings))
    if reasons:
        raise RefusedError("The steady state does not hold before the run", reasons)
    run.findings.services = seen(readings)
    count = len(run.plan.watches)
    await run.tell("check", f"The steady state holds: {count} signals of {_services(run)} services")


def _services(run: Run) -> int:
    return len({service for services in run.findings.services.values() for service in services})


async def measure(run: Run) -> list[Baseline]:
    """The baseline of every signal and service over the window before now.

    Raises ``RefusedError`` where a signal has no data in the window.
    """
    window = run.plan.baseline
    step = max(run.session.catalogue.platform.prometheus.scrape_interval, window / _MOST_POINTS)
    step = timedelta(seconds=max(1, round(step.total_seconds())))
    end = run.now()
    # The platform's mean is made of services that are measured one by one.
    watches = [watch for watch in run.plan.watches if watch.scope == "service"]
    answers = await asyncio.gather(
        *(run.session.prometheus.range(watch.query, end - window, end, step) for watch in watches)
    )
    found: list[Baseline] = []
    missing: list[str] = []
    for watch, answer in zip(watches, answers, strict=True):
        own = _summaries(watch, answer)
        found += own
        if not own:
            why = answer.failure or "no value in the window"
            missing.append(f"{watch.name}: no baseline over {format_duration(window)} ({why})")
    if missing:
        raise RefusedError("Normal is not known, so nothing could be compared with it", tuple(missing))
    run.findings.baselines = found
    await run.tell(
        "baseline",
        f"Baseline over {format_duration(window)}: {len(found)} series of {len(watches)} signals",
        window_s=window.total_seconds(),
        baselines=[one.model_dump(mode="json") for one in found],
    )
    return found


def _summaries(watch: Watch, answer: RangeReading) -> list[Baseline]:
    values: dict[str, list[float]] = {}
    for series in answer.series:
        service = series.labels.get("service", "")
        values.setdefault(service, []).extend(value for _, value in series.points)
    summaries = (summarise(watch.name, service, points) for service, points in sorted(values.items()))
    return [one for one in summaries if one is not None]
