"""Each identity of ``deployments/`` may do what it is there for, and nothing is granted in vain.

The sandbox enforces the very roles that are applied to a cluster: a token names the identity. What the
clients asked for is compared with what was granted.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from typer.testing import CliRunner

from flows.run_experiment import run_experiment
from flows.run_suite import run_suite
from gameday.cli.main import app
from gameday.cli.main import run as called
from gameday.clients.kubernetes import Cluster
from gameday.clock import SystemClock
from gameday.doctor import needs
from gameday.doctor.needs import ROLES, Need
from gameday.errors import ExitCode
from gameday.journal.store import Event
from gameday.safety import lever
from sandbox.process.launch import Sandbox
from tests.flows.conftest import Process, live_faults, until
from tests.flows.moments import acting, injected, record_of
from tests.suites import small_catalogue

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = "pyairtable-staging"
CHAOS = "chaos-engineering"
RUNS = f"system:serviceaccount:{CHAOS}:gameday-runs"
GUARD = f"system:serviceaccount:{CHAOS}:gameday-guard"
VIEWER = "reader,gameday-viewers"
STOPPER = "on-call,gameday-stoppers"
FAULTS = "faults"

Json = dict[str, Any]
Right = tuple[str, str, str]

# Granted although nothing below asks for it, and why.
JUSTIFIED: dict[Right, str] = {
    ("gameday-make-faults", "approve", FAULTS): "a policy asks for it, where an object is approved",
    **{
        ("gameday-mend-platform", verb, kind): "stop --restart, where a service is one of these"
        for verb in ("get", "patch")
        for kind in ("statefulsets", "daemonsets")
    },
}


def documents(path: str, namespace: str = "") -> list[Json]:
    """The objects in a file below ``deployments/``, those without a namespace put into ``namespace``."""
    found = list(yaml.safe_load_all((ROOT / "deployments" / path).read_text(encoding="utf-8")))
    for body in filter(None, found):
        if namespace:
            body["metadata"].setdefault("namespace", namespace)
    return [body for body in found if body]


def slow(name: str, duration: str = "20m") -> Json:
    """A delay on the gateway, made by hand."""
    selector = {"namespaces": [NAMESPACE], "labelSelectors": {"app": "api-gateway"}}
    spec = {"action": "delay", "mode": "all", "selector": selector, "delay": {"latency": "1s"}}
    return {
        "apiVersion": "chaos-mesh.org/v1alpha1",
        "kind": "NetworkChaos",
        "metadata": {"name": name, "namespace": CHAOS},
        "spec": {**spec, "duration": duration},
    }


def kill(name: str) -> Json:
    """A pod of the gateway killed, by hand."""
    selector = {"namespaces": [NAMESPACE], "labelSelectors": {"app": "api-gateway"}}
    return {
        "apiVersion": "chaos-mesh.org/v1alpha1",
        "kind": "PodChaos",
        "metadata": {"name": name, "namespace": CHAOS},
        "spec": {"action": "pod-kill", "mode": "one", "selector": selector, "duration": "5m"},
    }


def held(name: str, **annotations: str) -> Json:
    """A Lease that the run ``a`` holds."""
    labels = {"app.kubernetes.io/managed-by": "gameday", "gameday/run": "a"}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": CHAOS, "labels": labels, "annotations": annotations},
        "spec": {"holderIdentity": "a", "leaseDurationSeconds": 30},
    }


class Guarded:
    """A sandbox with everything of ``deployments/`` in it, and a kubeconfig for each identity."""

    def __init__(self, sandbox: Sandbox, directory: Path) -> None:
        self.sandbox = sandbox
        self.directory = directory
        self.add(*documents("base/rbac.yaml"), *documents("target/rolebindings.yaml", NAMESPACE))

    def control(self, path: str, body: Json | None = None) -> Any:
        """Pull a lever of the sandbox, or read one."""
        url = f"{self.sandbox.url}/control/{path}"
        method = "GET" if body is None else "POST"
        answer = httpx.request(method, url, json=body, trust_env=False, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def add(self, *objects: Json) -> None:
        """Create objects as the administrator."""
        self.control("kubernetes/objects", {"objects": objects})

    def pass_time(self, seconds: int) -> None:
        """Let virtual time pass."""
        now = datetime.fromisoformat(self.control("clock")["now"])
        self.control("clock/sleep", {"until": (now + timedelta(seconds=seconds)).isoformat()})

    def identity(self, user: str) -> str:
        """A kubeconfig for ``user``."""
        config = yaml.safe_load(self.sandbox.state.kubeconfig.read_text(encoding="utf-8"))
        config["users"][0]["user"]["token"] = f"as:{user}"
        path = self.directory / f"kubeconfig-{user.replace(':', '-').replace(',', '-')}"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        path.chmod(0o600)
        return str(path)

    def refused(self, user: str) -> list[str]:
        """What an identity asked for in vain."""
        name = user.partition(",")[0]
        return [
            f"{one['verb']} {one['resource']}.{one['group']} in {one['namespace'] or 'all'}"
            for one in self.control("kubernetes/asked")
            if one["user"] == name and not one["allowed"]
        ]

    def not_foreseen(self, user: str, role: str) -> list[str]:
        """What an identity asked for and the doctor does not look at for ``role``."""
        name = user.partition(",")[0]
        asked = [one for one in self.control("kubernetes/asked") if one["user"] == name]
        assert asked
        return sorted(
            f"{one['verb']} {one['resource']}.{one['group']} {one['name']} in {one['namespace'] or 'all'}"
            for one in asked
            if not any(covers(need, one) for need in ROLES[role])
        )


def covers(need: Need, one: Json) -> bool:
    """Whether whoever has what ``need`` says may do what was asked."""
    resource = f"{need.resource}/{need.subresource}" if need.subresource else need.resource
    where = {CHAOS: needs.CHAOS, "": needs.ANYWHERE}.get(one["namespace"], needs.TARGET)
    return (
        (need.verb, resource, need.group) == (one["verb"], one["resource"], one["group"])
        and need.where in {needs.ANYWHERE, where}
        and need.name in {"", one["name"]}
    )


@pytest.fixture
def guarded(sandbox: Sandbox, tmp_path: Path) -> Guarded:
    return Guarded(sandbox, tmp_path)


Command = Callable[..., Any]


@pytest.fixture
def gameday(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Call the command as an identity."""

    def call(user: str, *arguments: str) -> Any:
        monkeypatch.setenv("KUBECONFIG", guarded.identity(user))
        result = CliRunner().invoke(app, [*arguments, "--env", "staging"])
        monkeypatch.setenv("KUBECONFIG", str(guarded.sandbox.state.kubeconfig))
        return result

    return call


