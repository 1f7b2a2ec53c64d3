"""Why: the steady state is judged before anything is broken, and "normal" is written down.

Fetches the window before the run. A signal that cannot be seen now cannot protect anybody later, so
it refuses the run.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from gameday.analysis.baseline import Baseline, summarise
from gameday.clients.answers import RangeReading
from gameday.errors import RefusedError
from gameday.journal.store import Observation
from gameday.monitor.judge import Reading, State, unmet
from gameday.monitor.sampler import Sampler, seen
from gameday.monitor.watch import Watch
from gameday.run.context import Run
from gameday.run.reasons import grouped
from gameday.spec.base import format_duration
from gameday.spec.load import Load

# Prometheus answers at most 11,000 points a series; this keeps far below for any window.
_MOST_POINTS: Final = 300
# How long what has no past is looked at.
_PROBED: Final = timedelta(seconds=30)

STAGE: Final = "baseline"
"""What observations from before the first stage have as stage."""


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
    return len({service for services in run.findings.services.values() for service in services if service})


async def measure(run: Run, sampler: Sampler) -> list[Baseline]:
    """The baseline of every signal and service over the window before now.

    What is not asked of Prometheus has no past: it is looked at for a while first. Raises
    ``RefusedError`` where a signal has no data in the window.
    """
    load = run.plan.load
    window = min(run.plan.baseline, load.warm_up) if load is not None else run.plan.baseline
    step = max(run.session.catalogue.platform.prometheus.scrape_interval, window / _MOST_POINTS)
    step = timedelta(seconds=max(1, round(step.total_seconds())))
    end = run.now()
    # The platform's mean is made of services that are measured one by one.
    watches = [watch for watch in run.plan.watches if watch.query and watch.scope == "service"]
    answers = await asyncio.gather(
        *(run.session.prometheus.range(watch.query, end - window, end, step) for watch in watches)
    )
    found, missing = await _of_probes(run, sampler)
    for watch, answer in zip(watches, answers, strict=True):
        own = _summaries(watch, answer)
        found += own
        if not own:
            why = answer.failure or "no value in the window"
            missing.append(f"{watch.name}: no baseline over {format_duration(window)} ({why})")
    if missing:
        raise RefusedError("Normal is not known, so nothing could be compared with it", tuple(missing))
    run.findings.baselines = found
    beside = len(sampler.beside)
    probed = f", and of {beside} probes over {format_duration(_PROBED)}" if beside else ""
    await run.tell(
        "baseline",
        f"Baseline over {format_duration(window)}: {len(found)} series of {len(watches)} signals{probed}",
        window_s=window.total_seconds(),
        baselines=[one.model_dump(mode="json") for one in found],
    )
    return found


async def warm_up(run: Run, sampler: Sampler, load: Load) -> None:
    """Let the load act for a while, and see that the platform bears it.

    Raises ``RefusedError`` where it takes the platform past a guardrail or the run's Leases are lost
    meanwhile, ``StoppedError`` where it is called off.
    """
    limits = [watch.model_copy(update={"expect": None}) for watch in run.plan.watches]
    end = run.now() + load.warm_up
    while run.now() < end:
        await run.session.clock.sleep(run.session.catalogue.platform.prometheus.sample_interval)
        readings = [one for one in await sampler.look() if one.value is not None]
        if past := grouped(unmet(limits, readings)):
            raise RefusedError("The platform does not bear the load, without any fault", past)
        if run.leases is not None:
            run.leases.must_be_held()


async def _of_probes(run: Run, sampler: Sampler) -> tuple[list[Baseline], list[str]]:
    """What is normal for what has no past, and for which of it nobody knows."""
    watches = sampler.beside
    values: dict[tuple[str, str], list[float]] = {}
    end = run.now() + (_PROBED if watches else timedelta(0))
    while (left := end - run.now()) > timedelta(0):
        looks = await asyncio.gather(*map(sampler.look_at, watches))
        readings = [reading for look in looks for reading in look]
        await _keep(run, readings, left)
        for reading in readings:
            if reading.value is not None:
                values.setdefault((reading.signal, reading.service), []).append(reading.value)
        await run.session.clock.sleep(run.session.catalogue.platform.prometheus.sample_interval)
    found = [summarise(*key, points) for key, points in sorted(values.items())]
    missing = [
        f"{watch.name}: no baseline over {format_duration(_PROBED)} (never a value)"
        for watch in watches
        if watch.expect is not None and not any(name == watch.name for name, _ in values)
    ]
    return [one for one in found if one is not None], missing


async def _keep(run: Run, readings: Sequence[Reading], left: timedelta) -> None:
    """Write down what was seen before the run; of the rest Prometheus knows."""
    rows = [
        Observation(
            at=run.now(),
            stage=STAGE,
            signal=one.signal,
            service=one.service,
            value=one.value,
            unknown=one.unknown or None,
            state=(State.OK if one.value is not None else State.UNKNOWN).value,
        )
        for one in readings
    ]
    words = ", ".join(dict.fromkeys(f"{one.signal} {one.text}" for one in readings))
    seconds = timedelta(seconds=math.ceil(left.total_seconds()))
    await run.observe(rows, f"{STAGE} | {format_duration(seconds)} left | {words}", stage=STAGE)


def _summaries(watch: Watch, answer: RangeReading) -> list[Baseline]:
    values: dict[str, list[float]] = {}
    for series in answer.series:
        service = series.labels.get("service", "")
        values.setdefault(service, []).extend(value for _, value in series.points)
    summaries = (summarise(watch.name, service, points) for service, points in sorted(values.items()))
    return [one for one in summaries if one is not None]
