"""The steps while faults are in: inject, monitor, end. None is ever repeated by Prefect."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from gameday.clients.faults import Ref
from gameday.journal.store import Verdict
from gameday.run import comeback, gradual, inject, showing
from gameday.run.observe import Halt
from gameday.run.replacement import tell_replacements
from gameday.spec.base import format_duration
from tasks.active import active


@task(name="inject", task_run_name="inject {stage}", cache_policy=NO_CACHE)
async def inject_stage(run: str, stage: str) -> list[Ref]:
    """Create the stage's faults and prove that they are in."""
    current = active(run)
    planned = current.stage(stage)
    await current.run.tell(
        "stage",
        f"Stage {stage}: {planned.title}, {format_duration(planned.duration)}",
        stage=stage,
        duration_s=planned.duration.total_seconds(),
    )
    current.injected = current.run.findings.left_behind = True
    progress = current.observer.progress
    for looks in progress.stages[-1:]:
        await comeback.tell(current.run, looks)
    progress.begin(planned)
    refs = await inject.inject(current.run, planned)
    current.stage_began = inject.began(current.run, planned)
    current.alerts.began(planned, current.stage_began)
    current.observer.standing.began = current.observer.standing.began or current.stage_began
    current.announcer.say(f"Injected: {planned.title}", **inject.where(current.run, planned))
    return refs


@task(name="monitor", task_run_name="monitor {stage}", cache_policy=NO_CACHE)
async def monitor_stage(run: str, stage: str, refs: Sequence[Ref]) -> Halt | None:
    """Watch while the stage's faults are in."""
    current = active(run)
    return await current.observer.watch(stage, current.stage_began + current.stage(stage).duration, refs)


@task(name="end-faults", task_run_name="end {stage}", cache_policy=NO_CACHE)
async def end_stage(run: str, stage: str, refs: Sequence[Ref]) -> Halt | None:
    """End the stage's faults and prove that they are gone; nothing more is injected where they are not."""
    current = active(run)
    planned = current.stage(stage)
    hanging = await inject.end(current.run, planned, list(refs))
    current.observer.progress.stages[-1].replaced = await tell_replacements(current.run, planned)
    if hanging:
        return Halt(Verdict.ERROR, tuple(f"{stage}: {reason}" for reason in hanging))
    current.announcer.say(f"Ended: {planned.title}")
    return None


@task(name="settle", task_run_name="settle after {stage}", cache_policy=NO_CACHE)
async def settle(run: str, stage: str) -> Halt | None:
    """Watch with nothing injected: does it come back by itself, and did the stage show what it must?"""
    current = active(run)
    planned = current.stage(stage)
    if planned.settle:
        halt = await current.observer.watch(f"after {stage}", current.run.now() + planned.settle)
        if halt is not None:
            return halt
    await showing.judge(current.run, planned, current.stage_began)
    await gradual.tell_held(current.run, planned)
    return None
