"""What is installed in a cluster starts the guard that is tested here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from gameday.guard.guard import LONGEST_END
from gameday.guard.web import Listen
from gameday.spec.catalogue import Catalogue

DEPLOYMENTS = Path(__file__).resolve().parents[2] / "deployments"
ENVIRONMENTS = [one.name for one in Catalogue().platform.environments]


@pytest.fixture
def deployment() -> dict[str, Any]:
    objects = yaml.safe_load_all((DEPLOYMENTS / "base" / "guard.yaml").read_text())
    (found,) = [one for one in objects if one["kind"] == "Deployment"]
    assert isinstance(found, dict)
    return found


def test_it_listens_where_the_probes_look_and_ends_in_the_time_it_gets(deployment: dict[str, Any]) -> None:
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    arguments = container["args"]
    listen = Listen.parse(arguments[arguments.index("--listen") + 1])
    (port,) = container["ports"]
    assert (listen.host, listen.port) == ("0.0.0.0", port["containerPort"])
    assert {container[probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe")} == {"http"}
    assert deployment["spec"]["replicas"] == 2
    assert pod["terminationGracePeriodSeconds"] > LONGEST_END.total_seconds()


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl renders the overlays")
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_each_overlay_guards_its_own_environment(environment: str) -> None:
    rendered = subprocess.run(
        ["kubectl", "kustomize", str(DEPLOYMENTS / "overlays" / environment)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (guard,) = [one for one in yaml.safe_load_all(rendered) if one["kind"] == "Deployment"]
    (container,) = guard["spec"]["template"]["spec"]["containers"]
    assert {"name": "GUARDED_ENVIRONMENT", "value": environment} in container["env"]
