"""Why: a path and a query say which resource, which object and which operation; reading them is one concern.

The grammar is that of ``/api/v1/namespaces/NS/PLURAL/NAME/SUBRESOURCE`` and its like under ``/apis``.
What is then done is left to ``http``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.kubernetes import errors
from sandbox.kubernetes.resources import NAMESPACES, Registry, Resource
from sandbox.kubernetes.selectors import Predicate, Test, field_selector, label_selector


@dataclass(frozen=True, slots=True)
class Target:
    """What a path points at: a collection (no name), an object, or a subresource of it."""

    resource: Resource
    namespace: str
    name: str
    subresource: str
    rest: str


def target(registry: Registry, parts: list[str]) -> Target:
    """What ``parts``, a path split at its slashes, points at. Raises 404."""
    if parts[0] == "api":
        group, version, tail = "", parts[1], parts[2:]
    else:
        group, version, tail = parts[1], parts[2], parts[3:]
    namespace = ""
    if tail[0] == "namespaces" and len(tail) > 2 and tail[2] not in NAMESPACES.subresources:
        namespace, tail = tail[1], tail[2:]
    resource = registry.find(group, version, tail[0])
    if resource is None or (namespace and not resource.namespaced):
        raise errors.no_such_path()
    name = tail[1] if len(tail) > 1 else ""
    subresource = tail[2] if len(tail) > 2 else ""
    if subresource and subresource not in resource.subresources:
        raise errors.no_such_path()
    if name and resource.namespaced and not namespace:
        raise errors.no_such_path()
    return Target(resource, namespace, name, subresource, "/".join(tail[3:]))


_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def verb(method: str, at: Target, query: Mapping[str, str]) -> str:
    """The verb as the authoriser and the counters know it. Raises 405."""
    if method not in _VERBS:
        raise errors.method_not_allowed()
    if method == "GET" and is_watch(query):
        return "watch"
    if method == "GET" and not at.name:
        return "list"
    if method == "DELETE" and not at.name:
        return "deletecollection"
    if (method == "POST") is bool(at.name) and at.subresource not in ("eviction", "proxy"):
        raise errors.method_not_allowed()
    if method in ("PUT", "PATCH") and not at.name:
        raise errors.method_not_allowed()
    return _VERBS[method]


def is_watch(query: Mapping[str, str]) -> bool:
    """Whether a GET asks for a stream."""
    return query.get("watch", "") in ("1", "true", "True")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a collection are meant."""

    labels: Predicate | None
    test: Test | None

    @classmethod
    def read(cls, at: Target, query: Mapping[str, str]) -> Selection:
        """From labelSelector, fieldSelector and the name in the path. Raises 400."""
        labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
        if at.name:
            fields = f"metadata.name={at.name}" + (f",{fields}" if fields else "")
        return cls(
            label_selector(labels) if labels else None,
            field_selector(fields, at.resource.plural, custom=at.resource.custom) if fields else None,
        )


def number(query: Mapping[str, str], name: str) -> int:
    """A number of the query; 0 where it is not there. Raises 400."""
    text = query.get(name, "")
    if text and not text.isdigit():
        raise errors.bad_request(
            f'{name}: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        )
    return int(text or 0)


def dry_run(query: Mapping[str, str]) -> bool:
    """Whether nothing is to be stored. Raises 422 for any value but ``All``."""
    value = query.get("dryRun", "")
    if value not in ("", "All"):
        message = (
            f'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: "{value}":'
            ' supported values: "All"'
        )
        raise errors.ApiError(422, "Invalid", message, details={"kind": "CreateOptions", "causes": []})
    return value == "All"


def strictness(query: Mapping[str, str]) -> str:
    """How unknown fields are taken. Raises 422 for a value that there is not."""
    value = query.get("fieldValidation", "") or "Warn"
    if value not in ("Ignore", "Warn", "Strict"):
        listed = '"", "Ignore", "Warn", "Strict"'
        message = (
            f'CreateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "{value}":'
            f" supported values: {listed}"
        )
        raise errors.ApiError(422, "Invalid", message, details={"kind": "CreateOptions", "causes": []})
    return value
