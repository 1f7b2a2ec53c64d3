"""What ``kubectl apply -k`` sends: the API server knows every field of it, and none of it is careless."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from kubernetes.client import models
from pydantic import BaseModel

from gameday.settings import Settings
from gameday.spec.catalogue import Catalogue
from tests.deployments.operator import KINDS
from tests.kustomize import DEPLOYMENTS, render, why_not

pytestmark = [pytest.mark.kubectl, pytest.mark.skipif(bool(why_not()), reason=why_not())]

Json = dict[str, Any]
PLATFORM = Catalogue().platform
ENVIRONMENTS = [one.name for one in PLATFORM.environments]
# What a person must fill in, and what a container may do without.
SECRETS = DEPLOYMENTS / "secrets.example.yaml"
_API_GROUPS = {
    "rbac.authorization.k8s.io",
    "apps",
    "policy",
    "networking.k8s.io",
    "admissionregistration.k8s.io",
}
LOCAL = "local"
each_environment = pytest.mark.parametrize("environment", ENVIRONMENTS)
everywhere = pytest.mark.parametrize("environment", [*ENVIRONMENTS, LOCAL])


def rendered(environment: str) -> tuple[Json, ...]:
    return render(environment if environment == LOCAL else f"overlays/{environment}")


def model(body: Json) -> type[BaseModel]:
    """The strict model of an object's kind."""
    if body["kind"] in KINDS:
        return KINDS[body["kind"]]
    group, _, version = body["apiVersion"].rpartition("/")
    assert version == "v1", f"{body['kind']} is of {body['apiVersion']}"
    assert not group or group in _API_GROUPS, group
    found: type[BaseModel] = getattr(models, f"V1{body['kind']}")
    return found


def pods(environment: str) -> Iterator[tuple[str, Json]]:
    """Each pod template, by the name of what it belongs to."""
    for body in rendered(environment):
        if body["kind"] in {"Deployment", "StatefulSet", "DaemonSet", "Job"}:
            yield body["metadata"]["name"], body["spec"]["template"]


def containers(environment: str) -> Iterator[tuple[str, Json]]:
    for name, template in pods(environment):
        for container in template["spec"]["containers"] + template["spec"].get("initContainers", []):
            yield name, container


@everywhere
def test_the_api_server_knows_every_field(environment: str) -> None:
    for body in rendered(environment):
        model(body).model_validate(body)


@everywhere
def test_no_object_is_sent_twice(environment: str) -> None:
    keys = [
        (body["kind"], body["metadata"].get("namespace"), body["metadata"]["name"])
        for body in rendered(environment)
    ]
    assert len(keys) == len(set(keys))


@everywhere
def test_no_container_may_do_more_than_it_needs(environment: str) -> None:
    for name, template in pods(environment):
        pod = template["spec"]["securityContext"]
        assert pod["runAsNonRoot"] is True, name
        assert pod["runAsUser"] > 0, name
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(template["spec"]), name
    for name, container in containers(environment):
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True, name
        assert context["allowPrivilegeEscalation"] is False, name
        assert context["capabilities"] == {"drop": ["ALL"]}, name
        assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
        assert "memory" in container["resources"]["limits"], name
        if "ports" in container:
            assert {"livenessProbe", "startupProbe"} <= set(container), name


@everywhere
def test_every_image_is_a_version_in_a_registry(environment: str) -> None:
    for name, container in containers(environment):
        address, _, tag = container["image"].rpartition(":")
        assert "." in address.partition("/")[0], f"{name}: {container['image']} names no registry"
        assert re.match(r"v?\d+\.\d+", tag), f"{name}: {container['image']} names no version"


@each_environment
def test_what_has_two_replicas_keeps_one_and_spreads(environment: str) -> None:
    budgets = [body["spec"] for body in rendered(environment) if body["kind"] == "PodDisruptionBudget"]
    for body in rendered(environment):
        if body["kind"] == "Deployment" and body["spec"]["replicas"] > 1:
            selector = body["spec"]["selector"]
            assert [one["minAvailable"] for one in budgets if one["selector"] == selector] == [1]
            (spread,) = body["spec"]["template"]["spec"]["topologySpreadConstraints"]
            assert spread["labelSelector"] == selector


