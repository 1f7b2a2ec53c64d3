"""``gameday status``: what is live is seen, and a dead run does not look alive."""

from __future__ import annotations

import asyncio
import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from gameday.cli.main import run
from gameday.clients.kubernetes import Cluster
from gameday.clients.types import Lease
from gameday.clock import RemoteClock
from gameday.errors import ExitCode
from gameday.journal.store import Event, Journal, RunRecord
from gameday.safety.lease import run_lease
from gameday.settings import load
from gameday.spec.catalogue import default_directory
from sandbox.process.launch import Sandbox

Capture = pytest.CaptureFixture[str]

RUN = "20261123t101530-basic-pod-failure-7f3a"


def there(sandbox: Sandbox) -> datetime:
    """The time in the sandbox."""
    return RemoteClock(sandbox.env["GAMEDAY_CLOCK_URL"]).now()


def open_run(last_event: datetime, lease_renewed: datetime | None = None) -> None:
    """The journal has a run without a verdict; where it is said, the run has a Lease of that time."""

    async def write() -> None:
        async with Journal.open(load().database_url) as journal:
            await journal.begin(
                RunRecord(RUN, "basic-pod-failure", "staging", "me", "why", last_event, sandbox=True)
            )
            await journal.append(Event(RUN, last_event, "phase", "Execution"))
        if lease_renewed is None:
            return
        lease = Lease(
            name=run_lease(RUN),
            namespace="chaos-engineering",
            holder=RUN,
            duration=timedelta(seconds=30),
            acquired=lease_renewed,
            renewed=lease_renewed,
        )
        clock = RemoteClock(str(load().clock_url))
        async with Cluster.connect(clock=clock) as cluster:
            await cluster.create_lease(lease)

    asyncio.run(write())


def test_the_cluster_is_seen_although_the_sandboxs_clock_is_gone(
    shared_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert shared_sandbox.url
    monkeypatch.setenv("GAMEDAY_CLOCK_URL", "http://127.0.0.1:1/clock")
    assert run(["status"]) == ExitCode.HELD
    told = capsys.readouterr()
    assert "No fault is live" in told.out
    assert "does not answer as a clock does" in told.err
    assert "Going on in real time." in told.err


def status(capsys: Capture) -> dict[str, Any]:
    assert run(["status", "-o", "json"]) == ExitCode.HELD
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def test_a_run_that_renews_its_lease_is_going_on(sandbox: Sandbox, capsys: Capture) -> None:
    open_run(there(sandbox) - timedelta(minutes=9), lease_renewed=there(sandbox))
    (seen,) = status(capsys)["runs"]
    assert (seen["state"], seen["verdict"]) == ("going on", None)


def test_a_run_that_has_just_begun_and_has_no_lease_yet_is_going_on(
    sandbox: Sandbox, capsys: Capture
) -> None:
    open_run(there(sandbox) - timedelta(seconds=30))
    (seen,) = status(capsys)["runs"]
    assert seen["state"] == "going on"


@pytest.mark.parametrize("lease", [True, False], ids=["its Lease has lapsed", "it has no Lease"])
def test_a_run_whose_process_is_gone_is_closed_by_the_next_look(
    lease: bool, sandbox: Sandbox, capsys: Capture
) -> None:
    long_ago = there(sandbox) - timedelta(minutes=5)
    open_run(long_ago, lease_renewed=long_ago if lease else None)
    (seen,) = status(capsys)["runs"]
    assert (seen["state"], seen["verdict"]) == ("ended", "error")
    assert "without a verdict" in seen["summary"]
    assert run(["monitor", RUN]) == ExitCode.HELD
    assert "Error: the process ended without a verdict" in capsys.readouterr().out


def test_following_a_run_whose_process_is_gone_ends_and_says_so(sandbox: Sandbox, capsys: Capture) -> None:
    open_run(there(sandbox) - timedelta(minutes=5))
    assert run(["monitor"]) == ExitCode.ERROR
    assert f"Run {RUN} was cut off" in capsys.readouterr().err


def test_every_cluster_is_looked_at_at_once_and_one_that_is_missing_hides_none(
    sandbox: Sandbox, tmp_path: Path, capsys: Capture
) -> None:
    open_run(there(sandbox) - timedelta(seconds=30))
    assert run(["status", "--all", "-o", "json"]) == ExitCode.ERROR
    found = {one["environments"][0]: one for one in json.loads(capsys.readouterr().out)}
    assert list(found) == ["dev", "staging", "production"]
    assert [one["run"] for one in found["staging"]["runs"]] == [RUN]
    assert found["staging"]["live"] == []
    assert "pyairtable-production" in found["production"]["unread"]
    assert run(["status", "--all"]) == ExitCode.ERROR
    told = capsys.readouterr().out
    assert "No fault is live in the cluster of staging." in told
    assert told.count("Not known: ") == 2


def test_environments_that_share_a_cluster_are_one_look(
    sandbox: Sandbox, tmp_path: Path, capsys: Capture
) -> None:
    assert sandbox.url
    shutil.copytree(default_directory(), tmp_path / "own")
    file = tmp_path / "own" / "platform.yaml"
    declared = file.read_text(encoding="utf-8")
    for name in ("pyairtable-dev", "pyairtable-production"):
        declared = declared.replace(f"context: {name}", "context: pyairtable-staging")
    file.write_text(declared, encoding="utf-8")
    assert run(["status", "--all", "--experiments", str(tmp_path / "own"), "-o", "json"]) == ExitCode.HELD
    (one,) = json.loads(capsys.readouterr().out)
    assert one["environments"] == ["dev", "staging", "production"]


def test_what_may_not_be_listed_is_never_said_to_be_absent(sandbox: Sandbox, capsys: Capture) -> None:
    rule = {"group": "chaos-mesh.org", "verbs": ["list"]}
    httpx.post(f"{sandbox.url}/control/kubernetes/forbid", json=rule, trust_env=False).raise_for_status()
    assert run(["status"]) == ExitCode.ERROR
    told = capsys.readouterr().out
    assert "No fault is live" not in told
    assert "Whether faults are live is not known" in told
    assert told.count("is forbidden") == 1
    assert "Ask for a role that allows the verb 'list'" in told


@pytest.mark.usefixtures("shared_sandbox")
def test_a_journal_that_cannot_be_read_does_not_hide_the_cluster(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, isolated: Any
) -> None:
    (isolated / "journal.db").write_bytes(b"not a database, " * 64)
    assert run(["status"]) == ExitCode.HELD
    told = capsys.readouterr().out
    assert "No fault is live" in told
    assert "The journal cannot be read" in told
