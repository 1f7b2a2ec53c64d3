"""Why: whoever must end faults gets there by one short way, without the rest of a run.

Opens nothing but the cluster, calls the one emergency stop, and says afterwards, where there is a
journal, what became of the record. ``finally`` in the run, Prefect's hooks and the command use it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final

from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.kubernetes import Cluster
from gameday.clock import Clock
from gameday.errors import GamedayError
from gameday.safety.emergency import stop
from gameday.safety.stop_report import Scope, StopEvent, StopReport

DEFAULT_LIMIT: Final = timedelta(seconds=60)
MANAGED_BY: Final = "app.kubernetes.io/managed-by"


async def end_faults(
    scope: Scope,
    *,
    context: str | None,
    clock: Clock,
    within: timedelta = DEFAULT_LIMIT,
    force: bool = False,
    call_off: bool = False,
    progress: Callable[[StopEvent], None] | None = None,
) -> StopReport:
    """Stop everything in ``scope`` in the cluster of ``context``.

    With ``call_off`` the runs in scope are told too, so that none injects anything more: their
    Leases are deleted, and a run that has lost its Lease ends. Raises ``UsageError`` where the
    kubeconfig cannot be used; what the API server does wrong stands in the report.
    """
    async with Cluster.connect(context, clock=clock, check=False) as cluster:
        stopping = stop(
            ChaosMesh(cluster.api), scope, clock=clock, within=within, force=force, progress=progress
        )
        if not call_off:
            return await stopping
        report, untold = await asyncio.gather(stopping, _call_off(cluster, scope))
        return replace(report, notes=(*report.notes, *untold))


async def _call_off(cluster: Cluster, scope: Scope) -> list[str]:
    """Delete the Leases of the runs in scope. Answers with what could not be done; never raises."""
    labels = {MANAGED_BY: "gameday", **scope.labels}
    try:
        leases = await cluster.leases("", labels)
        await asyncio.gather(*(cluster.delete_lease(replace(one, resource_version="")) for one in leases))
    except GamedayError as error:
        return [f"Whether a run goes on is not known: its leases could not be deleted. {error.message}"]
    runs = sorted({one.holder for one in leases})
    return [f"Called off: run {run}" for run in runs]
