"""resource-exhaustion: held on the platform as shipped, disproved where limits or fallbacks are missing."""

from __future__ import annotations

import pytest

from tests.flows.catalogue_runs import Ground, ground

__all__ = ["ground"]

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("in_prefect")]

NAME = "resource-exhaustion"


async def test_the_platform_as_shipped_bears_it_and_shows_how(ground: Ground) -> None:
    ran = await ground.run(NAME, "5m")
    assert (ran.verdict, ran.not_shown) == ("held", [])
    assert set(ran.shown) >= {"full-platform-services: limit-is-enough", "full-disk: fallback-answers"}


async def test_too_little_memory_and_no_fallback_disprove_it(ground: Ground) -> None:
    ground.weaken("platform-services", memoryLimitMib=512)
    ground.without_fallbacks()
    ran = await ground.run(NAME, "5m")
    assert ran.verdict == "disproved"
    assert ran.not_shown == [
        "full-platform-services: pod-is-full",
        "full-platform-services: limit-is-enough",
        "full-disk: fallback-answers",
        "full-disk: users-see-none",
    ]
    assert "full-disk: users-see-none: api-gateway: " in ran.why
