"""The guardrails hold while a run goes on: before each injection, on the pods of then, and all through it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML

from flows.run_experiment import run_experiment
from gameday.clients.kubernetes import Cluster
from gameday.clock import SystemClock
from gameday.journal.store import Event, Journal
from gameday.report.data import collect
from gameday.report.markdown import render
from gameday.safety.lever import engage
from gameday.settings import load
from gameday.spec.catalogue import Catalogue
from sandbox.process.launch import Sandbox
from tasks.listening import listening
from tests.flows.conftest import live_faults

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("in_prefect")]

OWN = Catalogue().directory
LAX = [{"signal": "errors", "abortWhen": "> 100000"}]
NAMESPACE = "pyairtable-staging"
WELL = [{"name": "availability", "signal": "availability", "expect": ">= 0.99", "tolerate": ">= 0"}]


class Trial:
    """A catalogue with one experiment, ``trial``, to write before a run."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.guardrails = YAML(typ="safe").load(OWN / "guardrails.yaml")
        (directory / "platform.yaml").write_bytes((OWN / "platform.yaml").read_bytes())

    def write(self, *stages: dict[str, Any], **rules: Any) -> None:
        """Have ``trial`` consist of ``stages``, under guardrails that are changed so."""
        experiment = {
            "name": "trial",
            "title": "A trial",
            "hypothesis": "It holds.",
            "category": "basic",
            "environments": ["staging"],
            "owner": "platform-team",
            "baseline": "1m",
            "steadyState": WELL,
            "stages": list(stages),
            "recovery": {"timeout": "3m", "stableFor": "5s"},
        }
        for name, data in (("trial", experiment), ("guardrails", {**self.guardrails, **rules})):
            with (self.directory / f"{name}.yaml").open("w") as file:
                YAML(typ="safe").dump(data, file)


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    directory = tmp_path / "experiments"
    directory.mkdir()
    monkeypatch.setenv("GAMEDAY_EXPERIMENTS", str(directory))
    return Trial(directory)


def stage(name: str, target: str, lasts: str = "30s", kind: str = "PodChaos", **spec: Any) -> dict[str, Any]:
    spec = {"mode": "one", **(spec or {"action": "pod-failure"})}
    return {"name": name, "duration": lasts, "faults": [{"target": target, "kind": kind, "spec": spec}]}


async def verdict(act: Callable[[Event], None] = lambda _: None) -> tuple[str, str, list[Event]]:
    """How a run of ``trial`` ended, why, and what it told; ``act`` hears every event of it at once."""
    with listening(act):
        state = await run_experiment("trial", "staging", return_state=True)
    assert await live_faults() == []
    async with Journal.open(load().database_url) as journal:
        record = (await journal.latest(1))[0]
        return state.name or "", state.message or "", await journal.events(record.run)


def injected(events: list[Event]) -> list[str]:
    return [event.data["stage"] for event in events if event.kind == "injected"]


def once(kind: str, act: Callable[[], None]) -> Callable[[Event], None]:
    """Call ``act`` at the first event of ``kind``."""
    heard: list[Event] = []

    def listen(event: Event) -> None:
        if event.kind == kind and not heard:
            heard.append(event)
            act()

    return listen


def scale(sandbox: Sandbox, deployment: str, replicas: int) -> None:
    url = f"{sandbox.url}/kubernetes/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{deployment}"
    headers = {"content-type": "application/merge-patch+json"}
    body = {"spec": {"replicas": replicas}}
    httpx.patch(url, json=body, headers=headers, trust_env=False).raise_for_status()


def lose(sandbox: Sandbox, service: str, count: int) -> None:
    """Delete pods of ``service``: what replaces them is not ready at once."""
    url = f"{sandbox.url}/kubernetes/api/v1/namespaces/{NAMESPACE}/pods"
    found = httpx.get(url, params={"labelSelector": f"app={service}"}, trust_env=False).json()["items"]
    for pod in found[:count]:
        httpx.delete(f"{url}/{pod['metadata']['name']}", trust_env=False).raise_for_status()


CPU = {"stressors": {"cpu": {"workers": 4, "load": 100}}}
MEMORY = {"stressors": {"memory": {"workers": 1, "size": "400MiB"}}}


async def test_a_service_without_cpu_left_for_a_minute_ends_the_run(sandbox: Sandbox, trial: Trial) -> None:
    trial.write(stage("burn", "api-gateway", "4m", "StressChaos", mode="all", **CPU))
    name, why, events = await verdict()
    assert name == "Aborted", why
    assert why.endswith("at api-gateway: the guardrail > 0.95")
    assert injected(events) == ["burn"]


async def test_one_pod_without_cpu_left_does_not(sandbox: Sandbox, trial: Trial) -> None:
    trial.write(stage("burn", "api-gateway", "3m", "StressChaos", mode="one", **CPU))
    assert (await verdict())[0] == "Held"


async def test_a_service_without_memory_left_for_a_minute_ends_the_run(
    sandbox: Sandbox, trial: Trial
) -> None:
    trial.write(stage("fill", "auth-service", "3m", "StressChaos", mode="all", **MEMORY))
    name, why, _ = await verdict()
    assert name == "Aborted", why
    assert "memory" in why


