"""The steps before anything is broken. Each can refuse the run; none touches the platform."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from prefect import task
from prefect.cache_policies import NO_CACHE

from gameday.errors import OutsideError, RefusedError, RejectedError
from gameday.health import Examination
from gameday.plan import rules
from gameday.run import baseline, inject
from gameday.run.context import Run
from gameday.safety.lease import RunLeases, Target
from tasks.active import active
from tasks.repeating import RETRIES, RETRY_DELAY_S, when_unreachable

# For the first Lease, in real seconds. A cluster that needs longer is not well.
_PATIENCE_S: Final = 10.0


def examination(run: Run) -> Examination:
    """The health check of the run's environment."""
    session = run.session
    return Examination(
        session.catalogue.platform, session.environment, session.cluster, session.chaos, session.prometheus
    )


@task(name="check-plan", task_run_name="check the plan of {run}", cache_policy=NO_CACHE)
async def check_plan(run: str) -> None:
    """Refuse what the plan refuses."""
    current = active(run).run
    for warning in current.plan.warnings:
        await current.tell("note", warning)
    if current.plan.refusals:
        raise RefusedError("The plan is refused", current.plan.refusals)


@task(
    name="health-check",
    task_run_name="health check {phase} {run}",
    cache_policy=NO_CACHE,
    retries=RETRIES,
    retry_delay_seconds=RETRY_DELAY_S,
    retry_condition_fn=when_unreachable,
)
async def health_check(run: str, phase: str) -> list[str]:
    """Look at cluster, services, Chaos Mesh and Prometheus; before the run, refuse what is not well."""
    current = active(run).run
    kinds = sorted({fault.kind for fault in current.plan.faults})
    checks = await examination(current).all(kinds=kinds, own_run=run)
    active(run).checks = checks
    bad = [f"{check.name}: {check.found}" for check in checks if not check.ok]
    await current.tell(
        "health",
        f"Health {phase} the run: {len(checks) - len(bad)} of {len(checks)} checks are well",
        bad=bad,
    )
    if bad and phase == "before":
        hints = " ".join(dict.fromkeys(check.hint for check in checks if not check.ok and check.hint))
        raise RefusedError("The platform is not healthy", tuple(bad), hint=hints)
    return bad


@task(
    name="dry-run",
    task_run_name="dry run of {run} by the API server",
    cache_policy=NO_CACHE,
    retries=RETRIES,
    retry_delay_seconds=RETRY_DELAY_S,
    retry_condition_fn=when_unreachable,
)
async def dry_run(run: str) -> None:
    """Have the API server judge every object of the plan."""
    try:
        await inject.dry_run(active(run).run)
    except RejectedError as error:
        raise RefusedError("The API server refuses the plan", (error.message,), hint=error.hint) from error


def own_leases(current: Run) -> RunLeases:
    """The Leases of a run, none of them taken yet."""
    session, plan = current.session, current.plan
    return RunLeases(
        session.cluster,
        current.id,
        targets=[Target(plan.namespace, service) for service in plan.services],
        namespace=plan.chaos_namespace,
        clock=session.clock,
        flow_run=current.requested.flow_run or "",
        suite=current.requested.suite or "",
    )


async def announce(current: Run) -> None:
    """Take the run's own Lease before anything else: by it others see that it lives, and call it off.

    Where the cluster gives none, the health check tells why, and no fault goes in without it.
    """
    current.leases = leases = own_leases(current)
    with suppress(OutsideError, TimeoutError):
        async with asyncio.timeout(_PATIENCE_S):
            await leases.announce("its checks")


@task(name="acquire-leases", task_run_name="leases of {run}", cache_policy=NO_CACHE)
async def acquire_leases(run: str) -> None:
    """Make sure that nobody else breaks the same services, and that somebody notices if we die."""
    current = active(run).run
    session = current.session
    # Known before it is complete, so that what was taken is given back whatever happens.
    current.leases = leases = current.leases or own_leases(current)
    for takeover in await leases.acquire():
        await current.tell("warning", str(takeover))
    # Only now, with its own Leases taken: of two runs that start at once, each sees the other.
    if broken := await rules.beside_others(current.plan, session.catalogue, session.cluster, current.now()):
        raise RefusedError("Other runs stand in the way", tuple(map(str, broken)))
    await current.tell("check", f"Nobody else works on {', '.join(current.plan.services)}")


@task(name="notify", task_run_name="tell people of {run}", cache_policy=NO_CACHE)
async def notify(run: str) -> None:
    """Open the run's thread."""
    await active(run).announcer.announce()


@task(
    name="baseline",
    task_run_name="baseline of {run}",
    cache_policy=NO_CACHE,
    retries=RETRIES,
    retry_delay_seconds=RETRY_DELAY_S,
    retry_condition_fn=when_unreachable,
)
async def measure_baseline(run: str) -> int:
    """Judge the steady state and write down what is normal."""
    current = active(run)
    await baseline.judge_steady_state(current.run, current.sampler)
    if (load := current.load.wanted) is not None:
        await current.load.begin()
        await baseline.warm_up(current.run, current.sampler, load)
        await baseline.judge_steady_state(current.run, current.sampler)
    return len(await baseline.measure(current.run, current.sampler))
