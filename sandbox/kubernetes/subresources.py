"""Why: scale, log, eviction and proxy are doors of their own to an object, each with its own rules.

A proxied request is answered by the twin: the API server only finds the pod behind a service, as a
real one does. ``status`` is no concern of this module: ``api`` treats it as a part of the object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from starlette.responses import PlainTextResponse, Response

from sandbox.kubernetes import errors, patching
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.bodies import Call
from sandbox.kubernetes.deletion import DeleteOptions, Deleter
from sandbox.kubernetes.errors import Obj
from sandbox.kubernetes.requests import Target
from sandbox.kubernetes.resources import ENDPOINTS, PODS, SERVICES
from sandbox.kubernetes.store import copy

# Asked with the pod and the path: the HTTP status it answers, 0 where nothing answers.
Ask = Callable[[Obj, str], int]


class Subresources:
    """The doors to objects besides the objects themselves."""

    def __init__(self, api: Api, deleter: Deleter, ask: Ask) -> None:
        """Work on ``api``; pods are asked through ``ask``."""
        self._api = api
        self._deleter = deleter
        self._ask = ask
        self._turn = 0

    def get(self, at: Target, query: Mapping[str, str]) -> Response:
        """Answer a GET of a subresource other than ``status``."""
        match at.subresource:
            case "scale":
                obj = self._api.get(at.resource, at.namespace, at.name)
                return Response(orjson.dumps(_scale(obj)), media_type="application/json")
            case "log":
                return self._log(at, query)
            case "proxy":
                return self._proxy(at)
        raise errors.method_not_allowed()

    def post(self, at: Target, body: Any, call: Call) -> Response:
        """Answer a POST to a subresource."""
        if at.subresource == "eviction":
            options = DeleteOptions.read((body or {}).get("deleteOptions"), {})
            if not call.dry_run:
                self._deleter.delete(PODS, at.namespace, at.name, options)
            done = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
            return Response(orjson.dumps(done), 201, media_type="application/json")
        if at.subresource == "proxy":
            return self._proxy(at)
        raise errors.method_not_allowed()

    def scale(self, at: Target, body: Any, call: Call) -> Obj:
        """Set the number of replicas from a Scale object. Raises 400, 404, 409, 422."""
        wanted = ((body or {}).get("spec") or {}).get("replicas", 0)
        revision = ((body or {}).get("metadata") or {}).get("resourceVersion")
        return self._set_replicas(at, wanted, revision, call)

    def patch_scale(self, at: Target, patch: Any, kind: str, call: Call) -> Obj:
        """Patch the Scale of an object. Raises 400, 404, 409, 415, 422."""
        scale = _scale(self._api.get(at.resource, at.namespace, at.name))
        if kind == patching.JSON_PATCH:
            changed = patching.json_patch(scale, patch)
        elif kind in (patching.MERGE_PATCH, patching.STRATEGIC_PATCH):
            changed = patching.merge_patch(scale, patch)
        else:
            raise errors.unsupported_media_type((patching.JSON_PATCH, patching.MERGE_PATCH))
        return self._set_replicas(at, changed["spec"].get("replicas", 0), None, call)

    def _set_replicas(self, at: Target, wanted: Any, revision: str | None, call: Call) -> Obj:
        if not isinstance(wanted, int) or isinstance(wanted, bool):
            raise errors.bad_request("Scale: spec.replicas must be an integer")
        obj = copy(self._api.get(at.resource, at.namespace, at.name))
        obj["spec"]["replicas"] = wanted
        if revision:
            obj["metadata"]["resourceVersion"] = revision
        return _scale(self._api.update(at.resource, at.namespace, at.name, obj, call))

    def _log(self, at: Target, query: Mapping[str, str]) -> Response:
        pod = self._api.get(PODS, at.namespace, at.name)
        names = [container["name"] for container in pod["spec"]["containers"]]
        name = query.get("container") or names[0]
        if name not in names:
            raise errors.bad_request(f"container {name} is not valid for pod {at.name}")
        lines = [
            f"{state['startedAt']} {name} started"
            for status in pod["status"].get("containerStatuses") or ()
            if status["name"] == name and (state := (status.get("state") or {}).get("running"))
        ]
        return PlainTextResponse("".join(f"{line}\n" for line in lines))

    def _proxy(self, at: Target) -> Response:
        if at.resource is SERVICES:
            pod, port = self._behind(at)
        elif at.resource is PODS:
            name, _, port = _without_scheme(at.name).partition(":")
            pod = self._api.get(PODS, at.namespace, name)
        else:
            raise errors.unavailable("the sandbox has no kubelet to proxy to")
        status = self._ask(pod, f"/{at.rest}")
        if status == 0:
            address = f"{(pod.get('status') or {}).get('podIP', '')}:{port}"
            raise errors.unavailable(
                f"error trying to reach service: dial tcp {address}: connect: connection refused"
            )
        words = {200: "ok", 404: "404 page not found"}
        return PlainTextResponse(words.get(status, f"status {status}"), status)

    def _behind(self, at: Target) -> tuple[Obj, str]:
        """A ready pod of the service, each in turn, and its port."""
        name, _, wanted = _without_scheme(at.name).partition(":")
        service = self._api.get(SERVICES, at.namespace, name)
        ports = service["spec"].get("ports") or []
        chosen = [p for p in ports if wanted in ("", str(p["port"]), p.get("name"))]
        if not chosen:
            raise errors.unavailable(f'no service port "{wanted}" found for service "{name}"')
        endpoints = self._api.store.get(ENDPOINTS, at.namespace, name) or {}
        ready = [
            address["targetRef"]["name"]
            for subset in endpoints.get("subsets") or ()
            for address in subset.get("addresses") or ()
            if address.get("targetRef")
        ]
        if not ready:
            raise errors.unavailable(f'no endpoints available for service "{at.name}"')
        self._turn += 1
        pod = self._api.get(PODS, at.namespace, ready[self._turn % len(ready)])
        return pod, str(chosen[0].get("targetPort", chosen[0]["port"]))


def _without_scheme(name: str) -> str:
    return name.split(":", 1)[1] if name.startswith(("http:", "https:")) else name


def _scale(obj: Obj) -> Obj:
    metadata, spec = obj["metadata"], obj["spec"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    selector = ",".join(f"{k}={v}" for k, v in (spec["selector"].get("matchLabels") or {}).items())
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {"replicas": spec.get("replicas", 1)},
        "status": {"replicas": (obj.get("status") or {}).get("replicas", 0), "selector": selector},
    }
