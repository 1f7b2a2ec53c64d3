"""What the charts are told makes true what platform.yaml, the guardrails and the rules rest on."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from gameday.spec.catalogue import Catalogue
from tests.kustomize import DEPLOYMENTS

PLATFORM = Catalogue().platform
SERVICES = [one.name for one in PLATFORM.services]
NAMESPACES = [one.namespace for one in PLATFORM.environments]
Json = dict[str, Any]


def values(chart: str) -> Json:
    found: Json = yaml.safe_load((DEPLOYMENTS / "helm" / f"{chart}.yaml").read_text(encoding="utf-8"))
    return found


MONITORING = values("kube-prometheus-stack")


def relabelled(rules: list[Json], **labels: str) -> str:
    """The label ``service`` of a series with ``labels`` after ``rules``, as Prometheus works it out."""
    for rule in rules:
        value = ";".join(labels.get(source, "") for source in rule["sourceLabels"])
        # Prometheus anchors the pattern at both ends.
        if found := re.fullmatch(rule["regex"], value):
            labels[rule["targetLabel"]] = found[1]
    return labels.get("service", "")


def test_chaos_mesh_only_hits_what_was_opened_to_it() -> None:
    told = values("chaos-mesh")
    assert told["controllerManager"]["enableFilterNamespace"] is True
    assert told["controllerManager"]["replicaCount"] > 1
    assert told["dashboard"]["securityMode"] is True
    assert told["chaosDaemon"]["runtime"] == "containerd"
    assert told["webhook"]["FailurePolicy"] == "Fail"


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("namespace", NAMESPACES)
def test_series_about_a_pod_of_the_platform_are_its_services(service: str, namespace: str) -> None:
    states = MONITORING["kube-state-metrics"]["prometheus"]["monitor"]["metricRelabelings"]
    kubelet = MONITORING["kubelet"]["serviceMonitor"]
    pod = f"{service}-7d4b9c6f5-x2x4v"
    assert relabelled(states, namespace=namespace, pod=pod) == service
    assert relabelled(states, namespace=namespace, deployment=service) == service
    assert relabelled(kubelet["cAdvisorMetricRelabelings"], namespace=namespace, pod=pod) == service
    claim = f"data-{service}-0"
    volumes = kubelet["metricRelabelings"]
    assert relabelled(volumes, namespace=namespace, persistentvolumeclaim=claim) == service
    assert relabelled(states, namespace="kube-system", pod=pod) == ""


def test_every_pod_of_the_platform_is_scraped_under_the_job_of_platform_yaml() -> None:
    monitors = MONITORING["prometheus"]["additionalPodMonitors"]
    tiers = {"backend", *monitors[1]["selector"]["matchExpressions"][0]["values"]}
    assert {one.tier for one in PLATFORM.services} == tiers
    for monitor in monitors:
        assert monitor["namespaceSelector"]["matchNames"] == sorted(NAMESPACES)
        (endpoint,) = monitor["podMetricsEndpoints"]
        job, service = endpoint["relabelings"]
        assert (job["targetLabel"], job["replacement"]) == ("job", PLATFORM.prometheus.job)
        assert service["targetLabel"] == "service"
    assert {"app"} <= set.intersection(*(set(one.labels) for one in PLATFORM.services))


def test_prometheus_looks_as_often_as_platform_yaml_says_and_finds_what_is_ours() -> None:
    spec = MONITORING["prometheus"]["prometheusSpec"]
    assert spec["scrapeInterval"] == f"{PLATFORM.prometheus.scrape_interval.total_seconds():g}s"
    selectors = [key for key in spec if key.endswith("SelectorNilUsesHelmValues")]
    assert len(selectors) == 3
    assert not any(spec[key] for key in selectors)
    dashboards = MONITORING["grafana"]["sidecar"]["dashboards"]
    assert (dashboards["label"], dashboards["labelValue"]) == ("grafana_dashboard", "1")


def test_the_address_that_runs_ask_leads_to_prometheus() -> None:
    (service,) = MONITORING["extraManifests"]
    name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
    base = (DEPLOYMENTS / "base" / "kustomization.yaml").read_text(encoding="utf-8")
    assert f"GAMEDAY_PROMETHEUS_URL=http://{name}.{namespace}.svc:9090" in base
