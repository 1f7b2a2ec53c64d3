"""Teams hear of what is coming in time and once, and of a week in one message; else it is quiet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Scheduled

from flows.telling import announce_scheduled, weekly_summary
from gameday.journal.actions import ActionItem, Actions
from gameday.journal.store import Journal, Verdict
from gameday.report.digest import Coming, concerned, week
from gameday.settings import clock, load
from gameday.spec.catalogue import Catalogue
from sandbox.process.launch import Sandbox
from tests.kept_runs import AT, DAY, an_ended_run

CATALOGUE = Catalogue()
EXPERIMENT = CATALOGUE.experiment("basic-pod-failure")
STAGING = CATALOGUE.platform.environment("staging")


def coming(name: str = "basic-pod-failure") -> Coming:
    one = CATALOGUE.experiment(name)
    return Coming(one.name, one.hypothesis, [one], STAGING, AT, one.duration)


def posted(sandbox: Sandbox, channel: str) -> list[dict[str, Any]]:
    """What stands in a channel of the sandbox's Slack."""
    answer: list[dict[str, Any]] = httpx.get(f"{sandbox.url}/control/slack/messages", trust_env=False).json()
    return [message for message in answer if message["channel_name"] == channel.lstrip("#")]


def test_whoever_owns_what_is_broken_or_depends_on_it_is_told() -> None:
    assert concerned(coming("gradual-failure"), CATALOGUE.platform) == {
        "platform-team": ("api-gateway", "platform-services"),
        "identity-team": ("auth-service",),
        "automation-team": ("automation-services",),
        "data-team": ("postgres",),
    }


@flow(name="due")
def due(experiment: str, environment: str) -> None:
    """What a schedule would start."""
    del experiment, environment


@pytest.mark.prefect
@pytest.mark.usefixtures("in_prefect")
async def test_a_scheduled_run_is_announced_once_to_each_team_in_its_channel(sandbox: Sandbox) -> None:
    # Prefect lists what is due by its own clock, the sandbox's began when this test did.
    at = clock(load()).now() + timedelta(hours=3)
    async with get_client() as client:
        for when in (at, at + timedelta(days=3)):
            given = {"experiment": "basic-pod-failure", "environment": "staging"}
            await client.create_flow_run(due, parameters=given, state=Scheduled(scheduled_time=when))
    assert await announce_scheduled() == 1
    (told,) = posted(sandbox, "#identity-team")
    assert told["blocks"][0]["text"]["text"] == "basic-pod-failure is coming: identity-team"
    assert "Your services that are broken" in told["text"]
    assert f"{at:%Y-%m-%d %H:%M} UTC, for 6m" in told["text"]
    assert len(posted(sandbox, "#platform-team")) == 1
    assert posted(sandbox, "#data-team") == [], "nothing of theirs is touched"
    assert await announce_scheduled() == 0, "nobody hears of it twice"
    assert len(posted(sandbox, "#identity-team")) == 1


@pytest.mark.prefect
@pytest.mark.usefixtures("in_prefect")
async def test_a_team_that_could_not_be_told_is_told_later_and_no_other_hears_of_it_again(
    sandbox: Sandbox,
) -> None:
    at = clock(load()).now() + timedelta(hours=3)
    async with get_client() as client:
        given = {"experiment": "basic-pod-failure", "environment": "staging"}
        await client.create_flow_run(due, parameters=given, state=Scheduled(scheduled_time=at))
    teams = [CATALOGUE.platform.team(name) for name in concerned(coming(), CATALOGUE.platform)]
    channels = [team.slack for team in teams if team is not None]
    refusal = {"kind": "error", "error": "channel_not_found", "times": 1, "methods": ["chat.postMessage"]}
    httpx.put(f"{sandbox.url}/control/slack/fault", json=refusal, trust_env=False).raise_for_status()
    assert await announce_scheduled() == 0, "not everybody has heard of it"
    assert sorted(len(posted(sandbox, one)) for one in channels) == [0, *[1] * (len(channels) - 1)]
    assert await announce_scheduled() == 1
    assert [len(posted(sandbox, one)) for one in channels] == [1] * len(channels)
    assert await announce_scheduled() == 0
    assert [len(posted(sandbox, one)) for one in channels] == [1] * len(channels)


@pytest.mark.prefect
@pytest.mark.usefixtures("in_prefect")
async def test_a_week_without_anything_is_quiet_and_one_with_is_told(sandbox: Sandbox) -> None:
    assert await weekly_summary("dev") is False
    now = clock(load()).now()
    async with Journal.open(load().database_url) as journal:
        await an_ended_run(journal, "run-a", now - DAY, Verdict.DISPROVED, environment="dev", sandbox=True)
        await an_ended_run(journal, "run-b", now - 30 * DAY, environment="dev", sandbox=True)
    assert await weekly_summary("dev") is True
    (told,) = posted(sandbox, "#chaos-dev")
    assert "1 runs: 1 disproved." in told["text"]


async def test_what_is_overdue_is_told_although_nothing_ran(database: str) -> None:
    async with Journal.open(database) as journal:
        await an_ended_run(journal, "run-a", AT - 30 * DAY)
        item = ActionItem("k", "trial", "Widen the pool", "w", "", "low", "data-team", AT, due=AT)
        await Actions(journal).open_for("run-a", [item], by="analysis")
        items = await Actions(journal).items()
    message = week([], items, [], AT + DAY)
    assert message is not None
    assert message.text == "No run took place."
    assert message.fields["Overdue (1)"] == "1 Widen the pool (data-team)"
    assert week([], items, [], datetime(2026, 1, 1, tzinfo=UTC)) is None
