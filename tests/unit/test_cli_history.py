"""What was run before is looked up, noted at, tracked and taken elsewhere with `gameday`."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gameday.cli.main import run
from gameday.errors import ExitCode
from gameday.journal.actions import ActionItem, Actions
from gameday.journal.audit import Audit
from gameday.journal.history import History
from gameday.journal.results import FindingRecord, Results
from gameday.journal.store import Journal, RunRecord, Verdict
from gameday.settings import clock, load
from sandbox.process.launch import Sandbox
from tests.grafana import GrafanaServer
from tests.kept_runs import AT, DAY, a_run, an_ended_run

Capture = pytest.CaptureFixture[str]

OLD, NEW = "20261101t101500-trial-aaaa", "20261123t101500-trial-bbbb"


def kept(work: Callable[[Journal], Awaitable[Any]]) -> Any:
    async def opened() -> Any:
        async with Journal.open(load().database_url) as journal:
            return await work(journal)

    return asyncio.run(opened())


@pytest.fixture
def journal(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal with two runs that have ended, of which the newer found something."""
    monkeypatch.setenv("GAMEDAY_DATABASE_URL", database)

    async def fill(opened: Journal) -> None:
        await an_ended_run(opened, OLD, AT - 22 * DAY)
        await an_ended_run(opened, NEW, AT, Verdict.DISPROVED)
        found = FindingRecord("trial/pool", "high", "api-gateway", True, {"title": "The pool is too small"})
        await Results(opened).keep_analysis(NEW, AT, {}, [found])
        item = ActionItem(
            "trial/pool",
            "trial",
            "The pool is too small",
            "Widen it",
            "api-gateway",
            "high",
            "platform-team",
            AT,
        )
        await Actions(opened).open_for(NEW, [item], by="analysis")

    kept(fill)


def printed(capsys: Capture, *arguments: str) -> Any:
    assert run([*arguments, "-o", "json"]) == ExitCode.HELD
    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("journal")
def test_the_newest_runs_are_on_top_and_say_what_was_found(capsys: Capture) -> None:
    assert [(one["run"], one["verdict"], one["findings"]) for one in printed(capsys, "history")] == [
        (NEW, "disproved", 1),
        (OLD, "held", 0),
    ]
    assert run(["history"]) == ExitCode.HELD
    assert "disproved" in capsys.readouterr().out


@pytest.mark.usefixtures("journal")
@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--since", "2026-11-20"), [NEW]),
        (("--until", "2026-11-20T00:00Z"), [OLD]),
        (("--verdict", "disproved"), [NEW]),
        (("--service", "api-gateway"), [NEW, OLD]),
        (("--service", "redis"), []),
        (("--experiment", "other"), []),
        (("--limit", "1"), [NEW]),
    ],
)
def test_a_history_is_narrowed_down(options: tuple[str, ...], found: list[str], capsys: Capture) -> None:
    assert [one["run"] for one in printed(capsys, "history", *options)] == found


def test_a_time_that_nobody_can_read_is_answered_with_one_that_can_be(capsys: Capture) -> None:
    assert run(["history", "--since", "last week"]) == ExitCode.USAGE
    assert "2026-12-01T10:00Z" in capsys.readouterr().err


def test_no_run_yet_is_said(capsys: Capture) -> None:
    assert run(["history"]) == ExitCode.HELD
    assert "There was no run yet." in capsys.readouterr().out


@pytest.mark.usefixtures("journal")
def test_a_run_is_shown_with_its_faults_findings_and_what_is_to_be_done(capsys: Capture) -> None:
    assert run(["show", "bbbb"]) == ExitCode.HELD
    told = capsys.readouterr().out
    assert f"{NEW}: disproved" in told
    assert "PodChaos" in told
    assert "high: The pool is too small" in told
    assert "open, platform-team: The pool is too small" in told
    data = printed(capsys, "show", "bbbb")
    assert data["verdict"] == "disproved"
    assert [one["owner"] for one in data["actions"]] == ["platform-team"]


@pytest.mark.usefixtures("journal")
def test_a_run_of_another_version_is_shown_even_where_its_plan_cannot_be_analysed(capsys: Capture) -> None:
    assert run(["analyse", "bbbb"]) == ExitCode.USAGE
    told = capsys.readouterr().err
    assert f"the plan of {NEW} was written by another version of gameday" in told
    assert f"`gameday show {NEW}`" in told


