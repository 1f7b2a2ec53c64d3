"""What the API server itself refuses, once the rendered policies are installed, and what it never does.

Against the sandbox, and against a real API server where ``GAMEDAY_TEST_KUBECONFIG`` names one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gameday.safety.policy import GUARDRAILS, LEVER, as_yaml, render
from sandbox.chaosmesh.schemas import definitions
from sandbox.kubernetes.errors import ApiError
from tests.contract import kubernetes_fixtures as fixtures
from tests.contract.kubernetes_fixtures import Answer, ApiServer, eventually
from tests.contract.policy_fixtures import APPROVER, CHAOS, PolicyServer, catalogue

api_server = fixtures.api_server

Json = dict[str, Any]
ROOT = Path(__file__).parents[2]
PATHS = {
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "ValidatingAdmissionPolicy": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": (
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
    ),
}
DELAY = "/apis/chaos-mesh.org/v1alpha1/namespaces/{}/networkchaos"


def fault(**spec: Any) -> Json:
    """A delay that keeps every limit, but for what ``spec`` says."""
    return {
        "apiVersion": "chaos-mesh.org/v1alpha1",
        "kind": "NetworkChaos",
        "metadata": {"name": "slow", "namespace": CHAOS},
        "spec": {
            "action": "delay",
            "mode": "one",
            "selector": {"namespaces": ["pyairtable-staging"], "labelSelectors": {"app": "api-gateway"}},
            "delay": {"latency": "500ms"},
            "duration": "5m",
            **spec,
        },
    }


def kill(app: str, namespace: str = "pyairtable", **metadata: Any) -> Json:
    """A pod-kill of a run."""
    return {
        "apiVersion": "chaos-mesh.org/v1alpha1",
        "kind": "PodChaos",
        "metadata": {"name": "kill", "namespace": CHAOS, "labels": {"gameday/run": "r"}, **metadata},
        "spec": {
            "action": "pod-kill",
            "mode": "one",
            "selector": {"namespaces": [namespace], "labelSelectors": {"app": app}},
            "duration": "5m",
        },
    }


@pytest.fixture
def server() -> PolicyServer:
    return PolicyServer(catalogue().guardrails, catalogue().platform)


def test_what_is_installed_with_kustomize_is_what_the_file_says() -> None:
    rendered = as_yaml(render(catalogue().guardrails, catalogue().platform))
    installed = (ROOT / "deployments" / "base" / "guardrails.yaml").read_text(encoding="utf-8")
    assert installed == rendered, "gameday guardrails render --to deployments/base/guardrails.yaml"


def test_a_fault_within_the_limits_is_admitted(server: PolicyServer) -> None:
    assert server.refusal(fault()) == ""


def test_a_refusal_names_every_rule_its_value_and_its_limit(server: PolicyServer) -> None:
    told = server.refusal(fault(duration="2h", delay={"latency": "9s"}))
    assert told == (
        "networkchaos.chaos-mesh.org \"slow\" is forbidden: ValidatingAdmissionPolicy 'gameday-guardrails'"
        " with binding 'gameday-guardrails' denied request:"
        " duration of NetworkChaos slow: 2h; the limit is 30m, and it must be given (maxFaultDuration);"
        " delay.latency of NetworkChaos slow: 9s and 0s; the limit is 5s (strength.latency)"
    )


def test_an_approved_object_may_hit_what_is_protected_where_its_maker_may_approve(
    server: PolicyServer,
) -> None:
    assert "only with an approval (protected); platform-team,data-team may" in server.refusal(
        kill("postgres")
    )
    approved = kill("postgres", annotations={"gameday/approved": "0" * 64})
    assert "may not set the annotation gameday/approved" in server.refusal(approved)
    assert server.refusal(approved, user=APPROVER) == ""


def test_a_plan_may_be_tried_before_anybody_has_approved_it(server: PolicyServer) -> None:
    server.send(kill("postgres"), dry_run=True)


def test_nothing_made_by_hand_gets_into_production(server: PolicyServer) -> None:
    told = server.refusal(kill("api-gateway", labels={}))
    assert "no label gameday/run; the limit is objects of a run only (admission.runLabelIn)" in told


def test_the_controller_and_a_stop_may_change_what_breaks_a_rule_that_came_later(
    server: PolicyServer,
) -> None:
    made = fault()
    server.send(made)
    server.api.store.put(
        server.resource(made),
        {**server.api.get(server.resource(made), CHAOS, "slow"), "spec": fault(duration="9h")["spec"]},
    )
    server.change(made, {"status": {"experiment": {"desiredPhase": "Stop"}}})
    server.change(made, {"metadata": {"annotations": {"experiment.chaos-mesh.org/pause": "true"}}})
    server.change(made, {"metadata": {"finalizers": ["chaos-mesh/records"]}})
    server.change(made, {"metadata": {"finalizers": None}})
    with pytest.raises(ApiError, match="maxFaultDuration"):
        server.change(made, {"spec": {"duration": "8h"}})


def engage(server: PolicyServer, halted: str = "true") -> None:
    lever = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "gameday-safety"}}
    data = {"halted": halted, "by": "on-call", "since": "2026-11-23T10:00:00Z", "reason": "an\nincident"}
    server.change(lever, {"data": data})


def test_while_the_lever_is_engaged_nothing_starts_and_who_engaged_it_is_told(server: PolicyServer) -> None:
    assert server.refusal(fault()) == ""
    engage(server)
    told = server.refusal(fault()).partition("denied request: ")[2]
    assert told == (
        "the safety lever is engaged since 2026-11-23T10:00:00Z by on-call: an incident;"
        " nothing new starts until it is released: gameday resume"
    )
    engage(server, "perhaps")
    assert "the safety lever is engaged" in server.refusal(fault())
    engage(server, "false")
    assert server.refusal(fault()) == ""


def test_while_the_lever_is_engaged_a_paused_fault_stays_paused_and_a_stop_may_pause(
    server: PolicyServer,
) -> None:
    made, pause = fault(), "experiment.chaos-mesh.org/pause"
    server.send(made)
    engage(server)
    server.change(made, {"metadata": {"annotations": {pause: "true"}}})
    with pytest.raises(ApiError, match="the safety lever is engaged"):
        server.change(made, {"metadata": {"annotations": {pause: None}}})
    engage(server, "false")
    server.change(made, {"metadata": {"annotations": {pause: None}}})


def test_without_its_limits_nothing_is_admitted_and_without_a_lever_it_is_not_engaged(
    server: PolicyServer,
) -> None:
    config_maps = server.resource({"apiVersion": "v1", "kind": "ConfigMap"})
    server.api.store.remove(config_maps, CHAOS, "gameday-safety")
    assert server.refusal(fault()) == ""
    server.api.store.remove(config_maps, CHAOS, "gameday-guardrails")
    assert "no params found for policy binding" in server.refusal(fault())


def test_a_policy_that_is_no_cel_is_refused_where_it_is_written(server: PolicyServer) -> None:
    policy = next(one for one in render(catalogue().guardrails, catalogue().platform) if "spec" in one)
    broken = json.loads(json.dumps(policy))
    broken["metadata"]["name"] = "broken"
    broken["spec"]["validations"] = [{"expression": "object.spec.duration ="}]
    with pytest.raises(ApiError, match=r"spec.validations\[0\].expression: Invalid value") as caught:
        server.send(broken)
    assert caught.value.code == 422


@pytest.fixture
def guarded(api_server: ApiServer) -> Iterator[ApiServer]:
    """An API server with Chaos Mesh's kinds, the chaos namespace and the policies, for this test alone."""
    undo = []

    def ensure(path: str, body: Json) -> None:
        answer = api_server.call("POST", path, body)
        assert answer.status in (201, 409), answer.body
        if answer.status == 201:
            undo.append(f"{path}/{body['metadata']['name']}")

    ensure("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": CHAOS}})
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for definition in definitions():
        ensure(crds, definition)
    for body in render(catalogue().guardrails, catalogue().platform):
        ensure(PATHS[body["kind"]].format(CHAOS), body)
    # A real API server takes a moment to heed new kinds and new policies.
    eventually(lambda: tried(api_server, fault(duration="2h")).status == 422, what="the policies")
    yield api_server
    for path in reversed(undo):
        api_server.call("DELETE", path)


