"""Why: clients ask beforehand whether they may, so the answer must be the one that a call would get.

Both the review objects and the calls themselves ask ``Levers.allowed``: a verb that is forbidden by
a lever is refused with 403 and reviewed as not allowed.
"""

from __future__ import annotations

from sandbox.kubernetes import errors
from sandbox.kubernetes.errors import Cause, Obj
from sandbox.kubernetes.levers import Levers
from sandbox.kubernetes.resources import Resource


def authorise(
    levers: Levers, user: str, verb: str, resource: Resource, namespace: str, name: str, sub: str = ""
) -> None:
    """Let the call pass, or raise the 403 of a real authoriser."""
    plural = f"{resource.plural}/{sub}" if sub else resource.plural
    if levers.allowed(user, verb, plural, namespace, resource.group) and (
        sub == "" or levers.allowed(user, verb, resource, namespace)
    ):
        return
    where = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
    why = f'User "{user}" cannot {verb} resource "{plural}" in API group "{resource.group}"{where}'
    details: Obj = {"kind": resource.plural}
    if name:
        details["name"] = name
    if resource.group:
        details["group"] = resource.group
    raise errors.forbidden(resource, name, why, details)


def review(levers: Levers, resource: Resource, body: Obj, user: str) -> Obj:
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
    allowed = asked is None or levers.allowed(
        subject,
        attributes.get("verb", ""),
        plural,
        attributes.get("namespace", ""),
        attributes.get("group", ""),
    )
    status: Obj = {"allowed": allowed}
    status["reason"] = "allowed by the sandbox" if allowed else "forbidden by a lever of the sandbox"
    return {
        "kind": resource.kind,
        "apiVersion": resource.api_version,
        "metadata": body.get("metadata") or {},
        "spec": spec,
        "status": status,
    }