@pytest.mark.usefixtures("journal")
@pytest.mark.parametrize(
    "command",
    [["note", "2026", "seen"], ["monitor", "2026"], ["show", "2026"], ["audit", "list", "--run", "2026"]],
)
def test_what_two_ids_share_is_no_run_and_both_are_named(command: list[str], capsys: Capture) -> None:
    assert run(command) == ExitCode.USAGE
    assert f"several runs begin or end with '2026': {NEW}, {OLD}" in capsys.readouterr().err


@pytest.mark.usefixtures("journal")
def test_what_a_person_did_by_hand_is_kept_with_the_run_and_counted(capsys: Capture) -> None:
    assert (
        run(["note", "bbbb", "drained\x1b[2J the queue", "--intervention", "--by", "on-call"])
        == ExitCode.HELD
    )
    assert "Intervention kept" in capsys.readouterr().err
    (note,) = printed(capsys, "show", "bbbb")["notes"]
    assert note["message"] == "Intervention by on-call: drained [2J the queue"
    assert [one["interventions"] for one in printed(capsys, "history")] == [1, 0]


@pytest.mark.usefixtures("journal")
def test_an_empty_note_is_not_kept(capsys: Capture) -> None:
    assert run(["note", "bbbb", "  "]) == ExitCode.USAGE
    assert "the note is empty" in capsys.readouterr().err
    assert printed(capsys, "show", "bbbb")["notes"] == []


@pytest.mark.usefixtures("journal")
def test_what_is_to_be_done_is_tracked_until_it_is_done(capsys: Capture) -> None:
    (item,) = printed(capsys, "actions", "list")
    number = str(item["item"])
    assert (item["state"], item["owner"]) == ("open", "platform-team")
    due = ["--to", "somebody@example.com", "--owner", "data-team", "--due", "2026-11-01"]
    assert run(["actions", "assign", number, *due]) == ExitCode.HELD
    capsys.readouterr()
    assert run(["actions", "list"]) == ExitCode.HELD
    told = capsys.readouterr().out
    assert "OVERDUE" in told
    assert "2026-11-01" in told
    assert "1 overdue." in told
    assert run(["actions", "show", number]) == ExitCode.HELD
    assert "Widen it" in capsys.readouterr().out
    assert run(["actions", "close", number, "--outcome", "40 connections now"]) == ExitCode.HELD
    assert "when trial runs again" in capsys.readouterr().err
    assert printed(capsys, "actions", "list") == []
    (done,) = printed(capsys, "actions", "list", "--all")
    assert (done["state"], done["outcome"]) == ("done", "40 connections now")
    assert run(["actions", "close", number, "--outcome", "again"]) == ExitCode.USAGE
    assert "closed by" in capsys.readouterr().err
    assert run(["actions", "reopen", number, "--why", "it was the wrong pool"]) == ExitCode.HELD
    assert [one["state"] for one in printed(capsys, "actions", "list")] == ["overdue"]


@pytest.mark.usefixtures("journal")
@pytest.mark.parametrize(
    ("said", "due"),
    [
        ("2026-12-01T10:00Z", datetime(2026, 12, 1, 10, tzinfo=UTC)),
        ("2026-12-01", datetime(2026, 12, 2).astimezone()),  # the end of that day, the reader's
    ],
)
def test_an_item_is_due_when_somebody_says(said: str, due: datetime, capsys: Capture) -> None:
    assert run(["actions", "assign", "1", "--due", said]) == ExitCode.HELD
    assert datetime.fromisoformat(printed(capsys, "actions", "show", "1")["due"]) == due


@pytest.mark.usefixtures("journal")
def test_an_item_belongs_to_a_team_that_there_is(capsys: Capture) -> None:
    assert run(["actions", "assign", "1", "--owner", "plattform-team"]) == ExitCode.USAGE
    assert "did you mean 'platform-team'" in capsys.readouterr().err
    assert run(["actions", "assign", "1"]) == ExitCode.USAGE
    assert run(["actions", "close", "1", "--outcome", " "]) == ExitCode.USAGE
    assert run(["actions", "close", "99", "--outcome", "done"]) == ExitCode.USAGE
    assert "there is no action item 99" in capsys.readouterr().err


