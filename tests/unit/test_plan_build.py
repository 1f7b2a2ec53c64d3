"""A plan binds an experiment to the pods of this moment, and says all that would be refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gameday.clients.kubernetes import Cluster
from gameday.clock import SystemClock
from gameday.errors import UsageError
from gameday.plan.build import build
from gameday.plan.model import Plan
from gameday.spec.base import parse_duration
from gameday.spec.catalogue import Catalogue
from gameday.spec.experiment import Experiment
from gameday.spec.guardrails import Guardrails
from gameday.spec.platform import Platform
from sandbox.process.launch import Sandbox

NOW = datetime(2026, 11, 23, 10, 15, 30, tzinfo=UTC)
OWN = Catalogue().directory
Change = Callable[[Any], None]


class Planner:
    """Plans experiments of a catalogue that can be changed, on one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.data = {
            name: YAML(typ="safe").load(OWN / f"{name}.yaml")
            for name in ("basic-pod-failure", "network-resilience", "platform", "guardrails")
        }

    async def plan(
        self, name: str = "basic-pod-failure", environment: str = "staging", **options: Any
    ) -> Plan:
        """The plan of this experiment, as the catalogue is now."""
        catalogue = Catalogue()
        # What ``Catalogue`` would have read, had it stood in the files so.
        catalogue.__dict__["platform"] = Platform.model_validate(self.data["platform"])
        catalogue.__dict__["guardrails"] = Guardrails.model_validate(self.data["guardrails"])
        return await build(
            catalogue,
            Experiment.model_validate(self.data[name]),
            catalogue.platform.environment(environment),
            self.cluster,
            now=options.pop("now", NOW),
            **options,
        )

    def fault(self, name: str = "basic-pod-failure", stage: int = 0) -> dict[str, Any]:
        """The first fault of a stage, to change."""
        found: dict[str, Any] = self.data[name]["stages"][stage]["faults"][0]
        return found


@pytest.fixture
async def planner(shared_sandbox: Sandbox) -> AsyncIterator[Planner]:
    assert shared_sandbox.url
    async with Cluster.connect("pyairtable-staging", clock=SystemClock()) as cluster:
        yield Planner(cluster)


async def test_the_pods_that_can_be_hit_are_the_clusters_own(planner: Planner) -> None:
    plan = await planner.plan()
    fault = plan.stages[0].faults[0]
    pods = await planner.cluster.pods("pyairtable-staging", {"app": "api-gateway"})
    assert [pod.name for pod in fault.candidates] == sorted(pod.name for pod in pods)
    assert len(pods) == 3
    assert [(share.service, share.hit, share.of) for share in fault.shares] == [("api-gateway", 1, 3)]
    assert (fault.at_most, fault.mode, fault.what, fault.one_shot) == (1, "one", "pod-kill", True)


async def test_nothing_refuses_the_experiments_that_come_along(planner: Planner) -> None:
    for name in ("basic-pod-failure", "network-resilience"):
        assert (await planner.plan(name)).refusals == ()


async def test_stages_follow_each_other_on_a_timeline(planner: Planner) -> None:
    plan = await planner.plan(duration=timedelta(minutes=3))
    assert [(stage.starts, stage.duration, stage.settle) for stage in plan.stages] == [
        (timedelta(seconds=60 * n), timedelta(seconds=30), timedelta(seconds=30)) for n in range(3)
    ]
    assert (plan.declared, plan.duration, plan.scaled) == (timedelta(minutes=6), timedelta(minutes=3), True)
    assert plan.longest == timedelta(minutes=8)
    assert not (await planner.plan()).scaled


async def test_every_object_lasts_as_long_as_its_stage(planner: Planner) -> None:
    plan = await planner.plan("network-resilience", duration=timedelta(minutes=4))
    for stage in plan.stages:
        for fault in stage.faults:
            assert parse_duration(fault.chaos_object["spec"]["duration"]) == stage.duration
            assert fault.chaos_object["metadata"]["labels"]["gameday/run"] == plan.run
            assert fault.chaos_object["metadata"]["name"] == fault.name
    assert len({fault.name for fault in plan.faults}) == len(plan.faults)


async def test_both_ends_of_a_network_fault_are_shown(planner: Planner) -> None:
    plan = await planner.plan("network-resilience")
    split = plan.stages[1].faults[0]
    assert {pod.service for pod in split.candidates} == {"auth-service"}
    assert {pod.service for pod in split.peers} == {"platform-services"}
    assert split.at_most == 3
    lossy = plan.stages[2].faults[0]
    assert {share.service for share in lossy.shares} == {
        "api-gateway",
        "auth-service",
        "automation-services",
        "platform-services",
    }
    assert plan.services == tuple(sorted({share.service for fault in plan.faults for share in fault.shares}))


