"""Why: a run that was cut off must not look as if it were still going on.

Closes the record of a run whose process is gone: from a hook of Prefect, from a second execution of
the same flow run, or from the next look at the journal.
"""

from __future__ import annotations

from gameday.clock import Clock
from gameday.journal.store import Event, Journal, RunRecord, Verdict
from gameday.safety.stop_report import StopReport


async def close_cut_off(
    journal: Journal, record: RunRecord, verdict: Verdict, why: str, report: StopReport | None, clock: Clock
) -> bool:
    """Give a run that has none its verdict, with what the stop found. Answers whether it had none."""
    if record.verdict is not None:
        return False
    for line in report.lines() if report is not None else ():
        await journal.append(Event(record.run, clock.now(), "stop", line))
    message = f"{verdict.value.capitalize()}: {why}"
    await journal.append(
        Event(record.run, clock.now(), "verdict", message, {"verdict": verdict.value, "reasons": [why]})
    )
    await journal.amend(record.run, verdict=verdict.value, summary=why, ended_at=clock.now())
    return True
