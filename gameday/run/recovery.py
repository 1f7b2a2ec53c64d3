"""Why: a run is over when the platform is well again and every fault is proved gone, not before.

Waits until every ``expect`` holds for long enough. How long each service took after each stage is
``comeback``'s; the verdict is drawn elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gameday.journal.store import Observation
from gameday.monitor.judge import Reading, State, unmet
from gameday.monitor.sampler import Sampler
from gameday.monitor.watch import Watch
from gameday.plan.model import PlannedStage
from gameday.run.comeback import StageLooks
from gameday.run.context import Recovered, Run
from gameday.run.reasons import grouped
from gameday.spec.base import format_duration
from gameday.spec.kinds import RUN

STAGE = "recovery"


@dataclass
class Progress:
    """Since when everything together has been well without a break, and how each stage's services came back.

    Fed with every look of a run, so that a platform which was well again before anybody asked is not
    called slow.
    """

    watches: Sequence[Watch]
    whole_since: datetime | None = None
    stages: list[StageLooks] = field(default_factory=list)
    missing: tuple[str, ...] = ()
    blind: bool = False

    def begin(self, stage: PlannedStage) -> None:
        """Faults are in again: what was well before does not count."""
        self.whole_since, self.missing = None, ()
        self.stages.append(StageLooks(stage))

    def take(self, at: datetime, readings: Sequence[Reading], *, faults_in: bool = False) -> None:
        """Learn from one look; with ``faults_in`` nothing counts as the platform's recovery."""
        self.missing = grouped(unmet(self.watches, readings))
        visible = [reading for reading in readings if reading.value is not None]
        self.blind = bool(self.missing) and not unmet(self.watches, visible)
        self.whole_since = None if self.missing or faults_in else (self.whole_since or at)
        for looks in self.stages[-1:]:
            looks.take(at, self.watches, readings)


async def validate(run: Run, sampler: Sampler, progress: Progress) -> Recovered:
    """Watch until the steady state has held for ``stableFor``, or until the recovery's timeout.

    Counts from the end of the last fault. Where nothing could be seen already when it began, it gives
    up once that has lasted for ``noDataGrace`` more.
    """
    session, wanted = run.session, run.plan.recovery
    began = run.findings.faults_ended_at or run.now()
    deadline = run.now() + wanted.timeout
    grace = session.catalogue.guardrails.no_data_grace
    blind_until = run.now() + grace if progress.blind else deadline
    interval = session.catalogue.platform.prometheus.sample_interval
    while True:
        readings = await sampler.look()
        now = run.now()
        progress.take(now, readings)
        await _tell(run, readings, progress, deadline)
        well_for = now - progress.whole_since if progress.whole_since else timedelta(0)
        if progress.whole_since and well_for >= wanted.stable_for:
            return _recovered(progress, began, in_time=True)
        if not progress.blind:
            blind_until = deadline
        if now >= min(deadline, blind_until):
            return _recovered(progress, began, in_time=False)
        await session.clock.sleep(interval)


def _recovered(progress: Progress, began: datetime, *, in_time: bool) -> Recovered:
    whole = progress.whole_since
    return Recovered(
        in_time=in_time,
        took=whole - began if in_time and whole else None,
        unmet=progress.missing,
        blind=progress.blind,
    )


async def _tell(run: Run, readings: Sequence[Reading], progress: Progress, deadline: datetime) -> None:
    by_name = {watch.name: watch for watch in run.plan.watches}
    rows = [
        Observation(
            at=run.now(),
            stage=STAGE,
            signal=reading.signal,
            service=reading.service,
            value=reading.value,
            unknown=reading.unknown or None,
            state=_state(reading, by_name[reading.signal]).value,
        )
        for reading in readings
    ]
    left = format_duration(timedelta(seconds=math.ceil(max(0.0, (deadline - run.now()).total_seconds()))))
    words = "the steady state holds" if not progress.missing else "; ".join(_few(progress.missing))
    await run.observe(rows, f"{STAGE} | {left} left | {words}", stage=STAGE, missing=list(progress.missing))


def _state(reading: Reading, watch: Watch) -> State:
    if reading.value is None:
        return State.UNKNOWN
    return State.BREACH if unmet([watch], [reading]) else State.OK


def _few(reasons: Iterable[str], most: int = 2) -> list[str]:
    listed = list(reasons)
    return listed[:most] + ([f"{len(listed) - most} more"] if len(listed) > most else [])


async def prove_nothing_left(run: Run) -> list[str]:
    """What of this run may still be in the cluster, in words; empty where it is proved that nothing is."""
    kinds = sorted({fault.kind for fault in run.plan.faults})
    census = await run.session.chaos.live({RUN: run.id}, kinds)
    left = [f"{one.ref} is still there: {one.why_stuck or 'no reason recorded'}" for one in census.objects]
    left += [f"{kind} cannot be listed: {error.message}" for kind, error in census.refused.items()]
    return left