def test_who_may_only_look_sees_everything_and_changes_nothing(guarded: Guarded, gameday: Command) -> None:
    guarded.add(*documents("base/guardrails.yaml"), slow("one"))
    for look in (["status"], ["plan", "network-resilience"], ["health", "post"], ["guardrails", "show"]):
        gameday(VIEWER, *look)
    assert guarded.refused(VIEWER) == []
    gameday(VIEWER, "stop", "--all")
    assert guarded.refused(VIEWER)
    assert len(asyncio.run(live_faults())) == 1


def test_who_may_stop_ends_even_what_hangs_and_starts_nothing(guarded: Guarded, gameday: Command) -> None:
    guarded.add(*documents("base/guardrails.yaml"), slow("one"), slow("two"), kill("three"))
    guarded.pass_time(5)
    guarded.control("kubernetes/hang", {"name": "two"})
    stopped = gameday(STOPPER, "stop", "--all", "--force", "--restart", "--within", "10s")
    assert guarded.refused(STOPPER) == [], stopped.output
    assert asyncio.run(live_faults()) == []
    hit = {"gameday/last-hit": "2026-11-30T10:00:00Z"}
    guarded.add(held("gameday-run-a"), held("gameday-target-b", **hit))
    halted = gameday(STOPPER, "halt", "--reason", "a test", "--restart", "--no-incident")
    assert guarded.refused(STOPPER) == [], halted.output
    assert "Called off: run a" in halted.output
    assert guarded.not_foreseen(STOPPER, "stop") == []


def test_whoever_has_the_rights_of_a_role_has_enough_for_it_says_the_doctor(
    guarded: Guarded, gameday: Command
) -> None:
    for user, role in ((RUNS, "runs"), (GUARD, "guard"), (STOPPER, "stop")):
        found = json.loads(gameday(user, "doctor", "-o", "json").stdout)
        (line,) = [one for one in found if one["name"] == f"enough for {role}"]
        assert line["state"] == "ok", line["found"]
    (line,) = [one for one in found if one["name"] == "enough for runs"]
    assert line["state"] == "warn", "who stops makes no faults"


