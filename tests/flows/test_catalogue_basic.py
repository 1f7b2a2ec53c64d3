"""basic-pod-failure and network-resilience: disproved where clients do not try again, or do not wait."""

from __future__ import annotations

import asyncio
import re

import pytest

from gameday.cli.main import run
from gameday.errors import ExitCode
from tests.flows.catalogue_runs import Ground, ground

__all__ = ["ground"]

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("in_prefect")]


async def test_without_a_retry_budget_or_a_second_replica_a_killed_pod_is_noticed(ground: Ground) -> None:
    ground.weaken("api-gateway", clients={"auth-service": {"retryBudget": 0}})
    ground.weaken("platform-services", replicas=1)
    ran = await ground.run("basic-pod-failure", "150s")
    assert ran.verdict == "disproved"
    assert ran.not_shown == ["kill-auth-service: retries-succeed", "kill-auth-service: users-see-none"]
    missed = {one.key.rsplit("/", 1)[1]: one.service for one in ran.items if "/shown/" in one.key}
    assert missed == {"retries-succeed": "auth-service", "users-see-none": "api-gateway"}
    # While the only pod of the platform services is away, there is nobody else to ask.
    assert re.match(r"errors \S+ requests/s at api-gateway: outside <= 2", ran.why)


async def test_a_new_experiment_runs_as_it_is_written(ground: Ground) -> None:
    assert await asyncio.to_thread(run, ["new", "lost-pod", "--target", "platform-services"]) == ExitCode.HELD
    ran = await ground.run("lost-pod", "40s")
    assert (ran.verdict, ran.shown) == ("held", {"first: users-see-few": True})


async def test_slow_split_and_lossy_networks_are_borne_as_shipped(ground: Ground) -> None:
    ran = await ground.run("network-resilience", "3m")
    assert (ran.verdict, ran.not_shown) == ("held", [])
    assert len(ran.shown) == 5


async def test_clients_that_wait_too_little_make_a_slow_network_an_outage(ground: Ground) -> None:
    ground.weaken("api-gateway", clients={"auth-service": {"timeout": "300ms"}})
    ran = await ground.run("network-resilience", "3m")
    assert ran.verdict == "disproved"
    assert "errors" in ran.why
    assert "api-gateway" in ran.why
