"""Why: a service reaches the pods that are ready, and says so in Endpoints and EndpointSlices.

Follows services and pods. Whether a pod is ready is left to ``kubelet``.
"""

from __future__ import annotations

from typing import Any

from sandbox.kubernetes import pods
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.errors import Obj
from sandbox.kubernetes.queue import WorkQueue
from sandbox.kubernetes.resources import ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES, Resource
from sandbox.kubernetes.store import Change
from sandbox.kubernetes.workloads import REACTION_S

Key = tuple[str, str]


class EndpointsController:
    """Keeps the Endpoints and the EndpointSlice of every service with a selector."""

    def __init__(self, api: Api) -> None:
        """Follow the services and pods of ``api``."""
        self._api = api
        self._queue = WorkQueue(api, self._reconcile, delay=REACTION_S)
        self._selectors: dict[Key, dict[str, str]] = {}
        api.store.listen(self._on_service, SERVICES)
        api.store.listen(self._on_pod, PODS)

    def _on_service(self, change: Change) -> None:
        key = pods.key_of(change.object)
        selector = change.object["spec"].get("selector")
        if change.type == "DELETED":
            self._selectors.pop(key, None)
            self._queue.add(key)
        elif selector:
            self._selectors[key] = selector
            self._queue.add(key)

    def _on_pod(self, change: Change) -> None:
        namespace = change.object["metadata"]["namespace"]
        labels = change.object["metadata"].get("labels") or {}
        for key, selector in self._selectors.items():
            if key[0] == namespace and selector.items() <= labels.items():
                self._queue.add(key)

    def _reconcile(self, key: Key) -> None:
        namespace, name = key
        service = self._api.store.get(SERVICES, namespace, name)
        if service is None:
            if self._api.store.get(ENDPOINTS, namespace, name) is not None:
                self._api.store.remove(ENDPOINTS, namespace, name)
            return
        selector = self._selectors.get(key)
        if selector is None:
            return
        chosen = [
            pod
            for pod in self._api.store.all(PODS, namespace)
            if selector.items() <= (pod["metadata"].get("labels") or {}).items()
            and (pod.get("status") or {}).get("podIP")
        ]
        ports = service["spec"].get("ports") or []
        self._write_endpoints(service, chosen, ports)
        self._write_slice(service, chosen, ports)

    def _write_endpoints(self, service: Obj, chosen: list[Obj], ports: list[Obj]) -> None:
        ready = [_address(pod) for pod in chosen if pods.is_ready(pod)]
        waiting = [_address(pod) for pod in chosen if pods.is_active(pod) and not pods.is_ready(pod)]
        subset: Obj = {"ports": [_port(port) for port in ports]}
        if ready:
            subset["addresses"] = ready
        if waiting:
            subset["notReadyAddresses"] = waiting
        content: Obj = {"subsets": [subset]} if ready or waiting else {}
        metadata = {"labels": dict(service["metadata"].get("labels") or {})}
        self._write(ENDPOINTS, service["metadata"]["name"], service, metadata, content)

    def _write_slice(self, service: Obj, chosen: list[Obj], ports: list[Obj]) -> None:
        content = {
            "addressType": "IPv4",
            "endpoints": [_endpoint(pod) for pod in chosen],
            "ports": [_port(port) for port in ports],
        }
        name = f"{service['metadata']['name']}-{service['metadata']['uid'][:5]}"
        labels = {
            **(service["metadata"].get("labels") or {}),
            "kubernetes.io/service-name": service["metadata"]["name"],
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        }
        metadata = {"labels": labels, "ownerReferences": pods.controlled_by(service)}
        self._write(ENDPOINT_SLICES, name, service, metadata, content)

    def _write(self, resource: Resource, name: str, service: Obj, metadata: Obj, content: Obj) -> None:
        namespace = service["metadata"]["namespace"]
        kind = {"kind": resource.kind, "apiVersion": resource.api_version}
        before = self._api.store.get(resource, namespace, name)
        if before is None:
            self._api.create(resource, namespace, {**kind, "metadata": {**metadata, "name": name}, **content})
            return
        if _content(before) != content:
            self._api.update(
                resource, namespace, name, {**kind, "metadata": {**before["metadata"]}, **content}
            )


def _content(obj: Obj) -> Obj:
    return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion", "metadata")}


def _reference(pod: Obj) -> Obj:
    metadata = pod["metadata"]
    return {
        "kind": "Pod",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
    }


def _address(pod: Obj) -> Obj:
    return {
        "ip": pod["status"]["podIP"],
        "nodeName": pod["spec"].get("nodeName", ""),
        "targetRef": _reference(pod),
    }


def _endpoint(pod: Obj) -> Obj:
    ready = pods.is_ready(pod)
    serving = ready or any(s.get("ready") for s in pod["status"].get("containerStatuses") or ())
    return {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {
            "ready": ready,
            "serving": serving,
            "terminating": "deletionTimestamp" in pod["metadata"],
        },
        "nodeName": pod["spec"].get("nodeName", ""),
        "targetRef": _reference(pod),
    }


def _port(port: Obj) -> Obj:
    target: Any = port.get("targetPort", port["port"])
    entry: Obj = {
        "port": target if isinstance(target, int) else port["port"],
        "protocol": port.get("protocol", "TCP"),
    }
    if port.get("name"):
        entry["name"] = port["name"]
    return entry
