"""HTTP and Kubernetes probes: a value for each service, or why there is none; in rehearsal time, too."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from gameday.clients.front import FrontDoor
from gameday.clients.kubernetes import Cluster
from gameday.clock import RemoteClock
from gameday.monitor.judge import Reading
from gameday.monitor.probes import Probes
from gameday.monitor.watch import Watch
from gameday.settings import load
from gameday.spec.catalogue import Catalogue
from gameday.spec.experiment import Probe
from sandbox.process.launch import Sandbox

NAMESPACE = "pyairtable-staging"
PLATFORM = Catalogue().platform


@asynccontextmanager
async def asking(sandbox: Sandbox) -> AsyncIterator[tuple[Probes, RemoteClock]]:
    """Ask ``sandbox`` meanwhile."""
    clock, url = RemoteClock(f"{sandbox.url}/control/clock"), load().platform_url
    async with Cluster.connect(clock=clock) as cluster, FrontDoor(url, clock=clock) as front:
        yield Probes(PLATFORM, NAMESPACE, cluster, front, clock), clock


def watch(services: tuple[str, ...] = (), **asked: Any) -> Watch:
    return Watch.model_validate({"name": "p", "services": services, **asked})


async def look(probes: Probes, *services: str, **asked: Any) -> dict[str, float | None]:
    readings = await probes.look(watch(services, **asked), services)
    return {one.service: one.value for one in readings}


RECORDS = {"path": "/api/v1/records"}


async def test_users_requests_go_through_the_twin_and_take_its_time(sandbox: Sandbox) -> None:
    async with asking(sandbox) as (probes, clock):
        before = clock.now()
        assert await look(probes, http={**RECORDS, "requests": 5, "contains": "api-gateway"}) == {"": 1.0}
        latency = (await look(probes, http={**RECORDS, "measures": "latency", "service": "redis"}))["redis"]
        assert latency is not None
        assert 0.001 < latency < 2
        assert clock.now() > before, "whoever waits for an answer lets time pass"
        hurried = {**RECORDS, "measures": "latency", "timeout": "1ms"}
        assert await look(probes, http=hurried) == {"": math.inf}, "later than anybody waited"
        assert await look(probes, http={**hurried, "measures": "success"}) == {"": 0.0}
        assert await look(probes, http={"path": "/health"}) == {"": 1.0}
        assert await look(probes, http={"path": "/nowhere"}) == {"": 0.0}
        assert await look(probes, http={"path": "/nowhere", "status": 404}) == {"": 1.0}


async def test_a_gateway_without_pods_answers_nobody_well_and_is_missing_in_the_cluster(
    sandbox: Sandbox,
) -> None:
    async with asking(sandbox) as (probes, clock):
        whole = await look(probes, kubernetes={"kind": "Deployment"})
        assert whole == dict.fromkeys(
            ("api-gateway", "auth-service", "automation-services", "platform-services", "redis"), 1.0
        )
        assert await look(probes, kubernetes={"kind": "StatefulSet", "measures": "count"}) == {
            "postgres": 1.0
        }
        url = f"{sandbox.url}/kubernetes/api/v1/namespaces/{NAMESPACE}/pods"
        params = {"labelSelector": "app=api-gateway"}
        httpx.delete(url, params=params, trust_env=False).raise_for_status()
        await clock.sleep(timedelta(seconds=2))
        assert await look(probes, "api-gateway", kubernetes={"kind": "Deployment"}) == {"api-gateway": 0.0}
        gateway = {"kind": "Deployment", "name": "api-gateway", "measures": "available"}
        assert await look(probes, kubernetes=gateway) == {"api-gateway": 0.0}
        ready = {"kind": "Pod", "selector": {"app": "api-gateway"}, "measures": "count"}
        assert await look(probes, "api-gateway", kubernetes=ready) == {"api-gateway": 0.0}
        assert await look(probes, http=RECORDS) == {"": 0.0}


async def test_what_is_not_there_or_cannot_be_asked_is_unknown(
    shared_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GAMEDAY_PLATFORM_URL")
    async with asking(shared_sandbox) as (probes, _):
        (reading,) = await probes.look(watch(http=RECORDS), ())
        assert reading == Reading("p", "", None, "no url is declared for this environment in platform.yaml")
        none = {"kind": "Deployment", "selector": {"app": "nobody"}}
        (reading,) = await probes.look(watch(kubernetes=none), ())
        assert reading.unknown == "there is no Deployment to look at"
        (reading,) = await probes.look(watch(kubernetes=none), ("redis",))
        assert (reading.service, reading.unknown) == ("redis", "there is no Deployment of it")
        elsewhere = Probes(PLATFORM, "of-nobody", probes.cluster, probes.front, probes.clock)
        (reading,) = await elsewhere.look(watch(kubernetes={"kind": "Pod"}), ())
        assert reading.value is None


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({}, "give either a query or a signal"),
        ({"query": "up", "http": RECORDS}, "only one"),
        ({"http": RECORDS, "services": ["redis"]}, "http.service"),
        ({"kubernetes": {"kind": "Pod", "measures": "available"}}, "expected 'share' or 'count'"),
        ({"kubernetes": {"kind": "Node"}}, "Deployment"),
    ],
)
def test_a_probe_asks_one_thing(source: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Probe.model_validate({"name": "p", "expect": ">= 1", **source})
