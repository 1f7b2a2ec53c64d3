"""``gameday stop``: a person learns what ended, what did not, and whether they named the right run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from gameday.cli.main import run
from gameday.clients.kubernetes import Cluster
from gameday.clients.types import Lease
from gameday.clock import SystemClock
from gameday.errors import ExitCode
from gameday.guard.leader import LEASE, Election
from gameday.journal.store import Journal, RunRecord, Verdict
from gameday.safety.lease import RunLeases, run_lease
from gameday.settings import clock, load
from sandbox.process.launch import Sandbox

Capture = pytest.CaptureFixture[str]

RUN = "20261123t101530-basic-pod-failure-7f3a"
CHAOS = "chaos-engineering"
LATER = "20261124t091500-network-resilience-08c2"


def known_run(*runs: str, verdict: Verdict | None = None) -> None:
    """The journal knows a run, or several."""

    async def write() -> None:
        async with Journal.open(load().database_url) as journal:
            for run in runs or [RUN]:
                at = datetime.strptime(run[:15], "%Y%m%dt%H%M%S").replace(tzinfo=UTC)
                await journal.begin(RunRecord(run, "basic-pod-failure", "staging", "me", "why", at))
                if verdict is not None:
                    await journal.conclude(run, verdict, "", at)

    asyncio.run(write())


def fault(sandbox: Sandbox, name: str = "somebodys", **labels: str) -> None:
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
        "metadata": {"name": name, "namespace": "chaos-engineering", "labels": labels},
        "spec": spec,
    }
    pull(sandbox, "objects", object=body)


def held(run: str, since: datetime) -> None:
    """The run holds the Lease by which it shows that it lives."""

    async def create() -> None:
        labels = {"app.kubernetes.io/managed-by": "gameday", "gameday/run": run}
        lease = Lease(
            run_lease(run), "chaos-engineering", run, timedelta(seconds=30), since, since, labels=labels
        )
        async with Cluster.connect(None, clock=clock(load())) as cluster:
            await cluster.create_lease(lease)

    asyncio.run(create())


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
    known_run(verdict=Verdict.HELD)
    assert run(["stop", RUN]) == ExitCode.HELD
    assert "there was nothing to end" in capsys.readouterr().out


@pytest.mark.usefixtures("shared_sandbox")
def test_a_run_without_a_verdict_that_cannot_be_called_off_is_not_said_to_be_stopped(capsys: Capture) -> None:
    known_run()
    assert run(["stop", RUN]) == ExitCode.ERROR
    told = capsys.readouterr().out
    assert "nothing to end" not in told
    assert f"To do: Run {RUN} has no verdict, and held no Lease by which it could be called off" in told
    assert "name that: --env staging" in told
    assert "gameday halt" in told
    assert run(["stop", RUN, "-o", "json"]) == ExitCode.ERROR
    told = json.loads(capsys.readouterr().out)
    assert (told["clean"], told["calledOff"]) == (False, [])
    assert RUN in told["mayGoOn"]


@asynccontextmanager
async def waiting() -> AsyncIterator[RunLeases]:
    """A run that has injected nothing yet, but will, with the cluster's guard beside it."""
    async with Cluster.connect(clock=SystemClock()) as cluster:
        guard = Election(cluster, CHAOS, pace=SystemClock(), name="the-guard")
        await guard.stand()
        leases = RunLeases(cluster, RUN, (), namespace=CHAOS, clock=clock(load()))
        await leases.announce()
        yield leases
        assert (await cluster.lease(CHAOS, LEASE)).holder == "the-guard", "it goes on leading"


async def stopped(*words: str) -> int:
    """Call the command from another process, as far as it can tell."""
    return await asyncio.to_thread(run, ["stop", *words])


@pytest.mark.parametrize("words", [("--all",), (RUN,)])
async def test_a_run_that_goes_on_is_called_off_and_the_guard_is_not(
    sandbox: Sandbox, words: tuple[str, ...], capsys: Capture
) -> None:
    assert sandbox.url
    async with waiting() as leases:
        assert await stopped(*words) == ExitCode.HELD
        assert capsys.readouterr().out.count("Called off: run ") == 1
        await leases.renew()
        assert leases.why_lost()


