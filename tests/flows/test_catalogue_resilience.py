"""resilience-testing and disaster-recovery: held as shipped, disproved where a pattern is missing."""

from __future__ import annotations

import re

import pytest

from tests.flows.catalogue_runs import Ground, ground

__all__ = ["ground"]

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("in_prefect")]


async def test_each_pattern_shows_itself_on_the_platform_as_shipped(ground: Ground) -> None:
    ran = await ground.run("resilience-testing")
    assert (ran.verdict, ran.not_shown) == ("held", [])
    stages = {name.split(":")[0] for name in ran.shown}
    assert stages == {"breaker", "retries", "timeouts", "bulkhead", "degradation"}


async def test_a_platform_without_them_is_told_so_pattern_by_pattern(ground: Ground) -> None:
    ground.without_fallbacks()
    ground.weaken(
        "api-gateway",
        clients={
            "automation-services": {"breaker": None},
            "platform-services": {"retries": 0},
            "auth-service": {"timeout": "6s"},
        },
    )
    ran = await ground.run("resilience-testing")
    assert ran.verdict == "disproved"
    assert {
        "breaker: opens-and-closes",
        "breaker: fallback-answers",
        "retries: calls-are-repeated",
    } <= set(ran.not_shown)
    assert re.search(r"p95 \S+ s at api-gateway: outside <= 3", ran.why)


async def test_the_loss_of_several_components_ends_as_shipped(ground: Ground) -> None:
    ran = await ground.run("disaster-recovery", "150s")
    assert (ran.verdict, ran.not_shown) == ("held", [])
    assert "lose-stores: data-is-back" in ran.shown


async def test_a_database_that_lost_its_data_is_no_recovery(ground: Ground) -> None:
    ground.weaken("postgres", keepsData=False)
    ran = await ground.run("disaster-recovery", "150s")
    assert ran.verdict in {"disproved", "aborted"}
    assert "errors" in ran.why
