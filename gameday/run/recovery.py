"""Why: a run is over when the platform is well again and every fault is proved gone, not before.

Waits until every ``expect`` holds for long enough, and tells how long each service took. The verdict
is drawn from it elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gameday.clients.chaos_kinds import RUN
from gameday.journal.store import Observation
from gameday.monitor.judge import Reading, State, unmet
from gameday.monitor.sampler import Sampler
from gameday.monitor.watch import Watch
from gameday.run.context import Recovered, Run
from gameday.run.reasons import grouped
from gameday.spec.base import format_duration

STAGE = "recovery"


@dataclass
class Progress:
    """Since when each service, and everything together, has been well without a break.

    Fed with every look while nothing is injected, so that a platform which was well again before
    anybody asked is not called slow.
    """

    watches: Sequence[Watch]
    whole_since: datetime | None = None
    since: dict[str, datetime | None] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    blind: bool = False

    def reset(self) -> None:
        """Faults are in again: what was well before does not count."""
        self.whole_since, self.since, self.missing = None, {}, ()

    def take(self, at: datetime, readings: Sequence[Reading]) -> None:
        """Learn from one look."""
        self.missing = grouped(unmet(self.watches, readings))
        visible = [reading for reading in readings if reading.value is not None]
        self.blind = bool(self.missing) and not unmet(self.watches, visible)
        self.whole_since = None if self.missing else (self.whole_since or at)
        for service in {reading.service for reading in readings}:
            own = [reading for reading in readings if reading.service == service]
            well = not unmet(self.watches, own)
            self.since[service] = (self.since.get(service) or at) if well else None


async def validate(run: Run, sampler: Sampler, progress: Progress) -> Recovered:
    """Watch until the steady state has held for ``stableFor``, or until the recovery's timeout.

    Times to recover count from the end of the last fault.
    """
    session, wanted = run.session, run.plan.recovery
    began = run.findings.faults_ended_at or run.now()
    deadline = run.now() + wanted.timeout
    interval = session.catalogue.platform.prometheus.sample_interval
    while True:
        readings = await sampler.look()
        now = run.now()
        progress.take(now, readings)
        await _tell(run, readings, progress, deadline)
        well_for = now - progress.whole_since if progress.whole_since else timedelta(0)
        if progress.whole_since and well_for >= wanted.stable_for:
            return _recovered(progress, began, in_time=True)
        if now >= deadline:
            return _recovered(progress, began, in_time=False)
        await session.clock.sleep(interval)


def _recovered(progress: Progress, began: datetime, *, in_time: bool) -> Recovered:
    whole = progress.whole_since
    return Recovered(
        in_time=in_time,
        took=whole - began if in_time and whole else None,
        of_service={
            service: since - began if since else None for service, since in sorted(progress.since.items())
        },
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
