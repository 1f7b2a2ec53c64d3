"""What a run checks beside Prometheus: requests of users, objects of the cluster, alerts that must fire."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from flows.run_experiment import run_experiment
from gameday.analysis.model import AlertSeen, SignalSeries
from gameday.journal.results import Results
from gameday.journal.store import Event, Journal, Observation
from gameday.report.data import baselines
from gameday.settings import load
from gameday.spec.catalogue import default_directory
from sandbox.process.launch import Sandbox
from tests.flows.conftest import live_faults

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("in_prefect")]

SLOW = {"action": "delay", "mode": "all", "delay": {"latency": "600ms"}}


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue of its own, under guardrails that stop nothing here."""
    guardrails = YAML(typ="safe").load(default_directory() / "guardrails.yaml")
    guardrails["thresholds"] = [{"signal": "errors", "abortWhen": "> 100000"}]
    with (tmp_path / "guardrails.yaml").open("w") as file:
        YAML(typ="safe").dump(guardrails, file)
    (tmp_path / "platform.yaml").write_bytes((default_directory() / "platform.yaml").read_bytes())
    monkeypatch.setenv("GAMEDAY_EXPERIMENTS", str(tmp_path))
    return tmp_path


async def carried_out(
    directory: Path, probes: Sequence[dict[str, Any]], stage: dict[str, Any], **more: Any
) -> tuple[str, str, list[Event], list[Observation]]:
    """Run one stage with these probes: how it ended, why, what was told, what was seen."""
    experiment = {
        "name": "trial",
        "title": "A trial",
        "hypothesis": "It holds.",
        "category": "basic",
        "environments": ["staging"],
        "owner": "platform-team",
        "baseline": "1m",
        "steadyState": list(probes),
        "stages": [{"name": "one", "duration": "60s", **stage}],
        "recovery": {"timeout": "3m", "stableFor": "5s"},
        **more,
    }
    with (directory / "trial.yaml").open("w") as file:
        YAML(typ="safe").dump(experiment, file)
    state = await run_experiment("trial", "staging", return_state=True)
    assert await live_faults() == []
    async with Journal.open(load().database_url) as journal:
        (record,) = await journal.latest(1)
        events, seen = await journal.events(record.run), await journal.observations(record.run)
    return state.name or "", state.message or "", events, seen


async def test_users_who_wait_too_long_disprove_the_hypothesis_whatever_prometheus_says(
    sandbox: Sandbox, directory: Path
) -> None:
    latency = {"path": "/api/v1/records", "measures": "latency", "service": "api-gateway", "timeout": "5s"}
    probes = [
        {"name": "front-latency", "http": latency, "expect": "<= 1", "for": "5s"},
        {"name": "front-door", "http": {"path": "/api/v1/records"}, "expect": ">= 1", "tolerate": ">= 0"},
        {"name": "ready", "kubernetes": {"kind": "Deployment"}, "expect": ">= 1", "for": "30s"},
    ]
    faults = [{"target": "api-gateway", "kind": "NetworkChaos", "spec": SLOW}]
    name, why, events, seen = await carried_out(directory, probes, {"faults": faults})
    assert name == "Disproved", why
    assert why.startswith("front-latency ")
    assert "s at api-gateway: outside <= 1 for " in why
    normal = {(one.signal, one.service): one for one in baselines(events)}
    assert normal["front-latency", "api-gateway"].count == 6
    assert 0 < normal["front-latency", "api-gateway"].p95 < 1
    assert normal["ready", "auth-service"].mean == 1
    async with Journal.open(load().database_url) as journal:
        series = [SignalSeries.model_validate(one) for one in await Results(journal).series(events[0].run)]
    assert {one.service for one in series if one.signal == "ready"} == {
        one.service for one in seen if one.signal == "ready"
    }, "the analysis has what Prometheus does not know"
    slow = [one.value for one in seen if one.signal == "front-latency" and one.stage == "one"]
    assert any(value is not None and 1.2 < value < 5 for value in slow)
    assert {one.stage for one in seen if one.signal == "ready"} >= {"baseline", "one", "recovery"}


async def test_a_fault_of_which_nobody_is_told_disproves_what_said_that_somebody_is(
    sandbox: Sandbox, directory: Path
) -> None:
    probes = [{"name": "availability", "signal": "availability", "expect": ">= 0.9", "tolerate": ">= 0"}]
    expected = [
        {"alert": "ServiceDown", "services": ["redis"], "within": "40s", "required": True},
        {"alert": "PodRestarting", "services": ["postgres"], "within": "30s", "required": True},
    ]
    faults = [{"target": "redis", "kind": "PodChaos", "spec": {"action": "pod-failure", "mode": "all"}}]
    name, why, events, _ = await carried_out(directory, probes, {"faults": faults, "expectAlerts": expected})
    assert name == "Disproved", why
    assert why == "PodRestarting of postgres after one did not fire within 30s"
    seen = [AlertSeen.model_validate(event.data) for event in events if event.kind == "alert"]
    took = {one.alert: one.took for one in seen if one.expected}
    assert took["ServiceDown"] is not None
    assert took["PodRestarting"] is None


async def test_a_load_that_suffers_disproves_the_hypothesis_and_ends_with_the_run(
    sandbox: Sandbox, directory: Path
) -> None:
    load = {"path": "/api/v1/records", "requestsPerSecond": 5, "warmUp": "10s", "timeout": "1s"}
    probes = [
        {"name": "users", "load": "success", "expect": ">= 0.99", "tolerate": ">= 0.9", "for": "5s"},
        {"name": "availability", "signal": "availability", "expect": ">= 0.9", "tolerate": ">= 0"},
    ]
    faults = [{"target": "api-gateway", "kind": "NetworkChaos", "spec": SLOW}]
    name, why, events, seen = await carried_out(directory, probes, {"faults": faults}, load=load)
    assert name == "Disproved", why
    assert why.startswith("users 0")
    told = [event for event in events if event.kind == "load"]
    assert [event.message.partition(":")[0] for event in told] == ["Load begins", "Load ended"]
    began, ended = (event.at for event in told)
    assert told[1].data["sent"] == pytest.approx(5 * (ended - began).total_seconds(), abs=2)
    assert told[1].data["unanswered"] > 0
    recovered = next(event for event in events if event.kind == "recovery")
    assert began < next(event.at for event in events if event.kind == "baseline")
    assert ended <= recovered.at
    signals = {one.signal for one in seen if one.stage == "one"}
    assert signals >= {"users", "load-p50", "load-p95", "load-p99", "load-rate", "load-dropped"}
    assert ("load-p95", "") in {(one.signal, one.service) for one in baselines(events)}
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("load ")]
