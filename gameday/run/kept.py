"""Why: a run is analysed from its record, today or in a year, by whoever reads the journal.

Reads what the journal holds of a run and says what parts of time it had, what it hit, what was seen to
break. What that means is for the analysis.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pydantic import ValidationError

from gameday.analysis.findings import Broken
from gameday.analysis.model import AlertSeen, Return, Window
from gameday.errors import UsageError
from gameday.journal.store import Event, FaultRecord, Journal, Observation, RunRecord
from gameday.monitor.judge import State
from gameday.monitor.watch import Watch
from gameday.plan.model import Plan
from gameday.run.comeback import Comeback
from gameday.spec.base import Comparison
from gameday.spec.gradual import Step


@dataclass(frozen=True)
class Kept:
    """What the journal holds of an ended run."""

    record: RunRecord
    plan: Plan
    events: Sequence[Event]
    faults: Sequence[FaultRecord]
    observations: Sequence[Observation]  # those alone that were outside their limits for too long
    beside: Sequence[Observation] = ()  # all of what Prometheus was not asked for

    @classmethod
    async def read(cls, journal: Journal, run: str) -> Kept:
        """Read it. Raises ``UsageError`` where the run has no plan that can be read, ``JournalError``."""
        record = await journal.find(run)
        if record is None or not record.plan:
            raise UsageError(f"{run} has no plan in the journal, so there is nothing to analyse")
        plan = _plan(record)
        beside = [watch.name for watch in plan.watches if not watch.query]
        return cls(
            record=record,
            plan=plan,
            events=await journal.events(record.run),
            faults=await journal.faults(record.run),
            observations=await journal.observations(record.run, states=(State.BROKEN, State.OVER)),
            beside=await journal.observations(record.run, signals=beside) if beside else (),
        )

    @property
    def end(self) -> datetime:
        """When its record ends."""
        return self.record.ended_at or max((one.at for one in self.events), default=self.record.started_at)

    @property
    def windows(self) -> tuple[Window, ...]:
        """``before``, ``during`` and ``after`` the faults, and each stage; none where none went in."""
        stages = list(self._stages())
        if not stages:
            return ()
        begin, end = stages[0].begin, max(stage.end for stage in stages)
        return (
            window("before", begin - self.plan.baseline, begin),
            window("during", begin, end),
            window("after", end, max(self.end, end)),
            *stages,
        )

    def _stages(self) -> Iterable[Window]:
        for stage in self.plan.stages:
            own = [one for one in self.faults if one.stage == stage.name and one.injected_at is not None]
            if own:
                begin = min(one.injected_at for one in own if one.injected_at is not None)
                end = max(one.ended_at or self.end for one in own)
                yield window(stage.name, begin, max(end, begin))

    @property
    def hit(self) -> dict[str, tuple[str, ...]]:
        """By stage: the services that its faults could hit."""
        return {
            stage.name: tuple(sorted({share.service for fault in stage.faults for share in fault.shares}))
            for stage in self.plan.stages
        }

    @property
    def returns(self) -> tuple[Return, ...]:
        """How long each service took to be well again, where that was seen."""
        told = [one for event in self.events if event.kind == "recovered" for one in event.data["services"]]
        rows = [Comeback.model_validate(one) for one in told]
        return tuple(
            Return.model_validate(
                {
                    "stage": row.stage,
                    "service": row.service,
                    "took": timedelta(seconds=row.took_s) if row.took_s is not None else None,
                }
            )
            for row in rows
            if row.outcome != "unseen"
        )

    @property
    def alerts(self) -> tuple[AlertSeen, ...]:
        """The alerts that were seen or expected."""
        return tuple(AlertSeen.model_validate(event.data) for event in self.events if event.kind == "alert")

    @property
    def broken(self) -> tuple[Broken, ...]:
        """Each signal that left its limit for longer than allowed, at its first stage."""
        watches = {watch.name: watch for watch in self.plan.watches}
        found: dict[tuple[str, str], list[Observation]] = {}
        for one in self.observations:
            if one.value is not None and one.signal in watches:
                found.setdefault((one.signal, one.service), []).append(one)
        steps = {stage.name: stage.step for stage in self.plan.stages if stage.step is not None}
        return tuple(_broken(watches[signal], rows, steps) for (signal, _), rows in found.items())


def _plan(record: RunRecord) -> Plan:
    try:
        return Plan.model_validate(record.plan)
    except ValidationError as error:
        raise UsageError(
            f"the plan of {record.run} was written by another version of gameday and cannot be read any more",
            hint=f"`gameday show {record.run}` and `gameday export` still give what was written down.",
        ) from error


def _broken(watch: Watch, rows: Sequence[Observation], steps: Mapping[str, Step]) -> Broken:
    over = any(one.state == State.OVER for one in rows)
    limit = watch.abort_when if over else watch.tolerate
    values = [one.value for one in rows if one.value is not None]
    worst = max(values) if _worse_above(limit, guardrail=over) else min(values)
    stage = rows[0].stage.removeprefix("after ").removeprefix("before ")
    step = steps.get(stage)
    return Broken(
        watch.name,
        rows[0].service,
        # However strong the step was that broke it, it is the same weakness.
        step.stage if step is not None else stage,
        worst,
        watch.unit,
        limit,
        guardrail=over,
        # A guardrail is no promise: what passes it stops the run, at whatever strength.
        beyond=step.strength if step is not None and not step.must_hold and not over else "",
    )


def worse_of(watch: Watch) -> Literal["higher", "lower"]:
    """In which direction a watched signal gets worse, by its limits."""
    guardrail = watch.tolerate is None
    above = _worse_above(watch.abort_when if guardrail else watch.tolerate, guardrail=guardrail)
    return "higher" if above else "lower"


def _worse_above(limit: Comparison | None, *, guardrail: bool) -> bool:
    """Whether higher is worse: past a guardrail, or past what is tolerated, which must hold."""
    if limit is None:
        return True
    return limit.operator not in ({"<", "<="} if guardrail else {">", ">="})


def window(name: str, begin: datetime, end: datetime) -> Window:
    """A window, of moments that are known to be in order."""
    return Window.model_validate({"name": name, "begin": begin, "end": end})
