"""Why: a run that was cut off must not look as if it were still going on.

Closes the record of a run whose process is gone: from its watchdog, from a hook of Prefect, from a
second execution of the same flow run, or from the next look at the journal.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial

from gameday.clients.grafana import Access
from gameday.clock import Clock
from gameday.journal.audit import Action, Audit
from gameday.journal.store import Event, Journal, RunRecord, Verdict
from gameday.run.marks import end_left_open
from gameday.safety.stop_report import Proof, StopReport


async def close_cut_off(
    journal: Journal,
    record: RunRecord,
    verdict: Verdict,
    why: str,
    report: StopReport | None,
    clock: Clock,
    *,
    door: str,
    marked: Access | None,
) -> bool:
    """Give a run that has none its verdict, with what the stop found. Answers whether it had none.

    What became of the faults is written down whoever closed the record. ``door`` names in the audit
    trail who did: ``watchdog``, ``hook``, ``flow``, ``command``. No ``report`` means that nothing was
    left of it. ``marked`` is where its faults were marked on dashboards.
    """
    now, news = clock.now(), False
    audit = partial(Audit(journal).record, by=door, source=door, at=now, run=record.run)
    if report is not None and report.outcomes:
        await audit(Action.STOP, detail=report.gist())
    if report is not None:
        news = await _record_faults(journal, record.run, report, now)
    lines = report.lines() if report is not None else []
    message = f"{verdict.value.capitalize()}: {why}"
    story = [Event(record.run, now, "stop", line) for line in lines]
    story.append(Event(record.run, now, "verdict", message, {"verdict": verdict.value, "reasons": [why]}))
    concluded = await journal.conclude(record.run, verdict, why, now, story)
    if concluded:
        await audit(Action.RUN_ENDED, detail={"verdict": verdict.value, "reasons": [why]})
    if marked is not None and (concluded or news):
        gone = report is None or report.clean
        if failed := await end_left_open(marked, journal, record, now, gone=gone):
            await journal.append(Event(record.run, now, "warning", failed))
    return concluded


def doubted(report: StopReport, record: RunRecord | None) -> StopReport:
    """``report``, and that the run of ``record`` may still inject where it could not be called off.

    A run holds a Lease from its first moment until it has a verdict; one without may be about to take it.
    """
    if record is None or record.verdict is not None or report.outcomes or report.called_off:
        return report
    why = (
        f"Run {record.run} has no verdict, and held no Lease by which it could be called off: it may go on. "
        f"If this is not the cluster of {record.environment}, name that: --env {record.environment}."
    )
    return replace(report, may_go_on=report.may_go_on or why)


async def _record_faults(journal: Journal, run: str, report: StopReport, now: datetime) -> bool:
    """Answers whether any was not known to have ended."""
    news = False
    known = {fault.name: fault for fault in await journal.faults(run)}
    for outcome in report.outcomes:
        fault = known.get(outcome.ref.name)
        if fault is not None and fault.ended_at is None:
            ended = now if outcome.proof is not Proof.UNPROVED else None
            await journal.put_fault(run, replace(fault, ended_at=ended, proof=f"emergency stop: {outcome}"))
            news = news or ended is not None
    return news
