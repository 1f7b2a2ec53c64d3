"""What was run on the sandbox is kept, and never counts for a cluster."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gameday.cli.main import run
from gameday.clock import SystemClock
from gameday.errors import ExitCode
from gameday.journal.actions import ActionItem, Actions
from gameday.journal.store import Journal, Verdict
from gameday.settings import load
from sandbox.process.launch import Sandbox
from tests.kept_runs import AT, DAY, a_run, an_ended_run

Capture = pytest.CaptureFixture[str]
KEY = "trial/pool"
CLUSTER, TWIN = "20261121t101500-trial-aaaa", "20261123t101500-trial-bbbb"


def pool(at: Any = AT) -> ActionItem:
    return ActionItem(KEY, "trial", "The pool is too small", "Widen it", "redis", "high", "platform-team", at)


async def both(database: str) -> None:
    """A run on a cluster that held, and one on the sandbox that found something."""
    async with Journal.open(database) as journal:
        await an_ended_run(journal, CLUSTER, AT - 2 * DAY)
        await an_ended_run(journal, TWIN, AT, Verdict.DISPROVED, sandbox=True)
        await Actions(journal).open_for(TWIN, [pool()], by="analysis")


@pytest.fixture
def journal(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMEDAY_DATABASE_URL", database)
    asyncio.run(both(database))


def printed(capsys: Capture, *arguments: str) -> Any:
    assert run([*arguments, "-o", "json"]) == ExitCode.HELD
    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("journal")
def test_the_history_has_both_and_says_which_is_which(capsys: Capture) -> None:
    assert [(one["run"], one["sandbox"]) for one in printed(capsys, "history")] == [
        (TWIN, True),
        (CLUSTER, False),
    ]
    assert [one["run"] for one in printed(capsys, "history", "--sandbox")] == [TWIN]
    assert [one["run"] for one in printed(capsys, "history", "--clusters")] == [CLUSTER]
    assert run(["show", TWIN]) == ExitCode.HELD
    assert "trial on staging (sandbox)" in capsys.readouterr().out


@pytest.mark.usefixtures("journal")
def test_a_review_counts_clusters_or_the_sandbox_and_says_what_it_left_out(
    tmp_path: Path, capsys: Capture
) -> None:
    command = ("review", "--quarter", "2026Q4", "--to", str(tmp_path), "-o", "json")
    assert run(list(command)) == ExitCode.HELD
    told = capsys.readouterr()
    assert json.loads(told.out)["this"]["verdicts"] == {"held": 1}
    assert json.loads(told.out)["openItems"] == 0
    assert "1 run on the sandbox left out; --sandbox counts those instead." in told.err

    assert run([*command, "--sandbox"]) == ExitCode.HELD
    told = capsys.readouterr()
    assert json.loads(told.out)["this"]["verdicts"] == {"disproved": 1}
    assert json.loads(told.out)["openItems"] == 1
    title = (tmp_path / "review-2026Q4-sandbox.md").read_text(encoding="utf-8").partition("\n")[0]
    assert title.endswith("on the sandbox")


@pytest.mark.usefixtures("journal")
def test_whoever_works_on_the_sandbox_sees_its_record(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert printed(capsys, "actions", "list") == []
    monkeypatch.setenv("GAMEDAY_CLOCK_URL", "http://127.0.0.1:9/control/clock")
    assert [one["key"] for one in printed(capsys, "actions", "list")] == [KEY]


@pytest.mark.usefixtures("journal")
def test_what_is_to_be_done_in_the_sandbox_is_listed_where_that_is_asked(capsys: Capture) -> None:
    assert run(["actions", "list"]) == ExitCode.HELD
    told = capsys.readouterr()
    assert "Nothing is to be done." in told.out
    assert "1 of the sandbox left out; --sandbox lists those instead." in told.err
    assert [one["sandbox"] for one in printed(capsys, "actions", "list", "--sandbox")] == [True]
    assert [one["key"] for one in printed(capsys, "actions", "list", "--run", "bbbb")] == [KEY]


@pytest.mark.parametrize(
    ("quiet", "state"), [(timedelta(hours=1), (None, "unknown")), (2 * DAY, ("error", "ended"))]
)
def test_a_run_on_a_sandbox_is_not_called_dead_because_a_cluster_does_not_know_it(
    shared_sandbox: Sandbox,
    quiet: timedelta,
    state: tuple[str | None, str],
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert shared_sandbox.url
    # As a cluster: what tells a sandbox from one is that it has a clock of its own.
    monkeypatch.delenv("GAMEDAY_CLOCK_URL")

    async def left_open() -> None:
        async with Journal.open(load().database_url) as journal:
            await a_run(journal, TWIN, SystemClock().now() - quiet, sandbox=True)

    asyncio.run(left_open())
    (row,) = printed(capsys, "history")
    assert (row["verdict"], row["state"]) == state


async def test_a_finding_on_a_cluster_is_no_repetition_of_one_on_the_sandbox(database: str) -> None:
    await both(database)
    async with Journal.open(database) as journal:
        actions = Actions(journal)
        (of_cluster,) = await actions.open_for(CLUSTER, [pool()], by="analysis")
        assert not of_cluster.sandbox
        assert of_cluster.runs == (CLUSTER,)
        assert [one.runs for one in await actions.items(sandbox=True)] == [(TWIN,)]
