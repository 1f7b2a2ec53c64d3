"""Two runs of an experiment beside each other show whether what was done in between helped."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from gameday.cli.main import run
from gameday.errors import ExitCode
from gameday.journal.store import Journal
from gameday.report.compare import compare_runs, ranked
from gameday.report.data import ReportData, collect
from gameday.settings import load
from tests.unit.test_report import RUN
from tests.unit.test_report_page import analysed


@pytest.fixture
async def broken(tmp_path: Path) -> ReportData:
    """A run in which p95 rose to 2.5 s."""
    async with Journal.open(f"sqlite+aiosqlite:///{tmp_path / 'journal.db'}") as journal:
        await analysed(journal)
        return await collect(journal, RUN)


def mended(broken: ReportData) -> ReportData:
    """The same experiment, after which nothing is to be mended."""
    assert broken.analysis is not None
    (series,) = broken.series
    calm = series.model_copy(update={"values": (0.12, 0.13) * 38})
    analysis = broken.analysis.model_copy(update={"findings": (), "run": "later"})
    return replace(broken, run=replace(broken.run, run="later"), series=[calm], analysis=analysis)


def test_what_got_better_and_which_finding_is_gone_is_said(broken: ReportData) -> None:
    found = compare_runs(broken, mended(broken), lambda _: "higher")
    assert found.warnings == []
    assert [one.change for one in ranked(found.effects)] == ["better"]
    assert [one.title for one in found.gone] == ["p95 at auth-service reached 14.2 s"]
    assert (found.new, found.still) == ([], [])
    back = compare_runs(mended(broken), broken, lambda _: "higher")
    assert [one.change for one in ranked(back.effects)] == ["worse"]
    assert [one.title for one in back.new] == ["p95 at auth-service reached 14.2 s"]


def test_a_run_is_like_itself(broken: ReportData) -> None:
    found = compare_runs(broken, broken, lambda _: "higher")
    assert ranked(found.effects) == []
    assert not any(row.differs for row in found.facts)
    assert len(found.still) == 1


def test_what_can_hardly_be_compared_is_said(broken: ReportData) -> None:
    other = replace(broken, run=replace(broken.run, digest="f" * 64, environment="dev"), analysis=None)
    assert compare_runs(broken, other, lambda _: "higher").warnings == [
        "the plans differ: their faults, limits or durations are not the same",
        "different environments: staging and dev",
        f"{RUN} was not analysed; `gameday analyse {RUN}` does it",
    ]


async def _fill() -> None:
    async with Journal.open(load().database_url) as journal:
        await analysed(journal)


def test_two_runs_are_set_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(_fill())
    assert run(["compare", RUN, "7f3a"]) == ExitCode.HELD
    told = capsys.readouterr().out
    assert "None of 1 series was worse or better" in told
    assert "Still found" in told
    assert run(["compare", "7f3a", "beef"]) == ExitCode.USAGE
