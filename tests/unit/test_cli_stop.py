"""``gameday stop``: a person learns what ended, what did not, and whether they named the right run."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import httpx
import pytest

from gameday.cli.main import run
from gameday.errors import ExitCode
from gameday.journal.store import Journal, RunRecord
from gameday.settings import load
from sandbox.process.launch import Sandbox

Capture = pytest.CaptureFixture[str]

RUN = "20261123t101530-basic-pod-failure-7f3a"


def known_run() -> None:
    """The journal knows a run."""

    async def write() -> None:
        async with Journal.open(load().database_url) as journal:
            at = datetime(2026, 11, 23, 10, 15, 30, tzinfo=UTC)
            await journal.begin(RunRecord(RUN, "basic-pod-failure", "staging", "me", "why", at))

    asyncio.run(write())


def fault(sandbox: Sandbox, **labels: str) -> None:
    """A fault of somebody is in the cluster."""
    spec = {
        "action": "delay",
        "mode": "one",
        "duration": "10m",
        "selector": {"namespaces": ["pyairtable-staging"], "labelSelectors": {"app": "redis"}},
        "delay": {"latency": "50ms"},
    }
    body = {
        "apiVersion": "chaos-mesh.org/v1alpha1",
        "kind": "NetworkChaos",
        "metadata": {"name": "somebodys", "namespace": "chaos-engineering", "labels": labels},
        "spec": spec,
    }
    pull(sandbox, "objects", object=body)


def pull(sandbox: Sandbox, lever: str, **body: object) -> None:
    url = f"{sandbox.url}/control/kubernetes/{lever}"
    httpx.post(url, json=body, trust_env=False).raise_for_status()


@pytest.mark.parametrize("arguments", [[], [RUN, "--all"]])
def test_what_to_stop_must_be_said_and_once(arguments: list[str], capsys: Capture) -> None:
    assert run(["stop", *arguments]) == ExitCode.USAGE
    assert "name one RUN, or give --all" in capsys.readouterr().err


@pytest.mark.usefixtures("shared_sandbox")
def test_a_run_that_nobody_knows_is_not_said_to_be_stopped(capsys: Capture) -> None:
    assert run(["stop", "20261123t101530-nobody-0000"]) == ExitCode.USAGE
    assert "unknown run '20261123t101530-nobody-0000'" in capsys.readouterr().err


@pytest.mark.usefixtures("shared_sandbox")
def test_a_run_that_has_left_nothing_is_well_stopped(capsys: Capture) -> None:
    known_run()
    assert run(["stop", RUN]) == ExitCode.HELD
    assert "there was nothing to end" in capsys.readouterr().out


def test_the_end_of_an_id_is_enough_as_it_is_for_monitor(sandbox: Sandbox, capsys: Capture) -> None:
    known_run()
    fault(sandbox, **{"gameday/run": RUN})
    assert run(["stop", "7f3a", "-o", "json"]) == ExitCode.HELD
    told = capsys.readouterr()
    (ended,) = json.loads(told.out)["objects"]
    assert (ended["name"], ended["proof"]) == ("somebodys-0", "gone")
    assert f"7f3a is run {RUN}." in told.err


def test_a_stop_that_may_not_look_never_says_that_there_was_nothing(
    sandbox: Sandbox, capsys: Capture
) -> None:
    fault(sandbox)
    pull(sandbox, "forbid")
    assert run(["stop", "--all", "--within", "5s"]) == ExitCode.ERROR
    told = capsys.readouterr().out
    assert "nothing to end" not in told
    assert "not everything could be looked at" in told
    # One reason, said once and not for each of the sixteen kinds.
    assert told.count("is forbidden") <= 2
    assert len(told.splitlines()) <= 6


def test_the_result_is_told_once(sandbox: Sandbox, capsys: Capture) -> None:
    fault(sandbox)
    assert run(["stop", "--all"]) == ExitCode.HELD
    told = capsys.readouterr()
    assert told.out.count("Stopped everything: 1 of 1") == 1
    assert "Stopped" not in told.err
    assert "NetworkChaos: all gone" in told.err
