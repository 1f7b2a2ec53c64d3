"""What the environment may say, and what a person reads where it says it wrongly."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from gameday.clock import RemoteClock, SystemClock
from gameday.errors import UsageError
from gameday.settings import clock, load
from sandbox.process.launch import Sandbox


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMEDAY_PROMETHEUS_URL", "")
    monkeypatch.setenv("GAMEDAY_CLOCK_URL", "")
    settings = load()
    assert settings.prometheus_url is None
    assert isinstance(clock(settings), SystemClock)


def test_durations_are_written_as_in_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMEDAY_KUBERNETES_TIMEOUT", "1m")
    monkeypatch.setenv("GAMEDAY_PROMETHEUS_TIMEOUT", "1500ms")
    settings = load()
    assert settings.kubernetes_timeout == timedelta(minutes=1)
    assert settings.prometheus_timeout == timedelta(seconds=1.5)


def test_every_wrong_variable_is_named_in_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMEDAY_PROMETHEUS_URL", "prometheus:9090")
    monkeypatch.setenv("GAMEDAY_PROMETHEUS_TIMEOUT", "ten seconds")
    monkeypatch.setenv("GAMEDAY_LOG_LEVEL", "loud")
    with pytest.raises(UsageError) as caught:
        load()
    for name in ("GAMEDAY_PROMETHEUS_URL", "GAMEDAY_PROMETHEUS_TIMEOUT", "GAMEDAY_LOG_LEVEL"):
        assert name in caught.value.message
    assert "GAMEDAY_DATABASE_URL" not in caught.value.message, "what is right is not blamed"


def test_a_wrong_secret_is_named_but_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMEDAY_SLACK_WEBHOOK_URL", "hush-hush")
    with pytest.raises(UsageError, match="GAMEDAY_SLACK_WEBHOOK_URL") as caught:
        load()
    assert "hush-hush" not in str(caught.value)


def test_prometheus_is_never_waited_for_longer_than_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAMEDAY_PROMETHEUS_TIMEOUT", "6s")
    with pytest.raises(UsageError, match="GAMEDAY_PROMETHEUS_TIMEOUT"):
        load()


def test_journal_and_reports_follow_the_state_directory(isolated: Path) -> None:
    settings = load()
    assert settings.database_url == f"sqlite+aiosqlite:///{isolated.as_posix()}/journal.db"
    assert settings.reports_dir == isolated / "reports"


def test_the_sandbox_brings_its_clock(shared_sandbox: Sandbox) -> None:
    chosen = clock(load())
    assert isinstance(chosen, RemoteClock)
    assert chosen.rehearsal
