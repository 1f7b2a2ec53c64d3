"""Why: in a cluster without a guard, the faults of a run that died must still end within a minute or two.

Scheduled every minute. Beside a guard that leads it does nothing.
"""

# No postponed annotations here, as in ``run_experiment``.

import logging
from collections.abc import Sequence
from typing import Any

from httpx import HTTPError
from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.exceptions import PrefectException
from prefect.states import Completed, Failed

from flows import safety_lever
from gameday.clients.kubernetes import Cluster
from gameday.clients.prometheus import Prometheus, prometheus_url
from gameday.clients.slack import messenger
from gameday.clock import Clock, SystemClock
from gameday.errors import GamedayError
from gameday.guard.sweep import Swept, sweep
from gameday.journal.audit import Action, Audit
from gameday.journal.store import Journal, JournalError
from gameday.safety import lever
from gameday.settings import Settings, clock, load
from gameday.spec.catalogue import Catalogue


@flow(name="sweep-orphans", flow_run_name="sweep {environment}", persist_result=False)
async def sweep_orphans(environment: str = "staging") -> State[Any]:
    """End every fault that no living run holds, and every other that must not go on.

    Args:
        environment: An environment of platform.yaml; its whole cluster is swept.
    """
    settings = load()
    catalogue = Catalogue(settings.experiments)
    where = catalogue.platform.environment(environment)
    logger, time = get_run_logger(), clock(settings)

    async def record(title: str, lines: Sequence[str]) -> str:
        logger.warning("%s: %s", title, "; ".join(lines))
        return await _write_down(settings, time, title, lines)

    async with (
        # As the guard's: its retries never move a rehearsal's clock.
        Cluster.connect(
            where.context, clock=SystemClock(), call_timeout=settings.kubernetes_timeout, check=False
        ) as cluster,
        Prometheus(
            prometheus_url(settings, where), clock=time, timeout=settings.prometheus_timeout
        ) as prometheus,
    ):
        swept = await sweep(
            cluster,
            prometheus,
            messenger(settings, logger.info),
            catalogue,
            where,
            clock=time,
            record=record,
        )
        await _show_lever(cluster, catalogue.platform.chaos_namespace, environment, logger)
    return _state(swept)


async def _show_lever(
    cluster: Cluster,
    namespace: str,
    environment: str,
    logger: logging.Logger | logging.LoggerAdapter[logging.Logger],
) -> None:
    """Have Prefect show a lever that somebody has pulled or released elsewhere, such as the guard."""
    try:
        await safety_lever.keep_shown(await lever.read(cluster, namespace), environment)
    except (GamedayError, HTTPError, PrefectException) as error:
        logger.warning("How the safety lever stands cannot be shown: %s", error)


async def _write_down(settings: Settings, time: Clock, title: str, lines: Sequence[str]) -> str:
    """Into the audit trail; answers why that could not be done. No sweep waits for a journal."""
    detail = {"what": title, "lines": list(lines)}
    try:
        async with Journal.open(settings.database_url) as journal:
            return await Audit(journal).attempt(
                Action.GUARD, by="sweep", source="flow", at=time.now(), detail=detail
            )
    except JournalError as error:
        return error.message


def _state(swept: Swept) -> State[Any]:
    told = "; ".join(swept.told)
    if swept.leader:
        return Completed(name="Guarded", message=f"{swept.leader} looks after it; nothing was done")
    if swept.blind:
        return Failed(name="Blind", message=f"not seen: {'; '.join(swept.blind)}. {told}".strip())
    if swept.unproved:
        return Failed(name="Unproved", message=told)
    if swept.told:
        return Completed(name="Swept", message=told)
    return Completed(name="Clean", message="everything that is in belongs to a run that lives")
