"""Why: every test of the emergency stop breaks the same sandbox, and finds it whole.

Faults to inject, levers to pull, and a stop to call; ``test_emergency*`` take them from here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.kubernetes import Cluster
from gameday.clock import RemoteClock
from gameday.safety.emergency import stop
from gameday.safety.stop_report import Outcome, Scope, StopReport
from sandbox.process.launch import Sandbox, launch_temporary

CHAOS = "chaos-engineering"
STAGING = "pyairtable-staging"
SECOND = timedelta(seconds=1)

SPECS: dict[str, dict[str, Any]] = {
    "PodChaos": {"action": "pod-failure"},
    "NetworkChaos": {"action": "delay", "delay": {"latency": "50ms"}},
    "StressChaos": {"stressors": {"cpu": {"workers": 1, "load": 10}}},
    "TimeChaos": {"timeOffset": "-1m"},
    "BlockChaos": {"action": "delay", "delay": {"latency": "10ms"}, "volumeName": "data"},
}


def fault(
    kind: str, name: str, *, run: str = "run-a", service: str = "api-gateway", mode: str = "one", **spec: Any
) -> dict[str, Any]:
    labels = {"gameday/run": run, "gameday/flow-run": f"flow-{run}"} if run else {}
    selector = {"namespaces": [STAGING], "labelSelectors": {"app": service}}
    body = {"selector": selector, "mode": mode, "duration": "10m", **SPECS[kind], **spec}
    return {
        "apiVersion": "chaos-mesh.org/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": CHAOS, "labels": labels},
        "spec": body,
    }


def schedule(name: str, *, run: str = "run-a", every: str = "1s") -> dict[str, Any]:
    child = fault("TimeChaos", name)["spec"]
    return {
        "apiVersion": "chaos-mesh.org/v1alpha1",
        "kind": "Schedule",
        "metadata": {"name": name, "namespace": CHAOS, "labels": {"gameday/run": run}},
        "spec": {
            "schedule": f"@every {every}",
            "type": "TimeChaos",
            "timeChaos": child,
            "concurrencyPolicy": "Allow",
            "historyLimit": 100,
        },
    }


def workflow(name: str, *, run: str = "run-a") -> dict[str, Any]:
    inside = fault("TimeChaos", name)["spec"]
    del inside["duration"]
    return {
        "apiVersion": "chaos-mesh.org/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": name, "namespace": CHAOS, "labels": {"gameday/run": run}},
        "spec": {
            "entry": "all",
            "templates": [
                {"name": "all", "templateType": "Serial", "deadline": "10m", "children": ["first", "second"]},
                {"name": "first", "templateType": "TimeChaos", "deadline": "2s", "timeChaos": inside},
                {"name": "second", "templateType": "TimeChaos", "deadline": "5m", "timeChaos": inside},
            ],
        },
    }


@pytest.fixture(scope="module")
def broken_sandbox() -> Iterator[Sandbox]:
    with launch_temporary(history=timedelta(0)) as sandbox:
        yield sandbox


@pytest.fixture
def levers(broken_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """The levers of the sandbox's cluster, all put back before and after the test."""
    for name, value in broken_sandbox.env.items():
        monkeypatch.setenv(name, value)
    with httpx.Client(base_url=f"{broken_sandbox.url}/control/kubernetes", trust_env=False) as client:
        client.delete("/").raise_for_status()
        yield client
        client.delete("/").raise_for_status()


@pytest.fixture
def clock(broken_sandbox: Sandbox) -> RemoteClock:
    return RemoteClock(broken_sandbox.env["GAMEDAY_CLOCK_URL"])


@pytest.fixture
async def cluster(levers: httpx.Client, clock: RemoteClock) -> AsyncIterator[Cluster]:
    async with Cluster.connect(clock=clock) as connected:
        yield connected
        mend(levers)
        report = await stop(ChaosMesh(connected.api), Scope.everything(), clock=clock, force=True)
        assert not (await ChaosMesh(connected.api).live()).objects, report.lines()
        await clock.sleep(timedelta(seconds=60))  # pods that were replaced become ready


@pytest.fixture
def chaos(cluster: Cluster) -> ChaosMesh:
    return ChaosMesh(cluster.api)


Stop = Callable[..., Any]


@pytest.fixture
def end(chaos: ChaosMesh, clock: RemoteClock) -> Stop:
    async def stopped(scope: Scope | None = None, **how: Any) -> StopReport:
        return await stop(chaos, scope or Scope.everything(), clock=clock, **how)

    return stopped


def mend(levers: httpx.Client) -> None:
    levers.delete("/").raise_for_status()


def calls(levers: httpx.Client) -> Counter[str]:
    by_verb = levers.get("/calls").raise_for_status().json()["calls"]
    return Counter({verb: sum(resources.values()) for verb, resources in by_verb.items()})


def pull(levers: httpx.Client, lever: str, **how: Any) -> None:
    levers.post(f"/{lever}", json=how).raise_for_status()


async def inject(chaos: ChaosMesh, *bodies: dict[str, Any]) -> None:
    refs = [(await chaos.create(body)).ref for body in bodies]
    faults = [ref for ref in refs if ref.kind not in {"Schedule", "Workflow"}]
    states = await chaos.wait(faults, lambda state: bool(state and state.injected), within=30 * SECOND)
    assert all(state and state.injected for state in states.values()), states


async def left(chaos: ChaosMesh) -> set[str]:
    census = await chaos.live()
    assert census.complete
    return {str(state.ref) for state in census.objects}


def outcome(report: StopReport, name: str) -> Outcome:
    (found,) = [one for one in report.outcomes if one.ref.name == name]
    return found
