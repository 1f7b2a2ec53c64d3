"""Dashboards show a run's faults as far as Grafana lets them; what it does is never the run's trouble."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from gameday.journal.store import Event, FaultRecord
from gameday.plan.build import build
from gameday.run.annotating import Annotator
from gameday.run.context import Requested, Run
from gameday.run.marks import wanted
from gameday.run.session import open_session
from gameday.settings import clock, load
from gameday.spec.catalogue import Catalogue
from tests.grafana import TOKEN, GrafanaServer


class Rig:
    """A run whose first fault goes in and out, as it is written down; nothing is injected."""

    def __init__(self, run: Run, told: list[Event], warned: asyncio.Event) -> None:
        self.run = run
        self.told = told
        self.warned = warned
        planned = run.plan.faults[0]
        pods = tuple(str(pod.name) for pod in planned.candidates[:1])
        at = run.now()
        stage = run.plan.stages[0].name
        self.fault = FaultRecord(planned.name, planned.kind, "ns", stage, at, injected_at=at, pods=pods)

    async def goes_in(self) -> None:
        """It is proved in."""
        await self.run.record_fault(self.fault)

    async def goes_out(self) -> None:
        """It is proved out, a minute later."""
        assert self.fault.injected_at is not None
        await self.run.record_fault(
            replace(self.fault, ended_at=self.fault.injected_at + timedelta(minutes=1))
        )

    @property
    def warnings(self) -> list[str]:
        """What the run was warned of."""
        return [event.message for event in self.told if event.kind == "warning"]


@asynccontextmanager
async def a_run() -> AsyncIterator[Rig]:
    settings = load()
    catalogue = Catalogue(settings.experiments)
    where, time = catalogue.platform.environment("staging"), clock(settings)
    told: list[Event] = []
    warned = asyncio.Event()

    def listen(event: Event) -> None:
        told.append(event)
        if event.kind == "warning":
            warned.set()

    async with open_session(settings, catalogue, where, time, print) as session:
        experiment = catalogue.experiment("basic-pod-failure")
        plan = await build(catalogue, experiment, where, session.cluster, now=time.now())
        async with (
            Run.begin(plan, session, Requested("me", "why"), [listen]) as run,
            Annotator.kept(run, settings),
        ):
            yield Rig(run, told, warned)


@pytest.mark.usefixtures("shared_sandbox")
async def test_a_grafana_that_was_away_has_all_of_it_in_the_end(grafana: GrafanaServer) -> None:
    grafana.status = 503
    async with a_run() as rig:
        await rig.goes_in()
        await rig.goes_out()
        await rig.warned.wait()
        grafana.status = None
    (mark,) = grafana.annotations
    assert mark["timeEnd"] - mark["time"] == 60_000
    assert len(rig.warnings) == 1


@pytest.mark.usefixtures("shared_sandbox")
async def test_what_grafana_wrote_without_an_answer_is_not_written_twice(
    grafana: GrafanaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAMEDAY_GRAFANA_TIMEOUT", "200ms")
    grafana.mute = True
    async with a_run() as rig:
        await rig.goes_in()
        await rig.warned.wait()
        grafana.mute = False
        await rig.goes_out()
    (mark,) = grafana.annotations
    assert mark["timeEnd"] - mark["time"] == 60_000
    assert len(rig.warnings) == 1


@pytest.mark.usefixtures("shared_sandbox")
async def test_a_token_that_is_refused_is_told_once_with_what_to_set_and_not_tried_again(
    grafana: GrafanaServer,
) -> None:
    grafana.status = 403
    async with a_run() as rig:
        await rig.goes_in()
        await rig.warned.wait()
        grafana.status = None
        await rig.goes_out()
    (told,) = rig.warnings
    assert "GAMEDAY_GRAFANA_TOKEN" in told
    assert grafana.annotations == []


@pytest.mark.usefixtures("shared_sandbox")
async def test_a_run_that_is_interrupted_ends_what_it_marked(grafana: GrafanaServer) -> None:
    async def interrupted() -> None:
        async with a_run() as rig:
            await rig.goes_in()
            await rig.goes_out()
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await interrupted()
    (mark,) = grafana.annotations
    assert mark["timeEnd"] - mark["time"] == 60_000


@pytest.mark.usefixtures("shared_sandbox")
async def test_an_address_that_is_none_is_told_and_nothing_else(
    grafana: GrafanaServer,
) -> None:
    url = "http://grafana.example.com:port"
    directory = load().experiments
    assert directory is not None
    path = directory / "platform.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(grafana.url, url), encoding="utf-8")
    async with a_run() as rig:
        await rig.goes_in()
    (told,) = rig.warnings
    assert "grafana.url" in told


def test_what_is_broken_in_a_sandbox_is_on_nobodys_dashboards_unless_they_ask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    platform = Catalogue().platform
    assert wanted(load(), platform) is None, "without a token nothing is written"
    monkeypatch.setenv("GAMEDAY_GRAFANA_TOKEN", TOKEN)
    where = wanted(load(), platform)
    assert where is not None
    assert TOKEN not in repr(where)
    monkeypatch.setenv("GAMEDAY_CLOCK_URL", "http://127.0.0.1:9")
    assert wanted(load(), platform) is None
    monkeypatch.setenv("GAMEDAY_GRAFANA_SANDBOX", "true")
    assert wanted(load(), platform) is not None
    assert wanted(load(), platform.model_copy(update={"grafana": None})) is None