async def test_a_platform_that_is_worse_than_each_service_may_be_ends_the_run(
    sandbox: Sandbox, trial: Trial
) -> None:
    faults = [
        stage("x", service)["faults"][0] for service in ("api-gateway", "auth-service", "platform-services")
    ]
    platform = {"signal": "availability", "abortWhen": "< 90%", "for": "10s", "scope": "platform"}
    trial.write({"name": "several", "duration": "2m", "faults": faults}, thresholds=[*LAX, platform])
    name, why, _ = await verdict()
    assert name == "Aborted", why
    assert "availability of the platform" in why
    assert "the guardrail < 0.9" in why


async def test_what_was_right_in_the_plan_and_is_wrong_now_is_not_injected(
    sandbox: Sandbox, trial: Trial
) -> None:
    trial.write(stage("one", "auth-service"), blastRadius=[{"share": "50%", "untouchedReady": 1}])
    name, why, events = await verdict(once("baseline", lambda: lose(sandbox, "auth-service", 2)))
    assert name == "Refused", why
    assert "blastRadius.untouchedReady" in why
    assert injected(events) == []


async def test_a_later_stage_that_has_become_wrong_aborts_the_run(sandbox: Sandbox, trial: Trial) -> None:
    stages = stage("first", "api-gateway"), stage("second", "auth-service")
    trial.write(*stages, blastRadius=[{"share": "50%", "untouchedReady": 1}])
    name, why, events = await verdict(once("injected", lambda: scale(sandbox, "auth-service", 1)))
    assert name == "Aborted", why
    assert why.startswith("before second: stage second, ready pods of auth-service that no fault touches: 0")
    assert injected(events) == ["first"]


async def test_too_few_ready_pods_while_a_fault_is_in_end_the_run(sandbox: Sandbox, trial: Trial) -> None:
    rules = [{"share": "100%", "untouchedReady": 2}]
    trial.write(stage("one", "api-gateway", "2m"), blastRadius=rules, thresholds=LAX)
    name, why, _ = await verdict(once("injected", lambda: scale(sandbox, "api-gateway", 1)))
    assert name == "Aborted", why
    assert "ready pods of api-gateway that no fault touches" in why


async def test_a_run_that_takes_longer_than_any_may_is_aborted(sandbox: Sandbox, trial: Trial) -> None:
    # Each injection takes a moment, so that two stages together take longer than they say.
    trial.write(stage("first", "api-gateway"), stage("second", "auth-service"), maxRunDuration="60s")
    name, why, _ = await verdict()
    assert name == "Aborted", why
    assert "(maxRunDuration)" in why


async def test_a_service_is_left_alone_after_a_run_that_hit_it(sandbox: Sandbox, trial: Trial) -> None:
    gaps = [{"betweenRuns": "30m"}]
    trial.write(stage("one", "api-gateway"), gaps=gaps)
    assert (await verdict())[0] == "Held"
    name, why, events = await verdict()
    assert name == "Refused", why
    assert "pause since api-gateway was last hit" in why
    assert injected(events) == []
    trial.write(stage("one", "auth-service"), gaps=gaps)
    assert (await verdict())[0] == "Held"


async def test_nothing_is_injected_while_the_lever_is_engaged(sandbox: Sandbox, trial: Trial) -> None:
    trial.write(stage("one", "api-gateway"))
    async with Cluster.connect(clock=SystemClock()) as cluster:
        await engage(
            cluster, "chaos-engineering", by="on-call", reason="a test", source="test", clock=SystemClock()
        )
    name, why, events = await verdict()
    assert name == "Refused", why
    assert "by on-call: a test" in why
    assert injected(events) == []


def pull(sandbox: Sandbox) -> None:
    """Engage the lever as any client can."""
    url = f"{sandbox.url}/kubernetes/api/v1/namespaces/chaos-engineering/configmaps"
    data = {"halted": "true", "by": "on-call", "reason": "a test"}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "gameday-safety"}, "data": data}
    httpx.post(url, json=body, trust_env=False).raise_for_status()


async def test_a_lever_that_is_pulled_stops_the_run(sandbox: Sandbox, trial: Trial) -> None:
    trial.write(stage("one", "api-gateway", "5m"))
    name, why, _ = await verdict(once("injected", lambda: pull(sandbox)))
    assert name == "Stopped", why
    assert "the safety lever is engaged by on-call: a test" in why


@pytest.mark.parametrize("word", ["Aborted", "Stopped"])
async def test_people_hear_at_once_why_the_faults_were_ended_and_when_it_had_recovered(
    sandbox: Sandbox, trial: Trial, word: str
) -> None:
    trial.write(stage("first", "api-gateway"), stage("second", "auth-service"), maxRunDuration="60s")
    name, _, _ = await verdict(once("injected", lambda: pull(sandbox) if word == "Stopped" else None))
    assert name == word
    head, *replies = httpx.get(f"{sandbox.url}/control/slack/messages", trust_env=False).json()
    texts = [one["text"] for one in replies]
    early, recovered, final = [text for text in texts if not text.startswith(("Injected", "Ended"))][:3]
    assert f"{word}: " in early
    assert early.endswith("; faults ended")
    assert recovered.startswith("Recovered: steady state ")
    assert f"{word}: " in final
    # That the faults are ended, that it has recovered, the verdict.
    assert head["edits"] == 3


async def test_people_read_how_risky_a_run_is(sandbox: Sandbox, trial: Trial) -> None:
    trial.write(stage("one", "api-gateway"))
    assert (await verdict())[0] == "Held"
    told = httpx.get(f"{sandbox.url}/control/slack/messages", trust_env=False).text
    assert "points" in told
    async with Journal.open(load().database_url) as journal:
        report = render(await collect(journal, (await journal.latest(1))[0].run))
    assert "severity: the worst fault is PodChaos pod-failure" in report
