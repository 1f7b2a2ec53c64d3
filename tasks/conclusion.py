"""The steps after the faults: is it well again, what does it mean, what do people read."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from gameday.errors import GamedayError
from gameday.report.publish import publish
from gameday.run import comeback, gradual, recovery, verdict
from gameday.run.analyse import analyse, in_short
from gameday.run.context import Recovered
from gameday.spec.base import format_duration
from tasks.active import active


@task(name="validate-recovery", task_run_name="recovery after {run}", cache_policy=NO_CACHE)
async def validate_recovery(run: str) -> Recovered:
    """Wait until the steady state holds again, and prove that nothing is left."""
    current = active(run)
    progress = current.observer.progress
    if current.halt is not None:
        await current.alerts.close("the faults were ended")
    recovered = await recovery.validate(current.run, current.sampler, progress)
    await current.load.end()
    current.run.findings.recovered = recovered
    for looks in progress.stages[-1:]:
        await comeback.tell(current.run, looks)
    await current.run.tell(
        "recovery",
        f"Steady state: {_in_words(recovered)}",
        in_time=recovered.in_time,
        blind=recovered.blind and not recovered.in_time,
        took_s=recovered.took.total_seconds() if recovered.took is not None else None,
    )
    if recovered.in_time:
        current.announcer.recovered(f"steady state {_in_words(recovered)}")
    return recovered


def _in_words(recovered: Recovered) -> str:
    if not recovered.in_time or recovered.took is None:
        return "whether it came back could not be seen" if recovered.blind else "not back in time"
    seconds = round(recovered.took.total_seconds())
    return f"back after {format_duration(timedelta(seconds=seconds))}" if seconds > 0 else "held at once"


@task(name="verdict", task_run_name="verdict on {run}", cache_policy=NO_CACHE)
async def give_verdict(run: str) -> str:
    """Draw the verdict from what was proved."""
    current = active(run)
    await current.alerts.close("the run was over")
    recovered = current.run.findings.recovered or Recovered(in_time=False, took=None)
    left = await recovery.prove_nothing_left(current.run)
    plan, looks = current.run.plan, current.observer.progress.stages
    found = gradual.result(plan.stages, looks[-1].stage.name, current.halt, recovered) if looks else None
    if found is not None:
        await gradual.tell(current.run, found)
    learned = current.run.findings
    given, reasons = verdict.draw(
        current.halt, recovered, left, plan.recovery, found, learned.missed, learned.unseen
    )
    await current.run.conclude(given, reasons)
    return given.value


@task(name="analyse", task_run_name="analysis of {run}", cache_policy=NO_CACHE)
async def analyse_run(run: str) -> None:
    """Work out what the run teaches. Whatever goes wrong here, the verdict stands."""
    current = active(run).run
    session = current.session
    try:
        found = await analyse(
            session.journal, run, session.catalogue.platform, session.prometheus, session.clock.now
        )
    except Exception as error:  # whatever is wrong with what it teaches, a run keeps its verdict
        why = error.message if isinstance(error, GamedayError) else f"{type(error).__name__}: {error}"
        await current.tell("warning", f"The run was not analysed: {why}")
        return
    await current.tell("analysis", in_short(found))


@task(name="report", task_run_name="report of {run}", cache_policy=NO_CACHE)
async def write_report(run: str, directory: Path) -> None:
    """Write the report from the journal."""
    current = active(run)
    current.report = await publish(current.run, directory)
    files = (current.report.picture, current.report.page)
    current.announcer.files = tuple(path for path in files if path is not None)
