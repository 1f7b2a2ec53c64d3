"""Whatever answers in Prometheus's name, there is a value with its time or a reason why not."""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gameday.clients.answers import RangeReading, Reading
from gameday.clients.prometheus import Prometheus
from gameday.clock import SystemClock

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=15),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
SAMPLE = st.tuples(
    st.sampled_from([1.7e9, "1.7e9", -1, 1e300, None]),
    st.sampled_from(["1", "NaN", "+Inf", "-Inf", "1e999", "", "one", 5]),
).map(list)
SERIES = st.fixed_dictionaries(
    {},
    optional={
        "metric": st.dictionaries(st.sampled_from(["service", "le"]), st.text(max_size=5)) | JSON,
        "value": SAMPLE | JSON,
        "values": st.lists(SAMPLE, max_size=3) | JSON,
        "histogram": JSON,
    },
)
ANSWER = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["success", "error"]) | JSON,
        "error": st.text(max_size=20),
        "data": st.fixed_dictionaries(
            {},
            optional={
                "resultType": st.sampled_from(["vector", "matrix", "scalar", "string"]),
                "result": st.lists(SERIES | JSON, max_size=3) | SAMPLE | JSON,
            },
        )
        | JSON,
    },
)
BODY = (ANSWER | JSON).map(lambda answer: json.dumps(answer).encode()) | st.binary(max_size=60)


class _Impostor(ThreadingHTTPServer):
    body: bytes = b""
    status: int = 200


class _Handler(BaseHTTPRequestHandler):
    server: _Impostor

    def do_GET(self) -> None:
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    do_POST = do_GET  # noqa: N815 - the library's name

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def impostor() -> Iterator[_Impostor]:
    server = _Impostor(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


async def ask(url: str) -> tuple[Reading, RangeReading]:
    end = datetime(2026, 11, 23, 10, tzinfo=UTC)
    async with Prometheus(url, clock=SystemClock()) as prometheus:
        return (
            await prometheus.instant("up"),
            await prometheus.range("up", end - timedelta(minutes=5), end, timedelta(seconds=15)),
        )


def test_any_answer_is_a_value_or_a_reason(impostor: _Impostor) -> None:
    url = f"http://127.0.0.1:{impostor.server_port}"

    @settings(derandomize=True, deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
    @given(body=BODY, status=st.sampled_from([200, 200, 200, 400, 404, 422, 500]))
    def check(body: bytes, status: int) -> None:
        impostor.body, impostor.status = body, status
        reading, series = asyncio.run(ask(url))
        assert reading.measurements or reading.gaps or reading.failure is not None
        assert not any(math.isnan(one.value) for one in reading.measurements)
        assert any(one.points for one in series.series) or series.failure is not None

    check()
