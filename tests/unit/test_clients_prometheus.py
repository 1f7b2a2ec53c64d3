"""A question to Prometheus has a value for each service, or the reason why there is none."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from gameday.clients.answers import Measurement, Unknown, Why
from gameday.clients.prometheus import Prometheus
from gameday.clock import SystemClock
from sandbox.prometheus.levers import PrometheusFault
from sandbox.prometheus.server import Prometheus as PrometheusServer
from sandbox.wiring import Sample, ScrapeTarget
from sandbox.world import World

EPOCH = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
JOB = "pyairtable-services"
P95 = "histogram_quantile(0.95, sum by (service, le) (rate(latency_bucket[1m])))"


class Services:
    """Two services, of which only one gets requests."""

    def __init__(self) -> None:
        self.requests = {"api-gateway": 0.0, "auth-service": 0.0}

    def scrape(self) -> Iterable[ScrapeTarget]:
        """Count a hundred requests more, all at the gateway."""
        self.requests["api-gateway"] += 100
        for service, count in self.requests.items():
            labels = {"service": service}
            samples = [
                Sample("requests_total", {}, count),
                *(Sample("latency_bucket", {"le": le}, count) for le in ("0.5", "1", "+Inf")),
            ]
            yield ScrapeTarget(JOB, f"{service}:8080", labels, samples=samples)


class WorldClock(SystemClock):
    """The time of the sandbox's world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def now(self) -> datetime:
        """The virtual time."""
        return self.world.now()


class Bench:
    """A Prometheus server with ten minutes of data, and a client."""

    def __init__(self, world: World, server: PrometheusServer, client: Prometheus) -> None:
        self.world = world
        self.server = server
        self.client = client

    def break_it(self, mode: str, **how: object) -> None:
        """Have the server misbehave from now on."""
        self.server.levers.set(PrometheusFault.model_validate({"mode": mode, **how}))


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """Serve ``app`` meanwhile; its address."""
    web = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    task = asyncio.create_task(web.serve())
    while not web.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{web.servers[0].sockets[0].getsockname()[1]}"
    web.should_exit = True
    await task


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    world = World(seed=1, epoch=EPOCH)
    server = PrometheusServer(world, [Services()])
    world.advance_to(600)
    async with (
        serving(server.app) as url,
        Prometheus(url, clock=WorldClock(world), timeout=timedelta(seconds=2)) as client,
    ):
        yield Bench(world, server, client)
        server.levers.set(PrometheusFault())


def unknown(answer: object) -> Why:
    assert isinstance(answer, Unknown)
    return answer.reason


async def test_one_question_answers_for_every_service(bench: Bench) -> None:
    found = (await bench.client.instant("sum by (service) (rate(requests_total[1m]))")).by("service")
    gateway = found["api-gateway"]
    assert isinstance(gateway, Measurement)
    assert gateway.value == pytest.approx(20)
    assert gateway.at == bench.world.now()


async def test_a_quantile_over_no_traffic_is_unknown_for_that_service_only(bench: Bench) -> None:
    found = (await bench.client.instant(P95)).by("service")
    assert isinstance(found["api-gateway"], Measurement)
    assert unknown(found["auth-service"]) is Why.NAN


@pytest.mark.parametrize(("query", "value"), [("vector(1) / 0", math.inf), ("-vector(1) / 0", -math.inf)])
async def test_what_is_infinite_is_a_value_past_a_limit_and_not_unknown(
    bench: Bench, query: str, value: float
) -> None:
    one = (await bench.client.instant(query)).single()
    assert isinstance(one, Measurement)
    assert one.value == value


async def test_a_service_without_a_series_is_unknown_by_name(bench: Bench) -> None:
    reading = await bench.client.instant("requests_total")
    found = reading.by("service", expected=["api-gateway", "auth-service", "postgres"])
    assert list(found) == ["api-gateway", "auth-service", "postgres"]
    assert unknown(found["postgres"]) is Why.EMPTY


async def test_no_series_at_all_is_unknown_for_all(bench: Bench) -> None:
    bench.break_it("empty")
    found = (await bench.client.instant("requests_total")).by("service", ["api-gateway", "auth-service"])
    assert {unknown(answer) for answer in found.values()} == {Why.EMPTY}


async def test_a_misspelt_question_is_an_error_in_the_servers_words(bench: Bench) -> None:
    reading = await bench.client.instant("sum by (service (up)")
    assert unknown(reading.failure) is Why.ERROR
    assert "parse error" in str(reading.failure)


async def test_a_server_that_fails_once_is_asked_again(bench: Bench) -> None:
    bench.break_it("failing", status=503, times=1)
    assert (await bench.client.instant("up")).failure is None


async def test_a_server_that_keeps_failing_is_an_error(bench: Bench) -> None:
    bench.break_it("failing", status=500)
    assert unknown((await bench.client.instant("up")).failure) is Why.ERROR


async def test_a_connection_broken_off_is_an_error(bench: Bench) -> None:
    bench.break_it("gone")
    assert unknown((await bench.client.instant("up")).failure) is Why.ERROR


async def test_a_slow_server_is_a_timeout_for_each_of_many_questions(bench: Bench) -> None:
    bench.break_it("slow", delay="60s")
    hasty = Prometheus(bench.client.url, clock=SystemClock(), timeout=timedelta(milliseconds=100))
    readings = await asyncio.gather(*(hasty.instant("up") for _ in range(30)))
    hasty.close()
    assert {unknown(reading.failure) for reading in readings} == {Why.TIMEOUT}


async def test_nobody_there_is_an_error_and_not_an_exception() -> None:
    async with Prometheus("http://127.0.0.1:1", clock=SystemClock()) as nobody:
        assert unknown(await nobody.check()) is Why.ERROR


