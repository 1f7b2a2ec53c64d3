"""Steady state and guardrails are held against the same signals, each asked for once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gameday.clients.prometheus import Prometheus
from gameday.clock import RemoteClock
from gameday.errors import UsageError
from gameday.monitor.judge import Judge, Outcome, State
from gameday.monitor.sampler import Sampler, seen
from gameday.monitor.watch import Watch, watches
from gameday.spec.base import Comparison
from gameday.spec.catalogue import Catalogue
from gameday.spec.experiment import Experiment
from gameday.spec.guardrails import Guardrails
from sandbox.process.launch import Sandbox

CATALOGUE = Catalogue()
OTHER_THRESHOLDS = {"availability of the platform", "errors", "p95", "memory", "cpu"}


def experiment(*probes: dict[str, Any]) -> Experiment:
    return CATALOGUE.experiment("basic-pod-failure").model_copy(
        update={
            "steady_state": Experiment.model_validate(
                {
                    "name": "trial",
                    "title": "A trial",
                    "hypothesis": "It holds.",
                    "category": "basic",
                    "environments": ["staging"],
                    "owner": "platform-team",
                    "steadyState": probes,
                    "stages": [
                        {
                            "name": "one",
                            "duration": "1m",
                            "faults": [
                                {
                                    "kind": "PodChaos",
                                    "target": "redis",
                                    "spec": {"action": "pod-kill", "mode": "one"},
                                }
                            ],
                        }
                    ],
                }
            ).steady_state
        }
    )


def watched(*probes: dict[str, Any], guardrails: Guardrails | None = None) -> dict[str, Watch]:
    found = watches(experiment(*probes), CATALOGUE.platform, guardrails or CATALOGUE.guardrails)
    return {watch.name: watch for watch in found}


def test_a_probe_on_a_signal_takes_its_query_and_unit_from_the_platform() -> None:
    p95 = watched({"name": "slow", "signal": "p95", "expect": "<= 1"})["slow"]
    assert p95.query == CATALOGUE.platform.signal("p95").query
    assert p95.unit == "s"


def test_without_a_tolerance_what_is_expected_must_hold_during_faults_too() -> None:
    watch = watched({"name": "slow", "signal": "p95", "expect": "<= 1"})["slow"]
    assert watch.tolerate == Comparison("<=", 1.0)
    watch = watched({"name": "slow", "signal": "p95", "expect": "<= 1", "tolerate": "<= 3", "for": "20s"})[
        "slow"
    ]
    assert watch.tolerate == Comparison("<=", 3.0)
    assert watch.tolerate_for == timedelta(seconds=20)


def test_a_threshold_joins_the_probe_that_asks_the_same() -> None:
    found = watched(
        {"name": "up", "query": 'avg  by (service)\n(up{job="pyairtable-services"})', "expect": ">= 1"}
    )
    assert found["up"].abort_when == Comparison("<", 0.6)
    assert set(found) == {"up", *OTHER_THRESHOLDS}


def test_thresholds_that_no_probe_asks_for_are_watched_all_the_same() -> None:
    found = watched({"name": "mine", "query": "sum by (service) (restarts)", "expect": "< 1"})
    assert set(found) == {"mine", "availability", *OTHER_THRESHOLDS}
    assert found["errors"].expect is None
    assert found["errors"].abort_when == Comparison(">", 10.0)


def test_no_signal_is_held_to_the_same_limits_twice() -> None:
    for name in CATALOGUE.names:
        found = watches(CATALOGUE.experiment(name), CATALOGUE.platform, CATALOGUE.guardrails)
        assert len({(watch.query, watch.scope) for watch in found}) == len(found)
        assert len({watch.name for watch in found}) == len(found)


def test_a_threshold_never_takes_the_name_of_another_query() -> None:
    found = watched({"name": "errors", "query": "sum by (service) (other)", "expect": "< 1"})
    assert found["errors"].abort_when is None
    assert found["errors threshold"].abort_when == Comparison(">", 10.0)


def test_two_thresholds_on_one_signal_are_both_watched() -> None:
    guardrails = Guardrails.model_validate(
        {
            "thresholds": [
                {"signal": "errors", "abortWhen": "> 10"},
                {"signal": "errors", "abortWhen": "> 2", "for": "1m"},
                {"signal": "errors", "abortWhen": "> 1", "for": "5m"},
            ]
        }
    )
    probe = {"name": "errors", "signal": "errors", "expect": "< 1"}
    found = watches(experiment(probe), CATALOGUE.platform, guardrails)
    assert sorted(str(watch.abort_when) for watch in found) == ["> 1", "> 10", "> 2"]
    assert len({watch.name for watch in found}) == 3


def test_a_probe_on_a_signal_that_is_not_there_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="unknown signal"):
        watched({"name": "slow", "signal": "p99", "expect": "<= 1"})


def test_a_probe_of_some_services_speaks_of_no_other() -> None:
    watch = watched({"name": "up", "signal": "availability", "expect": ">= 1", "services": ["redis"]})["up"]
    assert watch.concerns("redis")
    assert not watch.concerns("postgres")


async def test_a_service_that_appears_during_a_run_and_vanishes_again_is_unknown(
    shared_sandbox: Sandbox,
) -> None:
    clock = RemoteClock(shared_sandbox.env["GAMEDAY_CLOCK_URL"])
    source = CATALOGUE.platform.prometheus
    whole = watched({"name": "up", "signal": "availability", "expect": ">= 1"})["up"]
    few = whole.model_copy(update={"query": f'{whole.query} and on (service) up{{service="redis"}}'})
    async with Prometheus(
        shared_sandbox.env["GAMEDAY_PROMETHEUS_URL"], clock=clock, timeout=timedelta(seconds=5)
    ) as prometheus:
        sampler = Sampler(prometheus, [few], source.job, source.scrape_interval)
        assert [one.service for one in await sampler.look()] == ["redis"]
        sampler.watches = [whole]
        everybody = {one.service for one in await sampler.look()}
        sampler.watches = [few]
        later = {one.service: one for one in await sampler.look()}
    assert "api-gateway" in everybody
    assert later.keys() == everybody
    assert later["redis"].value is not None
    assert later["api-gateway"].unknown.startswith("empty: ")


def platform_limit() -> Guardrails:
    limit = {"signal": "availability", "abortWhen": "< 100%", "scope": "platform"}
    return Guardrails.model_validate({"thresholds": [limit]})


async def test_a_threshold_of_the_platform_holds_the_mean_of_all_services(shared_sandbox: Sandbox) -> None:
    source = CATALOGUE.platform.prometheus
    watch = watched(
        {"name": "mine", "query": "sum by (service) (up)", "expect": ">= 1"}, guardrails=platform_limit()
    )["availability of the platform"]
    async with Prometheus(
        shared_sandbox.env["GAMEDAY_PROMETHEUS_URL"],
        clock=RemoteClock(shared_sandbox.env["GAMEDAY_CLOCK_URL"]),
        timeout=timedelta(seconds=5),
    ) as prometheus:
        sampler = Sampler(prometheus, [watch], source.job, source.scrape_interval)
        (reading,) = await sampler.look()
        assert (reading.service, reading.value) == ("", 1.0)
        before = seen([reading])
        assert before[watch.name] == tuple(sorted(one.name for one in CATALOGUE.platform.services))
        # One that was there and is not any more leaves the mean unknown, however well the others are.
        sampler.services = {watch.name: (*before[watch.name], "gone-service")}
        (reading,) = await sampler.look()
    assert reading.value is None
    assert reading.unknown.startswith("gone-service: empty: ")


async def test_a_service_that_vanishes_is_unknown_and_ends_the_run_after_the_grace(
    shared_sandbox: Sandbox,
) -> None:
    clock = RemoteClock(shared_sandbox.env["GAMEDAY_CLOCK_URL"])
    source, grace = CATALOGUE.platform.prometheus, timedelta(seconds=30)
    watch = watched({"name": "up", "signal": "availability", "expect": ">= 0.5"})["up"]
    async with Prometheus(
        shared_sandbox.env["GAMEDAY_PROMETHEUS_URL"], clock=clock, timeout=timedelta(seconds=5)
    ) as prometheus:
        sampler = Sampler(prometheus, [watch], source.job, source.scrape_interval)
        before = seen(await sampler.look())
        sampler.services = {"up": (*before["up"], "gone-service")}
        readings = await sampler.look()
    assert "api-gateway" in before["up"]
    (gone,) = [one for one in readings if one.service == "gone-service"]
    assert gone.value is None
    assert gone.unknown.startswith("empty: ")
    judge, start = Judge([watch], grace), clock.now()
    sample, decision = judge.judge(start, readings)
    assert [one.reading.service for one in sample.of(State.UNKNOWN)] == ["gone-service"]
    assert decision.outcome is Outcome.CONTINUE
    assert judge.judge(start + grace, readings)[1].outcome is Outcome.ABORT
