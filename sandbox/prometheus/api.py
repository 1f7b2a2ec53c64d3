"""Why: clients know Prometheus by its HTTP API, down to the words of its errors.

``/api/v1`` as Prometheus 2.42 serves it, as far as prometheus-api-client and Grafana ask it, and the
health pages beside it. Evaluation is left to ``promql``, failing on demand to ``levers``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from sandbox.connection import while_connected
from sandbox.prometheus.alerting import Alerting
from sandbox.prometheus.labels import NAME
from sandbox.prometheus.levers import Levers
from sandbox.prometheus.parameters import Parameters
from sandbox.prometheus.promql.engine import (
    Engine,
    MatrixResult,
    Point,
    Result,
    ScalarResult,
    StringResult,
    VectorResult,
)
from sandbox.prometheus.promql.errors import BadDataError, QueryError, bad_parameter
from sandbox.prometheus.promql.values import LOOKBACK_MS, format_value
from sandbox.prometheus.scraper import Scraper
from sandbox.prometheus.storage import Series, Storage

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_READ = ["GET", "POST"]
_TYPES = (("_total", "counter"), ("_bucket", "histogram"), ("_count", "counter"), ("_sum", "counter"))

Answer = Callable[[Request, Parameters], Any]


class Api:
    """The routes, over one storage."""

    def __init__(
        self,
        storage: Storage,
        scraper: Scraper,
        levers: Levers,
        alerting: Alerting,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        """Answer from ``storage``; ``now_ms`` is the time of a query that names none."""
        self._storage = storage
        self._alerting = alerting
        self._engine = Engine(storage)
        self._scraper = scraper
        self._levers = levers
        self._now_ms = now_ms

    def app(self) -> Starlette:
        """The application, to be mounted anywhere."""
        plain = {
            "/": "Prometheus of the sandbox.",
            "/-/healthy": "Prometheus Server is Healthy.\n",
            "/-/ready": "Prometheus Server is Ready.\n",
        }
        data: dict[str, tuple[list[str], Answer]] = {
            "query": (_READ, self._query),
            "query_range": (_READ, self._query_range),
            "series": (_READ, self._series),
            "labels": (_READ, self._labels),
            "label/{name}/values": (["GET"], self._label_values),
            "targets": (["GET"], self._targets),
            "metadata": (["GET"], self._metadata),
            "alerts": (["GET"], self._alerts),
            "rules": (["GET"], self._rules),
            "status/buildinfo": (["GET"], lambda request, given: _BUILD),
        }
        pages = [Route(path, self._misbehaving(path, _page(text))) for path, text in plain.items()]
        routes = [
            Route(f"/api/v1/{path}", self._misbehaving(path, self._enveloped(answer)), methods=methods)
            for path, (methods, answer) in data.items()
        ]
        return Starlette(routes=pages + routes)

    def _misbehaving(
        self, path: str, handler: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            self._levers.queries[path] += 1
            fault = self._levers.strike()
            if fault.mode == "gone":
                return _BrokenOff()
            if fault.mode == "failing":
                return PlainTextResponse("the sandbox's Prometheus was told to fail\n", fault.status)
            if fault.mode == "slow":
                await request.body()
                if not await while_connected(request, self._levers.wait(fault.delay)):
                    return Response()
            request.state.empty = fault.mode == "empty"
            return await handler(request)

        return handle

    def _enveloped(self, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            try:
                data = answer(request, await Parameters.of(request))
            except QueryError as error:
                body = {"status": "error", "errorType": error.kind, "error": error.message}
                return JSONResponse(body, status_code=error.status)
            content = json.dumps({"status": "success", "data": data}, separators=(",", ":"))
            return Response(content, media_type="application/json")

        return handle

    def _query(self, request: Request, given: Parameters) -> dict[str, Any]:
        given.check_timeout()
        time = given.time("time", self._now_ms())
        result = self._engine.instant(given.get("query"), time)
        return _written(result, time, empty=request.state.empty)

    def _query_range(self, request: Request, given: Parameters) -> dict[str, Any]:
        start, end, step = given.range()
        given.check_timeout()
        result = self._engine.range(given.get("query"), start, end, step)
        return _written(result, end, empty=request.state.empty)

    def _selected(self, request: Request, given: Parameters, *, required: bool) -> Iterable[Series]:
        selectors = given.selectors(required=required)
        start = given.time("start", -(2**62))
        end = given.time("end", 2**62)
        if request.state.empty:
            return []
        if selectors:
            chosen = {id(s): s for matchers in selectors for s in self._storage.select(matchers)}
        else:
            chosen = {id(series): series for series in self._storage.all()}
        return [series for series in chosen.values() if _within(series, start, end)]

    def _series(self, request: Request, given: Parameters) -> list[dict[str, str]]:
        found = self._selected(request, given, required=True)
        return [series.labels.mapping for series in sorted(found, key=lambda series: series.labels.pairs)]

    def _labels(self, request: Request, given: Parameters) -> list[str]:
        found = self._selected(request, given, required=False)
        return sorted({name for series in found for name in series.labels.mapping})

    def _label_values(self, request: Request, given: Parameters) -> list[str]:
        name = request.path_params["name"]
        if not _LABEL_NAME.fullmatch(name):
            raise BadDataError(f'invalid label name: "{name}"')
        found = self._selected(request, given, required=False)
        return sorted({series.labels.get(name) for series in found} - {""})

    def _targets(self, request: Request, given: Parameters) -> dict[str, Any]:
        active = []
        for target, scraped_at in self._scraper.targets():
            labels = {**target.labels, "job": target.job, "instance": target.instance}
            active.append(
                {
                    "discoveredLabels": {"__address__": target.instance, "job": target.job},
                    "labels": labels,
                    "scrapePool": target.job,
                    "scrapeUrl": f"http://{target.instance}/metrics",
                    "globalUrl": f"http://{target.instance}/metrics",
                    "lastError": "" if target.healthy else "context deadline exceeded",
                    "lastScrape": datetime.fromtimestamp(scraped_at / 1000, UTC).isoformat(),
                    "lastScrapeDuration": 0.004,
                    "health": "up" if target.healthy else "down",
                    "scrapeInterval": f"{self._scraper.interval_s:g}s",
                    "scrapeTimeout": f"{self._scraper.interval_s:g}s",
                }
            )
        listed = [] if request.state.empty or given.get("state") == "dropped" else active
        return {"activeTargets": listed, "droppedTargets": []}

    def _alerts(self, request: Request, given: Parameters) -> dict[str, Any]:
        return {"alerts": [] if request.state.empty else self._alerting.alerts()}

    def _rules(self, request: Request, given: Parameters) -> dict[str, Any]:
        kind = given.get("type").lower()
        if kind not in {"", "alert", "record"}:
            raise bad_parameter("type", f'not supported value "{kind}"')
        shown = kind != "record"
        return {"groups": [] if request.state.empty else self._alerting.groups(RULES, shown=shown)}

    def _metadata(self, request: Request, given: Parameters) -> dict[str, Any]:
        wanted = given.get("metric")
        names = {series.labels.get(NAME) for series in self._storage.all()}
        entries = {}
        for name in sorted(names):
            kind = next((kind for suffix, kind in _TYPES if name.endswith(suffix)), "gauge")
            family = name.removesuffix("_bucket")
            if wanted in {"", family}:
                entries[family] = [{"type": kind, "help": "", "unit": ""}]
        return entries


RULES = "alerts.yaml"
_BUILD = {
    "version": "2.42.0",
    "revision": "sandbox",
    "branch": "sandbox",
    "buildUser": "",
    "buildDate": "",
    "goVersion": "",
}


class _BrokenOff(Response):
    """Promises a byte and never sends it: the server closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head only."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})


def _page(text: str) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        return PlainTextResponse(text)

    return handle


def _within(series: Series, start: int, end: int) -> bool:
    first, after = series.window(start - LOOKBACK_MS if start > 0 else start, end)
    return after > first


def _seconds(time: int) -> float | int:
    return time // 1000 if time % 1000 == 0 else time / 1000


def _point(point: Point) -> list[float | str]:
    return [_seconds(point[0]), format_value(point[1])]


def _written(result: Result, time: int, *, empty: bool) -> dict[str, Any]:
    match result:
        case ScalarResult():
            return {"resultType": "scalar", "result": _point((time, result.value))}
        case StringResult():
            return {"resultType": "string", "result": [_seconds(time), result.value]}
        case VectorResult():
            vector = [
                {"metric": labels.mapping, "value": _point((time, value))}
                for labels, value in result.elements
            ]
            return {"resultType": "vector", "result": [] if empty else vector}
        case MatrixResult():
            matrix = [
                {"metric": labels.mapping, "values": [_point(point) for point in points]}
                for labels, points in result.series
            ]
            return {"resultType": "matrix", "result": [] if empty else matrix}
