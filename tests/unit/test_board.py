"""What the page of a run in Prefect says, event by event."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from gameday.journal.store import Event
from tasks.board import Board

AT = datetime(2026, 11, 23, 10, 0, 7, tzinfo=UTC)


def told(*events: tuple[str, str, dict[str, Any]]) -> Board:
    board = Board()
    for kind, message, data in events:
        board.hear(Event("run-a", AT, kind, message, data))
    return board


STAGE = ("stage", "Stage kill: Kill one pod, 1m", {"stage": "kill", "duration_s": 60.0})
IN = ("injected", "PodChaos pod-kill is in auth-service-1", {"fault": "kill-0"})


def signal(**more: Any) -> dict[str, Any]:
    return {
        "signal": "p95",
        "service": "",
        "value": 0.1234,
        "unit": "s",
        "limit": "<= 1",
        "state": "ok",
        **more,
    }


def test_it_says_what_is_injected_where_and_how_each_signal_stands() -> None:
    signals = [signal(), signal(signal="errors", service="auth-service", value=None, state="unknown")]
    page = told(STAGE, IN, ("sample", "…", {"left_s": 41.6, "signals": signals})).markdown()
    assert "Stage kill: Kill one pod, 1m (42s left)" in page
    assert "- PodChaos pod-kill is in auth-service-1" in page
    assert "Signals at 10:00:07 UTC" in page
    assert "| ok | p95 | all services | 0.123 s | &lt;= 1 |" in page
    assert "| **unknown** | errors | auth-service | unknown | &lt;= 1 |" in page


def test_what_has_ended_is_not_in_any_more() -> None:
    page = told(STAGE, IN, ("ended", "PodChaos pod-kill has ended", {"fault": "kill-0"})).markdown()
    assert "## In now\n\nNothing." in page
    assert "1 ended before, each proved." in page


def test_before_the_first_fault_it_says_so() -> None:
    assert "Nothing has been injected yet." in told().markdown()


def test_nothing_that_is_told_becomes_markup() -> None:
    page = told(("warning", "<b>not</b> [a](link) | **bold**", {})).markdown()
    assert "<b>" not in page
    assert "\\[a](link) \\| " in page


def test_a_sample_outside_a_stage_is_taken_as_it_is() -> None:
    page = told(("sample", "recovery | p95 0.1", {"signals": [{"signal": "p95", "value": 0.1}]})).markdown()
    assert "| **unknown** | p95 | all services | 0.1 |" in page
