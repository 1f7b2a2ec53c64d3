"""The API server and the plan hold every chaos object to the same limits, and answer alike.

Whatever object there is, the admission policy refuses it exactly where ``check_object`` finds a broken
rule, names the same rules, and lets an approval excuse exactly what an approval may excuse.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gameday.safety.guardrails import MEMBERS, check_object
from gameday.spec.guardrails import Guardrails
from gameday.spec.kinds import ALL_KINDS
from tests.contract.policy_fixtures import APPROVER, CHAOS, PolicyServer, catalogue

LIMITS = {
    "thresholds": [{"signal": "availability", "abortWhen": "< 60%"}],
    "maxFaultDuration": "10m",
    "namespaces": {
        "allowed": ["pyairtable", "pyairtable-dev", "pyairtable-staging"],
        "forbidden": ["kube-system", CHAOS],
    },
    "strength": {
        "cpuWorkers": 4,
        "cpuLoad": 80,
        "memory": "1GiB",
        "latency": "5s",
        "loss": 50,
        "corrupt": 10.5,
        "duplicate": 20,
        "disk": 60,
        "timeOffset": "1h",
    },
    "protected": [
        {"service": "postgres", "faults": ["pod-kill", "StressChaos"], "unless": "never"},
        {
            "service": "auth-service",
            "faults": ["pod-failure", "partition", "loss"],
            "environments": ["production"],
        },
        {"service": "redis", "faults": ["*"], "environments": ["production", "dev"]},
    ],
    "destructive": [
        {"faults": ["container-kill", "IOChaos"], "environments": ["production"]},
        {"faults": ["AWSChaos", "delay"]},
    ],
    "approvals": {"approvers": ["platform-team"]},
    "admission": {"runLabelIn": ["pyairtable"]},
}


@cache
def guardrails() -> Guardrails:
    return Guardrails.model_validate(LIMITS)


@cache
def server() -> PolicyServer:
    return PolicyServer(guardrails(), catalogue().platform)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of these fields, or none."""
    return st.fixed_dictionaries({}, optional=fields)


namespaces = st.sampled_from(
    ["pyairtable", "pyairtable-dev", "pyairtable-staging", "kube-system", "elsewhere", CHAOS]
)
durations = st.sampled_from(
    [
        "",
        "5m",
        "10m",
        "600s",
        "10m1ms",
        "1h30m",
        "1.5m",
        "90s",
        "0s",
        "500ms",
        "3000us",
        "7µs",
        "forever",
        "5",
        "-5m",
        "5m ",
        "1d",
    ]
)
lengths = st.sampled_from(
    ["100ms", "5s", "5.001s", "4s", "1s", "+1s", "-1s", "long", "6m", "2h", "-2h", "1h"]
)
numbers = st.sampled_from(
    ["0", " 10", "+10", "-1", "10", "10.5", "10.6", "15", "50", "50.5", "51", "100", "many", "1e3", ""]
)
whole = st.integers(min_value=-1, max_value=120)
sizes = st.sampled_from(
    [
        "512MB",
        "1GiB",
        "1024 m",
        "1025MiB",
        "300MB",
        "50%",
        "2g",
        "1.5GB",
        "100",
        "1000kB",
        "much",
        "1TiB",
        "0.2T",
    ]
)
labels = some(
    app=st.sampled_from(["postgres", "auth-service", "api-gateway", "redis"]),
    tier=st.sampled_from(["backend", "database", "cache"]),
    version=st.just("v1"),
)
expressions = st.lists(
    st.fixed_dictionaries(
        {
            "key": st.sampled_from(["app", "tier", "version"]),
            "operator": st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"]),
        },
        optional={
            "values": st.lists(st.sampled_from(["postgres", "auth-service", "backend", "cache"]), max_size=2)
        },
    ),
    max_size=2,
)
pods = st.dictionaries(
    namespaces,
    st.lists(st.sampled_from(["postgres-0", "redis-7d-x2", "api-gateway-1", "postgres"]), max_size=2),
    max_size=2,
)
heaps, clusters = st.sampled_from(["", "heap"]), st.sampled_from(["", "", "", "elsewhere"])
selectors = some(
    namespaces=st.lists(namespaces, max_size=2, unique=True),
    labelSelectors=labels,
    expressionSelectors=expressions,
    pods=pods,
    nodes=st.lists(st.just("node-1"), max_size=1),
    annotationSelectors=st.just({"a": "b"}),
    podPhaseSelectors=st.just(["Running"]),
)
aimed = {"selector": selectors, "mode": st.just("one"), "duration": durations, "remoteCluster": clusters}