@each_environment
def test_every_pod_is_behind_a_network_policy(environment: str) -> None:
    policies = [body["spec"] for body in rendered(environment) if body["kind"] == "NetworkPolicy"]
    for name, template in pods(environment):
        labels = template["metadata"]["labels"].items()
        mine = [one for one in policies if one["podSelector"]["matchLabels"].items() <= labels]
        assert any({"Ingress", "Egress"} <= set(one["policyTypes"]) for one in mine), name


@each_environment
def test_namespaces_are_labelled_and_the_platform_is_not_among_them(environment: str) -> None:
    # `kubectl delete -k` deletes a namespace with everything in it.
    (own,) = [body["metadata"] for body in rendered(environment) if body["kind"] == "Namespace"]
    assert own["name"] == PLATFORM.chaos_namespace
    assert own["labels"]["app.kubernetes.io/part-of"] == "gameday"


@each_environment
def test_rights_are_bound_where_faults_of_the_environment_act(environment: str) -> None:
    (here,) = [one.namespace for one in PLATFORM.environments if one.name == environment]
    bound = {
        body["metadata"]["namespace"]
        for body in rendered(environment)
        if body["kind"] == "RoleBinding" and body["roleRef"]["name"] == "gameday-look-at-platform"
    }
    assert bound == {here}
    accounts = {
        body["metadata"]["name"] for body in rendered(environment) if body["kind"] == "ServiceAccount"
    }
    used = {
        template["spec"]["serviceAccountName"]
        for _, template in pods(environment)
        if template["spec"].get("automountServiceAccountToken", True)
    }
    assert used <= accounts


@each_environment
def test_every_secret_is_in_the_example_and_every_config_map_is_there(environment: str) -> None:
    example = {one["metadata"]["name"] for one in yaml.safe_load_all(SECRETS.read_text(encoding="utf-8"))}
    maps = {body["metadata"]["name"] for body in rendered(environment) if body["kind"] == "ConfigMap"}
    for name, container in containers(environment):
        for source in container.get("envFrom", []):
            if "secretRef" in source:
                assert source["secretRef"]["name"] in example, name
            else:
                assert source["configMapRef"]["name"] in maps, name


@each_environment
def test_every_setting_is_one_that_gameday_knows(environment: str) -> None:
    given = {
        key
        for body in rendered(environment)
        if body["kind"] == "ConfigMap" and body["metadata"]["name"].startswith("gameday-settings")
        for key in body["data"]
    }
    given |= {one["name"] for _, container in containers(environment) for one in container.get("env", [])}
    known = {f"GAMEDAY_{name.upper()}" for name in Settings.model_fields}
    assert "GAMEDAY_PROMETHEUS_URL" in given
    assert {name for name in given if name.startswith("GAMEDAY_")} <= known


def test_a_server_comes_along_or_one_that_exists_is_named() -> None:
    for environment, own in (("staging", True), ("production", False)):
        objects = rendered(environment)
        assert own == any(body["metadata"]["name"] == "prefect-server" for body in objects)
        (url,) = [
            body["data"]["PREFECT_API_URL"]
            for body in objects
            if body["kind"] == "ConfigMap" and body["metadata"]["name"].startswith("gameday-prefect")
        ]
        assert ("//prefect-server.chaos-engineering.svc:4200" in url) == own


def test_the_example_of_a_secret_holds_none() -> None:
    for body in yaml.safe_load_all(SECRETS.read_text(encoding="utf-8")):
        assert all(value.startswith("FILL-IN") for value in body["stringData"].values())


def test_grafana_finds_each_dashboard() -> None:
    found = {
        file
        for body in rendered("staging")
        if body["kind"] == "ConfigMap" and body["metadata"].get("labels", {}).get("grafana_dashboard")
        for file in body["data"]
    }
    grafana = PLATFORM.grafana
    assert grafana is not None
    assert found == {f"{uid}.json" for uid in grafana.dashboards}
