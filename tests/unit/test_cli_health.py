"""``gameday health``: each check that fails says what was expected and what to do."""

from __future__ import annotations

import asyncio
import gc
import json
import warnings
from typing import Any

import httpx
import pytest

from gameday.cli.main import run
from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.kubernetes import Cluster
from gameday.clients.prometheus import Prometheus
from gameday.clock import SystemClock
from gameday.errors import ExitCode
from gameday.health import Examination
from gameday.spec.catalogue import Catalogue
from sandbox.process.launch import Sandbox

Capture = pytest.CaptureFixture[str]


def failed(capsys: Capture, code: ExitCode = ExitCode.REFUSED, when: str = "pre") -> dict[str, Any]:
    """The checks that are not well, by name."""
    assert run(["health", when, "-o", "json"]) == code
    return {check["name"]: check for check in json.loads(capsys.readouterr().out) if not check["ok"]}


def forbid(sandbox: Sandbox, **rule: Any) -> None:
    url = f"{sandbox.url}/control/kubernetes/forbid"
    httpx.post(url, json=rule, trust_env=False).raise_for_status()


@pytest.mark.usefixtures("shared_sandbox")
def test_a_platform_that_is_well_passes_without_advice(capsys: Capture) -> None:
    assert run(["health"]) == ExitCode.HELD
    assert "checks are well" in capsys.readouterr().out
    assert failed(capsys, ExitCode.HELD) == {}


@pytest.mark.parametrize("verb", ["create", "delete", "deletecollection"])
def test_a_role_that_could_not_carry_out_the_experiments_is_told(
    verb: str, sandbox: Sandbox, capsys: Capture
) -> None:
    forbid(sandbox, verbs=[verb], resources=["podchaos"])
    assert f"may not {verb} podchaos" in failed(capsys)["permissions"]["found"]


@pytest.mark.parametrize(
    ("lever", "check", "advice"),
    [
        ("empty", "Prometheus", "GAMEDAY_PROMETHEUS_URL"),
        ("failing", "Prometheus", "GAMEDAY_PROMETHEUS_URL"),
    ],
)
def test_a_prometheus_that_is_not_well_is_told_with_advice(
    lever: str, check: str, advice: str, sandbox: Sandbox, capsys: Capture
) -> None:
    url = f"{sandbox.url}/control/prometheus/"
    httpx.put(url, json={"mode": lever}, trust_env=False).raise_for_status()
    assert advice in failed(capsys, ExitCode.DISPROVED, "post")[check]["hint"]


def test_every_check_that_fails_says_what_to_do_and_names_its_system_once(
    sandbox: Sandbox, capsys: Capture
) -> None:
    forbid(sandbox)
    checks = failed(capsys)
    assert set(checks) == {"Kubernetes", "services", "Chaos Mesh", "no other faults", "permissions"}
    assert all("Ask for a role" in check["hint"] for check in checks.values())
    assert not checks["Kubernetes"]["found"].startswith("Kubernetes")


@pytest.mark.filterwarnings("error::RuntimeWarning")
async def test_an_examination_that_is_cancelled_at_once_leaves_nothing_unawaited(
    shared_sandbox: Sandbox,
) -> None:
    assert shared_sandbox.url
    platform = Catalogue().platform
    url = shared_sandbox.env["GAMEDAY_PROMETHEUS_URL"]
    async with (
        Cluster.connect(clock=SystemClock()) as cluster,
        Prometheus(url, clock=SystemClock()) as prometheus,
    ):
        environment = platform.environment("staging")
        examination = Examination(platform, environment, cluster, ChaosMesh(cluster.api), prometheus)
        task = asyncio.create_task(examination.all())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    with warnings.catch_warnings(record=True) as complaints:
        gc.collect()
    assert [str(one.message) for one in complaints] == []