def spec_of(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    """Specs of a kind: what its schema lets through, sensible or not."""
    by_kind: dict[str, dict[str, st.SearchStrategy[Any]]] = {
        "PodChaos": {"action": st.sampled_from(["pod-kill", "pod-failure", "container-kill"])},
        "NetworkChaos": {
            "action": st.sampled_from(["delay", "loss", "netem", "partition", "corrupt"]),
            "delay": st.fixed_dictionaries(
                {"latency": lengths}, optional={"jitter": st.one_of(lengths, st.just(""))}
            ),
            "loss": st.fixed_dictionaries({"loss": numbers}),
            "corrupt": st.fixed_dictionaries({"corrupt": numbers}),
            "duplicate": st.fixed_dictionaries({"duplicate": numbers}),
            "target": some(selector=selectors, mode=st.just("all")),
        },
        "StressChaos": {
            "stressors": some(
                cpu=some(workers=whole, load=whole, options=st.lists(st.just("--x"), max_size=1)),
                memory=some(
                    workers=st.integers(-1, 8), size=sizes, options=st.lists(st.just("--y"), max_size=1)
                ),
            ),
            "stressngStressors": st.sampled_from(["", "--cpu 99"]),
        },
        "IOChaos": {"action": st.just("latency"), "delay": lengths, "percent": whole},
        "TimeChaos": {"timeOffset": lengths},
        "HTTPChaos": {"target": st.just("Request"), "delay": lengths, "abort": st.booleans()},
        "DNSChaos": {"action": st.just("error")},
        "JVMChaos": {
            "action": st.just("latency"),
            "latency": st.integers(0, 9000),
            "cpuCount": whole,
            "memType": heaps,
        },
        "KernelChaos": {},
        "BlockChaos": {"action": st.just("delay"), "delay": some(latency=lengths, jitter=lengths)},
        "AWSChaos": {"action": st.just("ec2-stop")},
    }
    fields = by_kind.get(kind, {})
    shared = (
        {"duration": durations}
        if kind in ("AWSChaos", "AzureChaos", "GCPChaos", "PhysicalMachineChaos")
        else aimed
    )
    return some(**shared, **fields)


members = {member: spec_of(kind) for member, kind in MEMBERS.items()}
held = st.sampled_from(sorted(members)).flatmap(
    lambda member: st.fixed_dictionaries({member: members[member], "templateType": st.just(MEMBERS[member])})
)
schedules = st.builds(
    lambda fault: {"schedule": "@every 5m", "type": fault.pop("templateType"), **fault}, held
)
templates = st.lists(
    st.one_of(
        st.builds(
            lambda name, fault, more: {"name": name, **fault, **more},
            st.just("a"),
            held,
            some(deadline=durations),
        ),
        st.builds(lambda inner: {"name": "b", "templateType": "Schedule", "schedule": inner}, schedules),
        st.just({"name": "c", "templateType": "Suspend", "deadline": "1h"}),
        st.just({"name": "d", "templateType": "PodChaos", "deadline": "1m"}),
    ),
    max_size=3,
)
workflows = st.builds(lambda listed: {"entry": "a", "templates": listed}, templates)


def spec_for(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    if kind == "Workflow":
        return workflows
    if kind == "Schedule":
        planned = st.builds(
            lambda inner: {"schedule": "@every 5m", "type": "Workflow", "workflow": inner}, workflows
        )
        return st.one_of(schedules, planned, st.just({"schedule": "@every 5m", "type": "PodChaos"}))
    return spec_of(kind)


objects = st.sampled_from(ALL_KINDS).flatmap(
    lambda kind: st.fixed_dictionaries(
        {
            "apiVersion": st.just("chaos-mesh.org/v1alpha1"),
            "kind": st.just(kind),
            "metadata": st.fixed_dictionaries(
                {"name": st.just("fault"), "namespace": st.just(CHAOS)},
                optional={"labels": some(**{"gameday/run": st.sampled_from(["20261123t101530-x", ""])})},
            ),
            "spec": spec_for(kind),
        }
    )
)


def rules_in(refusal: str) -> set[str]:
    """The rules that a refusal names."""
    return set(re.findall(r"\(([a-zA-Z.]+)\)(?=;|$)", refusal.rpartition("denied request: ")[2]))


@settings(derandomize=True, max_examples=400, deadline=None, database=None)
@given(objects)
def test_the_api_server_refuses_exactly_what_the_plan_would_refuse(body: dict[str, Any]) -> None:
    found = check_object(body, guardrails(), catalogue().platform)
    assert rules_in(server().refusal(body)) == {violation.rule for violation in found}


@settings(derandomize=True, max_examples=150, deadline=None, database=None)
@given(objects)
def test_an_approval_excuses_what_may_be_approved_and_nothing_else(body: dict[str, Any]) -> None:
    found = check_object(body, guardrails(), catalogue().platform)
    body["metadata"]["annotations"] = {"gameday/approved": "0" * 64}
    left = {violation.rule for violation in found if violation.refuses}
    assert rules_in(server().refusal(body, user=APPROVER)) == left
    if not left:
        assert "may not set the annotation gameday/approved" in server().refusal(body)
