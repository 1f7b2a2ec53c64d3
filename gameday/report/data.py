"""Why: every form of the report says the same, so its content is put together once.

Reads the journal and nothing else. How it looks is for the templates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from pydantic import ValidationError

from gameday.analysis.baseline import Baseline, Impact, by_key, impact
from gameday.analysis.model import AlertSeen, Analysis, Effect, SignalSeries, Window
from gameday.analysis.prediction import Compared, Prediction, compare
from gameday.errors import UsageError
from gameday.journal.actions import ActionItem, Actions
from gameday.journal.extremes import extremes
from gameday.journal.results import PredictionRecord, Results
from gameday.journal.store import Event, FaultRecord, Journal, Observation, RunRecord
from gameday.journal.summary import REMARK
from gameday.monitor.watch import Watch
from gameday.plan.model import Plan
from gameday.report.strengths import Strengths, strengths
from gameday.report.telling import stages_of
from gameday.run.baseline import STAGE as BASELINE
from gameday.run.comeback import Comeback
from gameday.run.recovery import STAGE as RECOVERY
from gameday.spec.base import format_duration

_WHY_HELD: Final = (
    "Every signal stayed within its limits, every fault was proved in and out, and the platform came back."
)


@dataclass(frozen=True)
class ReportData:
    """Everything that a report of one run says."""

    run: RunRecord
    plan: Plan | None
    events: Sequence[Event]
    faults: Sequence[FaultRecord]
    baselines: Sequence[Baseline]
    impacts: Sequence[Impact]
    recovery: Mapping[str, Any]
    comebacks: Sequence[Comeback]
    unproved: Sequence[str]
    observations: Sequence[Observation] = ()
    analysis: Analysis | None = None
    series: Sequence[SignalSeries] = ()
    actions: Sequence[ActionItem] = ()
    compared: Compared | None = None
    strengths: Strengths | None = None

    @property
    def stages(self) -> tuple[Window, ...]:
        """When faults were in, stage by stage."""
        if self.analysis is not None and self.analysis.windows:
            return stages_of(self.analysis.windows)
        return tuple(self._stages())

    def _stages(self) -> Iterator[Window]:
        end = self.run.ended_at or max((event.at for event in self.events), default=self.run.started_at)
        for name in dict.fromkeys(fault.stage for fault in self.faults):
            own = [fault for fault in self.faults if fault.stage == name and fault.injected_at is not None]
            begins = [fault.injected_at for fault in own if fault.injected_at is not None]
            if begins:
                ends = [fault.ended_at or end for fault in own]
                yield Window.model_validate({"name": name, "begin": min(begins), "end": max(ends)})

    @property
    def verdict(self) -> str:
        """How it ended, in one word."""
        return self.run.verdict.value if self.run.verdict is not None else "cut off"

    @property
    def why(self) -> str:
        """The verdict in one sentence."""
        if self.run.verdict is None:
            return "The run was cut off; what it wrote down until then follows."
        return self.run.summary or _WHY_HELD

    @property
    def recovery_words(self) -> str:
        """Whether and how fast the steady state came back."""
        if not self.recovery:
            return "not watched to its end"
        if not self.recovery.get("in_time"):
            return "could not be seen" if self.recovery.get("blind") else "not back in time"
        took = timedelta(seconds=round(float(self.recovery["took_s"])))
        return f"{format_duration(took)} after the last fault" if took else "held at once"

    @property
    def effects_in_parts(self) -> tuple[tuple[Sequence[Effect], str], ...]:
        """What changed, then what did not, each with its heading."""
        effects = self.analysis.effects if self.analysis is not None else ()
        changed = [one for one in effects if one.change in {"worse", "better"}]
        changed.sort(key=lambda one: one.change != "worse")
        others = [one for one in effects if one.change not in {"worse", "better"}]
        return (changed, "Changed"), (others, "Not changed, or not known")

    @staticmethod
    def worst(effect: Effect) -> float | None:
        """The value during the faults that lay farthest from what was usual."""
        if effect.before is None or effect.during is None:
            return None
        usual = effect.before.median
        return max(effect.during.least, effect.during.most, key=lambda value: abs(value - usual))

    @property
    def remarks(self) -> list[Event]:
        """What people wrote into the record."""
        return self.of(REMARK)

    @property
    def alerts(self) -> list[AlertSeen]:
        """The alerts that were seen or expected."""
        return [AlertSeen.model_validate(event.data) for event in self.of("alert")]

    @property
    def shown(self) -> list[Mapping[str, Any]]:
        """What each stage had to show, and whether it did."""
        return [event.data for event in self.of("shown")]

    def todo(self, key: str) -> ActionItem | None:
        """The action item of a finding."""
        return next((item for item in self.actions if item.key == key), None)

    def what(self, fault: FaultRecord) -> str:
        """The fault in words, as the plan has them: ``PodChaos pod-kill``."""
        planned = self.plan.faults if self.plan is not None else ()
        words = next((f" {one.what}" for one in planned if one.name == fault.name), "")
        return f"{fault.kind}{words}"

    @property
    def took(self) -> timedelta | None:
        """How long the run took; None where its end is not known."""
        return self.run.ended_at - self.run.started_at if self.run.ended_at is not None else None

    @property
    def execution_took(self) -> timedelta | None:
        """How long stage after stage took; None where none began, or its end is not known."""
        phases = [event for event in self.of("phase") if event.message != "Pre-experiment"]
        if not phases:
            return None
        end = phases[1].at if len(phases) > 1 else self.run.ended_at
        return end - phases[0].at if end is not None else None

    @property
    def plan_document(self) -> Mapping[str, Any]:
        """The whole plan as it is in the record, with the digest of what was approved; empty without one."""
        return self.plan.document | {"digest": self.run.digest} if self.plan is not None else {}

    def unit(self, signal: str) -> str:
        """The unit of a signal that was watched; "" where it has none."""
        watches = self.plan.watches if self.plan is not None else ()
        return next((watch.unit for watch in watches if watch.name == signal), "")

    @property
    def hint(self) -> str:
        """What a person can do about the verdict, where anybody knew."""
        return next((event.data["hint"] for event in self.of("verdict") if event.data.get("hint")), "")

    @property
    def timeline(self) -> list[tuple[Event, str]]:
        """What happened, each in one line; samples and the later lines of messages left out."""
        return [(event, _in_short(event)) for event in self.events if event.kind != "sample"]

    def of(self, *kinds: str) -> list[Event]:
        """The events of these kinds, in order."""
        return [event for event in self.events if event.kind in kinds]


async def collect(journal: Journal, run: str) -> ReportData:
    """What the journal knows of ``run``. Raises ``UsageError`` where it knows nothing."""
    record = await journal.find(run)
    if record is None:
        raise UsageError(f"unknown run {run!r}", hint="`gameday status` lists those that the journal knows.")
    plan, unread = _plan(record)
    events = await journal.events(record.run)
    recovered = [event.data for event in events if event.kind == "recovery"]
    results = Results(journal)
    kept = await results.analysis(record.run)
    analysis, unread_analysis = _analysis(kept, record.run)
    series = [SignalSeries.model_validate(one) for one in await results.series(record.run)]
    # Of a long run there are very many samples; where there is an analysis, it speaks for them.
    known = {one.signal for one in series} if analysis is not None and analysis.effects else set()
    others = [watch.name for watch in plan.watches if watch.name not in known] if plan and known else None
    seen = await journal.observations(record.run, signals=others)
    foretold = await results.prediction(record.run)
    compared, unread_prediction = _compared(foretold, record, analysis, recovered[-1] if recovered else {})
    gradual = plan is not None and any(stage.step is not None for stage in plan.stages)
    steps = strengths(plan, events, await extremes(journal, record.run)) if plan and gradual else None
    return ReportData(
        run=record,
        plan=plan,
        events=events,
        faults=await journal.faults(record.run),
        baselines=baselines(events),
        impacts=impacts(plan.watches if plan else (), events, seen),
        recovery=recovered[-1] if recovered else {},
        comebacks=[
            Comeback.model_validate(one)
            for event in events
            if event.kind == "recovered"
            for one in event.data["services"]
        ],
        unproved=[
            *unread,
            *unread_analysis,
            *unread_prediction,
            *(event.message for event in events if event.kind == "warning"),
        ],
        observations=seen,
        analysis=analysis,
        series=series,
        actions=await Actions(journal).items(run=record.run),
        compared=compared,
        strengths=steps,
    )


def _analysis(kept: Mapping[str, Any] | None, run: str) -> tuple[Analysis | None, Sequence[str]]:
    """The analysis, and what is to be said where it cannot be read any more."""
    try:
        return (Analysis.model_validate(kept) if kept is not None else None), ()
    except ValidationError:
        again = f"`gameday analyse {run}` makes it anew"
        return None, (f"The analysis was written by another version of gameday; {again}.",)


def _compared(
    foretold: PredictionRecord | None,
    record: RunRecord,
    analysis: Analysis | None,
    recovery: Mapping[str, Any],
) -> tuple[Compared | None, Sequence[str]]:
    """What was foretold beside what happened, and what is to be said where that cannot be told."""
    if foretold is None or record.verdict is None:
        return None, ()
    if analysis is None:
        return None, ("A rehearsal foretold this run; without its analysis there is nothing to compare.",)
    try:
        prediction = Prediction.model_validate(foretold.body)
    except ValidationError:
        return None, ("The prediction was written by another version of gameday and cannot be shown.",)
    took = recovery.get("took_s")
    return compare(prediction, analysis, record.verdict, digest=record.digest, recovered_s=took), ()


def _plan(record: RunRecord) -> tuple[Plan | None, Sequence[str]]:
    """The plan, and what is to be said where it cannot be read any more."""
    try:
        return (Plan.model_validate(record.plan) if record.plan else None), ()
    except ValidationError:
        return None, ("The plan was written by another version of gameday and cannot be shown.",)


def _in_short(event: Event) -> str:
    if event.kind == "message":
        return f"told {event.data.get('channel', '')}: {event.message.partition(chr(10))[0]}"
    if event.kind == "health" and event.data.get("bad"):
        return f"{event.message}. Not well: {'; '.join(event.data['bad'])}"
    return event.message


def baselines(events: Sequence[Event]) -> list[Baseline]:
    """What was normal before the run, as it was last measured."""
    stored = [event.data["baselines"] for event in events if event.kind == "baseline"]
    return [Baseline.model_validate(one) for one in (stored[-1] if stored else ())]


def impacts(watches: Sequence[Watch], events: Sequence[Event], seen: Sequence[Observation]) -> list[Impact]:
    """Before, worst and after of every signal and service that was sampled while faults were in."""
    normal = by_key(baselines(events))
    found = []
    for watch in watches:
        own = [one for one in seen if one.signal == watch.name and one.value is not None]
        for service in sorted({one.service for one in own}):
            rows = [one for one in own if one.service == service]
            found.append(
                impact(
                    watch.name,
                    service,
                    unit=watch.unit,
                    lower_is_worse=_lower_is_worse(watch),
                    baseline=normal.get((watch.name, service)),
                    during=[
                        one.value
                        for one in rows
                        if one.stage not in {BASELINE, RECOVERY} and one.value is not None
                    ],
                    after=[one.value for one in rows if one.stage == RECOVERY and one.value is not None],
                )
            )
    return found


def _lower_is_worse(watch: Watch) -> bool:
    if watch.tolerate is not None:
        return watch.tolerate.operator in {">=", ">"}
    return watch.abort_when is not None and watch.abort_when.operator in {"<", "<="}
