"""Why: limits hold nobody until they are in the cluster, and nobody knows that without looking.

Sends what ``policy`` renders to an API server and tells what is missing or different there. People
use ``kubectl apply`` for the first; the sandbox and the doctor have only our own client.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote

from gameday.clients.kubernetes import Cluster
from gameday.errors import ConflictError, NotFoundError
from gameday.safety import lever

_PLURALS: Final = {
    "ConfigMap": "configmaps",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}
# What the API server adds to a policy by itself.
_DEFAULTS: Final[Mapping[str, Any]] = {
    "matchPolicy": "Equivalent",
    "namespaceSelector": {},
    "objectSelector": {},
    "scope": "*",
}


def _collection(body: Mapping[str, Any]) -> str:
    version, namespace = body["apiVersion"], body["metadata"].get("namespace", "")
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    space = f"/namespaces/{quote(namespace)}" if namespace else ""
    return f"{root}{space}/{_PLURALS[body['kind']]}"


def _called(body: Mapping[str, Any]) -> str:
    return f"{body['kind']} {body['metadata']['name']}"


async def install(cluster: Cluster, objects: Iterable[Mapping[str, Any]]) -> None:
    """Create what ``render`` made; what is there already becomes equal. Raises ``OutsideError``.

    The data of the safety lever are never touched.
    """
    for body in objects:
        path, doing = _collection(body), f"create the {_called(body)}"
        try:
            await cluster.api.post(path, dict(body), doing=doing)
        except ConflictError:
            if body["metadata"]["name"] != lever.NAME:
                at = f"{path}/{quote(body['metadata']['name'])}"
                found = await cluster.api.get(at, doing=f"read the {_called(body)}")
                version = {"resourceVersion": found["metadata"].get("resourceVersion", "")}
                wanted = {**body, "metadata": {**body["metadata"], **version}}
                await cluster.api.put(at, wanted, doing=f"replace the {_called(body)}")


async def drift(cluster: Cluster, objects: Iterable[Mapping[str, Any]]) -> list[str]:
    """What of ``objects`` is missing in the cluster or not as it was rendered, a sentence each.

    Raises ``OutsideError`` where it cannot be read.
    """
    told = []
    for body in objects:
        found: Mapping[str, Any] | None = None
        with suppress(NotFoundError):
            path = f"{_collection(body)}/{quote(body['metadata']['name'])}"
            found = await cluster.api.get(path, doing=f"read the {_called(body)}")
        if found is None:
            told.append(f"{_called(body)} is not installed")
        elif body["metadata"]["name"] != lever.NAME:
            changed = [
                key
                for key in ("spec", "data")
                if _without_defaults(found.get(key)) != _without_defaults(body.get(key))
            ]
            told += [f"{_called(body)} differs from guardrails.yaml in its {key}" for key in changed]
    return told


def _without_defaults(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _without_defaults(inner)
            for key, inner in value.items()
            if not (key in _DEFAULTS and inner == _DEFAULTS[key])
        }
    return [_without_defaults(inner) for inner in value] if isinstance(value, list) else value
