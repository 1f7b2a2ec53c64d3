"""``gameday monitor``: a run is followed to its very end, from any terminal."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest

from gameday.cli.main import run
from gameday.errors import ExitCode
from gameday.journal.store import Event, Journal, RunRecord
from gameday.settings import load

Capture = pytest.CaptureFixture[str]

RUN = "20261123t101530-basic-pod-failure-7f3a"
AT = datetime(2026, 11, 23, 10, 15, 30, tzinfo=UTC)


@pytest.fixture
def ended() -> None:
    """The journal has a run with its verdict and its report."""

    async def write() -> None:
        async with Journal.open(load().database_url) as journal:
            await journal.begin(RunRecord(RUN, "basic-pod-failure", "staging", "me", "why", AT))
            data = {"verdict": "held", "reasons": []}
            await journal.append(Event(RUN, AT, "verdict", "Held: every signal stayed", data))
            await journal.amend(RUN, verdict="held", ended_at=AT)
            await journal.append(Event(RUN, AT, "report", "The report is at r.md", {"path": "r.md"}))

    asyncio.run(write())


def test_without_any_run_it_says_how_to_start_one(capsys: Capture) -> None:
    assert run(["monitor"]) == ExitCode.USAGE
    assert "`gameday run NAME` starts one." in capsys.readouterr().err


@pytest.mark.usefixtures("ended")
def test_an_unknown_run_is_told() -> None:
    assert run(["monitor", "nobody"]) == ExitCode.USAGE


@pytest.mark.usefixtures("ended")
@pytest.mark.parametrize("arguments", [[], [RUN], ["7f3a"], ["--no-follow"]])
def test_a_run_that_has_ended_is_told_whole_with_its_report(arguments: list[str], capsys: Capture) -> None:
    assert run(["monitor", *arguments]) == ExitCode.HELD
    told = capsys.readouterr().out
    assert "✓ Held" in told
    assert told.count("r.md") == 1


@pytest.mark.usefixtures("ended")
def test_programs_get_every_event(capsys: Capture) -> None:
    assert run(["monitor", "-o", "json"]) == ExitCode.HELD
    told = capsys.readouterr()
    assert [event["kind"] for event in json.loads(told.out)] == ["verdict", "report"]
    assert told.err == ""