@pytest.fixture
def as_runs(guarded: Guarded, in_prefect: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is carried out in this process has the rights of the workers, and no others."""
    monkeypatch.setenv("KUBECONFIG", guarded.identity(RUNS))


@pytest.fixture
def stopping(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], int]:
    """Stop something as an identity."""

    def stop(user: str, run: str) -> int:
        monkeypatch.setenv("KUBECONFIG", guarded.identity(user))
        code = called(["stop", run, "--env", "staging"])
        monkeypatch.setenv("KUBECONFIG", guarded.identity(RUNS))
        return code

    return stop


@pytest.mark.prefect
@pytest.mark.usefixtures("as_runs")
async def test_who_may_stop_ends_a_run_that_goes_on_and_frees_its_services(
    guarded: Guarded, stopping: Callable[[str, str], int], capsys: pytest.CaptureFixture[str]
) -> None:
    async def carried_out() -> Any:
        return await run_experiment("basic-pod-failure", "staging", duration="90s", return_state=True)

    async def holders() -> list[str]:
        async with Cluster.connect(clock=SystemClock()) as cluster:
            return [one.holder for one in await cluster.leases(CHAOS) if one.holder]

    def stop(event: Event) -> tuple[int, list[str]]:
        return stopping(STOPPER, event.run), asyncio.run(holders())

    state, (code, kept) = await acting(carried_out, injected, stop)
    assert (code, kept) == (ExitCode.HELD, []), capsys.readouterr().out
    assert (state.name, guarded.refused(STOPPER), guarded.refused(RUNS)) == ("Stopped", [], [])


@pytest.mark.prefect
@pytest.mark.usefixtures("as_runs")
@pytest.mark.parametrize(
    ("user", "moment"),
    [
        (STOPPER, injected),
        (RUNS, injected),
        (RUNS, lambda event: event.message.startswith("Letting the platform settle")),
    ],
)
async def test_a_suite_of_the_workers_is_stopped_by_them_and_by_others(
    guarded: Guarded,
    stopping: Callable[[str, str], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    user: str,
    moment: Callable[[Event], bool],
) -> None:
    small_catalogue(tmp_path, on_failure="goOn")
    monkeypatch.setenv("GAMEDAY_EXPERIMENTS", str(tmp_path))

    async def carried_out() -> Any:
        return await run_suite("both", "staging", return_state=True)

    def stop(event: Event) -> tuple[int, int]:
        suite = event.run if event.kind == "health" else str(asyncio.run(record_of(event.run)).suite)
        return stopping(user, suite), len(asyncio.run(live_faults()))

    state, (code, left) = await acting(carried_out, moment, stop)
    assert (code, left) == (ExitCode.HELD, 0), capsys.readouterr().out
    assert state.name == "Stopped", state.message
    assert "not tried: second" in (state.message or "")
    if user != RUNS:
        assert (guarded.refused(user), guarded.refused(RUNS)) == ([], [])


def rights(body: Json) -> Iterator[Right]:
    """Every right of a role: the role, the verb, the resource; the kinds of Chaos Mesh count as one."""
    for rule in body["rules"]:
        chaos = rule["apiGroups"] == ["chaos-mesh.org"]
        for verb in rule["verbs"]:
            for resource in [FAULTS] if chaos else rule["resources"]:
                yield body["metadata"]["name"], verb, resource


async def turned_by(user: str, guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Engage and release the lever as ``user``, where somebody has deleted its ConfigMap."""
    async with Cluster.connect(clock=SystemClock()) as cluster:
        path = f"/api/v1/namespaces/{CHAOS}/configmaps/{lever.NAME}"
        await cluster.api.delete(path, doing="delete the lever")
    monkeypatch.setenv("KUBECONFIG", guarded.identity(user))
    async with Cluster.connect(clock=SystemClock()) as cluster:
        turn = {"by": "on-call", "reason": "a test", "source": "command"}
        assert (await lever.engage(cluster, CHAOS, **turn, clock=SystemClock())).changed
        assert (await lever.release(cluster, CHAOS, **turn, clock=SystemClock())).changed


@pytest.mark.prefect
async def test_every_identity_may_do_what_it_is_for_and_nothing_is_granted_in_vain(
    guarded: Guarded,
    gameday: Command,
    prefect_env: dict[str, str],
    start_process: Callable[..., Process],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = (sys.executable, "-m", "gameday.cli.main")
    # A fault from before the limits, which the guard must end.
    guarded.add(slow("long", duration="9h"))
    guarded.add(*documents("base/guardrails.yaml"))
    guard = start_process(
        *command, "guard", "--env", "staging", "--listen", "127.0.0.1:0", KUBECONFIG=guarded.identity(GUARD)
    )
    await until(_none_is_left, "the guard ends what breaks a rule", process=guard)
    guard.signal(signal.SIGTERM)
    await guard.ended()
    run = start_process(
        *command, "run", "basic-pod-failure", "--env", "staging", KUBECONFIG=guarded.identity(RUNS)
    )
    assert await run.ended(timedelta(seconds=300)) == 0, run.output
    guarded.add(slow("stuck"))
    guarded.pass_time(5)
    guarded.control("kubernetes/hang", {"name": "stuck"})
    for user, *words in (
        (VIEWER, "status"),
        (VIEWER, "plan", "network-resilience"),
        (VIEWER, "health", "post"),
        (VIEWER, "doctor"),
        (VIEWER, "guardrails", "show"),
        (STOPPER, "stop", "--all", "--force", "--restart", "--within", "10s"),
    ):
        await asyncio.to_thread(gameday, user, *words)
    await turned_by(STOPPER, guarded, monkeypatch)

    for user, role in ((RUNS, "runs"), (GUARD, "guard"), (STOPPER, "stop")):
        assert guarded.refused(user) == []
        assert guarded.not_foreseen(user, role) == []
    used = {
        (one["verb"], FAULTS if one["group"] == "chaos-mesh.org" else one["resource"])
        for one in guarded.control("kubernetes/asked")
        if one["allowed"]
    }
    roles = [body for body in documents("base/rbac.yaml") if body["kind"] in ("Role", "ClusterRole")]
    idle = {right for body in roles for right in rights(body) if right[1:] not in used}
    assert "\n".join(map(str, sorted(idle))) == "\n".join(map(str, sorted(JUSTIFIED)))


async def _none_is_left() -> bool:
    return not await live_faults()