@pytest.mark.usefixtures("journal")
def test_everything_that_is_known_can_be_taken_elsewhere(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "runs.jsonl"
    assert run(["export", str(file)]) == ExitCode.HELD
    records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [one["run"] for one in records if one["record"] == "run"] == [OLD, NEW], "the oldest first"
    kinds = {one["record"] for one in records}
    assert kinds == {"run", "event", "fault", "observation", "analysis", "finding", "action-item"}
    assert run(["export", "--run", "aaaa"]) == ExitCode.HELD
    of_one = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {one["run"] for one in of_one} == {OLD}
    assert run(["export", str(tmp_path / "missing" / "runs.jsonl")]) == ExitCode.USAGE
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.usefixtures("journal")
@pytest.mark.parametrize("command", [["export"], ["audit", "export"]])
def test_a_file_from_an_earlier_export_is_replaced_by_a_whole_one_or_stays(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    file = tmp_path / "place" / "kept.jsonl"
    file.parent.mkdir()
    file.write_text("what was here before\n", encoding="utf-8")
    file.chmod(0o640)
    link = tmp_path / "link.jsonl"
    link.symlink_to(file)
    assert run([*command, str(link), "--run", "2026"]) == ExitCode.USAGE
    assert f"several runs begin or end with '2026': {NEW}, {OLD}" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setenv("GAMEDAY_DATABASE_URL", f"sqlite+aiosqlite:///{file}/journal.db")
        assert run([*command, str(link)]) == ExitCode.ERROR
    assert file.read_text(encoding="utf-8") == "what was here before\n"
    assert run([*command, str(link)]) == ExitCode.HELD
    assert all(json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())
    assert link.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(file.parent.iterdir()) == [file], "nothing is left beside it"


@pytest.mark.usefixtures("journal")
def test_an_unknown_run_leaves_an_export_as_it_was(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "runs.jsonl"
    file.write_text("what was here before\n", encoding="utf-8")
    assert run(["export", str(file), "--run", "typo"]) == ExitCode.USAGE
    assert "unknown run 'typo'" in capsys.readouterr().err
    assert file.read_text(encoding="utf-8") == "what was here before\n"


@pytest.mark.usefixtures("journal")
def test_a_pipe_is_written_to_as_it_comes(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), encoding="utf-8") as reader:
        assert run(["export", str(pipe), "--run", "aaaa"]) == ExitCode.HELD
        assert {json.loads(line)["run"] for line in reader} == {OLD}
    assert pipe.is_fifo()


def test_a_run_that_was_cut_off_is_closed_by_whoever_looks_next(
    shared_sandbox: Sandbox, grafana: GrafanaServer, capsys: Capture
) -> None:
    assert shared_sandbox.url
    began = clock(load()).now().replace(microsecond=0) - timedelta(hours=1)
    at = int(began.timestamp()) * 1000
    mark: dict[str, Any] = {
        "id": 1,
        "time": at,
        "timeEnd": at,
        "tags": [f"run:{NEW}", "fault:f1"],
        "text": "PodChaos",
    }
    grafana.annotations.append(mark)

    async def cut_off(journal: Journal) -> None:
        await a_run(journal, NEW, began, experiment="basic-pod-failure", sandbox=True)

    kept(cut_off)
    (row,) = printed(capsys, "history")
    assert (row["verdict"], row["state"]) == ("error", "ended")
    assert "its Lease has lapsed" in row["summary"]
    # Nobody saw its fault end: no dashboard shows it for an hour, but for as long as it was to last.
    assert (mark["timeEnd"] - mark["time"], mark["text"]) == (60_000, "PodChaos<br>Its end was not seen")


def test_a_run_whose_cluster_does_not_answer_is_not_called_dead(capsys: Capture) -> None:
    kept(lambda journal: a_run(journal, NEW))
    (row,) = printed(capsys, "history")
    assert (row["verdict"], row["state"]) == (None, "unknown")


async def test_the_trail_tells_who_changed_an_item(database: str) -> None:
    async with Journal.open(database) as journal:
        await an_ended_run(journal, NEW)
        item = ActionItem("k", "trial", "t", "w", "", "low", "data-team", AT)
        (opened,) = await Actions(journal).open_for(NEW, [item], by="analysis")
        await Actions(journal).close(opened.item, by="on-call", at=AT, outcome="done")
        entries = await Audit(journal).latest(5)
        assert [(one.by, one.detail["what"]) for one in entries][-2:] == [
            ("analysis", "opened"),
            ("on-call", "closed"),
        ]
        assert isinstance(await journal.find(NEW), RunRecord)
        assert len(await History(journal).newest()) == 1
