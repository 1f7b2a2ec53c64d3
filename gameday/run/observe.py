"""Why: while faults are in, somebody looks all the time and stops it when it goes wrong.

The loop of the run: sample, judge, tell, decide. It decides to go on or not; ending the faults is
its caller's next step, always.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from gameday.clients.faults import Ref
from gameday.journal.store import Observation, Verdict
from gameday.monitor.judge import Decision, Judge, Judged, Outcome, Reading, Sample, State
from gameday.monitor.sampler import Sampler
from gameday.monitor.watch import Watch
from gameday.run.context import Run
from gameday.run.reasons import grouped
from gameday.run.recovery import Progress
from gameday.run.standing import Stand, Standing
from gameday.safety.lease import RunLeases
from gameday.spec.base import format_duration


@dataclass(frozen=True, slots=True)
class Halt:
    """The run must not go on: the verdict that follows, and why.

    ``by_signals`` where what was measured says so: the platform broke, rather than the view of it.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    by_signals: bool = False


@dataclass
class Observer:
    """Watches one run from its first fault to its last."""

    run: Run
    sampler: Sampler
    judge: Judge
    progress: Progress
    standing: Standing
    _last: Sample | None = field(default=None)

    @property
    def interval(self) -> timedelta:
        """How often it looks."""
        return self.run.session.catalogue.platform.prometheus.sample_interval

    async def watch(self, stage: str, until: datetime, refs: Sequence[Ref] = ()) -> Halt | None:
        """Look every interval until ``until``; answers early with a ``Halt`` where that is needed.

        ``refs`` are the faults that must stay in meanwhile: one that goes was ended by a person.
        """
        clock = self.run.session.clock
        while True:
            began = clock.now()
            halt = await self._look(stage, until, refs)
            if halt is not None:
                return halt
            left = until - clock.now()
            if left <= timedelta(0):
                return None
            await clock.sleep(min(left, began + self.interval - clock.now()))

    async def clear(self, stage: str) -> Halt | None:
        """Wait until nothing is unknown or outside its tolerance, before ``stage`` is injected.

        A breach or a blindness that lasts is a ``Halt``, as always; a short one only delays the
        stage. Nothing is injected into a platform that is ill or cannot be seen.
        """
        while self._last is not None and (self._last.of(State.UNKNOWN) or self._last.of(State.BREACH)):
            await self.run.session.clock.sleep(self.interval)
            halt = await self._look(f"before {stage}", self.run.now(), ())
            if halt is not None:
                return halt
        return None

    async def _look(self, stage: str, until: datetime, refs: Sequence[Ref]) -> Halt | None:
        readings, stand = await asyncio.gather(self.sampler.look(), self.standing.look(refs, self.interval))
        if stand.ended and self.run.leases is not None:
            # Whoever stops a run takes its Leases first: to be told from a fault that was deleted by hand.
            await self.run.leases.renew()
        now = self.run.now()
        sample, decision = self.judge.judge(now, readings)
        self._last = sample
        self.progress.take(now, readings, faults_in=bool(refs))
        await _tell_sample(self.run, stage, sample, max(until - now, timedelta(0)))
        halt = self._halt(decision, stand)
        if halt is None or halt.reasons != grouped(decision.reasons):
            return halt
        return replace(halt, by_signals=bool(sample.of(State.OVER) or sample.of(State.BROKEN)))

    def _halt(self, decision: Decision, stand: Stand) -> Halt | None:
        """The gravest reason not to go on, if there is one."""
        leases = self.run.leases
        lost = leases.why_lost() if leases is not None else ""
        unrecorded = f"the record cannot be kept: {self.run.journal_lost}" if self.run.journal_lost else ""
        blind = tuple(reason for reason in (unrecorded, self.standing.blind()) if reason)
        candidates = (
            (Verdict.ABORTED, grouped(decision.reasons) if decision.outcome is Outcome.ABORT else ()),
            # Before what follows from it: a halt takes the Leases away and ends the faults, too.
            (Verdict.STOPPED, (stand.halted,) if stand.halted else ()),
            (verdict_of_lost(leases), (lost,)) if leases and lost else (Verdict.STOPPED, stand.ended),
            (Verdict.ABORTED, stand.broken),
            (Verdict.ABORTED, blind),
            (Verdict.DISPROVED, grouped(decision.reasons) if decision.outcome is Outcome.DISPROVED else ()),
        )
        return next((Halt(verdict, reasons) for verdict, reasons in candidates if reasons), None)


def verdict_of_lost(leases: RunLeases) -> Verdict:
    """What a run is that has lost its Leases: stopped only where somebody took them away."""
    return Verdict.STOPPED if leases.called_off else Verdict.ABORTED


def observations(stage: str, sample: Sample) -> list[Observation]:
    """A sample as rows of the journal."""
    return [
        Observation(
            at=sample.at,
            stage=stage,
            signal=one.reading.signal,
            service=one.reading.service,
            value=one.reading.value,
            unknown=one.reading.unknown or None,
            state=one.state.value,
        )
        for one in sample.judged
    ]


async def _tell_sample(run: Run, stage: str, sample: Sample, left: timedelta) -> None:
    worst = _worth_telling(worst_of(sample), run.plan.watches)
    words = [_signal_words(one) for one in worst]
    left_words = format_duration(timedelta(seconds=math.ceil(left.total_seconds())))
    units = {watch.name: watch.unit for watch in run.plan.watches}
    await run.observe(
        observations(stage, sample),
        f"{stage} | {left_words} left | {' | '.join(words)}",
        stage=stage,
        left_s=left.total_seconds(),
        signals=[
            {
                "signal": one.reading.signal,
                "service": one.reading.service,
                "value": one.reading.value,
                "unknown": one.reading.unknown,
                "unit": units.get(one.reading.signal, ""),
                "limit": str(one.limit) if one.limit else "",
                "state": one.state.value,
            }
            for one in worst
        ],
    )


def _worth_telling(worst: Sequence[Judged], watches: Sequence[Watch]) -> list[Judged]:
    """The steady state, and of the guardrails beside it those that are not well."""
    probed = {watch.name for watch in watches if watch.expect is not None}
    return [one for one in worst if one.state is not State.OK or one.reading.signal in probed]


_SEVERITY = (State.OVER, State.UNKNOWN, State.BROKEN, State.BREACH, State.OK)


def worst_of(sample: Sample) -> list[Judged]:
    """For each signal the reading that matters most: the worst state, then nearest to its limit.

    Where every service reads the same, none is named.
    """
    of_signal: dict[str, list[Judged]] = {}
    for one in sample.judged:
        of_signal.setdefault(one.reading.signal, []).append(one)
    return [_worst(judged) for judged in of_signal.values()]


def _worst(judged: Sequence[Judged]) -> Judged:
    worst = min(judged, key=_rank)
    alike = {(one.state, one.reading.value, one.reading.unknown) for one in judged}
    if len(judged) > 1 and len(alike) == 1:
        return replace(worst, reading=replace(worst.reading, service=""))
    return worst


def _rank(one: Judged) -> tuple[int, float]:
    value, limit = one.reading.value, one.limit
    if value is None or limit is None:
        return _SEVERITY.index(one.state), 0.0
    return _SEVERITY.index(one.state), value if limit.operator in {">=", ">"} else -value


def _signal_words(one: Judged) -> str:
    reading: Reading = one.reading
    where = f" {reading.service}" if reading.service else ""
    limit = f" ({one.limit})" if one.limit else ""
    return f"{reading.signal} {reading.text}{where}{limit}"
