"""Flows that only speak: teams hear of scheduled runs ahead of time, and once a week of what happened.

They read Prefect's schedule and the journal, and touch nothing. A run carries a tag for each team that
has heard of it, and one once all have, so that nobody hears of it twice.
"""

# No postponed annotations here: Prefect reads the flows' parameters in a copy of this module that
# does not know the names they would have to be looked up by.

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final

from prefect import flow, get_run_logger
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from pydantic import Field

from gameday.clients.slack import Messenger, attempt, messenger
from gameday.errors import GamedayError, UnreachableError
from gameday.journal.actions import Actions
from gameday.journal.history import History, Wanted
from gameday.journal.store import Journal
from gameday.report.digest import Coming, ahead, concerned, week
from gameday.settings import clock, load
from gameday.spec.base import parse_duration
from gameday.spec.catalogue import Catalogue
from gameday.spec.platform import Platform
from gameday.spec.suite import takes

ANNOUNCED: Final = "announced"
"""The tag of a run that every team has heard of; with ``: TEAM`` after it, that this one has."""

DurationText = Annotated[str, Field(pattern=r"^(\d+(\.\d+)?(ms|s|m|h))+$")]


@flow(name="announce-scheduled", persist_result=False)
async def announce_scheduled(within: DurationText = "24h") -> int:
    """Tell the teams what scheduled runs will break of theirs. Answers of how many runs all have heard now.

    Args:
        within: Runs that are due so soon, and were not announced yet.
    """
    settings = load()
    catalogue = Catalogue(settings.experiments)
    logger = get_run_logger()
    now = clock(settings).now()
    speaker = messenger(settings, logger.info)
    announced = 0
    async with get_client() as client:
        for flow_run, coming in await _due(client, catalogue, now, now + parse_duration(within)):
            if ANNOUNCED in flow_run.tags:
                continue
            failed = await _announce(flow_run, coming, catalogue.platform, speaker, client)
            if failed:
                # Whoever has no tag is told by the next of these flows.
                logger.warning("%s could not be announced everywhere: %s", flow_run.name, "; ".join(failed))
                continue
            announced += 1
    return announced


async def _due(
    client: PrefectClient, catalogue: Catalogue, begin: datetime, end: datetime
) -> list[tuple[FlowRun, Coming]]:
    """The runs of experiments that are due between ``begin`` and ``end``, the next first."""
    scheduled = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        expected_start_time=FlowRunFilterExpectedStartTime(after_=begin, before_=end),
    )
    found = []
    for one in await client.read_flow_runs(flow_run_filter=scheduled, limit=200):
        try:
            coming = _coming(one, catalogue)
        except GamedayError:
            # A run that cannot take place is told of by itself, when it is due.
            continue
        if coming is not None:
            found.append((one, coming))
    return sorted(found, key=lambda pair: pair[1].at)


def _coming(flow_run: FlowRun, catalogue: Catalogue) -> Coming | None:
    """What is due; None for a flow run that breaks nothing."""
    given, at = flow_run.parameters, flow_run.expected_start_time
    if at is None or not ("experiment" in given or "suite" in given):
        return None
    where = catalogue.platform.environment(str(given.get("environment", "staging")))
    if "suite" in given:
        suite = catalogue.suite(str(given["suite"]))
        parts = catalogue.parts(suite)
        experiments = [part.experiment for part in parts]
        return Coming(suite.name, suite.title, experiments, where, at, takes(parts))
    one = catalogue.experiment(str(given["experiment"]))
    return Coming(one.name, one.hypothesis, [one], where, at, one.duration)


async def _announce(
    flow_run: FlowRun, coming: Coming, platform: Platform, speaker: Messenger, client: PrefectClient
) -> Sequence[str]:
    """Tell each team that has not heard of it; answers why some could not be told."""
    failed, tags = [], list(flow_run.tags)
    for name, services in concerned(coming, platform).items():
        team, tag = platform.team(name), f"{ANNOUNCED}: {name}"
        if team is None or tag in tags:
            continue
        delivery = await attempt(speaker.open_thread(team.slack, ahead(coming, team, services, platform)))
        if not delivery.ok:
            failed.append(delivery.why)
            continue
        # At once: whatever becomes of the others, this team has heard of it.
        tags.append(tag)
        await client.update_flow_run(flow_run.id, tags=tags)
    if not failed:
        await client.update_flow_run(flow_run.id, tags=[*tags, ANNOUNCED])
    return failed


@flow(name="weekly-summary", persist_result=False)
async def weekly_summary(environment: str = "staging") -> bool:
    """Tell an environment's channel what the last seven days brought. Answers whether it was anything.

    Args:
        environment: An environment of platform.yaml.
    """
    settings = load()
    catalogue = Catalogue(settings.experiments)
    where = catalogue.platform.environment(environment)
    now = clock(settings).now()
    async with Journal.open(settings.database_url) as journal:
        rows = await History(journal).rows(
            Wanted(
                environment=where.name,
                since=now - timedelta(days=7),
                until=now,
                sandbox=settings.on_sandbox,
            )
        )
        items = await Actions(journal).items(closed=False, sandbox=settings.on_sandbox)
    async with get_client() as client:
        due = await _due(client, catalogue, now, now + timedelta(days=7))
    coming = [one for _, one in due if one.environment.name == where.name]
    message = week(rows, items, coming, now)
    if message is None:
        return False
    speaker = messenger(settings, get_run_logger().info)
    delivery = await attempt(speaker.open_thread(where.channel, message))
    if not delivery.ok:
        raise UnreachableError("Slack", delivery.why, hint=delivery.hint)
    return True
