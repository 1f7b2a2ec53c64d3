"""Why: the sandbox's PromQL is only worth something as far as the real Prometheus agrees with it.

The same samples are loaded into Debian's Prometheus and into the sandbox's; every query is sent to
both over HTTP, as an instant and as a range query, and the answers are compared value by value.
Staleness marks cannot be loaded from a file: ``tests/unit/test_tsdb.py`` holds those.
"""

from __future__ import annotations

import math
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from sandbox.prometheus.labels import NAME
from sandbox.prometheus.promql.values import format_value
from sandbox.prometheus.server import Prometheus
from sandbox.world import World
from tests.contract.promql_samples import NOW, QUERIES, START, WRONG, Row, rows

pytestmark = [
    pytest.mark.prometheus,
    pytest.mark.skipif(
        shutil.which("prometheus") is None or shutil.which("promtool") is None,
        reason="prometheus and promtool are not on the PATH",
    ),
]

MOMENTS = (NOW, NOW + 7.25, NOW + 700)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _open_metrics(rows: list[Row]) -> str:
    lines = []
    for labels, moment, value in rows:
        inner = ",".join(f'{name}="{text}"' for name, text in labels.items() if name != NAME)
        lines.append(f"{labels[NAME]}{{{inner}}} {format_value(value)} {moment:.3f}")
    return "\n".join([*lines, "# EOF", ""])


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where Debian's Prometheus answers, with the samples in it."""
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "samples.txt").write_text(_open_metrics(rows()))
    (folder / "prometheus.yml").write_text("global: {evaluation_interval: 1m}\n")
    load = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "samples.txt", "data"]
    subprocess.run(load, cwd=folder, check=True, capture_output=True)
    listen = f"127.0.0.1:{_free_port()}"
    command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=error"]
    retention = "--storage.tsdb.retention.time=100y"
    process = subprocess.Popen([*command, retention, f"--web.listen-address={listen}"], cwd=folder)
    try:
        _wait_until_ready(f"http://{listen}", process)
        yield f"http://{listen}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
async def real(address: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the real Prometheus."""
    async with httpx.AsyncClient(base_url=address, trust_env=False, verify=False) as client:
        yield client


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(400):
        assert process.poll() is None, "Prometheus ended"
        try:
            if httpx.get(f"{url}/-/ready", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    pytest.fail("Prometheus did not get ready")


@pytest.fixture(scope="module")
def ours() -> httpx.AsyncClient:
    """The sandbox's Prometheus with the same samples in it."""
    prometheus = Prometheus(World(seed=1, epoch=datetime.fromtimestamp(START, UTC)), [])
    for labels, moment, value in rows():
        prometheus.storage.append(labels, round(moment * 1000), value)
    return httpx.AsyncClient(transport=httpx.ASGITransport(prometheus.app), base_url="http://sandbox")


def _same(one: Any, other: Any) -> bool:
    left, right = float(one), float(other)
    return (math.isnan(left) and math.isnan(right)) or math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-12)


def _by_metric(data: dict[str, Any]) -> dict[frozenset[tuple[str, str]], list[list[Any]]]:
    if data["resultType"] in {"scalar", "string"}:
        return {frozenset(): [data["result"]]}
    key = "values" if data["resultType"] == "matrix" else "value"
    found = {
        frozenset(element["metric"].items()): element[key] if key == "values" else [element[key]]
        for element in data["result"]
    }
    assert len(found) == len(data["result"])
    return found


