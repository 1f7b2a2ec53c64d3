"""Why: whoever must end faults gets there by one short way, without the rest of a run.

Opens nothing but the cluster, calls the one emergency stop, and says afterwards, where there is a
journal, what became of the record. ``finally`` in the run, Prefect's hooks and the command use it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Final

from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.kubernetes import Cluster
from gameday.clients.types import Lease
from gameday.clock import Clock
from gameday.errors import ConflictError, GamedayError, NotAllowedError, NotFoundError
from gameday.safety.called_off import Caller, note
from gameday.safety.emergency import stop
from gameday.safety.lease import give_back, is_run_lease
from gameday.safety.stop_report import Scope, StopEvent, StopReport
from gameday.spec.kinds import CHAOS_NAMESPACE, RUN, SUITE

DEFAULT_LIMIT: Final = timedelta(seconds=60)
# How long the faults wait until the runs know, in real seconds.
_HEAD_START_S: Final = 0.5
# How long the runs wait to be told until it is written down by whom, in real seconds.
_NAMING_S: Final = 0.25
MANAGED_BY: Final = "app.kubernetes.io/managed-by"


async def end_faults(
    scope: Scope,
    *,
    context: str | None,
    clock: Clock,
    within: timedelta = DEFAULT_LIMIT,
    force: bool = False,
    call_off: bool = False,
    caller: Caller | None = None,
    progress: Callable[[StopEvent], None] | None = None,
) -> StopReport:
    """Stop everything in ``scope`` in the cluster of ``context``.

    With ``call_off`` the runs in scope are told too, so that none injects anything more: their
    Leases are deleted, and a run that has lost its Lease ends, naming ``caller``. A suite counts as a
    run there, and its runs are ended with it. Raises ``UsageError`` where the kubeconfig cannot be
    used; what the API server does wrong stands in the report.
    """
    async with Cluster.connect(context, clock=clock, check=False) as cluster:
        return await end_faults_in(
            cluster,
            scope,
            clock=clock,
            within=within,
            force=force,
            call_off=call_off,
            caller=caller,
            progress=progress,
        )


async def end_faults_in(
    cluster: Cluster,
    scope: Scope,
    *,
    clock: Clock,
    within: timedelta = DEFAULT_LIMIT,
    force: bool = False,
    call_off: bool = False,
    caller: Caller | None = None,
    progress: Callable[[StopEvent], None] | None = None,
) -> StopReport:
    """The same in a cluster that is connected already: nothing can fail any more before the first call."""
    calling_off = asyncio.create_task(
        _call_off(cluster, scope, caller, clock) if call_off else _nobody(), name="call off"
    )
    # First, so that a run knows why its faults go; but nothing that is slow keeps the faults waiting.
    await asyncio.wait({calling_off}, timeout=_HEAD_START_S)
    ending = partial(stop, ChaosMesh(cluster.api), clock=clock, force=force, progress=progress)
    try:
        report = await ending(scope, within=within)
        if call_off and not report.outcomes and (suite := scope.labels.get(RUN)):
            # What is called so may be a suite, whose runs have ids of their own.
            left = max(within - timedelta(seconds=report.seconds), timedelta(0))
            also = await ending(Scope.of_suite(suite, *scope.namespaces), within=left)
            report = report.followed_by(also)
    except BaseException:
        calling_off.cancel()
        raise
    told = await calling_off
    return replace(
        report,
        notes=(*report.notes, *told.notes),
        called_off=told.runs,
        lapsed=told.lapsed,
        may_go_on=told.failed,
    )


@dataclass(frozen=True, slots=True)
class _Told:
    """The runs that lost their Leases, those of them that were dead by then, and what went wrong."""

    runs: tuple[str, ...] = ()
    lapsed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    failed: str = ""


async def _nobody() -> _Told:
    return _Told()


async def _call_off(cluster: Cluster, scope: Scope, caller: Caller | None, clock: Clock) -> _Told:
    """Take the Leases away from the runs in scope. Answers with what could not be done; never raises."""
    try:
        leases = await leases_of_runs(cluster, scope)
        naming = asyncio.create_task(_name(cluster, leases, caller), name="name the caller")
        # So that the run finds the name once it has lost its Lease; but it is not what a stop is for.
        await asyncio.wait({naming}, timeout=_NAMING_S)
        await asyncio.gather(*(_take_away(cluster, lease) for lease in leases))
    except GamedayError as error:
        why = f"Whether a run goes on is not known: its leases could not be deleted. {error.message}"
        return _Told(failed=why)
    runs, now = sorted({one.holder for one in leases}), clock.now()
    return _Told(
        runs=tuple(runs),
        lapsed=tuple(one.holder for one in leases if is_run_lease(one.name) and one.lapsed(now)),
        notes=(*(f"Called off: run {run}" for run in runs), *await naming),
    )


async def leases_of_runs(cluster: Cluster, scope: Scope) -> list[Lease]:
    """The Leases that runs in scope hold, of which the guard's own is none. Raises ``OutsideError``."""
    managed = {MANAGED_BY: "gameday"}
    try:
        listed = [await cluster.leases(name, managed) for name in scope.namespaces or ("",)]
    except NotAllowedError:
        if scope.namespaces:
            raise
        # All of them are there, and whoever carries runs out may look nowhere else.
        listed = [await cluster.leases(CHAOS_NAMESPACE, managed)]
    return [one for leases in listed for one in leases if one.holder and _is_meant(one, scope)]


def _is_meant(lease: Lease, scope: Scope) -> bool:
    run, labels = scope.labels.get(RUN), lease.labels
    if RUN not in labels:
        return False
    whole = all(labels.get(key) == value for key, value in scope.labels.items())
    return whole or (run is not None and labels.get(SUITE) == run)


async def _name(cluster: Cluster, leases: Sequence[Lease], caller: Caller | None) -> list[str]:
    if caller is None:
        return []
    try:
        for namespace in sorted({lease.namespace for lease in leases}):
            runs = {lease.holder for lease in leases if lease.namespace == namespace}
            await note(cluster, namespace, sorted(runs), caller)
    except GamedayError as error:
        return [f"The runs do not know who called them off. {error.message}"]
    return []


async def _take_away(cluster: Cluster, lease: Lease) -> None:
    try:
        await give_back(cluster, lease)
    except (ConflictError, NotFoundError):  # renewed or given back just now: gone is what matters
        await cluster.delete_lease(replace(lease, resource_version=""))
