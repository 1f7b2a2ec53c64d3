"""Why: scheduled runs need a Prefect server, a work pool and a worker that is awake.

The doctor's look at Prefect; it lies here because nothing below the flows knows Prefect.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

import httpx
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import WorkerStatus, WorkPool
from prefect.exceptions import PrefectException
from prefect.settings import get_current_settings

from gameday.doctor.lines import Line, State, judged
from gameday.errors import GamedayError, UnreachableError

PREFECT: Final = "Prefect"

_PATIENCE: Final = timedelta(seconds=10)


async def diagnose() -> list[Line]:
    """The server that PREFECT_API_URL names, its work pools and their workers."""
    url = get_current_settings().api.url
    if not url:
        found = "PREFECT_API_URL is not set: `gameday run` brings its own server, nothing is scheduled"
        return [Line(PREFECT, "server", State.SKIPPED, found)]
    try:
        async with asyncio.timeout(_PATIENCE.total_seconds()), get_client() as client:
            return await _server(client, url)
    except GamedayError as error:
        return [Line(PREFECT, "server", State.FAIL, error.message.removeprefix(f"{PREFECT}: "), error.hint)]
    except (TimeoutError, httpx.HTTPError, PrefectException) as error:
        why = str(error) or f"no answer within {_PATIENCE.total_seconds():.0f} s"
        advice = "Is the server up (`prefect server start`), and PREFECT_API_URL its address?"
        return [Line(PREFECT, "server", State.FAIL, f"{url}: {why}", advice)]


async def _server(client: PrefectClient, url: str) -> list[Line]:
    if (error := await client.api_healthcheck()) is not None:
        raise UnreachableError(
            PREFECT,
            f"{url}: {error}",
            hint="Is the server up (`prefect server start`), and PREFECT_API_URL its address?",
        )
    lines = [Line(PREFECT, "server", State.OK, f"answers at {url}, {await client.api_version()}")]
    pools = await client.read_work_pools()
    if not pools:
        advice = "`python -m deployments.prefect` makes them, and deploys everything."
        return [*lines, Line(PREFECT, "work pools", State.WARN, "none", advice)]
    return lines + [await _pool(client, pool) for pool in pools]


async def _pool(client: PrefectClient, pool: WorkPool) -> Line:
    workers = await client.read_workers_for_work_pool(pool.name)
    awake = [worker.name for worker in workers if worker.status is WorkerStatus.ONLINE]
    return judged(
        PREFECT,
        f"work pool {pool.name}",
        bool(awake) and not pool.is_paused,
        "paused" if pool.is_paused else f"{len(awake)} of {len(workers)} workers awake",
        f"Runs wait there until one is: `prefect worker start --pool {pool.name}`",
        otherwise=State.WARN,
    )
