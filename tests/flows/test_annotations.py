"""Whoever looks at a dashboard sees what a run breaks, and no Grafana ever holds a run up."""

from __future__ import annotations

from typing import Any

import pytest
from prefect.client.schemas.objects import State

from flows.run_experiment import run_experiment
from gameday.journal.store import Event, FaultRecord, Journal, RunRecord
from gameday.settings import load
from tasks.listening import listening
from tests.flows.conftest import live_faults
from tests.grafana import GrafanaServer

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("in_prefect", "sandbox")]


async def carried_out() -> State[Any]:
    state: State[Any] = await run_experiment("basic-pod-failure", "staging", "90s", return_state=True)
    return state


async def recorded() -> tuple[RunRecord, list[FaultRecord]]:
    async with Journal.open(load().database_url) as journal:
        record = (await journal.latest(1))[0]
        return record, list(await journal.faults(record.run))


async def test_dashboards_show_each_fault_from_when_it_was_in_until_it_was_out(
    grafana: GrafanaServer, prefect_env: dict[str, str]
) -> None:
    heard: list[Event] = []
    with listening(heard.append):
        state = await carried_out()
    assert state.name == "Held", state.message
    record, faults = await recorded()
    assert [method for method, _ in grafana.changes] == ["POST", "PATCH"] * 3
    assert not any("timeEnd" in body for method, body in grafana.changes if method == "POST"), "open at first"
    for fault, mark in zip(faults, grafana.annotations, strict=True):
        assert fault.injected_at is not None
        assert fault.ended_at is not None
        times = (fault.injected_at.timestamp() * 1000, fault.ended_at.timestamp() * 1000)
        assert (mark["time"], mark["timeEnd"]) == pytest.approx(times, abs=1)
        assert mark["tags"] == [
            "chaos",
            f"run:{record.run}",
            f"fault:{fault.name}",
            "experiment:basic-pod-failure",
            f"stage:{fault.stage}",
            "environment:staging",
            "sandbox",
            f"service:{fault.stage.removeprefix('kill-')}",
        ]
        (pod,) = (one.rpartition("/")[2] for one in fault.pods)
        assert mark["text"].startswith(f"PodChaos pod-kill in {pod}<br>")
        server = prefect_env["PREFECT_API_URL"].removesuffix("/api")
        way = f'<a href="{server}/runs/flow-run/{record.flow_run}">{record.run}</a>'
        assert mark["text"].endswith(way)
    assert not [event for event in heard if "Grafana" in event.message]


async def test_a_grafana_that_fails_and_then_hangs_holds_nothing_up_and_costs_one_warning(
    grafana: GrafanaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAMEDAY_GRAFANA_TIMEOUT", "200ms")
    grafana.status = 500
    heard: list[Event] = []

    def listen(event: Event) -> None:
        heard.append(event)
        if event.kind == "ended":
            grafana.status, grafana.mute = None, True

    with listening(listen):
        state = await carried_out()
    assert state.name == "Held", state.message
    assert await live_faults() == []
    (warned,) = [event for event in heard if "Grafana" in event.message]
    assert warned.kind == "warning"
    assert "it answered 500" in warned.message
