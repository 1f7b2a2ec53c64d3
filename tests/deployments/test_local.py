"""The stand-in of the local cluster is what its catalogue says, and the charts find it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.local.catalogue import CONTEXT, ENVIRONMENT, write
from gameday.spec.catalogue import Catalogue
from gameday.spec.platform import Environment, Platform
from tests.kustomize import DEPLOYMENTS

LOCAL = DEPLOYMENTS / "local"
Json = dict[str, Any]


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    write(tmp_path)
    return Catalogue(tmp_path).platform


def objects(kind: str) -> dict[str, Json]:
    """The stand-in's objects of a kind, by name."""
    text = (LOCAL / "platform.yaml").read_text(encoding="utf-8")
    return {one["metadata"]["name"]: one for one in yaml.safe_load_all(text) if one["kind"] == kind}


def environment(platform: Platform) -> Environment:
    (found,) = [one for one in platform.environments if one.name == ENVIRONMENT]
    return found


def test_every_service_of_the_catalogue_is_there_as_it_says(platform: Platform) -> None:
    workloads = {**objects("Deployment"), **objects("StatefulSet")}
    assert set(workloads) == {"users", *(one.name for one in platform.services)}
    for service in platform.services:
        found = workloads[service.name]
        template = found["spec"]["template"]
        assert template["metadata"]["labels"] == service.labels
        assert found["spec"]["replicas"] == service.replicas
        assert (found["kind"] == "StatefulSet") == service.stateful
        (port,) = objects("Service")[service.name]["spec"]["ports"]
        assert port["port"] == service.port
        main = template["spec"]["containers"][0]
        # What the shares of memory and CPU are of.
        assert {"cpu", "memory"} <= set(main["resources"]["limits"]), service.name


def test_it_answers_for_its_health_where_the_catalogue_asks(platform: Platform) -> None:
    for service in platform.services:
        if service.health:
            template = objects("Deployment")[service.name]["spec"]["template"]
            (container,) = template["spec"]["containers"]
            assert container["livenessProbe"]["httpGet"]["path"] == service.health


def test_prometheus_finds_the_port_of_each() -> None:
    values = yaml.safe_load((DEPLOYMENTS / "helm" / "kube-prometheus-stack.yaml").read_text(encoding="utf-8"))
    services, stores = values["prometheus"]["additionalPodMonitors"]
    by_tier = {"backend": services, **dict.fromkeys(["database", "cache"], stores)}
    for name, workload in {**objects("Deployment"), **objects("StatefulSet")}.items():
        template = workload["spec"]["template"]
        if (tier := template["metadata"]["labels"].get("tier")) is None:
            continue
        (endpoint,) = by_tier[tier]["podMetricsEndpoints"]
        ports = [port["name"] for one in template["spec"]["containers"] for port in one["ports"]]
        assert endpoint["port"] in ports, name


def test_the_gateway_calls_what_the_catalogue_says_as_far_as_it_speaks_http(platform: Platform) -> None:
    (gateway,) = objects("Deployment")["api-gateway"]["spec"]["template"]["spec"]["containers"]
    called = [one.removeprefix("--backend-url=") for one in gateway["args"] if "--backend-url" in one]
    known = {one.name: one for one in platform.services}
    http = [known[name] for name in known["api-gateway"].calls if known[name].health]
    assert called == [f"http://{one.name}:{one.port}/echo" for one in http]


def test_chaos_mesh_may_hit_its_namespace_and_kind_makes_the_context(platform: Platform) -> None:
    (namespace,) = objects("Namespace").values()
    assert namespace["metadata"]["name"] == environment(platform).namespace
    assert namespace["metadata"]["annotations"] == {"chaos-mesh.org/inject": "enabled"}
    cluster = yaml.safe_load((LOCAL / "kind.yaml").read_text(encoding="utf-8"))
    assert f"kind-{cluster['name']}" == CONTEXT == environment(platform).context


def test_whoever_lacks_a_tool_is_told_which(tmp_path: Path) -> None:
    for name in ("bash", "dirname"):
        (tmp_path / name).symlink_to(shutil.which(name) or pytest.fail(name))
    done = subprocess.run(
        [LOCAL / "up.sh"], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "docker kind helm kubectl" in done.stderr