async def test_whoever_may_see_runs_in_the_chaos_namespace_alone_can_call_them_off(
    sandbox: Sandbox, capsys: Capture
) -> None:
    async with waiting() as leases:
        pull(sandbox, "forbid", resources=["leases"], verbs=["list"], namespace="")
        assert await stopped(RUN) == ExitCode.HELD
        assert f"Called off: run {RUN}" in capsys.readouterr().out
        await leases.renew()
        assert leases.why_lost()


async def test_a_run_that_could_not_be_called_off_is_not_said_to_be_stopped(
    sandbox: Sandbox, capsys: Capture
) -> None:
    async with waiting() as leases:
        pull(sandbox, "forbid", resources=["leases"], verbs=["delete"])
        assert await stopped(RUN) == ExitCode.ERROR
        told = capsys.readouterr().out
        assert "nothing to end" not in told
        assert "To do: Whether a run goes on is not known: its leases could not be deleted." in told
        await leases.renew()
        assert not leases.why_lost()


def test_the_end_of_an_id_is_enough_as_it_is_for_monitor(sandbox: Sandbox, capsys: Capture) -> None:
    known_run()
    fault(sandbox, **{"gameday/run": RUN})
    assert run(["stop", "7f3a", "-o", "json"]) == ExitCode.HELD
    told = capsys.readouterr()
    (ended,) = json.loads(told.out)["objects"]
    assert (ended["name"], ended["proof"]) == ("somebodys-0", "gone")
    assert f"7f3a is run {RUN}." in told.err


@pytest.mark.usefixtures("shared_sandbox")
def test_what_several_runs_share_stops_none_and_names_them(capsys: Capture) -> None:
    known_run(RUN, LATER)
    assert run(["stop", "2026"]) == ExitCode.USAGE
    told = capsys.readouterr()
    assert f"several runs begin or end with '2026': {LATER}, {RUN}" in told.err
    assert "`gameday stop --all` ends everything" in told.err
    assert "nothing to end" not in told.out


@pytest.mark.parametrize("journal", ["knows", "is away"])
def test_of_several_the_one_that_is_live_is_meant(
    journal: str, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    known_run(RUN, LATER)
    if journal == "is away":
        (tmp_path / "file").touch()
        monkeypatch.setenv("GAMEDAY_DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/file/journal.db")
    fault(sandbox, **{"gameday/run": RUN})
    run(["stop", "2026", "-o", "json"])
    told = capsys.readouterr()
    assert [(one["name"], one["proof"]) for one in json.loads(told.out)["objects"]] == [
        ("somebodys-0", "gone")
    ]
    assert f"2026 is run {RUN}." in told.err


def test_a_run_between_two_stages_is_found_by_the_lease_that_it_holds(
    sandbox: Sandbox, capsys: Capture
) -> None:
    now = clock(load()).now()
    known_run(RUN, LATER)
    held(RUN, now)
    held("20260101t000000-long-gone-0000", now - timedelta(hours=1))
    assert run(["stop", "2026"]) == ExitCode.HELD
    told = capsys.readouterr()
    assert f"Called off: run {RUN}" in told.out
    assert f"2026 is run {RUN}." in told.err


def test_of_several_that_are_live_none_is_ended_before_it_is_said_which(
    sandbox: Sandbox, capsys: Capture
) -> None:
    fault(sandbox, **{"gameday/run": RUN})
    fault(sandbox, "anothers", **{"gameday/run": LATER})
    assert run(["stop", "2026"]) == ExitCode.USAGE
    assert f"several runs begin or end with '2026': {LATER}, {RUN}" in capsys.readouterr().err
    assert run(["stop", "--all", "-o", "json"]) == ExitCode.HELD
    assert len(json.loads(capsys.readouterr().out)["objects"]) == 2, "both were still in"


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


@pytest.mark.parametrize("words", [["stop", "--all"], ["halt", "--reason", "checkout is down"]])
def test_no_cluster_is_named_where_there_is_none(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    assert run(words) == ExitCode.USAGE
    told = capsys.readouterr().err
    assert told.startswith("error: There is no kubeconfig")
