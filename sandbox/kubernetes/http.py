"""Why: the operations of ``api`` over HTTP, as the official clients and kubectl speak it.

One ASGI application reads the request, asks the levers whether it may pass, has it carried out, lets
what is due in the world happen, and renders the answer: as JSON, as a Table, or as a stream.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, Protocol
from weakref import WeakSet

import orjson
import yaml
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from sandbox.connection import while_connected
from sandbox.kubernetes import discovery, errors, tables
from sandbox.kubernetes.access import authorise, review
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.bodies import Call, read
from sandbox.kubernetes.deletion import DeleteOptions, Deleter
from sandbox.kubernetes.errors import ApiError, Obj
from sandbox.kubernetes.levers import Levers
from sandbox.kubernetes.protobuf import openapi_v2, read_review
from sandbox.kubernetes.requests import Selection, Target, dry_run, number, strictness, target, verb
from sandbox.kubernetes.resources import NAMESPACES, Resource
from sandbox.kubernetes.roles import Roles
from sandbox.kubernetes.subresources import Subresources
from sandbox.kubernetes.watching import DEFAULT_TIMEOUT_S, Watch

_HEALTH: Final = frozenset({"healthz", "livez", "readyz"})


class Answer(Protocol):
    """An ASGI response."""

    status_code: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""


class _Asked:
    """One request, read as far as every operation needs it."""

    __slots__ = ("at", "call", "query", "request", "table", "verb")

    def __init__(self, request: Request, at: Target, query: dict[str, str], user: str) -> None:
        self.request = request
        self.at = at
        self.query = query
        self.verb = verb(request.method, at, query)
        accept = request.headers.get("accept", "")
        self.table = "as=Table" in accept and not at.subresource
        writes = request.method not in ("GET", "DELETE")
        self.call = Call(
            user=user,
            dry_run=writes and dry_run(query),
            strictness=strictness(query) if writes else "Ignore",
            manager=query.get("fieldManager", ""),
        )

    async def body(self) -> Any:
        """The body of the request. Raises 400 where it is no JSON, 415 where it does not claim to be."""
        content = await self.request.body()
        if not content:
            return None
        kind = self.request.headers.get("content-type", "application/json").partition(";")[0]
        if "protobuf" in kind and self.at.resource.plural.endswith("reviews"):
            return read_review(content)
        if "protobuf" in kind or "cbor" in kind:
            raise errors.unsupported_media_type(("application/json", "application/yaml"))
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError as error:
            if "yaml" not in kind:
                raise errors.bad_request(f"couldn't get version/kind; json parse error: {error}") from error
        try:
            return yaml.safe_load(content)
        except yaml.YAMLError as error:
            raise errors.bad_request(f"error converting YAML to JSON: {error}") from error


class KubernetesApp:
    """The API server, as an ASGI application."""

    def __init__(
        self,
        api: Api,
        deleter: Deleter,
        subresources: Subresources,
        levers: Levers,
        roles: Roles,
        settle: Callable[[], None],
    ) -> None:
        """Serve ``api``; ``settle`` is called after everything that may have changed something."""
        self._api = api
        self._deleter = deleter
        self._subresources = subresources
        self._levers = levers
        self._roles = roles
        self._settle = settle
        self.watches: WeakSet[Watch] = WeakSet()
        self._operations: dict[str, Callable[[_Asked], Awaitable[Answer]]] = {
            "get": self._get,
            "list": self._list,
            "watch": self._watch,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        path: str = scope["path"]
        path = path.removeprefix(scope.get("root_path", ""))
        shown = f"{path}?{request.url.query}" if request.url.query else path
        counted = ["", ""]
        answer: Answer
        try:
            if self._levers.stalling and not await self._waited(request, shown):
                return
            failure = self._levers.failure(request.method, shown)
            if failure is not None:
                counted[:] = request.method.lower(), _resource_of(path)
                raise failure
            answer = await self._answer(request, path.strip("/").split("/"), counted)
        except ApiError as error:
            answer = _json(error.status(), error.code)
        if counted[0]:
            self._levers.count(counted[0], counted[1], answer.status_code)
        await answer(scope, receive, send)

    async def _waited(self, request: Request, shown: str) -> bool:
        """Stall the call as it must be; False where the client went meanwhile."""
        await request.body()
        return await while_connected(request, self._levers.stall(request.method, shown))

    async def _answer(self, request: Request, parts: list[str], counted: list[str]) -> Answer:
        if len(parts) < (3 if parts[0] == "api" else 4) or parts[0] not in ("api", "apis"):
            return self._discovery(request, parts)
        query = dict(request.query_params)
        at = target(self._api.registry, parts)
        headers = request.headers
        user = self._roles.authenticate(headers.get("authorization", ""), headers.get("impersonate-user", ""))
        asked = _Asked(request, at, query, user)
        sub = f"{at.resource.plural}/{at.subresource}" if at.subresource else at.resource.plural
        counted[:] = asked.verb, sub
        if asked.verb not in at.resource.verbs:
            raise errors.method_not_allowed()
        # The name of a namespace is its own namespace, for an authoriser.
        space = at.name if at.resource is NAMESPACES else at.namespace
        authorise(self._levers, self._roles, user, asked.verb, at.resource, space, at.name, at.subresource)
        return await self._operations[asked.verb](asked)

    def _discovery(self, request: Request, parts: list[str]) -> Answer:
        registry = self._api.registry
        if parts[0] in _HEALTH:
            return PlainTextResponse("ok")
        if "g=apidiscovery.k8s.io" in request.headers.get("accept", "") and parts in (["api"], ["apis"]):
            kind = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
            return _json(discovery.aggregated(registry, core=parts == ["api"]), kind=kind)
        groups, found = registry.groups(), None
        match parts:
            case ["version"]:
                found = discovery.VERSION
            case ["api"]:
                found = discovery.core_versions()
            case ["apis"]:
                found = discovery.groups(registry)
            case ["apis", group] if group in groups:
                found = discovery.group(group, groups[group])
            case ["openapi", *rest]:
                return self._openapi(request, rest)
            case ["api", version]:
                found = discovery.resources(registry, "", version)
            case ["apis", group, version]:
                found = discovery.resources(registry, group, version)
        if found is None:
            raise errors.no_such_path()
        return _json(found)

    def _openapi(self, request: Request, rest: list[str]) -> Answer:
        match rest:
            case ["v3"]:
                return _json(discovery.openapi_paths(self._api.registry))
            case ["v3", "api", version]:
                return _json(discovery.openapi_document(self._api.registry, "", version))
            case ["v3", "apis", group, version]:
                return _json(discovery.openapi_document(self._api.registry, group, version))
            case ["v2"] if "protobuf" in request.headers.get("accept", ""):
                document = openapi_v2(self._api.registry)
                kind = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
                return Response(document, media_type=kind)
            case ["v2"]:
                return _json(discovery.openapi_v2())
        raise errors.no_such_path()

    async def _get(self, asked: _Asked) -> Answer:
        at = asked.at
        if at.subresource and at.subresource != "status":
            return self._subresources.get(at, asked.query)
        obj = self._api.get(at.resource, at.namespace, at.name)
        return _json(self._shown(asked, [obj], {}) if asked.table else obj)

    def _shown(self, asked: _Asked, items: list[Obj], metadata: Obj) -> Obj:
        include = asked.query.get("includeObject", "Metadata")
        return tables.table(asked.at.resource, items, self._api.world.now(), metadata, include=include)

    async def _list(self, asked: _Asked) -> Answer:
        at, query = asked.at, asked.query
        wanted = number(query, "resourceVersion")
        if wanted > self._api.store.revision:
            message = f"Too large resource version: {wanted}, current: {self._api.store.revision}"
            details = {
                "retryAfterSeconds": 1,
                "causes": [{"reason": "ResourceVersionTooLarge", "message": message}],
            }
            raise ApiError(504, "Timeout", message, details=details)
        selection = Selection.read(at, query)
        listing = self._api.list(
            at.resource,
            at.namespace,
            labels=selection.labels,
            test=selection.test,
            limit=number(query, "limit"),
            token=query.get("continue", ""),
        )
        metadata: Obj = {"resourceVersion": str(listing.revision)}
        if listing.token:
            metadata["continue"] = listing.token
            if listing.remaining is not None:
                metadata["remainingItemCount"] = listing.remaining
        if asked.table:
            return _json(self._shown(asked, listing.items, metadata))
        return _json(_collection(at.resource, listing.items, metadata))

    async def _watch(self, asked: _Asked) -> Answer:
        at, query = asked.at, asked.query
        selection = Selection.read(at, query)
        initial_end = query.get("sendInitialEvents") == "true"
        wanted = number(query, "resourceVersion")
        watch = Watch(
            self._api.store,
            at.resource,
            at.namespace,
            labels=selection.labels,
            test=selection.test,
            timeout=float(number(query, "timeoutSeconds") or DEFAULT_TIMEOUT_S),
            bookmarks=query.get("allowWatchBookmarks") == "true",
            render=partial(self._row, asked) if asked.table else _itself,
        )
        watch.begin(None if initial_end or wanted == 0 else wanted, initial_end=initial_end)
        self.watches.add(watch)
        return watch

    def _row(self, asked: _Asked, obj: Obj) -> Obj:
        return self._shown(asked, [obj], {"resourceVersion": obj["metadata"]["resourceVersion"]})

    async def _create(self, asked: _Asked) -> Answer:
        at, body = asked.at, await asked.body()
        if at.resource.plural.endswith("reviews"):
            asked_about = read(at.resource, body, asked.call)
            return _json(review(self._levers, self._roles, at.resource, asked_about, asked.call.user), 201)
        if at.subresource:
            answer = self._subresources.post(at, body, asked.call)
        else:
            answer = _json(self._api.create(at.resource, at.namespace, body, asked.call), 201)
        self._settle()
        return _warned(answer, asked.call)

    async def _update(self, asked: _Asked) -> Answer:
        at, body = asked.at, await asked.body()
        if at.subresource == "scale":
            answer = _json(self._subresources.scale(at, body, asked.call))
        else:
            part = at.subresource if at.subresource == "status" else ""
            answer = _json(
                self._api.update(at.resource, at.namespace, at.name, body, asked.call, subresource=part)
            )
        self._settle()
        return _warned(answer, asked.call)

    async def _patch(self, asked: _Asked) -> Answer:
        at, body = asked.at, await asked.body()
        kind = asked.request.headers.get("content-type", "").partition(";")[0]
        if at.subresource == "scale":
            answer = _json(self._subresources.patch_scale(at, body, kind, asked.call))
        else:
            obj, created = self._api.patch(
                at.resource, at.namespace, at.name, body, kind, asked.call, subresource=at.subresource
            )
            answer = _json(obj, 201 if created else 200)
        self._settle()
        return _warned(answer, asked.call)

    async def _delete(self, asked: _Asked) -> Answer:
        at = asked.at
        options = DeleteOptions.read(await asked.body(), asked.query)
        obj, gone = self._deleter.delete(at.resource, at.namespace, at.name, options)
        self._settle()
        if gone and not at.resource.returns_deleted:
            metadata = obj["metadata"]
            details = {"name": at.name, "kind": at.resource.plural, "uid": metadata["uid"]}
            if at.resource.group:
                details["group"] = at.resource.group
            return _json(_success(details))
        return _json(obj)

    async def _delete_collection(self, asked: _Asked) -> Answer:
        at = asked.at
        options = DeleteOptions.read(await asked.body(), asked.query)
        selection = Selection.read(at, asked.query)
        found = self._deleter.delete_collection(
            at.resource, at.namespace, labels=selection.labels, test=selection.test, options=options
        )
        self._settle()
        return _json(_collection(at.resource, found, {"resourceVersion": str(self._api.store.revision)}))


def _itself(obj: Obj) -> Obj:
    return obj


def _collection(resource: Resource, items: list[Obj], metadata: Obj) -> Obj:
    return {
        "kind": f"{resource.kind}List",
        "apiVersion": resource.api_version,
        "metadata": metadata,
        "items": items,
    }


def _success(details: Obj) -> Obj:
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _json(content: Obj, status: int = 200, *, kind: str = "application/json") -> Response:
    return Response(orjson.dumps(content), status, media_type=kind)


def _warned(answer: Response, call: Call) -> Response:
    for warning in call.warnings:
        escaped = warning.replace('"', '\\"')
        answer.headers.append("warning", f'299 - "{escaped}"')
    return answer


def _resource_of(path: str) -> str:
    """The resource in a path that is not carried out, for the counters."""
    parts = path.strip("/").split("/")
    tail = parts[2:] if parts[0] == "api" else parts[3:]
    if len(tail) > 2 and tail[0] == "namespaces":
        tail = tail[2:]
    return tail[0] if tail else parts[0]
