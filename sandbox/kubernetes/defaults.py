"""Why: the API server fills in what clients leave out, and controllers and clients rely on it.

Only the defaults that somebody can see are set: those that the controllers here, kubectl and the
official clients read. What must be refused is left to ``validation``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from sandbox.kubernetes.errors import Obj


def pod_spec(spec: Obj) -> None:
    """Fill in the spec of a pod or of a pod template."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    for container in spec.get("containers") or ():
        container.setdefault("resources", {})
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        latest = ":" not in container.get("image", "") or container["image"].endswith(":latest")
        container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
        for port in container.get("ports") or ():
            port.setdefault("protocol", "TCP")


def _pod(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    pod_spec(spec)
    spec.setdefault("serviceAccountName", "default")
    obj.setdefault("status", {"phase": "Pending", "qosClass": "BestEffort"})


def _workload(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    if obj["kind"] != "DaemonSet":
        spec.setdefault("replicas", 1)
    if isinstance(template := spec.get("template"), dict):
        pod_spec(template.setdefault("spec", {}))
    obj.setdefault("status", {} if obj["kind"] == "Deployment" else {"replicas": 0})


def _deployment(obj: Obj) -> None:
    _workload(obj)
    spec = obj["spec"]
    rolling = {"maxUnavailable": "25%", "maxSurge": "25%"}
    spec.setdefault("strategy", {"type": "RollingUpdate", "rollingUpdate": rolling})
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)


def _stateful_set(obj: Obj) -> None:
    _workload(obj)
    obj["spec"].setdefault("podManagementPolicy", "OrderedReady")
    obj["spec"].setdefault("updateStrategy", {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})


def _daemon_set(obj: Obj) -> None:
    _workload(obj)
    update = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}
    obj["spec"].setdefault("updateStrategy", update)
    status = {
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
        "numberReady": 0,
    }
    obj["status"] = {**status, **(obj.get("status") or {})}
    obj["status"].pop("replicas", None)


def _service(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    if spec["type"] != "ExternalName" and not spec.get("clusterIP"):
        digest = hashlib.sha256(
            f"{obj['metadata'].get('namespace')}/{obj['metadata']['name']}".encode()
        ).digest()
        spec["clusterIP"] = f"10.96.{digest[0]}.{digest[1] or 1}"
    if spec.get("clusterIP"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    obj.setdefault("status", {"loadBalancer": {}})


def _namespace(obj: Obj) -> None:
    labels = obj["metadata"].setdefault("labels", {})
    labels["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")
    obj.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    obj.setdefault("status", {"phase": "Active"})


def _secret(obj: Obj) -> None:
    obj.setdefault("type", "Opaque")


def _matching(constraints: Obj) -> None:
    constraints.setdefault("matchPolicy", "Equivalent")
    for name in ("namespaceSelector", "objectSelector"):
        constraints.setdefault(name, {})
    for rule in (*(constraints.get("resourceRules") or ()), *(constraints.get("excludeResourceRules") or ())):
        rule.setdefault("scope", "*")


def _policy(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("failurePolicy", "Fail")
    _matching(spec.setdefault("matchConstraints", {}))


def _binding(obj: Obj) -> None:
    if matching := obj.setdefault("spec", {}).get("matchResources"):
        _matching(matching)


_DEFAULTS: Final[dict[str, Callable[[Obj], None]]] = {
    "Pod": _pod,
    "Deployment": _deployment,
    "ReplicaSet": _workload,
    "StatefulSet": _stateful_set,
    "DaemonSet": _daemon_set,
    "Service": _service,
    "Namespace": _namespace,
    "Secret": _secret,
    "ValidatingAdmissionPolicy": _policy,
    "ValidatingAdmissionPolicyBinding": _binding,
}


def fill_in(obj: Obj) -> None:
    """Set the defaults of a built-in object, in place."""
    fill = _DEFAULTS.get(obj["kind"])
    if fill is not None:
        fill(obj)
