"""A fault is written in Chaos Mesh's own words, and what its webhook would refuse is refused here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent, indent
from typing import get_args

import pytest

from gameday.spec.base import Model
from gameday.spec.catalogue import Catalogue
from gameday.spec.faults import Fault
from gameday.spec.kinds import FAULT_KINDS

CATALOGUE = Catalogue()

HEAD = """
name: trial
title: A trial
hypothesis: It holds.
category: basic
environments: [staging]
owner: platform-team
steadyState:
  - {name: availability, signal: availability, expect: ">= 0.99"}
stages:
  - name: only
    duration: 5m
    faults:
"""

Check = Callable[..., list[str]]


def written(kind: str, spec: str, target: str = "api-gateway") -> str:
    block = indent(dedent(spec).strip(), " " * 10)
    where = f"        target: {target}\n" if target else ""
    return f"{HEAD}      - kind: {kind}\n{where}        spec:\n{block}\n"


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """What validation says about one fault, without the place of the file."""

    def check(kind: str, spec: str, target: str = "api-gateway") -> list[str]:
        path = tmp_path / "trial.yaml"
        path.write_text(written(kind, spec, target), encoding="utf-8")
        return [mistake.removeprefix(f"{path}:") for mistake in CATALOGUE.check(path)]

    return check


REFUSED = {
    "fixed needs a number": ("PodChaos", "{action: pod-kill, mode: fixed}", "spec: mode fixed needs a"),
    "fixed of none": ("PodChaos", "{action: pod-kill, mode: fixed, value: '0'}", "whole number above 0"),
    "fixed below none": ("PodChaos", "{action: pod-kill, mode: fixed, value: '-1'}", "whole number above 0"),
    "fixed of a half": ("PodChaos", "{action: pod-kill, mode: fixed, value: '1.5'}", "whole number"),
    "fixed without end": ("PodChaos", "{action: pod-kill, mode: fixed, value: 'inf'}", "whole number"),
    "fixed of other digits": ("PodChaos", "{action: pod-kill, mode: fixed, value: '٣'}", "whole number"),
    "no percent": (
        "PodChaos",
        "{action: pod-kill, mode: fixed-percent, value: '0'}",
        "above 0 and up to 100",
    ),
    "too many percent": (
        "PodChaos",
        "{action: pod-kill, mode: random-max-percent, value: '101'}",
        "above 0 and up to 100",
    ),
    "a percent sign": ("PodChaos", "{action: pod-kill, mode: fixed-percent, value: '30%'}", "whole number"),
    "a bare number": ("PodChaos", "{action: pod-kill, mode: fixed, value: 2}", 'write it in quotes, "2"'),
    "a value too many": ("PodChaos", "{action: pod-kill, mode: one, value: '2'}", "takes no value"),
    "an unknown mode": (
        "PodChaos",
        "{action: pod-kill, mode: fixed-persent, value: '9'}",
        "'fixed-percent'?",
    ),
    "an unknown action": ("PodChaos", "{action: pod-kil, mode: one}", "did you mean 'pod-kill'?"),
    "no mode": ("PodChaos", "{action: pod-kill}", "the key 'mode' is missing"),
    "from without a target": (
        "NetworkChaos",
        "{action: delay, mode: one, delay: {latency: 1s}, direction: from}",
        "direction: direction from needs a target",
    ),
    "both without a target": (
        "NetworkChaos",
        "{action: loss, mode: one, loss: {loss: '1'}, direction: both}",
        "direction both needs a target",
    ),
    "from the outside": (
        "NetworkChaos",
        """
        {action: loss, mode: one, loss: {loss: '1'}, direction: from, externalTargets: [example.com],
         target: {mode: all, selector: redis}}
        """,
        "externalTargets: only action partition can",
    ),
    "a target of none": (
        "NetworkChaos",
        "{action: partition, mode: all, target: {mode: fixed, value: '0', selector: redis}}",
        "target.value: mode fixed needs a whole number above 0",
    ),
    "a delay without its latency": ("NetworkChaos", "{action: delay, mode: one}", "needs the key delay"),
    "emulation of nothing": ("NetworkChaos", "{action: netem, mode: one}", "action netem needs one of"),
    "latency without unit": (
        "NetworkChaos",
        "{action: delay, mode: one, delay: {latency: '10'}}",
        "delay.latency: expected a duration with its unit",
    ),
    "correlation in words": (
        "NetworkChaos",
        "{action: delay, mode: one, delay: {latency: 1s, correlation: high}}",
        "correlation: expected a percentage as text",
    ),
    "loss as a number": ("NetworkChaos", "{action: loss, mode: one, loss: {loss: 15}}", 'in quotes, "15"'),
    "more loss than all": ("NetworkChaos", "{action: loss, mode: one, loss: {loss: '101'}}", "0 and 100"),
    "a rate without unit": (
        "NetworkChaos",
        "{action: bandwidth, mode: one, bandwidth: {rate: '1', limit: 1, buffer: 1}}",
        "bandwidth.rate: expected bytes a second",
    ),
    "no stressors": ("StressChaos", "{mode: one}", "needs stressors"),
    "empty stressors": ("StressChaos", "{mode: one, stressors: {}}", "needs cpu or memory"),
    "stressors of another sort": (
        "StressChaos",
        "{mode: one, stressors: {cpu: {workers: 1}, disk: {workers: 1}}}",
        "stressors.disk: unknown key",
    ),
    "no workers": ("StressChaos", "{mode: one, stressors: {cpu: {workers: 0}}}", "cpu.workers: expected"),
    "too many workers": ("StressChaos", "{mode: one, stressors: {cpu: {workers: 9999}}}", "cpu.workers: "),
    "load above all": ("StressChaos", "{mode: one, stressors: {cpu: {workers: 1, load: 101}}}", "cpu.load: "),
    "memory of no size": (
        "StressChaos",
        "{mode: one, stressors: {memory: {workers: 1, size: '101%'}}}",
        "memory.size: expected a size",
    ),
    "errno 0": (
        "IOChaos",
        "{action: fault, mode: one, volumePath: /data, errno: 0}",
        "errno other than 0",
    ),
    "no errno": ("IOChaos", "{action: fault, mode: one, volumePath: /data}", "errno other than 0"),
    "file latency of nothing": (
        "IOChaos",
        "{action: latency, mode: one, volumePath: /data}",
        "the key delay",
    ),
    "percent of files": (
        "IOChaos",
        "{action: latency, mode: one, volumePath: /data, delay: 1s, percent: 101}",
        "percent: expected",
    ),
    "a time that never ends": ("TimeChaos", "{mode: one, timeOffset: tomorrow}", "timeOffset: "),
    "port 0": ("HTTPChaos", "{mode: one, target: Request, port: 0, abort: true}", "port: expected"),
    "a negative port": ("HTTPChaos", "{mode: one, target: Request, port: -1, abort: true}", "port: expected"),
    "an HTTP fault of nothing": ("HTTPChaos", "{mode: one, target: Request, port: 80}", "needs abort, delay"),
    "a method that is none": (
        "HTTPChaos",
        "{mode: one, target: Request, port: 80, abort: true, method: get}",
        "did you mean 'GET'?",
    ),
    "DNS of another sort": ("DNSChaos", "{action: errors, mode: all}", "did you mean 'error'?"),
    "a duration of its own": (
        "PodChaos",
        "{action: pod-failure, mode: one, duration: 30s}",
        "does not stand in spec; the stage's duration counts",
    ),
    "a selector of its own": (
        "PodChaos",
        "{action: pod-kill, mode: one, selector: {labelSelectors: {app: a}}}",
        "does not stand in spec; write it as the fault's target",
    ),
    "a misspelt key": (
        "NetworkChaos",
        "{action: delay, mode: one, delay: {latncy: 1s, latency: 1s}}",
        "delay.latncy: unknown key; did you mean 'latency'?",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_webhook_would_refuse_is_refused(name: str, check: Check) -> None:
    kind, spec, expected = REFUSED[name]
    (mistake,) = check(kind, spec)
    assert expected in mistake
    assert mistake.split(": ")[1].startswith("stages[0].faults[0].spec")


def test_several_mistakes_of_one_fault_are_told_together(check: Check) -> None:
    spec = """
    action: delay
    mode: fixed
    direction: both
    dely: {latency: 1s}
    """
    assert check("NetworkChaos", spec) == [
        '16: stages[0].faults[0].spec: mode fixed needs a whole number as value, such as "30"',
        "17: stages[0].faults[0].spec.action: action delay needs the key delay",
        "19: stages[0].faults[0].spec.direction: direction both needs a target",
        "20: stages[0].faults[0].spec.dely: unknown key; did you mean 'delay'?",
    ]


OTHERS = {
    "JVMChaos": "{action: latency, mode: one, class: Main, method: hello, latency: 100, port: 9277}",
    "KernelChaos": "{mode: one, failKernRequest: {callchain: [{funcname: __x64_sys_mount}], failtype: 0}}",
    "BlockChaos": "{action: delay, mode: all, volumeName: data, delay: {latency: 100ms}}",
}


@pytest.mark.parametrize("kind", OTHERS)
def test_the_fields_of_another_kind_are_left_to_the_api_server(kind: str, check: Check) -> None:
    assert check(kind, OTHERS[kind]) == []


@pytest.mark.parametrize("kind", OTHERS)
def test_the_mode_of_another_kind_is_checked(kind: str, check: Check) -> None:
    (mistake,) = check(kind, "{mode: fixed, value: 'two', anything: at all}")
    assert "spec.value: mode fixed needs a whole number" in mistake


@pytest.mark.parametrize("kind", OTHERS)
def test_the_selector_of_another_kind_is_checked(kind: str, check: Check) -> None:
    (mistake,) = check(kind, "{mode: one}", target="{labelSelector: {app: a}, labelSelectors: {app: b}}")
    assert "target.labelSelector: unknown key; did you mean 'labelSelectors'?" in mistake


OUTSIDE = {
    "AWSChaos": "{action: ec2-stop, awsRegion: us-east-2, ec2Instance: your-instance-id}",
    "AzureChaos": "{action: vm-stop, vmName: vm, resourceGroupName: rg, subscriptionID: id}",
    "GCPChaos": "{action: node-stop, project: p, zone: z, instance: i}",
    "PhysicalMachineChaos": "{action: network-delay, mode: one, address: ['172.16.112.130:31767']}",
}


@pytest.mark.parametrize("kind", OUTSIDE)
def test_a_fault_outside_kubernetes_needs_no_target(kind: str, check: Check) -> None:
    assert check(kind, OUTSIDE[kind], target="") == []


@pytest.mark.parametrize("kind", OUTSIDE)
def test_a_fault_outside_kubernetes_cannot_have_a_target(kind: str, check: Check) -> None:
    (mistake,) = check(kind, OUTSIDE[kind], target="redis")
    assert "target: unknown key" in mistake


def test_every_kind_that_is_stopped_can_be_declared_and_no_other() -> None:
    declared = [kind for fault in get_args(get_args(Fault)[0]) for kind in _kinds(fault)]
    assert sorted(declared) == sorted(FAULT_KINDS)


def _kinds(model: type[Model]) -> tuple[str, ...]:
    return get_args(model.model_fields["kind"].annotation)


def test_a_stop_knows_the_kinds_without_loading_the_models() -> None:
    script = "import sys, gameday.spec.kinds; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_misspelt_kind_is_answered_with_the_nearest(check: Check) -> None:
    (mistake,) = check("PodCaos", "{action: pod-kill, mode: one}")
    assert "unknown fault kind 'PodCaos'; did you mean 'PodChaos'?" in mistake


def test_a_selector_that_selects_everything_is_refused(check: Check) -> None:
    (mistake,) = check("PodChaos", "{action: pod-kill, mode: one}", target="{namespaces: [default]}")
    assert "selects every pod; name labels, pods or nodes" in mistake


@pytest.mark.parametrize(
    "selector",
    [
        "{labelSelectors: {app: web}}",
        "{namespaces: [a, b], labelSelectors: {app: web}, podPhaseSelectors: [Running]}",
        "{expressionSelectors: [{key: tier, operator: In, values: [cache]}, {key: a, operator: Exists}]}",
        "{annotationSelectors: {sidecar.istio.io/status: injected}}",
        "{fieldSelectors: {metadata.name: my-pod}}",
        "{nodes: [node1, node2]}",
        "{nodeSelectors: {node-label: label-one}}",
        "{pods: {tidb-cluster: [basic-tidb-0, basic-pd-0]}}",
    ],
)
def test_every_documented_way_of_selecting_is_accepted(selector: str, check: Check) -> None:
    assert check("PodChaos", "{action: pod-kill, mode: one}", target=selector) == []


def test_a_label_that_is_no_text_is_shown_in_quotes(check: Check) -> None:
    (mistake,) = check("PodChaos", "{action: pod-kill, mode: one}", target="{labelSelectors: {version: 2}}")
    assert 'target.labelSelectors.version: Chaos Mesh wants text here: write it in quotes, "2"' in mistake
