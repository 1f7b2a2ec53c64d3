"""Why: kubectl prints what the server puts into a ``Table``, READY, STATUS and AGE included.

Ages are counted in virtual time. Columns of custom resources come from their definition; kinds that
have no columns of their own get name and age, as with the real server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final

from sandbox.kubernetes.errors import Obj
from sandbox.kubernetes.resources import Resource

Row = Callable[[Obj, datetime], list[Any]]

_STEPS: Final = (
    (120, 1, "s", 0, ""),
    (600, 60, "m", 1, "s"),
    (3 * 3600, 60, "m", 0, ""),
    (8 * 3600, 3600, "h", 60, "m"),
    (48 * 3600, 3600, "h", 0, ""),
    (8 * 86400, 86400, "d", 3600, "h"),
)


def age(since: str, now: datetime) -> str:
    """The time since a moment as kubectl writes it: ``12s``, ``3m5s``, ``4h``, ``2d``."""
    if not since:
        return "<unknown>"
    seconds = max(0, int((now - datetime.fromisoformat(since)).total_seconds()))
    # Up to which number of seconds which units are shown (``duration.HumanDuration`` of Kubernetes).
    for limit, unit, letter, part, small in _STEPS:
        if seconds < limit:
            rest = seconds % unit // part if part else 0
            return f"{seconds // unit}{letter}{rest}{small}" if rest else f"{seconds // unit}{letter}"
    return f"{seconds // 86400}d"


def _created(obj: Obj, now: datetime) -> str:
    return age(obj["metadata"].get("creationTimestamp", ""), now)


def pod_status(pod: Obj) -> str:
    """The word of the STATUS column."""
    status = pod.get("status") or {}
    word: str = status.get("reason") or status.get("phase", "Unknown")
    for container in status.get("containerStatuses") or ():
        state = container.get("state") or {}
        waiting, ended = state.get("waiting"), state.get("terminated")
        if waiting and waiting.get("reason"):
            word = waiting["reason"]
        elif ended:
            word = ended.get("reason") or f"ExitCode:{ended.get('exitCode', 0)}"
    return "Terminating" if "deletionTimestamp" in pod["metadata"] else word


def _pod(obj: Obj, now: datetime) -> list[Any]:
    status = obj.get("status") or {}
    containers = status.get("containerStatuses") or []
    ready = sum(1 for container in containers if container.get("ready"))
    restarts = sum(container.get("restartCount", 0) for container in containers)
    shown = str(restarts)
    ended = [((c.get("lastState") or {}).get("terminated") or {}).get("finishedAt", "") for c in containers]
    if restarts and (last := max(ended, default="")):
        shown = f"{restarts} ({age(last, now)} ago)"
    return [
        obj["metadata"]["name"],
        f"{ready}/{len(obj['spec'].get('containers') or ())}",
        pod_status(obj),
        shown,
        _created(obj, now),
        status.get("podIP", "<none>"),
        obj["spec"].get("nodeName", "<none>"),
    ]


def _deployment(obj: Obj, now: datetime) -> list[Any]:
    status, wanted = obj.get("status") or {}, obj["spec"].get("replicas", 1)
    return [
        obj["metadata"]["name"],
        f"{status.get('readyReplicas', 0)}/{wanted}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        _created(obj, now),
    ]


def _replica_set(obj: Obj, now: datetime) -> list[Any]:
    status = obj.get("status") or {}
    counts = [obj["spec"].get("replicas", 1), status.get("replicas", 0), status.get("readyReplicas", 0)]
    return [obj["metadata"]["name"], *counts, _created(obj, now)]


def _stateful_set(obj: Obj, now: datetime) -> list[Any]:
    ready = (obj.get("status") or {}).get("readyReplicas", 0)
    return [obj["metadata"]["name"], f"{ready}/{obj['spec'].get('replicas', 1)}", _created(obj, now)]


def _daemon_set(obj: Obj, now: datetime) -> list[Any]:
    status = obj.get("status") or {}
    names = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    return [obj["metadata"]["name"], *(status.get(name, 0) for name in names), "<none>", _created(obj, now)]


def _service(obj: Obj, now: datetime) -> list[Any]:
    spec = obj["spec"]
    ports = ",".join(f"{port['port']}/{port.get('protocol', 'TCP')}" for port in spec.get("ports") or ())
    return [
        obj["metadata"]["name"],
        spec.get("type", "ClusterIP"),
        spec.get("clusterIP", "<none>"),
        "<none>",
        ports or "<none>",
        _created(obj, now),
    ]


def _node(obj: Obj, now: datetime) -> list[Any]:
    status = obj.get("status") or {}
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())
    version = (status.get("nodeInfo") or {}).get("kubeletVersion", "")
    return [obj["metadata"]["name"], "Ready" if ready else "NotReady", "<none>", _created(obj, now), version]


def _namespace(obj: Obj, now: datetime) -> list[Any]:
    return [obj["metadata"]["name"], (obj.get("status") or {}).get("phase", ""), _created(obj, now)]


def _config_map(obj: Obj, now: datetime) -> list[Any]:
    number = len(obj.get("data") or ()) + len(obj.get("binaryData") or ())
    return [obj["metadata"]["name"], number, _created(obj, now)]


def _event(obj: Obj, now: datetime) -> list[Any]:
    involved = obj.get("involvedObject") or {}
    return [
        age(obj.get("lastTimestamp") or "", now),
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{involved.get('kind', '').lower()}/{involved.get('name', '')}",
        obj.get("message", ""),
    ]


def _lease(obj: Obj, now: datetime) -> list[Any]:
    holder = (obj.get("spec") or {}).get("holderIdentity", "")
    return [obj["metadata"]["name"], holder, _created(obj, now)]


def _endpoints(obj: Obj, now: datetime) -> list[Any]:
    listed = [
        f"{address['ip']}:{port['port']}"
        for subset in obj.get("subsets") or ()
        for address in subset.get("addresses") or ()
        for port in subset.get("ports") or ()
    ]
    shown = ",".join(listed[:3]) + (f" + {len(listed) - 3} more..." if len(listed) > 3 else "")
    return [obj["metadata"]["name"], shown or "<none>", _created(obj, now)]


def _policy(obj: Obj, now: datetime) -> list[Any]:
    kind = obj["spec"].get("paramKind")
    shown = f"{kind.get('apiVersion')}/{kind.get('kind')}" if kind else "<unset>"
    return [obj["metadata"]["name"], len(obj["spec"].get("validations") or ()), shown, _created(obj, now)]


def _binding(obj: Obj, now: datetime) -> list[Any]:
    spec = obj["spec"]
    reference = spec.get("paramRef") or {}
    named = "/".join(filter(None, (reference.get("namespace"), reference.get("name")))) or "<unset>"
    return [obj["metadata"]["name"], spec.get("policyName", ""), named, _created(obj, now)]


# Columns as (title, type, wide), and what fills a row.
_TABLES: Final[dict[str, tuple[str, Row]]] = {
    "pods": ("Name Ready Status Restarts Age *IP *Node", _pod),
    "deployments": ("Name Ready Up-to-date Available Age", _deployment),
    "replicasets": ("Name Desired Current Ready Age", _replica_set),
    "statefulsets": ("Name Ready Age", _stateful_set),
    "daemonsets": ("Name Desired Current Ready Up-to-date Available Node_Selector Age", _daemon_set),
    "services": ("Name Type Cluster-IP External-IP Port(s) Age", _service),
    "nodes": ("Name Status Roles Age Version", _node),
    "namespaces": ("Name Status Age", _namespace),
    "configmaps": ("Name Data Age", _config_map),
    "events": ("Last_Seen Type Reason Object Message", _event),
    "leases": ("Name Holder Age", _lease),
    "endpoints": ("Name Endpoints Age", _endpoints),
    "validatingadmissionpolicies": ("Name Validations ParamKind Age", _policy),
    "validatingadmissionpolicybindings": ("Name PolicyName ParamRef Age", _binding),
}


def _definition(title: str) -> Obj:
    wide, name = title.startswith("*"), title.lstrip("*").replace("_", " ")
    kind = "name" if name == "Name" else ""
    return {"name": name, "type": "string", "format": kind, "description": name, "priority": int(wide)}


def _walk(obj: Obj, path: Iterable[str]) -> Any:
    value: Any = obj
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _custom_row(resource: Resource, obj: Obj, now: datetime) -> list[Any]:
    row = [obj["metadata"]["name"]]
    for column in resource.columns:
        value = _walk(obj, column.path)
        row.append(age(value or "", now) if column.type == "date" else value)
    return row if resource.columns else [*row, _created(obj, now)]


def _custom_columns(resource: Resource) -> list[Obj]:
    columns = [_definition("Name")]
    columns += [
        {**_definition(column.name), "priority": int(column.wide), "type": "string"}
        for column in resource.columns
    ]
    return columns if resource.columns else [*columns, _definition("Age")]


def table(
    resource: Resource, items: Iterable[Obj], now: datetime, metadata: Obj, *, include: str = "Metadata"
) -> Obj:
    """The Table of ``items``; ``include`` says how much of each object goes with its row."""
    titles, row = _TABLES.get(
        resource.plural, ("Name Age", lambda o, n: [o["metadata"]["name"], _created(o, n)])
    )
    if resource.custom:
        columns = _custom_columns(resource)
    else:
        columns = [_definition(title) for title in titles.split()]
    rows = []
    for obj in items:
        cells = _custom_row(resource, obj, now) if resource.custom else row(obj, now)
        entry: Obj = {"cells": cells}
        if include == "Object":
            entry["object"] = obj
        elif include != "None":
            kind = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
            entry["object"] = {**kind, "metadata": obj["metadata"]}
        rows.append(entry)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": columns,
        "rows": rows,
    }
