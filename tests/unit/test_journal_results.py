"""What was learned from runs is kept, found again, and tracked until somebody has mended it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from gameday.errors import UsageError
from gameday.journal.actions import ActionItem, Actions
from gameday.journal.audit import Audit
from gameday.journal.history import History, Hit, Recovery, Wanted
from gameday.journal.results import FindingRecord, PredictionRecord, Results
from gameday.journal.store import Event, Journal, Verdict
from tests.kept_runs import AT, DAY, a_run, an_ended_run


@pytest.fixture
async def journal(database: str) -> AsyncIterator[Journal]:
    async with Journal.open(database) as opened:
        yield opened


async def test_a_history_tells_what_each_run_hit_and_how_it_came_back(journal: Journal) -> None:
    await an_ended_run(journal, "run-a")
    (row,) = await History(journal).newest()
    assert (row.run, row.verdict, row.recovered_s, row.availability) == ("run-a", Verdict.HELD, 20.0, 0.75)
    assert row.hits == (Hit("api-gateway", "PodChaos", "pod-kill"),), "what was not injected hit nothing"
    assert row.recoveries == (Recovery("kill", "api-gateway", "back", 12.0),)
    assert row.services == ("api-gateway",)
    assert row.samples == 1


async def test_a_run_that_goes_on_is_in_the_history_and_is_summed_up_once_it_has_ended(
    journal: Journal,
) -> None:
    await a_run(journal, "run-a")
    history = History(journal)
    (row,) = await history.newest()
    assert (row.verdict, row.hits, row.availability) == (None, (), None)
    await journal.conclude("run-a", Verdict.ABORTED, "past a guardrail", AT + timedelta(minutes=1))
    (row,) = await history.newest()
    assert (row.verdict, row.services) == (Verdict.ABORTED, ("api-gateway",))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(), ["run-c", "run-b", "run-a"]),
        (Wanted(experiment="other"), ["run-c"]),
        (Wanted(environment="production"), ["run-b"]),
        (Wanted(verdict=Verdict.DISPROVED), ["run-b"]),
        (Wanted(since=AT + DAY), ["run-c", "run-b"]),
        (Wanted(until=AT + DAY), ["run-a"]),
        (Wanted(service="api-gateway", since=AT + DAY, until=AT + 2 * DAY), ["run-b"]),
        (Wanted(service="redis"), []),
        (Wanted(suite="all-of-them"), ["run-c"]),
    ],
)
async def test_runs_are_found_by_what_they_were(journal: Journal, wanted: Wanted, found: list[str]) -> None:
    await an_ended_run(journal, "run-a")
    await an_ended_run(journal, "run-b", AT + DAY, Verdict.DISPROVED, environment="production")
    await an_ended_run(journal, "run-c", AT + 2 * DAY, experiment="other", suite="all-of-them")
    history = History(journal)
    assert [row.run for row in await history.newest(wanted)] == found
    assert [row.run for row in await history.rows(wanted)] == found[::-1]
    assert [row.run for row in await history.newest(wanted, limit=1)] == found[:1]


async def test_what_a_person_adds_later_counts_too(journal: Journal) -> None:
    await an_ended_run(journal, "run-a")
    history = History(journal)
    assert (await history.newest())[0].interventions == 0
    remark = {"by": "platform-team", "intervention": True}
    await journal.append(Event("run-a", AT, "remark", "restarted the gateway by hand", remark))
    await journal.append(Event("run-a", AT, "remark", "only looked", {"by": "x", "intervention": False}))
    await history.refresh("run-a")
    assert (await history.newest())[0].interventions == 1


async def test_several_may_ask_for_the_history_at_once(database: str, journal: Journal) -> None:
    for number in range(20):
        await an_ended_run(journal, f"run-{number:02}")
    async with Journal.open(database) as other:
        answers = await asyncio.gather(*(History(one).rows() for one in (journal, other, journal, other)))
    assert [len(rows) for rows in answers] == [20, 20, 20, 20]


async def test_series_and_analysis_are_read_back_as_they_were_kept(journal: Journal) -> None:
    await an_ended_run(journal, "run-a")
    results = Results(journal)
    series = [{"signal": "p95", "service": "redis", "values": [0.1, None, 3.5]}]
    finding = FindingRecord("slow-redis", "high", "redis", True, {"key": "slow-redis", "title": "slow"})
    assert (await results.series("run-a"), await results.analysis("run-a")) == ([], None)
    for _ in range(2):  # made again, it takes the place of what was there
        await results.keep_series("run-a", series)
        await results.keep_analysis("run-a", AT, {"method": "by hand", "effects": []}, [finding])
    assert await results.series("run-a") == series
    assert await results.analysis("run-a") == {"method": "by hand", "effects": []}
    assert await results.findings() == [replace(finding, run="run-a")]
    assert (await History(journal).newest())[0].findings == 1


async def test_findings_are_found_by_time_and_key(journal: Journal) -> None:
    results = Results(journal)
    for number, key in enumerate(["a", "b", "a"]):
        run = await an_ended_run(journal, f"run-{number}", AT + number * DAY)
        await results.keep_analysis(run, AT, {}, [FindingRecord(key, "low")])
    assert [(one.run, one.key) for one in await results.findings(keys=["a"])] == [
        ("run-0", "a"),
        ("run-2", "a"),
    ]
    assert [one.run for one in await results.findings(since=AT + DAY, until=AT + 2 * DAY)] == ["run-1"]


async def test_a_run_keeps_what_was_expected_of_it(journal: Journal) -> None:
    results = Results(journal)
    old = PredictionRecord("p1", "trial", "staging", "d" * 64, AT, {"verdict": "held"})
    new = replace(old, prediction="p2", at=AT + DAY)
    await results.keep_prediction(new)
    await results.keep_prediction(old)
    assert await results.newest_prediction("trial", "staging") == new
    assert await results.newest_prediction("trial", "production") is None
    await an_ended_run(journal, "run-a")
    assert await results.prediction("run-a") is None
    await results.use_prediction("run-a", "p1")
    assert await results.prediction("run-a") == old


ITEM = ActionItem(
    key="p95-auth",
    experiment="trial",
    title="P95 of auth-service broke",
    what="Give the client a timeout of 1 s.",
    service="auth-service",
    severity="high",
    owner="identity-team",
    opened_at=AT,
    due=AT + 14 * DAY,
)


async def test_a_finding_opens_an_item_once_and_is_noted_at_it_when_it_comes_again(journal: Journal) -> None:
    actions = Actions(journal)
    for run in ("run-a", "run-b", "run-b"):
        if await journal.find(run) is None:
            await an_ended_run(journal, run)
        (item,) = await actions.open_for(run, [ITEM], by="analysis")
    assert (item.key, item.runs, item.open) == ("p95-auth", ("run-a", "run-b"), True)
    assert len(await actions.items()) == 1


async def test_what_comes_again_after_it_was_closed_is_a_new_item(journal: Journal) -> None:
    actions = Actions(journal)
    await an_ended_run(journal, "run-a")
    await an_ended_run(journal, "run-b")
    (first,) = await actions.open_for("run-a", [ITEM], by="analysis")
    await actions.close(first.item, by="identity-team", at=AT + DAY, outcome="timeout set")
    (second,) = await actions.open_for("run-b", [ITEM], by="analysis")
    assert second.item != first.item
    assert [one.item for one in await actions.items(closed=False)] == [second.item]
    assert [one.item for one in await actions.items(closed=True)] == [first.item]


async def test_an_item_is_assigned_is_overdue_and_is_closed_once(journal: Journal) -> None:
    actions = Actions(journal)
    await an_ended_run(journal, "run-a")
    (item,) = await actions.open_for("run-a", [ITEM], by="analysis")
    assert not item.overdue(AT + 14 * DAY)
    assert item.overdue(AT + 15 * DAY)
    item = await actions.assign(item.item, by="lead", at=AT, assignee="on-call", due=AT + 20 * DAY)
    assert (item.owner, item.assignee, item.due) == ("identity-team", "on-call", AT + 20 * DAY)
    item = await actions.close(item.item, by="on-call", at=AT + DAY, outcome="timeout set")
    assert (item.open, item.closed_by, item.outcome) == (False, "on-call", "timeout set")
    assert not item.overdue(AT + 99 * DAY)
    with pytest.raises(UsageError, match="closed by on-call already") as caught:
        await actions.close(item.item, by="lead", at=AT, outcome="again")
    assert "gameday actions reopen" in caught.value.hint
    assert (await actions.reopen(item.item, by="lead", at=AT, why="it came again")).open
    trail = [entry async for entry in Audit(journal).entries()]
    assert [entry.detail["what"] for entry in trail] == ["opened", "assigned", "closed", "reopened"]
    with pytest.raises(UsageError, match="no action item 99"):
        await actions.get(99)
