"""The doctor tells whether anybody would carry out what Prefect has scheduled."""

from __future__ import annotations

import pytest
from prefect import get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate

from flows.diagnosis import diagnose
from gameday.doctor.lines import Line, State

POOL = "doctors-own-pool"


async def pool_line() -> Line:
    return next(line for line in await diagnose() if line.name == f"work pool {POOL}")


@pytest.mark.usefixtures("in_prefect")
async def test_a_pool_nobody_works_for_is_told_with_the_command_that_starts_a_worker() -> None:
    async with get_client() as client:
        await client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        try:
            assert (await diagnose())[0].state is State.OK
            line = await pool_line()
            assert (line.state, line.found) == (State.WARN, "0 of 0 workers awake")
            assert f"prefect worker start --pool {POOL}" in line.mend
            await client.send_worker_heartbeat(POOL, "somebody", heartbeat_interval_seconds=30)
            assert (await pool_line()).state is State.OK
            await client.update_work_pool(POOL, WorkPoolUpdate(is_paused=True))
            assert (await pool_line()).found == "paused"
        finally:
            await client.delete_work_pool(POOL)
