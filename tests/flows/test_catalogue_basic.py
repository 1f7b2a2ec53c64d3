"""basic-pod-failure and network-resilience: disproved where clients do not try again, or do not wait."""

from __future__ import annotations

import asyncio

import pytest

from gameday.cli.main import run
from gameday.errors import ExitCode
from tests.flows.catalogue_runs import Ground, ground

__all__ = ["ground"]

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("in_prefect")]


async def test_without_retries_a_killed_pod_is_noticed(ground: Ground) -> None:
    for callee in ("auth-service", "platform-services"):
        ground.weaken("api-gateway", clients={callee: {"retries": 0}})
    ran = await ground.run("basic-pod-failure", "3m")
    assert ran.verdict == "disproved"
    assert {"kill-auth-service: retries-succeed", "kill-platform-services: retries-succeed"} <= set(
        ran.not_shown
    )
    assert "kill-auth-service: users-see-none" in ran.not_shown
    assert "kill-auth-service: users-see-none: api-gateway: 0." in ran.why


async def test_a_new_experiment_runs_as_it_is_written(ground: Ground) -> None:
    assert await asyncio.to_thread(run, ["new", "lost-pod", "--target", "platform-services"]) == ExitCode.HELD
    ran = await ground.run("lost-pod", "40s")
    assert (ran.verdict, ran.shown) == ("held", {"first: users-see-few": True})


async def test_slow_split_and_lossy_networks_are_borne_as_shipped(ground: Ground) -> None:
    ran = await ground.run("network-resilience", "6m")
    assert (ran.verdict, ran.not_shown) == ("held", [])
    assert len(ran.shown) == 5


async def test_clients_that_wait_too_little_make_a_slow_network_an_outage(ground: Ground) -> None:
    ground.weaken("api-gateway", clients={"auth-service": {"timeout": "300ms"}})
    ran = await ground.run("network-resilience", "6m")
    assert ran.verdict == "disproved"
    assert "errors" in ran.why
    assert "api-gateway" in ran.why