async def test_freshness_is_the_age_of_the_newest_scrape(bench: Bench) -> None:
    bench.world.advance_to(603)
    assert await bench.client.freshness(JOB) == timedelta(seconds=3)


async def test_data_that_aged_is_no_data(bench: Bench) -> None:
    bench.break_it("stale")
    bench.world.advance_to(690)
    age = await bench.client.freshness(JOB)
    assert age == timedelta(seconds=90)
    reading = await bench.client.instant("requests_total")
    assert reading.measurements, "Prometheus still shows the last values"
    outdated = reading.outdated(age, timedelta(seconds=30)).by("service", ["api-gateway"])
    assert unknown(outdated["api-gateway"]) is Why.STALE


async def test_a_job_that_is_not_scraped_at_all_has_no_age(bench: Bench) -> None:
    assert unknown(await bench.client.freshness("no-such-job")) is Why.EMPTY


async def test_each_target_is_up_or_down(bench: Bench) -> None:
    targets = await bench.client.targets(JOB)
    assert [target.value for target in targets.measurements] == [1, 1]


async def test_a_range_has_the_points_of_each_service(bench: Bench) -> None:
    end = bench.world.now()
    answer = await bench.client.range("requests_total", end - timedelta(minutes=1), end, timedelta(seconds=5))
    gateway = next(one for one in answer.series if one.labels["service"] == "api-gateway")
    assert answer.failure is None
    assert len(gateway.points) == 13
    assert gateway.points[-1] == (end, 12_000)


async def test_points_without_a_value_are_counted_not_guessed(bench: Bench) -> None:
    end = bench.world.now()
    answer = await bench.client.range(P95, end - timedelta(minutes=1), end, timedelta(seconds=30))
    idle = next(one for one in answer.series if one.labels["service"] == "auth-service")
    assert (idle.points, idle.gaps) == ((), 3)


async def test_a_range_that_is_infinite_all_the_time_has_values(bench: Bench) -> None:
    end, step = bench.world.now(), timedelta(seconds=30)
    answer = await bench.client.range("vector(1) / 0", end - timedelta(minutes=1), end, step)
    assert answer.failure is None
    (one,) = answer.series
    assert one.measured == [(end - 2 * step, math.inf), (end - step, math.inf), (end, math.inf)]


async def test_a_range_without_any_series_is_unknown(bench: Bench) -> None:
    end = bench.world.now()
    answer = await bench.client.range("nothing", end - timedelta(minutes=1), end, timedelta(seconds=30))
    assert unknown(answer.failure) is Why.EMPTY


async def test_a_number_alone_is_a_value_too(bench: Bench) -> None:
    one = (await bench.client.instant("scalar(vector(7))")).single()
    assert isinstance(one, Measurement)
    assert one.value == 7


async def test_several_questions_are_one_call_and_each_has_its_own_answer(bench: Bench) -> None:
    rate = "sum by (service) (rate(requests_total[1m])) # a comment ends the line"
    bench.server.levers.queries.clear()
    answers = await bench.client.instants([rate, P95, "nothing", rate, "-vector(1) / 0", "max(up)"])
    assert bench.server.levers.queries.total() == 1
    assert list(answers) == [rate, P95, "nothing", "-vector(1) / 0", "max(up)"]
    for query, answer in answers.items():
        assert answer == await bench.client.instant(query)


@pytest.mark.parametrize("odd", ["sum by (service (up)", "scalar(vector(7))", "up[1m]"])
async def test_a_question_that_cannot_be_asked_with_others_spoils_none_of_them(
    bench: Bench, odd: str
) -> None:
    answers = await bench.client.instants([odd, "max(up)"])
    assert answers[odd] == await bench.client.instant(odd)
    assert isinstance(answers["max(up)"].single(), Measurement)


@pytest.mark.parametrize(
    ("mode", "why"),
    [("empty", Why.EMPTY), ("failing", Why.ERROR), ("gone", Why.ERROR), ("slow", Why.TIMEOUT)],
)
async def test_what_is_wrong_with_the_server_is_why_each_of_several_is_unknown(
    bench: Bench, mode: str, why: Why
) -> None:
    hasty = Prometheus(bench.client.url, clock=SystemClock(), timeout=timedelta(milliseconds=500))
    bench.break_it(mode, delay="60s")
    answers = await hasty.instants(["max(up)", "requests_total"])
    hasty.close()
    assert {unknown(answer.failure) for answer in answers.values()} == {why}


async def test_questions_that_together_take_too_long_are_asked_one_by_one_from_then_on(bench: Bench) -> None:
    hasty = Prometheus(bench.client.url, clock=SystemClock(), timeout=timedelta(milliseconds=500))
    bench.break_it("slow", delay="60s", times=1)
    await hasty.instants(["max(up)", "requests_total"])
    bench.break_it("normal")
    bench.server.levers.queries.clear()
    answers = await hasty.instants(["max(up)", "requests_total"])
    hasty.close()
    assert {answer.failure for answer in answers.values()} == {None}
    assert bench.server.levers.queries.total() == 2


async def test_a_proxy_that_lets_nobody_post_is_asked_one_by_one(bench: Bench) -> None:
    app = bench.server.app

    async def proxy(scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "POST":
            await PlainTextResponse("read only", 403)(scope, receive, send)
        else:
            await app(scope, receive, send)

    async with serving(proxy) as url, Prometheus(url, clock=SystemClock()) as reader:
        answers = await reader.instants(["max(up)", "requests_total"])
    assert {answer.failure for answer in answers.values()} == {None}
