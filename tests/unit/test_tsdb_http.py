"""Why: clients must find what they ask of Prometheus here, and a Prometheus that fails on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from sandbox.prometheus.server import Prometheus
from sandbox.wiring import Sample, ScrapeTarget
from sandbox.world import World


class OnePod:
    """One target with one counter and a histogram's bucket."""

    def scrape(self) -> Iterable[ScrapeTarget]:
        """The target as it is now."""
        samples = (Sample("hits_total", {"kind": "x"}, 3.0), Sample("took_seconds_bucket", {"le": "1"}, 2.0))
        yield ScrapeTarget("services", "10.0.0.1:80", {"pod": "a"}, samples=samples)


@pytest.fixture
def world() -> World:
    return World(seed=1, epoch=datetime(2026, 11, 23, 10, tzinfo=UTC))


@pytest.fixture
def prometheus(world: World) -> Prometheus:
    """A Prometheus that has scraped for a minute."""
    built = Prometheus(world, [OnePod()], scrape_interval_s=5)
    world.advance_to(60)
    return built


@pytest.fixture
async def api(prometheus: Prometheus) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(prometheus.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://prometheus") as client:
        yield client


@pytest.fixture
async def control(prometheus: Prometheus) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(prometheus.control)
    async with httpx.AsyncClient(transport=transport, base_url="http://control") as client:
        yield client


async def _query(api: httpx.AsyncClient, query: str) -> Any:
    response = await api.get("/api/v1/query", params={"query": query})
    assert response.status_code == 200
    return response.json()["data"]["result"]


async def test_a_query_without_a_time_is_asked_of_the_worlds_now(api: httpx.AsyncClient) -> None:
    [element] = await _query(api, "hits_total")
    now = datetime(2026, 11, 23, 10, 1, tzinfo=UTC).timestamp()
    assert element["value"] == [now, "3"]
    assert element["metric"]["pod"] == "a"


async def test_a_query_can_be_posted_as_a_form(api: httpx.AsyncClient) -> None:
    response = await api.post("/api/v1/query", data={"query": "sum(up) + 0.5"})
    assert response.json()["data"]["result"][0]["value"][1] == "1.5"


async def test_the_pages_that_probes_ask_for_answer(api: httpx.AsyncClient) -> None:
    for path in ("/", "/-/healthy", "/-/ready"):
        assert (await api.get(path)).status_code == 200


async def test_targets_tell_their_labels_health_and_last_scrape(api: httpx.AsyncClient) -> None:
    [target] = (await api.get("/api/v1/targets")).json()["data"]["activeTargets"]
    assert target["labels"] == {"job": "services", "instance": "10.0.0.1:80", "pod": "a"}
    assert (target["health"], target["lastScrape"]) == ("up", "2026-11-23T10:01:00+00:00")


async def test_metadata_tells_counters_from_histograms(api: httpx.AsyncClient) -> None:
    data = (await api.get("/api/v1/metadata")).json()["data"]
    assert data["hits_total"][0]["type"] == "counter"
    assert data["took_seconds"][0]["type"] == "histogram"


async def test_buildinfo_names_the_version_whose_semantics_are_kept(api: httpx.AsyncClient) -> None:
    assert (await api.get("/api/v1/status/buildinfo")).json()["data"]["version"] == "2.42.0"


async def test_an_empty_prometheus_has_no_results(api: httpx.AsyncClient, control: httpx.AsyncClient) -> None:
    await control.put("/", json={"mode": "empty"})
    assert await _query(api, "up") == []
    assert (await api.get("/api/v1/series?match[]=up")).json()["data"] == []
    await control.delete("/")
    assert len(await _query(api, "up")) == 1


async def test_in_a_stale_prometheus_samples_age(
    api: httpx.AsyncClient, control: httpx.AsyncClient, world: World
) -> None:
    await control.put("/", json={"mode": "stale"})
    world.advance_to(180)
    [element] = await _query(api, "time() - timestamp(up)")
    assert element["value"][1] == "120"
    await control.put("/", json={"mode": "normal"})
    world.advance_to(185)
    [element] = await _query(api, "time() - timestamp(up)")
    assert element["value"][1] == "0"


async def test_a_slow_prometheus_answers_when_it_is_mended(
    api: httpx.AsyncClient, control: httpx.AsyncClient
) -> None:
    await control.put("/", json={"mode": "slow", "delay": "1h"})
    asking = asyncio.create_task(_query(api, "up"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not asking.done()
    await control.delete("/")
    assert len(await asking) == 1


async def test_a_failing_prometheus_answers_the_status_it_was_told_to(
    api: httpx.AsyncClient, control: httpx.AsyncClient
) -> None:
    await control.put("/", json={"mode": "failing", "status": 500, "times": 1})
    assert (await api.get("/api/v1/query?query=up")).status_code == 500
    assert (await api.get("/api/v1/query?query=up")).status_code == 200


async def test_a_prometheus_that_is_gone_breaks_its_answer_off(
    api: httpx.AsyncClient, control: httpx.AsyncClient
) -> None:
    await control.put("/", json={"mode": "gone"})
    # The transport in memory has no connection to lose; it notices the answer that never ended.
    with pytest.raises(AssertionError):
        await api.get("/api/v1/query?query=up")


async def test_control_tells_the_fault_and_counts_what_was_asked(
    api: httpx.AsyncClient, control: httpx.AsyncClient
) -> None:
    await _query(api, "up")
    await _query(api, "up")
    await api.get("/api/v1/labels")
    await control.put("/", json={"mode": "slow", "delay": "7s"})
    state = (await control.get("/")).json()
    assert state == {
        "mode": "slow",
        "delay": "7s",
        "status": 503,
        "times": None,
        "queries": {"total": 3, "query": 2, "labels": 1},
    }


async def test_a_lever_that_does_not_exist_is_refused(control: httpx.AsyncClient) -> None:
    assert (await control.put("/", json={"mode": "sleepy"})).status_code == 422
