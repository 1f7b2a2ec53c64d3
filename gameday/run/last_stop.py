"""Why: after the last stage, or whatever came instead, nothing of the run may be left in the cluster.

Calls the emergency stop for the run and writes down what it found, and looks on for an object whose
creation was never answered: the API server may still be working on it. In the ordinary case there is
nothing left to end.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from gameday.clients.faults import Ref
from gameday.clock import SystemClock
from gameday.errors import OutsideError
from gameday.run.context import Run
from gameday.run.ending import end_faults
from gameday.safety.stop_report import Scope

# The API server gives a request up after a minute (--request-timeout), its webhooks included.
_LATE_CREATION: Final = timedelta(seconds=60)
_POLL: Final = timedelta(seconds=1)


async def end_everything(run: Run) -> None:
    """End whatever of the run is in the cluster, or still comes, and write down what became of it."""
    await _stop(run)
    if run.unanswered:
        await _end_late_ones(run)


async def _stop(run: Run) -> None:
    report = await end_faults(
        Scope.of_run(run.id, run.plan.chaos_namespace),
        context=run.session.environment.context,
        clock=run.session.clock,
    )
    run.findings.faults_ended_at = run.findings.faults_ended_at or run.now()
    run.findings.left_behind = not report.clean
    if report.outcomes or not report.clean:
        run.findings.faults_ended_at = run.now()
        for line in report.lines():
            await run.tell("stop", line, clean=report.clean)
        await run.take_stop_report(report)
    if report.clean:
        await run.take_gone()


async def _end_late_ones(run: Run) -> None:
    """Watch in real time: the API server works in it, whatever the run's clock does, or if that is lost."""
    names = ", ".join(str(ref) for ref in sorted(run.unanswered))
    limit = f"{_LATE_CREATION.total_seconds():.0f} s"
    await run.tell(
        "warning", f"Whether the API server creates {names} is not known; watching for {limit} and ending it"
    )
    clock = SystemClock()
    deadline = clock.now() + _LATE_CREATION
    # Each was asked for once: what has come and was ended does not come again.
    while run.unanswered and clock.now() < deadline:
        if came := {ref for ref in sorted(run.unanswered) if await _deleted(run, ref)}:
            await _stop(run)
            run.unanswered -= came
        else:
            await clock.sleep(_POLL)
    if run.unanswered:
        run.unanswered.clear()
        await run.tell("note", f"Nothing more of {names} appeared within {limit}")
    else:
        await run.tell("note", f"All of {names} came after all, and was ended")


async def _deleted(run: Run, ref: Ref) -> bool:
    try:
        return await run.session.chaos.delete(ref)
    except OutsideError:
        return False