def _differences(real: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """What the sandbox answered otherwise, in words."""
    if real.get("errorType") != ours.get("errorType"):
        return [f"{real.get('error')!r} there, {ours.get('error')!r} here"]
    if real["status"] == "error":
        return []
    if real["data"]["resultType"] != ours["data"]["resultType"]:
        return [f"{real['data']['resultType']} there, {ours['data']['resultType']} here"]
    if real["data"]["resultType"] == "string":
        return [] if real["data"] == ours["data"] else ["another text"]
    theirs, mine = _by_metric(real["data"]), _by_metric(ours["data"])
    found = [f"only there: {dict(metric)}" for metric in theirs.keys() - mine.keys()]
    found += [f"only here: {dict(metric)}" for metric in mine.keys() - theirs.keys()]
    for metric in theirs.keys() & mine.keys():
        pairs = list(zip(theirs[metric], mine[metric], strict=False))
        if len(theirs[metric]) != len(mine[metric]):
            found.append(f"{dict(metric)}: {len(theirs[metric])} points there, {len(mine[metric])} here")
        found += [
            f"{dict(metric)}: {a} there, {b} here" for a, b in pairs if a[0] != b[0] or not _same(a[1], b[1])
        ]
    return found


@pytest.mark.parametrize("query", QUERIES)
async def test_prometheus_gives_the_same_values_at_a_moment(
    query: str, real: httpx.AsyncClient, ours: httpx.AsyncClient
) -> None:
    for moment in MOMENTS:
        asked: dict[str, Any] = {"query": query, "time": str(moment)}
        theirs = await real.post("/api/v1/query", data=asked)
        mine = await ours.post("/api/v1/query", data=asked)
        assert mine.status_code == theirs.status_code
        assert _differences(theirs.json(), mine.json()) == []


@pytest.mark.parametrize("query", QUERIES)
async def test_prometheus_gives_the_same_values_over_a_range(
    query: str, real: httpx.AsyncClient, ours: httpx.AsyncClient
) -> None:
    asked: dict[str, Any] = {"query": query, "start": str(NOW - 600), "end": str(NOW + 101.5), "step": "37s"}
    theirs = await real.get("/api/v1/query_range", params=asked)
    mine = await ours.get("/api/v1/query_range", params=asked)
    assert mine.status_code == theirs.status_code
    assert _differences(theirs.json(), mine.json()) == []


@pytest.mark.parametrize("query", WRONG)
async def test_prometheus_refuses_the_same_queries_with_the_same_status(
    query: str, real: httpx.AsyncClient, ours: httpx.AsyncClient
) -> None:
    asked: dict[str, Any] = {"query": query, "time": str(NOW)}
    theirs = await real.get("/api/v1/query", params=asked)
    mine = await ours.get("/api/v1/query", params=asked)
    assert theirs.json()["status"] == "error"
    assert (mine.status_code, mine.json()["errorType"]) == (theirs.status_code, theirs.json()["errorType"])


@pytest.mark.parametrize("query", ["sort(limits)", "sort_desc(limits)", "topk(4, http_requests_total)"])
async def test_prometheus_orders_sorted_results_the_same_way(
    query: str, real: httpx.AsyncClient, ours: httpx.AsyncClient
) -> None:
    asked: dict[str, Any] = {"query": query, "time": str(NOW)}
    theirs = (await real.get("/api/v1/query", params=asked)).json()["data"]["result"]
    mine = (await ours.get("/api/v1/query", params=asked)).json()["data"]["result"]
    assert [element["metric"] for element in mine] == [element["metric"] for element in theirs]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/query?query=1&time=soon",
        "/api/v1/query?query=1&timeout=soon",
        "/api/v1/query?query=1&time=2023-11-14T22:13:20Z",
        "/api/v1/query?query=1&time=2023-11-14T22:13:20.123%2B02:00",
        "/api/v1/query_range?query=1&start=0&end=10",
        "/api/v1/query_range?query=1&start=soon&end=10&step=1",
        "/api/v1/query_range?query=1&start=0&end=10&step=0",
        "/api/v1/query_range?query=1&start=10&end=0&step=1",
        "/api/v1/query_range?query=1&start=0&end=100000&step=1",
        "/api/v1/query_range?query=up[5m]&start=0&end=10&step=1",
        '/api/v1/query_range?query="text"&start=0&end=10&step=1',
        "/api/v1/query_range?query=1&start=0&end=10&step=5s",
        "/api/v1/query?query=rate(up)",
        "/api/v1/query?query=nonsense(up)",
        "/api/v1/query?query=",
        "/api/v1/query?query={}",
        "/api/v1/query?query=sum(up[1m])",
        "/api/v1/series",
        "/api/v1/series?match[]=limits&match[]=sparse&start=1&end=1800000000",
        "/api/v1/series?match[]={}",
        "/api/v1/labels?start=1&end=1800000000",
        "/api/v1/labels?match[]=temperature&start=1&end=1800000000",
        "/api/v1/label/service/values?start=1&end=1800000000",
        "/api/v1/label/__name__/values?match[]={team!=%22%22}&start=1&end=1800000000",
        "/api/v1/label/not-a-name/values",
        "/api/v1/alerts",
        "/api/v1/rules",
    ],
)
async def test_prometheus_answers_these_requests_word_for_word_the_same(
    path: str, real: httpx.AsyncClient, ours: httpx.AsyncClient
) -> None:
    theirs = await real.get(path)
    mine = await ours.get(path)
    assert (mine.status_code, mine.json()) == (theirs.status_code, theirs.json())
