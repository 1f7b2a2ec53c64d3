"""kubectl itself works against the sandbox, as people will use it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract import kubernetes_fixtures as fixtures
from tests.contract.kubernetes_fixtures import CHAOS, NAMESPACE, ApiServer

sandbox_server = fixtures.sandbox_server

pytestmark = [
    pytest.mark.kubectl,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on the PATH"),
]

Kubectl = Callable[..., str]

DELAY = f"""
apiVersion: chaos-mesh.org/v1alpha1
kind: NetworkChaos
metadata:
  name: slow
  namespace: {CHAOS}
  labels: {{gameday/run: r1}}
spec:
  action: delay
  mode: all
  selector: {{namespaces: [{NAMESPACE}], labelSelectors: {{app: api-gateway}}}}
  delay: {{latency: 500ms}}
  duration: 1h
"""
MAP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {mode: %s, kept: "yes"}
"""


@pytest.fixture
def kubectl(sandbox_server: ApiServer, tmp_path: Path) -> Kubectl:
    """Run kubectl; what it prints, its errors included."""
    environment = {**os.environ, "KUBECONFIG": str(sandbox_server.kubeconfig), "HOME": str(tmp_path)}

    def run(*arguments: str, stdin: str = "", code: int = 0) -> str:
        done = subprocess.run(
            ["kubectl", *arguments],
            input=stdin,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture
def minor(kubectl: Kubectl) -> int:
    """The minor version of kubectl: Debian's is years older than Google's."""
    told = json.loads(kubectl("version", "--client", "-o", "json"))
    return int(told["clientVersion"]["minor"].rstrip("+"))


def test_pods_and_faults_of_all_namespaces_are_listed_with_useful_columns(kubectl: Kubectl) -> None:
    kill = DELAY.replace("NetworkChaos", "PodChaos").replace("action: delay", "action: pod-failure")
    kubectl(
        "apply",
        "-f",
        "-",
        stdin=kill.replace("  delay: {latency: 500ms}\n", "").replace("api-gateway", "none"),
    )
    lines = kubectl("get", "pods,podchaos", "-A").splitlines()
    assert lines[0].split() == ["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    (gateway, *_) = [line.split() for line in lines if "pod/api-gateway" in line]
    assert (gateway[0], gateway[2], gateway[3], gateway[4]) == (NAMESPACE, "1/1", "Running", "0")
    (fault,) = [line.split() for line in lines if "podchaos.chaos-mesh.org/slow" in line]
    assert fault[2:4] == ["pod-failure", "1h"]
    kubectl("delete", "podchaos", "slow", "-n", CHAOS)


def test_a_configuration_is_applied_again_and_again(kubectl: Kubectl) -> None:
    assert "created" in kubectl("apply", "-f", "-", stdin=MAP % "a")
    assert "unchanged" in kubectl("apply", "-f", "-", stdin=MAP % "a")
    assert "configured" in kubectl("apply", "-f", "-", stdin=MAP % "b")
    fewer = (MAP % "b").replace(', kept: "yes"', "")
    kubectl("apply", "-f", "-", stdin=fewer)
    assert json.loads(kubectl("get", "cm", "settings", "-o", "json"))["data"] == {"mode": "b"}
    assert "serverside-applied" in kubectl(
        "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=MAP % "c"
    )
    kubectl("delete", "cm", "settings")


def test_a_fault_is_applied_waited_for_described_and_deleted(kubectl: Kubectl, minor: int) -> None:
    kubectl("apply", "-f", "-", stdin=DELAY)
    if minor >= 23:
        phase = "--for=jsonpath={.status.experiment.desiredPhase}=Run"
        kubectl("wait", "networkchaos/slow", "-n", CHAOS, phase)
    kubectl("wait", "networkchaos/slow", "-n", CHAOS, "--for=condition=Selected", "--timeout=30s")
    described = kubectl("describe", "networkchaos", "slow", "-n", CHAOS)
    assert re.search(r"Latency: +500ms", described)
    assert "Experiment has started" in described
    kubectl("delete", "networkchaos", "-l", "gameday/run=r1", "-n", CHAOS)
    assert "not found" in kubectl("get", "networkchaos", "slow", "-n", CHAOS, code=1)


def test_a_fault_that_makes_no_sense_is_refused_in_a_dry_run(kubectl: Kubectl, minor: int) -> None:
    told = kubectl("apply", "--dry-run=server", "-f", "-", stdin=DELAY.replace("500ms", "slow"), code=1)
    assert 'admission webhook "vnetworkchaos.kb.io" denied the request' in told
    told = kubectl("apply", "-f", "-", stdin=DELAY.replace("latency", "latensy"), code=1)
    # Older ones do not ask for strict validation: the definition then misses the field it requires.
    assert (
        'unknown field "spec.delay.latensy"' if minor >= 27 else "spec.delay.latency: Required value"
    ) in told


def test_a_deployment_is_scaled_and_its_rollout_followed(kubectl: Kubectl) -> None:
    kubectl("scale", "deployment/automation-services", "--replicas=4")
    assert "successfully rolled out" in kubectl(
        "rollout", "status", "deployment/automation-services", "--timeout=60s"
    )
    assert kubectl("get", "deploy", "automation-services").splitlines()[1].split()[1] == "4/4"
    kubectl("rollout", "restart", "deployment/automation-services")
    assert "successfully rolled out" in kubectl(
        "rollout", "status", "deployment/automation-services", "--timeout=60s"
    )
    assert "2 " in kubectl("rollout", "history", "deployment/automation-services")
    kubectl("set", "image", "deployment/automation-services", "automation-services=pyairtable/automation:2.0")
    kubectl("rollout", "undo", "deployment/automation-services")
    assert "successfully rolled out" in kubectl(
        "rollout", "status", "deployment/automation-services", "--timeout=60s"
    )
    kubectl("scale", "deployment/automation-services", "--replicas=2")


def test_a_deleted_pod_is_waited_for_and_its_successor_becomes_ready(kubectl: Kubectl) -> None:
    kubectl("delete", "pod", "-l", "app=redis")
    kubectl("wait", "deployment/redis", "--for=condition=Available", "--timeout=60s")
    kubectl("rollout", "status", "deployment/redis", "--timeout=60s")
    described = kubectl("describe", "pod", "-l", "app=redis")
    assert "Successfully assigned" in described
    assert "Killing" in kubectl("get", "events")


def test_everything_is_known_by_its_short_name(kubectl: Kubectl) -> None:
    for name in ("ns", "no", "po", "svc", "ep", "cm", "sa", "ev", "deploy", "rs", "sts", "ds", "crd", "wf"):
        kubectl("get", name, "-n", NAMESPACE)
    resources = kubectl("api-resources", "--api-group=chaos-mesh.org", "-o", "name").split()
    assert len(resources) == 18
    assert "pod" in kubectl("get", "all")


def test_labels_annotations_and_patches_are_taken(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=DELAY)
    kubectl("annotate", "networkchaos", "slow", "-n", CHAOS, "experiment.chaos-mesh.org/pause=true")
    kubectl("label", "networkchaos", "slow", "-n", CHAOS, "seen=yes")
    patch = '{"metadata":{"labels":{"patched":"yes"}}}'
    kubectl("patch", "networkchaos", "slow", "-n", CHAOS, "--type=merge", "-p", patch)
    labels = json.loads(kubectl("get", "networkchaos", "slow", "-n", CHAOS, "-o", "json"))["metadata"][
        "labels"
    ]
    assert (labels["seen"], labels["patched"]) == ("yes", "yes")
    kubectl("delete", "networkchaos", "--all", "-n", CHAOS)


def test_whether_one_may_is_answered(kubectl: Kubectl, sandbox_server: ApiServer) -> None:
    assert kubectl("auth", "can-i", "create", "podchaos.chaos-mesh.org", "-n", NAMESPACE).strip() == "yes"
    sandbox_server.lever("/forbid", {"verbs": ["create"], "resources": ["podchaos"]})
    assert kubectl("auth", "can-i", "create", "podchaos.chaos-mesh.org", "-n", NAMESPACE, code=1).startswith(
        "no"
    )
    sandbox_server.lever("/", method="DELETE")


def test_logs_version_and_health_are_answered(kubectl: Kubectl) -> None:
    assert "started" in kubectl("logs", "postgres-0")
    assert "v1.32" in kubectl("version")
    # Raw paths are the server's own: they carry the prefix under which the sandbox serves Kubernetes.
    assert kubectl("get", "--raw", "/kubernetes/readyz") == "ok"
    path = f"/kubernetes/api/v1/namespaces/{NAMESPACE}/services/api-gateway:8080/proxy/health"
    assert kubectl("get", "--raw", path) == "ok"
