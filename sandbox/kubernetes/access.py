"""Why: clients ask beforehand whether they may, so the answer must be the one that a call would get.

Both the review objects and the calls themselves ask ``Levers`` and ``Roles``: what a lever forbids, or
no role grants, is refused with 403 and reviewed as not allowed.
"""

from __future__ import annotations

from sandbox.kubernetes import errors
from sandbox.kubernetes.errors import Cause, Obj
from sandbox.kubernetes.levers import Levers
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.roles import Asked, Roles


def authorise(
    levers: Levers,
    roles: Roles,
    user: str,
    verb: str,
    resource: Resource,
    namespace: str,
    name: str,
    sub: str = "",
) -> None:
    """Let the call pass, or raise the 403 of a real authoriser."""
    plural = f"{resource.plural}/{sub}" if sub else resource.plural
    forbidden = not levers.allowed(user, verb, plural, namespace, resource.group) or (
        sub != "" and not levers.allowed(user, verb, resource, namespace)
    )
    if not forbidden and roles.allow(Asked(user, verb, resource.group, plural, namespace, name)):
        return
    where = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
    why = f'User "{user}" cannot {verb} resource "{plural}" in API group "{resource.group}"{where}'
    details: Obj = {"kind": resource.plural}
    if name:
        details["name"] = name
    if resource.group:
        details["group"] = resource.group
    raise errors.forbidden(resource, name, why, details)


def review(levers: Levers, roles: Roles, resource: Resource, body: Obj, user: str) -> Obj:
    """The review with its answer in ``status``. Raises 422 where it asks about nothing."""
    spec = body.get("spec") or {}
    asked = spec.get("resourceAttributes")
    if asked is None and spec.get("nonResourceAttributes") is None:
        raise errors.invalid(
            resource,
            "",
            [
                Cause.invalid(
                    "spec.resourceAttributes", "{}", "exactly one of the attributes must be specified"
                )
            ],
        )
    subject = user if resource.plural.startswith("self") else spec.get("user", "")
    attributes = asked or {}
    plural = attributes.get("resource", "")
    if attributes.get("subresource"):
        plural = f"{plural}/{attributes['subresource']}"
    verb, group, space, name = (attributes.get(key, "") for key in ("verb", "group", "namespace", "name"))
    forbidden = asked is not None and not levers.allowed(subject, verb, plural, space, group)
    granted = asked is None or roles.allow(Asked(subject, verb, group, plural, space, name), keep=False)
    status: Obj = {"allowed": granted and not forbidden}
    status["reason"] = (
        "forbidden by a lever of the sandbox"
        if forbidden
        else "allowed by the sandbox"
        if granted
        else "no role grants it"
    )
    return {
        "kind": resource.kind,
        "apiVersion": resource.api_version,
        "metadata": body.get("metadata") or {},
        "spec": spec,
        "status": status,
    }
