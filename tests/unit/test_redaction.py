"""What is secret is nowhere: not in errors, logs, messages, the journal or the audit trail."""

from __future__ import annotations

import io
import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.cli.failure import report
from gameday.clients.slack import Message
from gameday.errors import GamedayError, RefusedError, UnreachableError
from gameday.journal.audit import Audit
from gameday.journal.store import Event, FaultRecord, Journal, Observation, RunRecord, Verdict
from gameday.redaction import HIDDEN, redact_logs, redacted, redacted_data, secret
from gameday.settings import load

AT = datetime(2026, 11, 23, 10, 15, 30, tzinfo=UTC)
RUN = "20261123t101530-basic-pod-failure-7f3a"
JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl"
PLANTED = "hunter2-hunter2"

SECRETS = {
    "a bot token": ("could not post as xoxb-2345678901-abcDEF", "xoxb-2345678901-abcDEF"),
    "an app token": ("xapp-1-A0123456-secret is bad", "A0123456"),
    "a webhook of Slack": ("POST https://hooks.slack.com/services/T0/B0/abcdef failed", "T0/B0/abcdef"),
    "a bearer token": ("Authorization: Bearer abc.DEF-123456 was refused", "abc.DEF-123456"),
    "basic credentials": ("headers={'Authorization': 'Basic dXNlcjpwYXNz'}", "dXNlcjpwYXNz"),
    "a service account's token": (f"the token {JWT} has expired", JWT),
    "a URL with a password": (f"postgresql+asyncpg://me:{PLANTED}@db/journal is down", PLANTED),
    "a password with an @": ("https://me:p@ss@example.com is down", "p@ss"),
    "a token in a query": (f"GET /metrics?token={PLANTED}&x=1", PLANTED),
    "a variable": (f"GAMEDAY_SLACK_TOKEN={PLANTED} is not usable", PLANTED),
    "JSON": (f'{{"password": "{PLANTED}"}}', PLANTED),
    "a kubeconfig's token": (f"users:\n- user:\n    token: {PLANTED}\n", PLANTED),
    "a kubeconfig's key": ("client-key-data: LS0tLS1CRUdJTiBQUklWQVRFIEtFWQ==", "LS0tLS1CRUdJTiBQ"),
    "a private key": ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "MIIE"),
    "half a private key": ("-----BEGIN PRIVATE KEY-----\nMIIE", "MIIE"),
}
HARMLESS = (
    "the token expired: log in again",
    "Slack: could not check the token: invalid_auth",
    "Set GAMEDAY_SLACK_TOKEN to a valid bot token (xoxb-…).",
    "basic experiments may run here; a bearer of bad news",
    "http://127.0.0.1:9090/api/v1/query?query=up",
    "20261123t101530-basic-pod-failure-7f3a: basic-pod-failure on staging",
    "sqlite+aiosqlite:////var/lib/gameday/journal.db",
    "availability: 0.98, 3 of 4 pods; secrets cannot be listed",
)


