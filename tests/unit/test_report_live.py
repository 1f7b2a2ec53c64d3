"""A run is followed on the terminal, one readable line for each thing that happens."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from gameday.cli.live import Follower
from gameday.journal.store import Event, Verdict

AT = datetime(2026, 11, 23, 10, 15, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The reader's zone is an hour ahead of UTC."""
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    yield
    monkeypatch.delenv("TZ")
    time.tzset()


def shown(kind: str, message: str, *, colour: bool = False, **data: Any) -> str:
    with StringIO() as screen:
        console = Console(
            file=screen,
            width=80,
            force_terminal=colour,
            color_system="standard" if colour else None,
            markup=False,
            emoji=False,
        )
        Follower(console).show(Event("run", AT, kind, message, data))
        return screen.getvalue()


def signal(name: str, value: float | None, state: str, limit: str = "<= 3", **more: str) -> dict[str, Any]:
    return {
        "signal": name,
        "service": more.get("service", ""),
        "value": value,
        "unknown": more.get("unknown", ""),
        "limit": limit,
        "unit": more.get("unit", ""),
        "state": state,
    }


SAMPLE = [
    signal("availability", 0.667, "ok", ">= 0.6", service="auth-service"),
    signal("p95", 3.456, "breach", service="api-gateway"),
    signal("errors", None, "unknown", unknown="empty: no such series"),
]


def test_a_sample_is_one_line_with_stage_time_left_and_each_signal_against_its_limit() -> None:
    line = shown("sample", "kill-auth | 45s left | availability 0.667 | p95", signals=SAMPLE)
    assert line.count("\n") == 1
    assert line.split() == [
        "11:15:30", "kill-auth", "45s", "left", "availability", "0.667", "auth-service", "(>=", "0.6)",
        "p95", "3.46", "api-gateway", "(<=", "3)", "BREACH", "errors", "unknown", "(<=", "3)", "empty:", "no",
        "such", "series",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("state", "colour"),
    [("ok", "\x1b[32m"), ("breach", "\x1b[33m"), ("broken", "\x1b[1;31m"), ("over", "\x1b[1;31m")],
)
def test_the_state_of_a_signal_is_seen_at_a_glance(state: str, colour: str) -> None:
    line = shown("sample", "kill | 5s left | p95", colour=True, signals=[signal("p95", 4.0, state)])
    assert f"{colour}p95 4" in line


@pytest.mark.parametrize("value", [math.inf, "Infinity"], ids=["as it is sampled", "out of the journal"])
def test_a_value_beyond_the_last_bucket_is_shown_as_such(value: Any) -> None:
    line = shown("sample", "kill | 5s left | p95", signals=[signal("p95", value, "over")])
    assert "p95 +inf (<= 3) PAST THE GUARDRAIL" in line


def test_a_sample_while_the_platform_recovers_is_one_line() -> None:
    line = shown("sample", "recovery | 4m left | steady state holds", stage="recovery", missing=[])
    assert line.split(maxsplit=4) == ["11:15:30", "recovery", "4m", "left", "steady state holds\n"]


OTHERS = "recovered run check note stage injected ended stop warning recovery report baseline new"


@pytest.mark.parametrize("kind", OTHERS.split())
def test_every_other_kind_of_event_is_its_message_on_a_line(kind: str) -> None:
    assert shown(kind, "Something [staging] happened :smile:") == (
        "11:15:30  Something [staging] happened :smile:\n"
    )


def test_a_long_line_is_left_whole_for_the_terminal_to_wrap() -> None:
    assert shown("warning", "word " * 60).count("\n") == 1


def test_a_phase_stands_out() -> None:
    assert shown("phase", "Execution") == "11:15:30  == Execution ==\n"


def test_a_message_is_shown_with_who_sent_it_where_and_all_its_lines() -> None:
    text = shown("message", "basic-pod-failure: starts\nRun: 7f3a", channel="#chaos", by="Slack")
    assert text.splitlines() == [
        "11:15:30  Slack #chaos: basic-pod-failure: starts",
        "          Run: 7f3a",
    ]
    assert shown("message", "", channel="#chaos", by="Slack") == "11:15:30  Slack #chaos: \n"


def test_a_health_check_lists_what_is_not_well() -> None:
    assert shown("health", "Health before the run: 9 of 9 checks are well", bad=[]).count("\n") == 1
    text = shown("health", "Health before the run: 8 of 9 checks are well", bad=["redis: 0 of 1 pods ready"])
    assert text.splitlines()[1] == "          - redis: 0 of 1 pods ready"


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_has_a_mark(verdict: Verdict) -> None:
    line = shown("verdict", f"{verdict.value.capitalize()}: because", verdict=verdict.value, reasons=[])
    mark, words = line.removeprefix("11:15:30  ").rstrip("\n").split(" ", 1)
    assert len(mark) == 1
    assert words == f"{verdict.value.capitalize()}: because"


def test_the_terminal_is_never_steered_by_what_a_service_said() -> None:
    line = shown("warning", "Prometheus said \x1b[2Jgone\x07 and \x9b31mred")
    assert "\x1b" not in line
    assert "\x07" not in line
    assert "\x9b" not in line


def on_terminal(width: int, signals: list[dict[str, Any]]) -> list[str]:
    """The lines of a sample on a terminal of so many columns."""
    with StringIO() as screen:
        console = Console(file=screen, width=width, force_terminal=True, color_system=None, markup=False)
        message = "after kill-platform-services | 55s left | words"
        Follower(console).show(Event("run", AT, "sample", message, {"signals": signals}))
        return screen.getvalue().splitlines()


QUIET = [
    signal("availability", 1.0, "ok", ">= 0.6", service="api-gateway", unit="ratio"),
    signal("errors", 0.017, "ok", "<= 2", service="platform-services", unit="requests/s"),
    signal("p95", 0.1234, "ok", "<= 3", service="automation-services", unit="s"),
]


def test_a_sample_without_trouble_is_one_line_at_120_columns() -> None:
    (line,) = on_terminal(120, QUIET)
    assert len(line) <= 120
    assert "errors 0.017/s (<= 2)  p95 0.123 s (<= 3)" in line


def test_on_a_narrow_terminal_a_sample_goes_on_below_and_no_signal_is_torn() -> None:
    lines = on_terminal(80, QUIET)
    assert all(len(line) <= 80 for line in lines)
    assert [line.count("(") for line in lines] == [1, 2]
    assert lines[1].startswith(" " * 10)


def test_whoever_is_in_trouble_is_named_on_every_terminal() -> None:
    trouble = [*QUIET[:2], signal("p95", 1234.5, "broken", service="automation-services", unit="s")]
    assert "p95 1234 s automation-services (<= 3) BROKEN" in "\n".join(on_terminal(80, trouble))


def test_a_verdict_says_what_can_be_done() -> None:
    hint = "Set GAMEDAY_SLACK_TOKEN to a valid bot token."
    text = shown("verdict", "Refused: Slack", verdict="refused", reasons=["Slack"], hint=hint)
    assert text.splitlines()[1] == f"          To do: {hint}"


def test_where_nothing_can_be_seen_it_is_said_once() -> None:
    blind = [signal(name, None, "unknown", unknown="stale: 15 s old") for name in ("availability", "p95")]
    (line,) = on_terminal(120, blind)
    assert line.endswith("availability, p95 unknown: stale: 15 s old")
