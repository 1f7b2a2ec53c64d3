"""What the page of a run in Prefect says, event by event."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest

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
POST: tuple[str, str, dict[str, Any]] = ("phase", "Post-experiment", {})


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


def sample(*signals: dict[str, Any], stage: str = "kill") -> tuple[str, str, dict[str, Any]]:
    return ("sample", "…", {"stage": stage, "left_s": 41.6, "signals": signals})


def test_it_says_what_is_injected_where_and_how_each_signal_stands() -> None:
    unseen = signal(signal="errors", service="auth-service", value=None, unknown="no data", state="unknown")
    page = told(STAGE, IN, sample(signal(), unseen)).markdown()
    assert "As of 10:00:07 UTC: **Stage kill: Kill one pod, 1m**, 42s left." in page
    assert "- PodChaos pod-kill is in auth-service-1" in page
    assert "Signals at 10:00:07 UTC" in page
    assert "| p95 | all services | 0.123 s | &lt;= 1 | ok |" in page
    assert "| errors | auth-service | no data | &lt;= 1 | **unknown** |" in page


@pytest.mark.parametrize(
    ("value", "unit", "read"),
    [(1234.5, "requests/s", "1234/s"), (0.9987, "ratio", "0.999"), (math.inf, "s", "+inf")],
)
def test_a_value_reads_as_it_does_on_the_terminal(value: float, unit: str, read: str) -> None:
    assert f"| {read} |" in told(STAGE, sample(signal(value=value, unit=unit))).markdown()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("breach", "outside, not for long yet"),
        ("broken", "**outside for too long**"),
        ("over", "**past the guardrail**"),
    ],
)
def test_how_bad_it_is_needs_no_legend(state: str, words: str) -> None:
    assert f"| {words} |" in told(STAGE, sample(signal(state=state))).markdown()


def test_what_has_ended_is_not_in_any_more() -> None:
    page = told(STAGE, IN, ("ended", "PodChaos pod-kill has ended", {"fault": "kill-0"})).markdown()
    assert "## Injected now\n\nNothing." in page
    assert "Ended before, each proved: 1." in page


def test_between_two_stages_it_says_that_nothing_is_in() -> None:
    page = told(STAGE, sample(signal(), stage="after kill")).markdown()
    assert "Stage kill: Kill one pod, 1m, is over. Nothing is injected until the next, in 42s." in page


def test_after_the_last_stage_it_says_what_is_not_well_yet() -> None:
    waiting = ("sample", "recovery | …", {"stage": "recovery", "missing": ["errors auth-service 0.7"]})
    page = told(STAGE, sample(signal()), POST, waiting).markdown()
    assert "nothing more is injected. Is the platform well again? Not well: errors auth-service 0.7." in page
    assert "left." not in page


def test_once_the_run_is_over_it_says_how() -> None:
    page = told(STAGE, sample(signal()), POST, ("verdict", "Held: every fault was proved", {})).markdown()
    assert "it is over. **Held: every fault was proved**" in page


def test_what_an_emergency_stop_ended_is_not_in_any_more() -> None:
    board = told(STAGE, IN, ("stop", "1 of 1 chaos objects ended", {}), ("verdict", "Stopped: by ann", {}))
    board.close(proved=True)
    page = board.markdown()
    assert "## Injected now\n\nNothing." in page
    assert "- 10:00:07 1 of 1 chaos objects ended" in page


def test_what_nobody_could_prove_to_be_gone_stays_on_the_page() -> None:
    board = told(STAGE, IN, ("verdict", "Error: the cluster did not answer", {}))
    board.close(proved=False)
    assert "- PodChaos pod-kill is in auth-service-1" in board.markdown()
    assert "**not proved**" in board.markdown()


def test_before_the_first_fault_it_says_so() -> None:
    assert "nothing has been injected yet." in told().markdown()


def test_nothing_that_is_told_becomes_markup() -> None:
    page = told(("warning", "<b>not</b> [a](link) | **bold**", {})).markdown()
    assert "<b>" not in page
    assert "\\[a](link) \\| " in page


def test_a_sample_outside_a_stage_is_taken_as_it_is() -> None:
    page = told(("sample", "recovery | p95 0.1", {"signals": [{"signal": "p95", "value": 0.1}]})).markdown()
    assert "| p95 | all services | 0.1 |  | **unknown** |" in page
