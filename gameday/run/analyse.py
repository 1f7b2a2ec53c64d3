"""Why: what a run teaches is worked out from all that Prometheus saw, not only from what was sampled.

Asks for every signal of the platform over the whole run, has the analysis work on it, and keeps what
came out: series, analysis, findings, and an action item for each finding. It judges nothing: the verdict
stands before it begins, and stays whatever becomes of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from gameday.analysis.gaps import bridged, have_gaps
from gameday.analysis.model import Analysis, Finding, SignalSeries
from gameday.analysis.series import on_grid
from gameday.background import one_at_a_time
from gameday.clients.answers import Why
from gameday.clients.prometheus import Prometheus
from gameday.errors import GamedayError
from gameday.journal.actions import ActionItem, Actions
from gameday.journal.results import FindingRecord, Results
from gameday.journal.store import Journal
from gameday.plan.model import Plan
from gameday.run.asked import asked, plain
from gameday.run.kept import Kept
from gameday.spec.platform import Platform, Signal


class AnalysisError(GamedayError):
    """The analysis failed; the record that it was to be made of is whole."""


# Of a window that is longer, the grid is wider: more points cost time and tell no more.
_MOST_POINTS: Final = 400
# Prometheus is asked so many questions at once; its users must not feel the analysis.
_AT_ONCE: Final = 4


async def gather(
    kept: Kept, platform: Platform, prometheus: Prometheus
) -> tuple[tuple[SignalSeries, ...], tuple[str, ...]]:
    """Every signal over the whole run, and what could not be had, with why."""
    if not kept.windows:
        return (), ()
    begin, end = kept.windows[0].begin, kept.end
    interval = max(platform.prometheus.scrape_interval, (end - begin) / _MOST_POINTS)
    step = timedelta(seconds=max(1, round(interval.total_seconds())))
    slots = asyncio.Semaphore(_AT_ONCE)
    signals = [*platform.prometheus.signals, *_only_in_the_plan(kept.plan, platform)]

    async def ask(signal: Signal, query: str) -> tuple[dict[str, SignalSeries], str]:
        async with slots:
            answer = await prometheus.range(query, begin, end, step)
        if answer.failure is not None and answer.failure.reason is not Why.EMPTY:
            return {}, f"{signal.name}: {answer.failure}"
        of_service = ((one.labels.get("service", ""), one.measured) for one in answer.series)
        return {
            service: on_grid(
                signal.name, service, points, unit=signal.unit, query=query, begin=begin, end=end, step=step
            )
            for service, points in of_service
        }, ""

    async def one(signal: Signal) -> tuple[list[SignalSeries], str]:
        found, why = await ask(signal, signal.query)
        if signal.total is None or not have_gaps(found):
            return list(found.values()), why
        totals, why = await ask(signal, signal.total)
        return bridged(found, totals), why

    answers = await asyncio.gather(*map(one, signals))
    series = tuple(each for found, _ in answers for each in found) + _sampled(kept, begin, end, step)
    failed = tuple(why for _, why in answers if why)
    return series, failed if series or failed else ("Prometheus has no data of the run's time",)


def _only_in_the_plan(plan: Plan, platform: Platform) -> list[Signal]:
    """The probes that ask something of their own, and what stages must show of their own."""
    known = {plain(signal.query) for signal in platform.prometheus.signals}
    probes = [
        (watch.name, watch.query, watch.unit)
        for watch in plan.watches
        if watch.query and watch.scope == "service" and plain(watch.query) not in known
    ]
    shown = [(name, one.query, one.unit) for name, one in asked(plan, platform).items()]
    return [
        Signal.model_validate({"name": name, "title": name, "query": query, "unit": unit})
        for name, query, unit in (*probes, *shown)
    ]


def _sampled(kept: Kept, begin: datetime, end: datetime, step: timedelta) -> tuple[SignalSeries, ...]:
    """What Prometheus knows nothing of, as it was sampled."""
    units = {watch.name: watch.unit for watch in kept.plan.watches if not watch.query}
    points: dict[tuple[str, str], list[tuple[datetime, float]]] = {}
    for one in kept.beside:
        if one.value is not None:
            points.setdefault((one.signal, one.service), []).append((one.at, one.value))
    return tuple(
        on_grid(signal, service, own, unit=units[signal], begin=begin, end=end, step=step)
        for (signal, service), own in sorted(points.items())
    )


async def analyse(
    journal: Journal, run: str, platform: Platform, prometheus: Prometheus | None, now: Callable[[], datetime]
) -> Analysis:
    """Analyse an ended run and keep what came out; action items are opened for its findings.

    Without ``prometheus`` the series that were kept are worked on again. Raises ``UsageError`` for a run
    that cannot be analysed, ``JournalError``.
    """
    results = Results(journal)
    kept = await Kept.read(journal, run)
    if prometheus is not None:
        series, missing = await gather(kept, platform, prometheus)
        await results.keep_series(
            kept.record.run, [one.model_dump(mode="json", by_alias=True) for one in series]
        )
    else:
        series = tuple(SignalSeries.model_validate(one) for one in await results.series(kept.record.run))
        missing = () if series else ("no series were kept of this run",)
    analysis = await one_at_a_time(partial(_worked_out, kept, platform, series, missing, now()))
    await results.keep_analysis(
        kept.record.run,
        analysis.at,
        analysis.model_dump(mode="json", by_alias=True),
        [_record(one) for one in analysis.findings],
    )
    items = [_item(kept.plan.experiment, one, analysis.at) for one in analysis.findings if one.action]
    await Actions(journal).open_for(kept.record.run, items, by="analysis")
    return analysis


def _worked_out(
    kept: Kept, platform: Platform, series: Sequence[SignalSeries], missing: Sequence[str], now: datetime
) -> Analysis:
    # scipy takes half a second to import: here, off the loop, and not for whoever never analyses.
    from gameday.run.work_out import work_out  # noqa: PLC0415

    try:
        return work_out(kept, platform, series, missing, now)
    except Exception as error:
        # A sum that went wrong must not cost a run its verdict.
        raise AnalysisError(f"it could not be worked out: {type(error).__name__}: {error}") from error


def _record(finding: Finding) -> FindingRecord:
    body = finding.model_dump(mode="json", by_alias=True)
    return FindingRecord(finding.key, finding.severity, finding.service, finding.breaks_hypothesis, body)


def _item(experiment: str, finding: Finding, at: datetime) -> ActionItem:
    return ActionItem(
        key=finding.key,
        experiment=experiment,
        title=finding.title,
        what=finding.action,
        service=finding.service,
        severity=finding.severity,
        owner=finding.owner,
        opened_at=at,
    )


def in_short(analysis: Analysis) -> str:
    """What an analysis found, in one line."""
    if not analysis.effects and not analysis.findings:
        return f"Analysis: nothing could be worked out ({'; '.join(analysis.missing)})"
    count = len(analysis.findings)
    worse = sorted({one.service for one in analysis.effects if one.change == "worse" and one.service})
    findings_told = f"{count} finding{'s' * (count != 1)}" if count else "nothing to mend"
    whole = next((one for one in analysis.scores if not one.service), None)
    parts = [
        findings_told,
        f"worse meanwhile: {', '.join(worse)}" if worse else "no service was worse meanwhile",
        *([f"resilience {whole.value:.0f} of 100"] if whole else []),
    ]
    return f"Analysis: {'; '.join(parts)}"
