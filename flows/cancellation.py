"""Why: whoever cancels a run in Prefect gets what the button promises, whatever carries the run out.

A runner or a worker ends the process of a flow run that is cancelled. One that somebody started by hand
Prefect only marks as cancelling, and nobody ends it; so a run looks at its own mark. It is called off as
``gameday stop`` would: how it ends then is its own business.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

from httpx import HTTPError
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectException

from gameday.background import background
from gameday.run.context import Session
from gameday.run.ending import end_faults_in
from gameday.safety.called_off import Caller
from gameday.safety.stop_report import Scope

# Real seconds: whoever presses the button waits in them, whatever the run's clock does.
_LOOK_EVERY_S: Final = 5.0
_CALL_TIMEOUT_S: Final = 5.0
_CALLER: Final = Caller("Prefect", "the flow run was cancelled there")


@asynccontextmanager
async def heeded(session: Session, run: str, flow_run: str | None) -> AsyncIterator[None]:
    """Call the run or suite ``run`` off where its ``flow_run`` is cancelled in Prefect meanwhile."""
    if flow_run is None:
        yield
        return
    watching = background(_watch(session, run, UUID(flow_run)), name="cancellation in Prefect")
    try:
        yield
    finally:
        watching.cancel()


async def _watch(session: Session, run: str, flow_run: UUID) -> None:
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        if await _cancelled(flow_run):
            # Once more at the next look, where the cluster did not answer.
            scope = Scope.of_run(run, session.catalogue.platform.chaos_namespace)
            await end_faults_in(session.cluster, scope, clock=session.clock, call_off=True, caller=_CALLER)


async def _cancelled(flow_run: UUID) -> bool:
    try:
        async with asyncio.timeout(_CALL_TIMEOUT_S), get_client() as client:
            state = (await client.read_flow_run(flow_run)).state
    except (HTTPError, PrefectException, TimeoutError, OSError, ValueError):
        return False  # the run needs no Prefect; it is asked again
    return state is not None and (state.is_cancelling() or state.is_cancelled())
