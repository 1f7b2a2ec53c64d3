"""Why: tests, trainings and benchmarks make this cluster misbehave, over HTTP, while clients use it.

Routes to be mounted at ``/control/kubernetes``. Each lever's meaning is documented with its model;
what it does is left to ``levers`` (calls), ``kubelet`` (pods) and the Chaos Mesh controller (faults).

========================  ====================================================================
``GET /``                 every lever's state
``DELETE /``              put every lever back
``POST /fail``            a ``FailRule``
``POST /stall``           a ``StallRule``; ``POST /release`` lets the stalled calls go on
``POST /forbid``          a ``ForbidRule``
``POST /watches/drop``    ``{"abrupt": true}``: end every open watch
``POST /watches/mute``    every open watch stays open and tells nothing any more
``POST /compact``         forget the history: watches from older revisions get a 410
``GET|DELETE /calls``     counters by verb and resource, since the start or the last DELETE
``GET /asked``            what each user with a token of their own asked for, and whether roles allow it
``POST /objects``         ``{"objects": [...]}`` or ``{"object": {...}, "count": N}``: create in bulk
``POST /kill``            ``{"namespace", "pod", "container", "reason"}``: a container dies
``POST /hang``            a ``HangRule`` of the Chaos Mesh controller
``POST /injection``       a ``BrokenInjection`` of the Chaos Mesh controller
``POST /controller``      ``{"down": true}``: the Chaos Mesh controller and its webhook are away
``POST /daemon``          ``{"node": "node-1", "down": true}``: the chaos daemon of a node is away
========================  ====================================================================
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from sandbox.kubernetes import errors
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.bodies import Call
from sandbox.kubernetes.errors import ApiError, Obj
from sandbox.kubernetes.http import KubernetesApp
from sandbox.kubernetes.kubelet import Kubelet
from sandbox.kubernetes.levers import FailRule, ForbidRule, Levers, StallRule
from sandbox.kubernetes.roles import Roles
from sandbox.kubernetes.store import copy

Form = TypeVar("Form", bound=BaseModel)


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Drop(_Form):
    """How the watches end."""

    abrupt: bool = False


class Bulk(_Form):
    """What to create: ``objects`` as they are, or ``count`` copies of ``object`` with numbered names."""

    objects: list[Obj] = []
    object: Obj | None = None
    count: int = Field(default=1, ge=1, le=100_000)


class Kill(_Form):
    """Which container dies."""

    namespace: str
    pod: str
    container: str = ""
    reason: str = "OOMKilled"


class FaultLevers(Protocol):
    """The levers of the Chaos Mesh controller, which bring their own routes."""

    def routes(self, settle: Callable[[], None]) -> list[Route]:
        """The routes ``/hang``, ``/injection``, ``/controller`` and ``/daemon``."""
        ...

    def state(self) -> Obj:
        """How these levers stand."""
        ...

    def reset(self) -> None:
        """Put them back."""
        ...


def answer(content: object, status: int = 200) -> Response:
    """JSON, whatever it is."""
    return Response(orjson.dumps(content), status, media_type="application/json")


async def form(request: Request, model: type[Form]) -> Form:
    """The body of ``request`` as ``model``. Raises ``ValidationError``."""
    return model.model_validate_json(await request.body() or b"{}")


def posting(
    model: type[Form], act: Callable[[Form], object], settle: Callable[[], None]
) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that reads ``model``, lets ``act`` work with it, and answers what it returns."""

    async def endpoint(request: Request) -> Response:
        try:
            result = act(await form(request, model))
        except ValidationError as error:
            return answer({"error": error.errors(include_url=False, include_context=False)}, 422)
        except ApiError as error:
            return answer(error.status(), error.code)
        settle()
        return answer({"ok": True} if result is None else result)

    return endpoint


class Control:
    """The routes of ``/control/kubernetes``."""

    def __init__(
        self,
        api: Api,
        app: KubernetesApp,
        kubelet: Kubelet,
        levers: Levers,
        roles: Roles,
        faults: FaultLevers,
        settle: Callable[[], None],
    ) -> None:
        """Pull the levers of these parts."""
        self._api = api
        self._app = app
        self._kubelet = kubelet
        self._levers = levers
        self._roles = roles
        self._faults = faults
        self._settle = settle

    def router(self) -> Router:
        """All routes."""

        def post(path: str, model: type[Form], act: Callable[[Form], object]) -> Route:
            return Route(path, posting(model, act, self._settle), methods=["POST"])

        return Router(
            routes=[
                Route("/", self._levers_route, methods=["GET", "DELETE"]),
                Route("/calls", self._calls_route, methods=["GET", "DELETE"]),
                Route("/asked", self._asked_route),
                post("/fail", FailRule, self._levers.failing.append),
                post("/stall", StallRule, self._levers.stalling.append),
                post("/forbid", ForbidRule, self._levers.forbidding.append),
                post("/release", _Form, lambda _: self._levers.release()),
                post("/compact", _Form, lambda _: self._api.store.compact()),
                post("/watches/drop", Drop, self._drop),
                post("/watches/mute", _Form, lambda _: self._mute()),
                post("/objects", Bulk, self._create),
                post("/kill", Kill, self._kill),
                *self._faults.routes(self._settle),
            ]
        )

    async def _levers_route(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._levers.reset()
            self._faults.reset()
            self._settle()
        rules = {
            name: [rule.model_dump() for rule in getattr(self._levers, name)]
            for name in ("failing", "stalling", "forbidding")
        }
        return answer({**rules, **self._faults.state(), "watches": len(self._app.watches)})

    async def _calls_route(self, request: Request) -> Response:
        counted = self._levers.counters()
        if request.method == "DELETE":
            self._levers.forget_calls()
        return answer(counted)

    async def _asked_route(self, _: Request) -> Response:
        return answer(
            [{**asked._asdict(), "allowed": allowed} for asked, allowed in self._roles.asked.items()]
        )

    def _drop(self, drop: Drop) -> Obj:
        watches = list(self._app.watches)
        for watch in watches:
            watch.end(abrupt=drop.abrupt)
        return {"dropped": len(watches)}

    def _mute(self) -> Obj:
        watches = list(self._app.watches)
        for watch in watches:
            watch.mute()
        return {"muted": len(watches)}

    def _create(self, bulk: Bulk) -> Obj:
        objects = list(bulk.objects)
        if bulk.object is not None:
            objects += [_numbered(bulk.object, number) for number in range(bulk.count)]
        for obj in objects:
            group, _, version = str(obj.get("apiVersion", "")).rpartition("/")
            resource = self._api.registry.of_kind(group, str(obj.get("kind", "")))
            if resource is None or resource.version != version:
                raise errors.no_such_path()
            self._api.create(resource, obj["metadata"].get("namespace", ""), obj, Call(strictness="Strict"))
        return {"created": len(objects)}

    def _kill(self, kill: Kill) -> Obj:
        return {"killed": self._kubelet.kill(kill.namespace, kill.pod, kill.container, kill.reason)}


def _numbered(obj: Obj, number: int) -> Obj:
    numbered = copy(obj)
    numbered["metadata"]["name"] = f"{obj['metadata']['name']}-{number}"
    return numbered
