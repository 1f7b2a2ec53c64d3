"""Alerts that must fire once faults are in: how long each took, which did not, and what nobody can know."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from gameday.analysis.model import AlertSeen
from gameday.clients.answers import Unknown
from gameday.clients.prometheus import Prometheus
from gameday.journal.engine import make_engine
from gameday.journal.store import Event, Journal
from gameday.plan.model import PlannedStage
from gameday.run.alerts import KIND, AlertWatch
from gameday.run.context import Requested, Run, Session
from gameday.spec.alerts import ExpectedAlert
from sandbox.prometheus.levers import PrometheusFault
from sandbox.prometheus.rulefile import RuleFile
from sandbox.prometheus.server import Prometheus as PrometheusServer
from sandbox.wiring import Sample, ScrapeTarget
from sandbox.world import World
from tests.unit.test_clients_prometheus import EPOCH, WorldClock, serving
from tests.unit.test_report import CATALOGUE, NOT_NEEDED, plan

RULES = [
    {"alert": "Down", "expr": "well == 0", "for": "10s", "labels": {"severity": "critical"}},
    {"alert": "Slow", "expr": "well == 2"},
]


class Services:
    """Two services; 1 is well."""

    def __init__(self) -> None:
        self.well = {"postgres": 1.0, "redis": 1.0}

    def scrape(self) -> Iterable[ScrapeTarget]:
        """Say how each is."""
        for service, value in self.well.items():
            yield ScrapeTarget("j", service, {"service": service}, samples=[Sample("well", {}, value)])


@dataclass
class Bench:
    """A Prometheus with rules, and the watch of a run that has not injected anything."""

    world: World
    services: Services
    server: PrometheusServer
    client: Prometheus
    heard: list[Event] = field(default_factory=list)
    watch: AlertWatch = field(init=False)

    def expecting(self, *stages: list[dict[str, Any]], anywhere: Iterable[dict[str, Any]] = ()) -> None:
        """Have a run with these stages, each with what it expects."""
        common = {"starts": "0s", "duration": "60s", "settle": "60s", "faults": []}
        made = [
            {**common, "name": f"stage-{number}", "title": "", "expectAlerts": own}
            for number, own in enumerate(stages, start=1)
        ]
        known = {
            "catalogue": CATALOGUE,
            "prometheus": self.client,
            "clock": WorldClock(self.world),
            "journal": Journal(make_engine("sqlite+aiosqlite://")),
        }
        session = Session(**{**dict.fromkeys(NOT_NEEDED), **known})  # type: ignore[arg-type] # it needs no more
        planned = plan(stages=made, expectAlerts=list(anywhere))
        self.watch = AlertWatch(Run(planned, session, Requested("me", "why"), [self.heard.append], dry=True))

    def stage(self, number: int) -> PlannedStage:
        """One of its stages."""
        return self.watch.run.plan.stages[number - 1]

    async def inject(self, number: int = 1, **well: float) -> None:
        """Begin a stage, in which the services become so."""
        await self.watch.before(self.stage(number))
        self.services.well.update(well)
        self.watch.began(self.stage(number), self.world.now())

    async def go_on(self, seconds: int) -> None:
        """Let time pass, with a look every ten seconds."""
        for _ in range(seconds // 10):
            self.world.advance_to(self.world.elapsed + 10)
            await self.watch.look()

    def break_it(self, mode: str) -> None:
        """Have Prometheus misbehave from now on."""
        self.server.levers.set(PrometheusFault.model_validate({"mode": mode}))

    @property
    def seen(self) -> list[AlertSeen]:
        """What was told, as others read it."""
        return [AlertSeen.model_validate(event.data) for event in self.heard if event.kind == KIND]

    @property
    def warned(self) -> list[str]:
        """What could not be proved."""
        return [event.message for event in self.heard if event.kind == "warning"]

    @property
    def missed(self) -> list[str]:
        """What did not come, and had to."""
        return self.watch.run.findings.missed

    @property
    def unseen(self) -> list[str]:
        """What had to come, and nobody could see."""
        return self.watch.run.findings.unseen


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    world, services = World(seed=1, epoch=EPOCH), Services()
    groups = RuleFile.model_validate({"groups": [{"name": "one", "rules": RULES}]}).groups
    server = PrometheusServer(world, [services], rules=groups)
    world.advance_to(60)
    async with (
        serving(server.app) as url,
        Prometheus(url, clock=WorldClock(world), timeout=timedelta(seconds=2)) as client,
    ):
        yield Bench(world, services, server, client)
        server.levers.set(PrometheusFault())


DOWN = {"alert": "Down", "services": ["postgres"], "within": "1m", "required": True}


async def test_an_expected_alert_is_told_with_the_time_that_it_took(bench: Bench) -> None:
    bench.expecting([DOWN])
    await bench.inject(postgres=0)
    await bench.go_on(60)
    (seen,) = bench.seen
    assert (seen.alert, seen.stage, seen.services, seen.expected) == ("Down", "stage-1", ("postgres",), True)
    assert seen.took == timedelta(seconds=20)
    assert seen.fired_at == EPOCH + timedelta(seconds=80)
    assert (seen.within, seen.required) == (timedelta(minutes=1), True)
    assert (bench.missed, bench.unseen, bench.warned) == ([], [], [])
    assert bench.heard[0].message == (
        "Alert Down of postgres fired 20s after the injection, expected within 1m"
    )


async def test_one_that_does_not_fire_means_that_nobody_would_have_been_told(bench: Bench) -> None:
    bench.expecting([DOWN, {"alert": "Slow", "within": "30s"}])
    await bench.inject()
    await bench.go_on(60)
    assert [(one.alert, one.fired_at, one.took) for one in bench.seen] == [
        ("Slow", None, None),
        ("Down", None, None),
    ]
    assert bench.missed == ["Down of postgres after stage-1 did not fire within 1m"]
    assert "nobody would have been told" in bench.heard[0].message


async def test_only_the_service_and_the_labels_that_were_named_count(bench: Bench) -> None:
    strict = {"alert": "Down", "labels": {"severity": "page"}, "within": "1m"}
    bench.expecting([DOWN, strict])
    await bench.inject(redis=0)
    await bench.go_on(60)
    assert [(one.expected, one.services, one.fired_at is None) for one in bench.seen] == [
        (False, ("redis",), False),
        (True, ("postgres",), True),
        (True, (), True),
    ]


async def test_an_alert_that_was_there_before_tells_nothing_of_the_faults(bench: Bench) -> None:
    bench.expecting([DOWN])
    bench.services.well["postgres"] = 0
    bench.world.advance_to(90)
    await bench.inject()
    await bench.go_on(60)
    assert [(one.alert, one.before, one.took) for one in bench.seen] == [("Down", True, None)]
    assert bench.missed == []
    (unseen,) = bench.unseen
    assert unseen == (
        "whether Down of postgres after stage-1 would fire in time is not known: "
        "what it tells was so already when the faults went in"
    )


async def test_an_alert_that_was_pending_before_and_fires_later_tells_nothing_either(bench: Bench) -> None:
    bench.expecting([DOWN])
    bench.services.well["postgres"] = 0
    bench.world.advance_to(66)
    await bench.inject()
    await bench.go_on(60)
    assert [(one.alert, one.before) for one in bench.seen] == [("Down", True)]
    assert len(bench.unseen) == 1


async def test_one_that_ended_and_fires_anew_counts(bench: Bench) -> None:
    bench.expecting([DOWN])
    bench.services.well["postgres"] = 0
    bench.world.advance_to(90)
    bench.services.well["postgres"] = 1
    bench.world.advance_to(100)
    await bench.inject(postgres=0)
    await bench.go_on(60)
    assert [(one.expected, one.before) for one in bench.seen] == [(True, False)]


@pytest.mark.parametrize("mode", ["failing", "gone"])
async def test_alerts_that_nobody_could_see_are_not_known_and_never_said_to_be_missing(
    bench: Bench, mode: str
) -> None:
    bench.expecting([DOWN])
    await bench.inject()
    await bench.go_on(20)
    bench.break_it(mode)
    await bench.go_on(10)
    bench.break_it("normal")
    await bench.go_on(40)
    assert bench.seen == []
    assert bench.missed == []
    assert len(bench.unseen) == 1
    (warned,) = bench.warned
    assert warned.startswith("Whether Down of postgres after stage-1 would fire in time is not known: ")


async def test_one_that_fires_in_time_although_looks_were_lost_has_fired(bench: Bench) -> None:
    bench.expecting([DOWN])
    bench.break_it("failing")
    await bench.inject(postgres=0)
    await bench.go_on(30)
    bench.break_it("normal")
    await bench.go_on(10)
    assert [(one.expected, one.took) for one in bench.seen] == [(True, timedelta(seconds=40))]
    assert bench.unseen == []


async def test_the_next_stage_and_the_end_of_the_run_leave_open_what_had_not_its_time(bench: Bench) -> None:
    bench.expecting([{**DOWN, "within": "2m"}], [{"alert": "Slow", "services": ["redis"]}])
    await bench.inject()
    await bench.go_on(30)
    await bench.inject(2)
    await bench.go_on(20)
    await bench.watch.close("the run was over")
    first, second = bench.warned
    assert first.startswith("Whether Down of postgres after stage-1 would fire in time is not known: ")
    assert first.endswith("stage-2 followed after 30s, it has 2m")
    assert second.endswith("the run was over after 20s, it has 2m")
    assert len(bench.unseen) == 1


async def test_what_the_experiment_expects_may_come_in_any_stage(bench: Bench) -> None:
    bench.expecting([], [], anywhere=[{**DOWN, "within": "3m"}])
    await bench.inject()
    await bench.go_on(60)
    await bench.inject(2, postgres=0)
    await bench.go_on(30)
    assert [(one.stage, one.took) for one in bench.seen] == [("", timedelta(seconds=80))]


async def test_a_run_that_expects_none_asks_nothing_unless_the_platform_wants_it(bench: Bench) -> None:
    bench.expecting([])
    async with bench.watch.kept():
        await bench.inject(postgres=0)
        await bench.watch.close("over")
    assert bench.server.levers.queries == {}


async def test_an_answer_that_is_no_list_of_alerts_is_unknown(bench: Bench) -> None:
    assert await bench.client.alerts() == ()

    async def strange(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b'{"data": {"alerts": [{"labels": 1}]}}'})

    async with serving(strange) as url, Prometheus(url, clock=WorldClock(bench.world)) as client:
        answer = await client.alerts()
    assert isinstance(answer, Unknown)
    assert "not what Prometheus would send" in answer.detail


def test_what_has_a_key_of_its_own_is_no_label() -> None:
    with pytest.raises(ValueError, match="is given by 'services'"):
        ExpectedAlert.model_validate({"alert": "Down", "labels": {"service": "postgres"}})
    with pytest.raises(ValueError, match="longer than 0s"):
        ExpectedAlert.model_validate({"alert": "Down", "within": "0s"})