def tried(api: ApiServer, body: Json) -> Answer:
    """The answer to a dry run."""
    path = DELAY.format(CHAOS).replace("networkchaos", body["kind"].lower())
    return api.call("POST", f"{path}?dryRun=All", body)


def test_the_api_server_answers_as_clients_expect_of_an_admission_policy(guarded: ApiServer) -> None:
    assert tried(guarded, fault()).status == 201
    answer = tried(guarded, fault(selector={"namespaces": ["kube-system"], "labelSelectors": {"app": "x"}}))
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")
    assert answer.message.startswith('networkchaos.chaos-mesh.org "slow" is forbidden: Validating')
    assert "kube-system; the limit is none of" in answer.message
    details = answer.body["details"]
    assert (details["group"], details["kind"], details["name"]) == ("chaos-mesh.org", "networkchaos", "slow")
    assert details["causes"] == [{"message": answer.message.partition("is forbidden: ")[2]}]


def test_deleting_is_never_a_policys_business(guarded: ApiServer) -> None:
    path = DELAY.format(CHAOS)
    assert guarded.call("POST", path, fault()).status == 201
    lever = {"data": {"halted": "true"}}
    merge = "application/merge-patch+json"
    where = f"{PATHS['ConfigMap'].format(CHAOS)}/gameday-safety"
    assert guarded.call("PATCH", where, lever, content=merge).status == 200
    eventually(lambda: tried(guarded, fault()).status == 422, what="the lever")
    assert guarded.call("DELETE", f"{path}/slow").status == 200
    assert guarded.call("PATCH", where, {"data": None}, content=merge).status == 200


def test_the_policies_are_listed_as_any_other_object(guarded: ApiServer) -> None:
    found = guarded.call("GET", PATHS["ValidatingAdmissionPolicy"]).body["items"]
    assert {GUARDRAILS, LEVER} <= {one["metadata"]["name"] for one in found}
    policy = next(one for one in found if one["metadata"]["name"] == GUARDRAILS)
    assert policy["spec"]["matchConstraints"]["matchPolicy"] == "Equivalent"