async def test_a_plan_is_read_back_from_what_is_written_down(planner: Planner) -> None:
    plan = await planner.plan("network-resilience")
    assert Plan.model_validate(plan.model_dump(mode="json", by_alias=True)) == plan
    assert Plan.model_validate(plan.model_dump(mode="json", by_alias=True)).digest == plan.digest


async def test_a_duration_that_cannot_be_is_wrong_usage(planner: Planner) -> None:
    with pytest.raises(UsageError, match="too short"):
        await planner.plan(duration=timedelta(seconds=20))


async def test_the_digest_is_the_same_for_another_run_at_another_time(planner: Planner) -> None:
    first = await planner.plan()
    second = await planner.plan(now=NOW + timedelta(days=1))
    assert first.run != second.run
    assert first.digest == second.digest


def at(*path: str | int, **values: Any) -> Change:
    """Change what stands at this place of the catalogue."""

    def change(data: Any) -> None:
        for step in path:
            data = data[step]
        data.update(values)

    return change


POD, STAGE = "basic-pod-failure", ("basic-pod-failure", "stages", 0)
EFFECTS: dict[str, Change] = {
    "what it does": at(*STAGE, "faults", 0, "spec", action="pod-failure"),
    "how many it hits": at(*STAGE, "faults", 0, "spec", mode="fixed", value="2"),
    "whom it hits": at(*STAGE, "faults", 0, target="redis"),
    "how long a stage lasts": at(*STAGE, duration="61s"),
    "how long it settles": at(*STAGE, settle="61s"),
    "one stage less": lambda data: data[POD]["stages"].pop(),
    "what is tolerated": at(POD, "steadyState", 0, tolerate=">= 0.60000001"),
    "how long a breach may last": at(POD, "steadyState", 1, **{"for": "21s"}),
    "what is asked": at("platform", "prometheus", "signals", 0, query="up"),
    "where it aborts": at("guardrails", "thresholds", 0, abortWhen="< 61%"),
    "when it counts as recovered": at(POD, recovery={"stableFor": "31s"}),
    "the chaos namespace": at("platform", chaosNamespace="chaos"),
    "the namespace": at("platform", "environments", 1, namespace="elsewhere"),
}


@pytest.mark.parametrize("effect", EFFECTS)
async def test_the_digest_changes_with(effect: str, planner: Planner) -> None:
    before = await planner.plan()
    EFFECTS[effect](planner.data)
    assert (await planner.plan()).digest != before.digest


async def test_the_digest_changes_with_the_duration(planner: Planner) -> None:
    assert (await planner.plan(duration=timedelta(minutes=5))).digest != (await planner.plan()).digest


def take_too_long(data: Any) -> None:
    for stage in data["basic-pod-failure"]["stages"]:
        stage.update(duration="20m", settle="5m")


def split_from_nobody(data: Any) -> None:
    fault = data["basic-pod-failure"]["stages"][0]["faults"][0]
    peer = {"mode": "all", "selector": {"labelSelectors": {"app": "nobody"}}}
    fault.update(kind="NetworkChaos", spec={"action": "partition", "mode": "all", "target": peer})


DNS = {"namespaces": ["kube-system"], "labelSelectors": {"k8s-app": "kube-dns"}}
forbid_environment = at(POD, environments=["dev", "production"])
want_approvals = at("platform", "environments", 1, approvals=2)
last_too_long = at(*STAGE, duration="31m")
hit_nobody = at(*STAGE, "faults", 0, target={"labelSelectors": {"app": "nobody"}})

REFUSED: dict[str, tuple[Change, str]] = {
    "an environment that is not allowed": (
        forbid_environment,
        "basic-pod-failure may not run in staging; it allows: dev, production",
    ),
    "a fault that lasts too long": (
        last_too_long,
        "duration of PodChaos kill-api-gateway: 31m; the limit is 30m (maxFaultDuration)",
    ),
    "a run that takes too long": (
        take_too_long,
        "the execution takes: 1h15m; the limit is 1h (maxRunDuration)",
    ),
    "a namespace that must never be hit": (
        at(*STAGE, "faults", 0, target=DNS),
        "namespace that PodChaos kill-api-gateway hits: kube-system; the limit is none of kube-system,",
    ),
    "a namespace of others": (
        at(*STAGE, "faults", 0, target={"pods": {"default": ["web-0"]}}),
        "namespace default is not that of staging",
    ),
    "a fault on nobody": (hit_nobody, "stage kill-api-gateway: PodChaos selects no pod"),
    "a split from nobody": (split_from_nobody, "the target of NetworkChaos selects no pod"),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_a_plan_refuses(what: str, planner: Planner) -> None:
    change, expected = REFUSED[what]
    change(planner.data)
    assert any(expected in refusal for refusal in (await planner.plan()).refusals)


async def test_a_plan_refuses_a_network_fault_on_pods_of_the_hosts_network(sandbox: Sandbox) -> None:
    assert sandbox.url
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "on-host", "labels": {"app": "api-gateway", "tier": "backend"}},
        "spec": {"hostNetwork": True, "containers": [{"name": "app", "image": "app:1"}]},
    }
    async with Cluster.connect("pyairtable-staging", clock=SystemClock()) as cluster:
        await cluster.api.post("/api/v1/namespaces/pyairtable-staging/pods", body, doing="create a pod")
        refusals = (await Planner(cluster).plan("network-resilience")).refusals
    assert refusals[0].startswith("stage slow-gateway: on-host use(s) the host's network; Chaos Mesh refuses")


