"""Why: whoever must end faults gets there by one short way, without the rest of a run.

Opens nothing but the cluster, calls the one emergency stop, and says afterwards, where there is a
journal, what became of the record. ``finally`` in the run, Prefect's hooks and the command use it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.kubernetes import Cluster
from gameday.clients.types import Lease
from gameday.clock import Clock
from gameday.errors import ConflictError, GamedayError, NotFoundError
from gameday.safety.called_off import Caller, note
from gameday.safety.emergency import stop
from gameday.safety.lease import give_back
from gameday.safety.stop_report import Scope, StopEvent, StopReport

DEFAULT_LIMIT: Final = timedelta(seconds=60)
# How long the faults wait until the runs know, in real seconds.
_HEAD_START_S: Final = 0.5
# How long the runs wait to be told until it is written down by whom, in real seconds.
_NAMING_S: Final = 0.25
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
CALLED_OFF: Final = "Called off: run "
"""How the note of a run that was told begins; its id follows."""


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
    Leases are deleted, and a run that has lost its Lease ends, naming ``caller``. Raises
    ``UsageError`` where the kubeconfig cannot be used; what the API server does wrong stands in the
    report.
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
        _call_off(cluster, scope, caller) if call_off else _nobody(), name="call off"
    )
    # First, so that a run knows why its faults go; but nothing that is slow keeps the faults waiting.
    await asyncio.wait({calling_off}, timeout=_HEAD_START_S)
    try:
        report = await stop(
            ChaosMesh(cluster.api), scope, clock=clock, within=within, force=force, progress=progress
        )
    except BaseException:
        calling_off.cancel()
        raise
    return replace(report, notes=(*report.notes, *await calling_off))


async def _nobody() -> list[str]:
    return []


async def _call_off(cluster: Cluster, scope: Scope, caller: Caller | None) -> list[str]:
    """Take the Leases away from the runs in scope. Answers with what could not be done; never raises."""
    labels = {MANAGED_BY: "gameday", **scope.labels}
    try:
        leases = [lease for lease in await cluster.leases("", labels) if lease.holder]
        naming = asyncio.create_task(_name(cluster, leases, caller), name="name the caller")
        # So that the run finds the name once it has lost its Lease; but it is not what a stop is for.
        await asyncio.wait({naming}, timeout=_NAMING_S)
        await asyncio.gather(*(_take_away(cluster, lease) for lease in leases))
    except GamedayError as error:
        return [f"Whether a run goes on is not known: its leases could not be deleted. {error.message}"]
    runs = sorted({one.holder for one in leases})
    return [f"{CALLED_OFF}{run}" for run in runs] + await naming


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
