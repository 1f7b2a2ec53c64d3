"""What is installed in a cluster starts the guard that is tested here."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from gameday.guard.guard import LONGEST_END
from gameday.guard.web import Listen
from gameday.spec.catalogue import Catalogue
from tests.guard.test_guard_survives import GAMEDAY, guard_command
from tests.kustomize import DEPLOYMENTS, render, why_not

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


@pytest.mark.kubectl
@pytest.mark.skipif(bool(why_not()), reason=why_not())
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_each_overlay_starts_the_guard_of_its_own_environment(environment: str) -> None:
    (guard,) = [
        one
        for one in render(f"overlays/{environment}")
        if one["kind"] == "Deployment" and one["metadata"]["name"] == "gameday-guard"
    ]
    (container,) = guard["spec"]["template"]["spec"]["containers"]
    values = {one["name"]: one["value"] for one in container["env"]}
    arguments = [re.sub(r"\$\((\w+)\)", lambda match: values[match[1]], one) for one in container["args"]]
    # What test_guard_survives starts, but for where it listens and whom it guards.
    expected = ["0.0.0.0:8484" if one == "127.0.0.1:0" else one for one in guard_command()]
    expected[expected.index("staging")] = environment
    assert container["command"] == ["gameday"]
    assert arguments == expected[len(GAMEDAY) :]
