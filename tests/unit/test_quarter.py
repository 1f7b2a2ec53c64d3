"""A quarter is reviewed from the journal: what ran, what was mended and holds, what is new, late, untried."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gameday.analysis.periods import quarter
from gameday.analysis.quarter import Review
from gameday.cli.main import run
from gameday.errors import ExitCode
from gameday.journal.actions import ActionItem, Actions
from gameday.journal.results import FindingRecord, Results
from gameday.journal.store import Journal, Verdict
from gameday.report.quarter import made, write
from gameday.settings import load
from gameday.spec.catalogue import Catalogue
from tests.kept_runs import AT, DAY, an_ended_run

Capture = pytest.CaptureFixture[str]

NOW = AT + 7 * DAY
OLD_KEY, NEW_KEY = "basic-pod-failure/pool", "basic-pod-failure/retries"


def finding(key: str, title: str) -> FindingRecord:
    return FindingRecord(key, "high", "api-gateway", True, {"title": title, "owner": "platform-team"})


def item(key: str, title: str, at: datetime) -> ActionItem:
    return ActionItem(key, "basic-pod-failure", title, "do", "api-gateway", "high", "platform-team", at)


async def a_year(journal: Journal, environment: str = "staging") -> None:
    """Twelve runs in twelve months; what the first ones found is mended, a new thing is found in November."""
    results, actions = Results(journal), Actions(journal)
    for month in range(12):
        at = datetime(2025 + (month + 11) // 12, (month + 11) % 12 + 1, 10, 10, tzinfo=UTC)
        broke = month < 6 or month == 11
        name = await an_ended_run(
            journal,
            f"{at:%Y%m%d}t100000-{environment}-{month:04}",
            at,
            Verdict.DISPROVED if broke else Verdict.HELD,
            experiment="basic-pod-failure",
            environment=environment,
        )
        key, title = (OLD_KEY, "The pool is too small") if month < 11 else (NEW_KEY, "Retries | never end<b>")
        if broke:
            await results.keep_analysis(name, at, {}, [finding(key, title)])
            await actions.open_for(name, [item(key, title, at)], by="analysis")
    await actions.close(1, by="on-call", at=datetime(2026, 10, 5, tzinfo=UTC), outcome="40 connections")
    await actions.assign(2, by="lead", at=NOW, assignee="somebody@example.com", due=NOW - 3 * DAY)


async def reviewed(database: str, environment: str = "", wanted: str = "2026Q4") -> Review:
    async with Journal.open(database) as journal:
        return await made(
            journal, Catalogue(), quarter(wanted), environment=environment, now=NOW, warn=pytest.fail
        )


async def test_a_review_tells_the_quarter_beside_the_one_before(database: str) -> None:
    async with Journal.open(database) as journal:
        await a_year(journal)
    found = await reviewed(database)
    assert (found.this.runs, found.this.verdicts) == (2, {"held": 1, "disproved": 1})
    assert (found.last.runs, found.last.verdicts) == (3, {"held": 3})
    assert found.this.metrics["success-rate"].value == 50
    assert found.going_on
    assert [one.experiment for one in found.this.experiments] == ["basic-pod-failure"]
    (mended,) = found.improvements
    assert (mended.item, mended.proof) == (1, "not-held"), "November's run was disproved by something else"
    (new,) = found.weaknesses
    assert (new.key, new.item, new.open, new.owner) == (NEW_KEY, 2, True, "platform-team")
    (late,) = found.overdue
    assert (late.item, late.days, late.assignee) == (2, 3, "somebody@example.com")
    assert len(found.coverage.met) == 1
    assert found.this.metrics["coverage"].note == f"1 of {len(found.coverage.cells)}"
    assert found.last.metrics["coverage"].note == f"1 of {len(found.coverage.cells)}"
    assert found.suggestions
    assert "1 new weakness; 1 action item closed, 0 of them proved; 1 overdue" in found.in_short


async def test_what_broke_in_the_first_half_of_a_year_and_held_in_the_second_is_a_trend(
    database: str,
) -> None:
    async with Journal.open(database) as journal:
        await a_year(journal)
    found = await reviewed(database, wanted="2026Q3")
    rate = next(one for one in found.by_month if one.metric == "success-rate")
    assert rate.direction == "better", rate.words
    assert next(one for one in found.by_week if one.metric == "success-rate").direction == "unknown"
    assert not found.weaknesses, "it had been found before"


async def test_a_review_of_one_environment_knows_nothing_of_another(database: str) -> None:
    async with Journal.open(database) as journal:
        await a_year(journal, "dev")
    found = await reviewed(database, "staging")
    assert found.empty
    assert found.in_short == "Nothing was run on staging in 2026Q4, and nothing was mended."
    assert (found.weaknesses, found.overdue, found.coverage.met) == ((), (), ())
    assert not (await reviewed(database, "dev")).empty


@pytest.fixture
def filled(isolated: Path) -> Callable[[], None]:
    def fill() -> None:
        async def filling() -> None:
            async with Journal.open(load().database_url) as journal:
                await a_year(journal)

        asyncio.run(filling())

    return fill


async def test_the_review_is_written_as_page_markdown_and_data_that_fetch_nothing_and_say_the_same(
    tmp_path: Path,
) -> None:
    database = f"sqlite+aiosqlite:///{tmp_path / 'journal.db'}"
    async with Journal.open(database) as journal:
        await a_year(journal)
    written = await write(await reviewed(database, "staging"), tmp_path / "out")
    page = written.page.read_text(encoding="utf-8")
    assert written.page.name == "review-2026Q4-staging.html"
    assert page.count("<svg") == 6
    assert "Coverage (%) by month:" in page
    assert "Of 100 faults that services can meet, those that were met by the end" in page
    assert not re.search(r"(?:src|href)=\"(?!#)", page.replace('xlink:href="#', ""))
    assert "Retries | never end&lt;b&gt;" in page
    text = written.markdown.read_text(encoding="utf-8")
    assert "Retries \\| never end&lt;b>" in text
    for words in (
        "| Coverage (%) |",
        "**Coverage**: Of 100 faults",
        "The quarter is not over yet",
        "40 connections",
        "**never**",
        "gameday run basic-pod-failure",
    ):
        assert words in text
    data = json.loads(written.data.read_text(encoding="utf-8"))
    assert data["this"]["metrics"]["success-rate"]["value"] == 50
    assert data["improvements"][0]["words"] in text


def test_the_command_writes_the_files_and_says_where(
    filled: Callable[[], None], tmp_path: Path, capsys: Capture
) -> None:
    filled()
    assert run(["review", "-q", "2026Q3", "--to", str(tmp_path)]) == ExitCode.HELD
    told = capsys.readouterr().out
    assert "2026Q3: 3 runs, of which 3 held" in told
    assert {path.suffix for path in tmp_path.glob("review-2026Q3.*")} == {".html", ".md", ".json"}
    assert run(["review", "-q", "2026Q2", "--to", str(tmp_path), "-o", "json"]) == ExitCode.HELD
    assert json.loads(capsys.readouterr().out)["quarter"]["label"] == "2026Q2"


def test_an_empty_quarter_says_so_and_what_is_none_is_told(
    capsys: Capture,
) -> None:
    assert run(["review", "--quarter", "2020Q1"]) == ExitCode.HELD
    assert "Nothing was run in 2020Q1, and nothing was mended." in capsys.readouterr().out
    assert "No run in 2020Q1" in (load().reports_dir / "review-2020Q1.html").read_text(encoding="utf-8")
    for wrong in ("2026Q5", "9998Q1"):
        assert run(["review", "--quarter", wrong]) == ExitCode.USAGE
        told = capsys.readouterr().err
        assert told.count("error:") == 1
        assert wrong in told
    assert run(["review", "--quarter", "2026Q1", "--env", "stagin"]) == ExitCode.USAGE
    assert "did you mean 'staging'" in capsys.readouterr().err
