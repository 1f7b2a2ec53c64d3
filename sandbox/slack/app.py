"""Why: ``slack_sdk`` speaks HTTP, so the workspace does too.

Mounted at ``/slack``: the Web API under ``api/``, uploads under ``upload/``, an incoming webhook
under ``services/``. ``Slack.control`` is the door for people and tests. What a method answers is
``methods``' business.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, Router

from sandbox.connection import while_connected
from sandbox.slack.levers import Granted, Levers, SlackFault
from sandbox.slack.methods import Arguments, Methods, SlackError
from sandbox.slack.workspace import TEAM_ID, Workspace
from sandbox.world import World

WEBHOOK_PATH = f"services/{TEAM_ID}/B0WEBHOOK/sandbox"

_WITHOUT_TOKEN = {"api.test"}


class Slack:
    """A Slack workspace behind HTTP: mount ``app`` at ``/slack``, ``control`` at ``/control/slack``."""

    def __init__(
        self, world: World, *, url: str, token: str, channels: Iterable[str], webhook_channel: str
    ) -> None:
        """Serve a workspace with ``channels`` for the bot whose token is ``token``.

        ``url`` is where ``app`` is mounted, without a slash at the end; the incoming webhook posts to
        ``webhook_channel``.
        """
        self.workspace = Workspace(world, [*channels, webhook_channel])
        self.webhook_url = f"{url}/{WEBHOOK_PATH}"
        self._methods = Methods(self.workspace, url)
        self._levers = Levers()
        self._token = token
        self._webhook_channel = webhook_channel
        self.app = Router(
            routes=[
                Route("/api/{method}", self._call, methods=["GET", "POST"]),
                Route("/upload/v1/{file}", self._upload, methods=["POST"]),
                Route("/services/{key:path}", self._webhook, methods=["POST"]),
            ]
        )
        self.control = Router(
            routes=[
                Route("/messages", self._show_messages, methods=["GET"]),
                Route("/messages", self._forget_messages, methods=["DELETE"]),
                Route("/files/{file}", self._show_file),
                Route("/fault", self._fault, methods=["GET", "PUT", "DELETE"]),
                Route("/scopes", self._scopes, methods=["GET", "PUT", "DELETE"]),
            ]
        )

    async def _call(self, request: Request) -> Response:
        method = request.path_params["method"]
        if (wrong := await self._struck(request, method)) is not None:
            return wrong
        try:
            arguments = await _arguments(request)
            self._authenticate(request, method, arguments)
            scopes = ",".join(self._levers.granted.scopes)
            if needed := self._levers.granted.missing(method):
                return JSONResponse(
                    {"ok": False, "error": "missing_scope", "needed": needed, "provided": scopes}
                )
            told = {"ok": True, **self._methods.call(method, arguments)}
            return JSONResponse(told, headers={"X-OAuth-Scopes": scopes})
        except SlackError as error:
            answer: dict[str, Any] = {"ok": False, "error": error.error}
            if error.messages:
                answer["response_metadata"] = {"messages": list(error.messages)}
            if error.error == "unknown_method":
                answer["req_method"] = method
            return JSONResponse(answer)

    def _authenticate(self, request: Request, method: str, arguments: Arguments) -> None:
        header = request.headers.get("authorization", "")
        token = header.removeprefix("Bearer ").strip() or arguments.pop("token", "")
        if method in _WITHOUT_TOKEN:
            return
        if not token:
            raise SlackError("not_authed")
        if token != self._token:
            raise SlackError("invalid_auth")

    async def _struck(self, request: Request, method: str) -> Response | None:
        await request.body()
        fault = self._levers.strike(method)
        if fault is None:
            return None
        if fault.kind == "stalling":
            await while_connected(request, self._levers.changed())
            return None
        if fault.kind == "ratelimited":
            headers = {"Retry-After": str(fault.retry_after)}
            return JSONResponse({"ok": False, "error": "ratelimited"}, status_code=429, headers=headers)
        if fault.kind == "unavailable":
            return PlainTextResponse("Service Unavailable", status_code=503)
        return JSONResponse({"ok": False, "error": fault.error})

    async def _upload(self, request: Request) -> Response:
        if (wrong := await self._struck(request, "upload")) is not None:
            return wrong
        file = self.workspace.files.get(request.path_params["file"])
        if file is None or file.content is not None:
            return PlainTextResponse("no such upload", status_code=404)
        content = await request.body()
        if len(content) != file.length:
            return PlainTextResponse(f"expected {file.length} bytes, got {len(content)}", status_code=400)
        file.content = content
        return PlainTextResponse(f"OK - {len(content)}")

    async def _webhook(self, request: Request) -> Response:
        if (wrong := await self._struck(request, "webhook")) is not None:
            return wrong
        if f"services/{request.path_params['key']}" != WEBHOOK_PATH:
            return PlainTextResponse("no_service", status_code=404)
        channel = self.workspace.channel(self._webhook_channel)
        assert channel is not None
        try:
            arguments = await _arguments(request)
            if isinstance(payload := arguments.get("payload"), str):
                arguments = _parsed(payload)
            self._methods.post(channel, arguments, by_webhook=True)
        except SlackError as error:
            known = {"no_text", "invalid_blocks", "invalid_thread_ts", "msg_too_long"}
            return PlainTextResponse(
                error.error if error.error in known else "invalid_payload", status_code=400
            )
        return PlainTextResponse("ok")

    async def _show_messages(self, request: Request) -> Response:
        """Everything that was posted, oldest first; ``?channel=`` and ``?thread_ts=`` narrow it."""
        wanted = request.query_params.get("channel")
        channel = self.workspace.channel(wanted) if wanted else None
        thread = request.query_params.get("thread_ts")
        return JSONResponse(
            [
                message.as_dict()
                for message in self.workspace.messages
                if (wanted is None or (channel is not None and message.channel == channel.id))
                and (thread is None or thread in {message.thread_ts, message.ts})
            ]
        )

    async def _forget_messages(self, _: Request) -> Response:
        self.workspace.messages.clear()
        return Response(status_code=204)

    async def _show_file(self, request: Request) -> Response:
        file = self.workspace.files.get(request.path_params["file"])
        if file is None or file.content is None:
            return PlainTextResponse("no such file", status_code=404)
        return Response(file.content, media_type="application/octet-stream")

    async def _fault(self, request: Request) -> Response:
        if request.method == "PUT":
            try:
                self._levers.set(SlackFault.model_validate_json(await request.body()))
            except ValidationError as error:
                return _mistaken(error)
        elif request.method == "DELETE":
            self._levers.set(SlackFault())
        return JSONResponse(self._levers.fault.model_dump())

    async def _scopes(self, request: Request) -> Response:
        """What the token may do; ``DELETE`` gives it all back that it had."""
        if request.method == "PUT":
            try:
                self._levers.granted = Granted.model_validate_json(await request.body())
            except ValidationError as error:
                return _mistaken(error)
        elif request.method == "DELETE":
            self._levers.granted = Granted()
        return JSONResponse(self._levers.granted.model_dump())


def _mistaken(error: ValidationError) -> Response:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return JSONResponse({"error": problems}, status_code=422)


async def _arguments(request: Request) -> Arguments:
    body = await request.body()
    if request.headers.get("content-type", "").startswith("application/json"):
        return _parsed(body) if body else {}
    try:
        form = parse_qsl(body.decode(), keep_blank_values=True)
    except ValueError:
        raise SlackError("invalid_form_data") from None
    return {**request.query_params, **dict(form)}


def _parsed(body: str | bytes) -> Arguments:
    try:
        arguments = json.loads(body)
    except ValueError:
        raise SlackError("invalid_json") from None
    if not isinstance(arguments, dict):
        raise SlackError("json_not_object")
    return arguments
