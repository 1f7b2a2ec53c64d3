"""The three phases of a run, as subflows, so that the Prefect UI shows them as such.

They get the id of a run that this process carries out (``tasks.active``).
"""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from gameday.journal.store import Verdict
from gameday.run.observe import Halt
from tasks import approval, conclusion, execution, preparation
from tasks.active import ActiveRun, active


@flow(name="pre-experiment", flow_run_name="before {run}", persist_result=False)
async def pre_experiment(run: str, dry_run_only: bool = False) -> None:
    """Everything that can refuse the run, before anything is touched."""
    await active(run).run.tell("phase", "Pre-experiment")
    await preparation.check_plan(run)
    await preparation.health_check(run, "before")
    await preparation.dry_run(run)
    if dry_run_only:
        return
    while await approval.wait_for_people(run):
        changed = await approval.look_again(run)
        await preparation.check_plan(run)
        await preparation.health_check(run, "before")
        if not changed:
            break
    await preparation.acquire_leases(run)
    await preparation.notify(run)
    await preparation.measure_baseline(run)


@flow(name="execution", flow_run_name="execute {run}", persist_result=False)
async def execute(run: str) -> Halt | None:
    """Stage after stage: inject, watch, end, settle; answers early where the run must not go on."""
    current = active(run)
    await current.run.tell("phase", "Execution")
    try:
        halt = await _stages(current)
        if halt is not None and halt.verdict is not Verdict.DISPROVED:
            # Whatever else it is, the platform has enough to bear.
            await current.load.stop()
    finally:
        # Here, not after the subflow: where Prefect's server is gone, its end takes a minute.
        await current.end_everything()
    if halt is not None:
        current.tell_halt(halt)
    return halt


async def _stages(current: ActiveRun) -> Halt | None:
    run = current.run.id
    for stage in current.run.plan.stages:
        if (halt := await current.called_off(stage.name)) is not None:
            return halt
        refs = await execution.inject_stage(run, stage.name)
        halt = await execution.monitor_stage(run, stage.name, refs)
        if halt is None:
            halt = await execution.end_stage(run, stage.name, refs)
        if halt is None:
            halt = await execution.settle(run, stage.name)
        if halt is not None:
            return halt
    return None


@flow(name="post-experiment", flow_run_name="after {run}", persist_result=False)
async def post_experiment(run: str, reports_dir: Path) -> str:
    """Is it well again, what does it mean, what do people read."""
    await active(run).run.tell("phase", "Post-experiment")
    await conclusion.validate_recovery(run)
    await preparation.health_check(run, "after")
    given = await conclusion.give_verdict(run)
    await conclusion.analyse_run(run)
    await conclusion.write_report(run, reports_dir)
    return given
