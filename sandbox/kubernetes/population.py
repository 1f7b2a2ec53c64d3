"""Why: a cluster is not empty: it has nodes, namespaces, the platform, and what looks after it.

Everything begins healthy and a day old, so that a run's first look finds what it would find in a
cluster that has been up for a while. The platform comes from platform.yaml.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Final

from gameday.spec.platform import Service
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.errors import Obj
from sandbox.kubernetes.resources import (
    DAEMON_SETS,
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    SERVICE_ACCOUNTS,
    SERVICES,
    STATEFUL_SETS,
    Resource,
)

NODE_NAMES: Final = ("node-1", "node-2", "node-3")
_AGE: Final = timedelta(days=1, hours=3)
_CHAOS_MESH: Final = "2.8.1"
_IMAGES: Final = {"postgres": "postgres:16", "redis": "redis:7"}


def _object(resource: Resource, name: str, created: str, **content: Obj) -> Obj:
    metadata = {"name": name, "creationTimestamp": created, **content.pop("metadata", {})}
    return {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata, **content}


def _node(number: int, name: str, created: str) -> Obj:
    conditions = [
        {
            "type": kind,
            "status": "True" if kind == "Ready" else "False",
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": created,
            "lastTransitionTime": created,
        }
        for kind, reason, message in (
            ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            ("Ready", "KubeletReady", "kubelet is posting ready status"),
        )
    ]
    size = {"cpu": "8", "memory": "32Gi", "pods": "110"}
    version = "v1.32.4"
    info = {
        "architecture": "amd64",
        "bootID": f"boot-{number}",
        "containerRuntimeVersion": "containerd://1.7.27",
        "kernelVersion": "6.1.0",
        "kubeProxyVersion": version,
        "kubeletVersion": version,
        "machineID": f"machine-{number}",
        "operatingSystem": "linux",
        "osImage": "Debian GNU/Linux 12 (bookworm)",
        "systemUUID": f"system-{number}",
    }
    addresses = [
        {"type": "InternalIP", "address": f"10.0.0.{number}"},
        {"type": "Hostname", "address": name},
    ]
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    return _object(
        NODES,
        name,
        created,
        metadata={"labels": labels},
        spec={"podCIDR": f"10.244.{number}.0/24"},
        status={
            "conditions": conditions,
            "capacity": size,
            "allocatable": size,
            "addresses": addresses,
            "nodeInfo": info,
        },
    )


def _workload(
    resource: Resource,
    name: str,
    labels: dict[str, str],
    created: str,
    port: int,
    image: str,
    replicas: int = 1,
    more: dict[str, str] | None = None,
) -> Obj:
    """``labels`` are what it selects its pods by; ``more`` stand on the workload alone."""
    container: Obj = {"name": name, "image": image}
    if port:
        container["ports"] = [{"containerPort": port, "name": "main", "protocol": "TCP"}]
    spec: Obj = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
    }
    if resource is not DAEMON_SETS:
        spec["replicas"] = replicas
    if resource is STATEFUL_SETS:
        spec["serviceName"] = name
    return _object(resource, name, created, metadata={"labels": {**labels, **(more or {})}}, spec=spec)


def _service(name: str, labels: dict[str, str], selector: dict[str, str], created: str, port: int) -> Obj:
    ports = [{"name": "main", "port": port, "targetPort": port, "protocol": "TCP"}]
    return _object(
        SERVICES, name, created, metadata={"labels": labels}, spec={"selector": selector, "ports": ports}
    )


def _of_platform(service: Service, created: str) -> Iterator[tuple[Resource, Obj]]:
    resource = STATEFUL_SETS if service.stateful else DEPLOYMENTS
    image = _IMAGES.get(service.name, f"pyairtable/{service.name}:1.0")
    workload = _workload(
        resource, service.name, service.labels, created, service.port, image, service.replicas
    )
    if service.health:
        probe = {"httpGet": {"path": service.health, "port": service.port}, "periodSeconds": 5}
        workload["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = probe
    yield resource, workload
    selector = {"app": service.labels["app"]} if "app" in service.labels else service.labels
    yield SERVICES, _service(service.name, service.labels, selector, created, service.port)


def _of_chaos_mesh(created: str) -> Iterator[tuple[Resource, Obj]]:
    def labels(component: str) -> dict[str, str]:
        return {
            "app.kubernetes.io/name": "chaos-mesh",
            "app.kubernetes.io/instance": "chaos-mesh",
            "app.kubernetes.io/component": component,
        }

    # As its chart labels and tags them.
    image = f"ghcr.io/chaos-mesh/chaos-{{}}:v{_CHAOS_MESH}"
    released = {
        "app.kubernetes.io/version": _CHAOS_MESH,
        "app.kubernetes.io/part-of": "chaos-mesh",
        "app.kubernetes.io/managed-by": "Helm",
        "helm.sh/chart": f"chaos-mesh-{_CHAOS_MESH}",
    }
    selector, daemons = labels("controller-manager"), labels("chaos-daemon")
    manager, daemon = "chaos-controller-manager", "chaos-daemon"
    yield (
        DEPLOYMENTS,
        _workload(DEPLOYMENTS, manager, selector, created, 10250, image.format("mesh"), 3, more=released),
    )
    yield (
        DAEMON_SETS,
        _workload(DAEMON_SETS, daemon, daemons, created, 31767, image.format("daemon"), more=released),
    )
    yield SERVICES, _service("chaos-mesh-controller-manager", selector, selector, created, 443)


def _of_monitoring(created: str) -> Iterator[tuple[Resource, Obj]]:
    for name, image, port in (
        ("prometheus", "prom/prometheus:v3.1.0", 9090),
        ("kube-state-metrics", "registry.k8s.io/kube-state-metrics:v2.15.0", 8080),
    ):
        labels = {"app": name}
        yield DEPLOYMENTS, _workload(DEPLOYMENTS, name, labels, created, port, image)
        yield SERVICES, _service(name, labels, labels, created, port)


def _of_system(created: str) -> Iterator[tuple[Resource, Obj]]:
    labels = {"k8s-app": "kube-dns"}
    image = "registry.k8s.io/coredns/coredns:v1.11.3"
    yield DEPLOYMENTS, _workload(DEPLOYMENTS, "coredns", labels, created, 53, image, 2)
    yield SERVICES, _service("kube-dns", labels, labels, created, 53)


def populate(api: Api, services: Iterable[Service], *, namespace: str, chaos_namespace: str) -> None:
    """Create nodes, namespaces and workloads, a day old."""
    api.backdate = _AGE
    created = api.now()
    for number, name in enumerate(NODE_NAMES, start=1):
        api.create(NODES, "", _node(number, name, created))
    names = ("default", "kube-system", "kube-public", "monitoring", chaos_namespace, namespace)
    for name in dict.fromkeys(names):
        api.create(NAMESPACES, "", _object(NAMESPACES, name, created))
        api.create(SERVICE_ACCOUNTS, name, _object(SERVICE_ACCOUNTS, "default", created))
    placed = {
        namespace: (entry for service in services for entry in _of_platform(service, created)),
        chaos_namespace: _of_chaos_mesh(created),
        "monitoring": _of_monitoring(created),
        "kube-system": _of_system(created),
    }
    for place, entries in placed.items():
        for resource, obj in entries:
            api.create(resource, place, obj)
    api.world.settle()
    api.backdate = timedelta(0)