@pytest.mark.parametrize(("text", "planted"), SECRETS.values(), ids=list(SECRETS))
def test_what_looks_like_a_secret_is_hidden(text: str, planted: str) -> None:
    assert planted not in redacted(text)
    assert HIDDEN in redacted(text)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_people_must_read_stays(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize("text", [*HARMLESS, *(text for text, _ in SECRETS.values())])
def test_redacting_twice_is_redacting_once(text: str) -> None:
    assert redacted(redacted(text)) == redacted(text)


@given(st.text(max_size=2000))
def test_any_text_can_be_redacted(text: str) -> None:
    redacted(text)


def test_the_values_of_secret_settings_are_hidden_whatever_they_look_like(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GAMEDAY_GRAFANA_TOKEN", "plain words that are secret")
    monkeypatch.setenv("GAMEDAY_INCIDENT_WEBHOOK_URL", "https://incidents.example.com/hook/abc")
    monkeypatch.setenv("GAMEDAY_DATABASE_URL", "postgresql+asyncpg://me:very%20secret@db/journal")
    load()
    for value in ("plain words that are secret", "incidents.example.com/hook/abc", "very secret"):
        assert value not in redacted(f"it said: https://{value} and {value}.")


def test_data_keeps_its_shape_and_loses_the_values_of_secret_keys() -> None:
    data = {"token": "abc", "list": ["xoxb-2345678901-x", 1, None], "at": AT, "nested": {"password": "p"}}
    assert redacted_data(data) == {
        "token": HIDDEN,
        "list": [HIDDEN, 1, None],
        "at": AT,
        "nested": {"password": HIDDEN},
    }


@pytest.mark.parametrize(
    "error",
    [
        GamedayError("it said token=abc123", hint="not password=abc123"),
        RefusedError("refused", ("token=abc123",)),
        UnreachableError("Prometheus", "https://me:abc123@prometheus does not answer"),
    ],
)
def test_an_error_never_carries_a_secret(error: GamedayError, capsys: pytest.CaptureFixture[str]) -> None:
    report(error)
    assert "abc123" not in f"{error} {error!r} {error.message} {error.hint} {capsys.readouterr().err}"


def test_a_bug_is_reported_without_secrets(isolated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report(RuntimeError("connected with token=abc123"))
    crash = next((isolated / "crashes").iterdir()).read_text(encoding="utf-8")
    assert "abc123" not in capsys.readouterr().err + crash


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What a handler of the root logger writes, with logs redacted."""
    make, stream = logging.getLogRecordFactory(), io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    redact_logs()
    redact_logs()
    yield stream
    logging.getLogger().removeHandler(handler)
    logging.setLogRecordFactory(make)


def test_logs_are_redacted_with_their_tracebacks(log: io.StringIO) -> None:
    logger = logging.getLogger("somebody")
    logger.warning("posting with %s failed", "xoxb-2345678901-abcDEF")
    try:
        exec('raise RuntimeError("token=abc123")')
    except RuntimeError:
        logger.exception("it failed")
    written = log.getvalue()
    assert "abcDEF" not in written
    assert "abc123" not in written
    assert "RuntimeError" in written


def test_messages_are_redacted_in_every_part() -> None:
    secret("the-secret-address")
    message = Message(
        "token=abc123", title="xoxb-2345678901-x", fields={"Reason": "password=abc123"},
        link=("report", "https://me:abc123@example.com/the-secret-address"),
    )  # fmt: skip
    for text in (message.for_slack(), message.for_terminal()):
        assert "abc123" not in text
        assert "2345678901" not in text
        assert "the-secret-address" not in text


async def test_nothing_that_is_kept_of_a_run_has_a_secret_in_it(isolated: Path) -> None:
    planted = f"it answered token={PLANTED}"
    async with Journal.open(load().database_url) as journal:
        plan = {"headers": {"Authorization": f"Bearer {PLANTED}"}}
        await journal.begin(RunRecord(RUN, "e", "staging", "me", planted, AT, plan=plan))
        await journal.append(Event(RUN, AT, "note", planted, {"text": planted, "list": [planted]}))
        sample = Event(RUN, AT, "sample", planted, {"signals": [{"unknown": planted}]})
        await journal.observe(RUN, [Observation(AT, "s", "x", "", None, planted, "unknown")], sample)
        await journal.put_fault(RUN, FaultRecord("f", "PodChaos", "n", "s", AT, proof=planted))
        await journal.amend(RUN, summary=planted)
        await journal.conclude(RUN, Verdict.ERROR, planted, AT, [Event(RUN, AT, "verdict", planted)])
        await Audit(journal).record(
            "stop", by=planted, source="command", at=AT, detail={"reason": planted, "token": PLANTED}
        )
    with closing(sqlite3.connect(isolated / "journal.db")) as connection, connection:
        dump = "\n".join(connection.iterdump())
    assert PLANTED not in dump
    assert dump.count(HIDDEN) >= 10


async def test_a_message_from_outside_with_a_secret_reaches_nobody(
    shared_sandbox: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gameday.clients.kubernetes import Cluster
    from gameday.clock import SystemClock

    async with Cluster.connect(clock=SystemClock()) as cluster:
        with pytest.raises(GamedayError) as caught:
            await cluster.api.get("/api/v1/namespaces/token=abc123", doing="read password=abc123")
    report(caught.value)
    assert "abc123" not in str(caught.value) + capsys.readouterr().err
    assert "abc123" not in json.dumps(redacted_data({"said": str(caught.value)}))
