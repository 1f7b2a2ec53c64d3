"""``gameday run`` before and beside Prefect: bad input is told at once, and the output never ends a run."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gameday.cli.main import run
from gameday.cli.output import Format
from gameday.cli.run import Following
from gameday.errors import ExitCode
from gameday.journal.store import Event
from gameday.run.reasons import grouped

Capture = pytest.CaptureFixture[str]

AT = datetime(2026, 11, 23, 10, 15, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["basic-pod-failur"], "did you mean 'basic-pod-failure'?"),
        (["basic-pod-failure", "--env", "stagin"], "did you mean 'staging'?"),
        (["basic-pod-failure", "--duration", "5"], "expected a duration with its unit"),
        (["basic-pod-failure", "--duration", "20s"], "20s is too short for 3 stages"),
        (["basic-pod-failure"], "No Prometheus is known for staging"),
        (["basic-pod-failure", "--env", "dev", "--sandbox"], "the sandbox stands for staging, not for dev"),
    ],
)
def test_a_wrong_word_is_told_before_anything_starts(
    arguments: list[str], told: str, capsys: Capture
) -> None:
    assert run(["run", *arguments]) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert told in said
    assert "Starting Prefect" not in said


@pytest.mark.usefixtures("shared_sandbox")
def test_a_journal_that_cannot_be_written_is_told_before_prefect_starts(
    isolated: Path, capsys: Capture
) -> None:
    (isolated / "journal.db").write_bytes(b"not a database, " * 64)
    assert run(["run", "basic-pod-failure"]) == ExitCode.ERROR
    told = capsys.readouterr().err
    assert "journal.db failed: file is not a database" in told
    assert "Starting Prefect" not in told


class Full(StringIO):
    """A disk without space."""

    def write(self, text: str) -> int:
        """Fail as the operating system does."""
        raise OSError(28, "No space left on device")


def event(kind: str, message: str = "words", **data: Any) -> Event:
    return Event("7f3a", AT, kind, message, data)


def test_an_output_that_cannot_be_written_does_not_end_the_run_nor_change_its_verdict() -> None:
    following = Following(Console(file=Full()))
    following(event("stage"))
    following(event("verdict", verdict="disproved", reasons=["p95"]))
    following.result(Format.JSON)
    assert following.exit_code == ExitCode.DISPROVED


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([event("phase")], "Nothing had been injected."),
        ([event("stage"), event("injected"), event("ended")], "No fault of this run is left."),
        (
            [event("stage"), event("warning", "NetworkChaos x is still there (why)")],
            "Not every fault is proved to be over",
        ),
        (
            [event("stage"), event("injected"), event("stop", "PodChaos could not be listed", clean=False)],
            "Not every fault is proved to be over",
        ),
        (
            [
                event("stage"),
                event("warning", "NetworkChaos x is still there (why)"),
                event("stop", "Stopped run x: 1 of 1 chaos objects ended in 0.1 s.", clean=True),
            ],
            "No fault of this run is left.",
        ),
    ],
)
def test_whoever_interrupts_is_told_what_became_of_the_faults(events: list[Event], told: str) -> None:
    following = Following(Console(file=StringIO()))
    for one in events:
        following(one)
    assert told in following.interruption


def gameday(*arguments: str, shell: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    words = " ".join((sys.executable, "-m", "gameday.cli.main", *arguments, shell))
    return subprocess.run(
        ["sh", "-c", words], env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )


def test_a_closed_output_is_no_error() -> None:
    closed = gameday("list", shell=">&- 2>&-")
    assert (closed.returncode, closed.stdout, closed.stderr) == (0, "", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_told_in_one_line_and_is_no_bug() -> None:
    full = gameday("list", shell="> /dev/full")
    assert full.returncode == ExitCode.ERROR
    assert full.stderr.splitlines()[0] == "error: the output could not be written: No space left on device"
    assert "bug" not in full.stderr


def test_what_is_blind_everywhere_is_said_once() -> None:
    services = ("api-gateway", "auth-service", "redis")
    reasons = [f"availability at {service}: no data for 30s" for service in services]
    reasons += ["p95 at api-gateway: no data for 30s", "errors at redis: past the guardrail > 10"]
    assert grouped(reasons) == (
        "availability at 3 services, p95 at api-gateway: no data for 30s",
        "errors at redis: past the guardrail > 10",
    )
