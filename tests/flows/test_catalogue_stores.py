"""database-stress and cache-unavailability: held as shipped, disproved without breakers, pools or data."""

from __future__ import annotations

import pytest

from tests.flows.catalogue_runs import Ground, ground

__all__ = ["ground"]

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("in_prefect")]

SERVICES = ("api-gateway", "auth-service", "platform-services", "automation-services")


async def test_the_database_stays_usable_as_shipped_and_comes_back_with_its_data(ground: Ground) -> None:
    ran = await ground.run("database-stress", "4m")
    assert (ran.verdict, ran.not_shown) == ("held", [])
    assert {"kill-database: data-is-back", "late-answers: pools-suffice"} <= set(ran.shown)


async def test_a_small_pool_and_a_database_without_a_volume_disprove_it(ground: Ground) -> None:
    ground.weaken("platform-services", pool={"size": 1, "wait": "200ms"})
    ground.weaken("postgres", keepsData=False)
    ran = await ground.run("database-stress", "4m")
    assert ran.verdict in {"disproved", "aborted"}
    assert "late-answers: pools-suffice" in ran.not_shown
    assert "not recovered within 5m" in ran.why


async def test_users_do_without_the_cache_as_shipped(ground: Ground) -> None:
    ran = await ground.run("cache-unavailability", "4m")
    assert (ran.verdict, ran.not_shown) == ("held", [])
    breakers = [name for name in ran.shown if name.endswith("breaker-opens-and-closes")]
    assert len(breakers) == 3
    page = ran.report.read_text(encoding="utf-8")
    for signal in ("breaker", "cache-misses", "memory-peak", "ooms", "saving-fails", "memory", "cpu"):
        assert f'aria-label="{signal} of ' in page, signal


async def test_without_breakers_they_wait_for_it_again_and_again(ground: Ground) -> None:
    for service in SERVICES:
        ground.weaken(service, clients={"redis": {"breaker": None}})
    ran = await ground.run("cache-unavailability", "4m")
    assert ran.verdict == "disproved"
    assert "kill-cache: breaker-opens-and-closes" in ran.not_shown
    assert "slow-cache: users-wait-little" in ran.not_shown