async def test_every_reason_to_refuse_is_told_at_once(planner: Planner) -> None:
    for change in (forbid_environment, last_too_long, hit_nobody):
        change(planner.data)
    assert len((await planner.plan()).refusals) == 3


async def test_an_environment_can_demand_more_approvals_than_the_risk_does(planner: Planner) -> None:
    assert (await planner.plan()).needs == "nothing"
    want_approvals(planner.data)
    plan = await planner.plan()
    assert plan.refusals == ()
    assert plan.needs == "two-approvals"
    assert plan.approvers == ("platform-team", "identity-team")


async def test_a_fault_outside_kubernetes_selects_no_pod_and_is_not_refused_for_it(planner: Planner) -> None:
    spec = {"action": "ec2-stop", "awsRegion": "us-east-2"}
    planner.data["basic-pod-failure"]["stages"][0]["faults"] = [{"kind": "AWSChaos", "spec": spec}]
    plan = await planner.plan()
    assert plan.refusals == ()
    assert (plan.faults[0].mode, plan.faults[0].candidates) == ("outside Kubernetes", ())


async def test_a_warning_tells_where_a_whole_service_can_go_down(planner: Planner) -> None:
    planner.fault().update(target="redis")
    assert "stage kill-api-gateway: every pod of redis can be hit at once" in (await planner.plan()).warnings


async def test_a_warning_tells_of_a_stage_that_is_over_before_its_alerts_must_have_fired(
    planner: Planner,
) -> None:
    assert not [one for one in (await planner.plan()).warnings if "within" in one]
    found = [one for one in (await planner.plan(duration=timedelta(minutes=2))).warnings if "within" in one]
    assert found[0] == (
        "stage kill-api-gateway and its settling last 40s, shorter than `within` of "
        "ReplicaMissing of api-gateway (1m): whether it fires may not be known"
    )


async def test_a_warning_tells_of_a_stage_that_is_too_short_to_disprove_anything(planner: Planner) -> None:
    assert not [one for one in (await planner.plan()).warnings if "disprove" in one]
    for probe, lasts in zip(
        planner.data["basic-pod-failure"]["steadyState"], ("45s", "40s", "41s"), strict=True
    ):
        probe["for"] = lasts
    found = [one for one in (await planner.plan(duration=timedelta(minutes=2))).warnings if "disprove" in one]
    assert found[0] == (
        "stage kill-api-gateway and its settling last 40s, shorter than `for` of availability (45s), "
        "p95 (41s): it cannot disprove the hypothesis by itself"
    )
    assert len(found) == 3


async def test_a_warning_tells_what_could_not_be_resolved(planner: Planner) -> None:
    planner.fault()["target"] = {"labelSelectors": {"app": "redis"}, "nodeSelectors": {"zone": "a"}}
    expected = "stage kill-api-gateway: nodeSelectors of PodChaos is not resolved here; it may hit fewer"
    assert expected in (await planner.plan()).warnings


async def test_a_warning_tells_of_a_network_fault_between_services_that_do_not_talk(planner: Planner) -> None:
    found = [one for one in (await planner.plan("network-resilience")).warnings if "do not call" in one]
    (warning,) = found
    assert "auth-service and platform-services do not call each other; the fault may show nothing" in warning
    planner.fault("network-resilience", 1)["spec"]["target"]["selector"] = "redis"
    found = [one for one in (await planner.plan("network-resilience")).warnings if "do not call" in one]
    assert found == []


async def test_the_same_experiment_is_read_from_its_file(planner: Planner, tmp_path: Path) -> None:
    catalogue = Catalogue()
    experiment = catalogue.experiment("basic-pod-failure")
    where = catalogue.platform.environment("staging")
    plan = await build(catalogue, experiment, where, planner.cluster, now=NOW, run="given")
    assert plan.run == "given"
    assert plan.digest == (await planner.plan()).digest
