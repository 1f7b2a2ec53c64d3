"""A copy of a collection stays true, whatever becomes of the watch that keeps it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.kubernetes import Cluster
from gameday.clients.mirror import Collection, Mirror, Timing
from gameday.clients.transport import Json
from gameday.clock import SteadyClock
from tests.flows.conftest import until
from tests.flows.emergency_fixtures import fault
from tests.guard.conftest import BRISK, SECOND, Levers

NETWORK = Collection("NetworkChaos", "/apis/chaos-mesh.org/v1alpha1/networkchaos")


def name_of(item: Json, before: str | None) -> str:
    return str(item["metadata"]["name"])


@pytest.fixture
def patient() -> Timing:
    """As in production: only the watch itself can tell anything soon."""
    return Timing(longest_pause=timedelta(milliseconds=300))


@pytest.fixture
async def mirror(cluster: Cluster, patient: Timing) -> AsyncIterator[Mirror[str]]:
    mirror = Mirror(cluster.api.within(timeout=SECOND), NETWORK, name_of, SteadyClock(), timing=patient)
    task = asyncio.create_task(mirror.run())
    await holds(mirror)
    await until(lambda: _true(mirror.synced), "a first list")
    yield mirror
    task.cancel()
    await asyncio.wait({task})


async def _true(value: bool) -> bool:
    return value


async def holds(mirror: Mirror[str], *names: str) -> None:
    async def as_wanted() -> bool:
        return sorted(mirror.items.values()) == sorted(names)

    await until(as_wanted, f"a copy that holds {names}")


async def watches(levers: Levers) -> int:
    return int(levers.client.get("/kubernetes/").json()["watches"])


async def watching(levers: Levers, mirror: Mirror[str]) -> None:
    async def is_open() -> bool:
        return mirror.synced and await watches(levers) > 0

    await until(is_open, "an open watch")


async def add(chaos: ChaosMesh, name: str) -> None:
    await chaos.create(fault("NetworkChaos", name, run=""))


async def test_it_follows_what_appears_and_what_goes(
    chaos: ChaosMesh, levers: Levers, mirror: Mirror[str]
) -> None:
    await watching(levers, mirror)
    await add(chaos, "one")
    await holds(mirror, "one")
    await add(chaos, "two")
    await holds(mirror, "one", "two")
    for state in await chaos.states("NetworkChaos"):
        if state.ref.name == "one":
            await chaos.delete(state.ref)
            await chaos.remove_finalizers(state.meta)
    await holds(mirror, "two")


@pytest.mark.parametrize("abrupt", [False, True], ids=["ended", "broken off"])
async def test_a_watch_that_ends_goes_on_where_it_was_and_lists_nothing_again(
    chaos: ChaosMesh, levers: Levers, mirror: Mirror[str], abrupt: bool
) -> None:
    await watching(levers, mirror)
    lists = levers.calls("list")
    for name in ("one", "two"):
        levers.pull("watches/drop", abrupt=abrupt)
        await add(chaos, name)
    await holds(mirror, "one", "two")
    assert levers.calls("list") == lists


async def test_a_watch_that_is_too_old_begins_with_a_new_list(
    chaos: ChaosMesh, levers: Levers, mirror: Mirror[str]
) -> None:
    await watching(levers, mirror)
    levers.pull("fail", path="networkchaos", status=503)
    levers.pull("watches/drop")
    levers.pull("objects", objects=[fault("NetworkChaos", "meanwhile", run="")])
    levers.pull("compact")
    levers.client.delete("/kubernetes/").raise_for_status()
    await holds(mirror, "meanwhile")
    assert mirror.restarts["gone"] >= 1
    await until(lambda: _true(mirror.synced), "a copy to rely on")


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_it_says_that_it_is_blind_while_the_server_fails_and_recovers(
    chaos: ChaosMesh, levers: Levers, mirror: Mirror[str], status: int
) -> None:
    await watching(levers, mirror)
    levers.pull("fail", path="networkchaos", status=status)
    levers.pull("watches/drop", abrupt=True)
    await until(lambda: _true(not mirror.synced and str(status) in mirror.why_blind), "blindness")
    levers.pull("objects", objects=[fault("NetworkChaos", "meanwhile", run="")])
    levers.client.delete("/kubernetes/").raise_for_status()
    await holds(mirror, "meanwhile")
    await until(lambda: _true(mirror.synced), "a copy to rely on")


async def test_it_is_blind_where_it_may_not_watch(levers: Levers, mirror: Mirror[str]) -> None:
    await watching(levers, mirror)
    levers.pull("forbid", verbs=["watch"], resources=["networkchaos"])
    levers.pull("watches/drop")
    await until(lambda: _true(not mirror.synced), "blindness")
    await until(lambda: _true("cannot watch" in mirror.why_blind), "being told that it may not")


async def test_a_kind_that_the_cluster_lacks_is_an_empty_one(cluster: Cluster) -> None:
    nothing = Collection("NoChaos", "/apis/chaos-mesh.org/v1alpha1/nochaos")
    mirror = Mirror(cluster.api, nothing, name_of, SteadyClock())
    task = asyncio.create_task(mirror.run())
    await until(lambda: _true(mirror.absent), "the kind found missing")
    assert mirror.synced
    assert mirror.items == {}
    task.cancel()
    await asyncio.wait({task})


# What a silent connection hides is found out by looking at the list.


@pytest.mark.parametrize("patient", [BRISK.watches], ids=["checked"])
async def test_a_watch_that_is_open_and_tells_nothing_is_found_out(
    chaos: ChaosMesh, levers: Levers, mirror: Mirror[str]
) -> None:
    await watching(levers, mirror)
    levers.pull("watches/mute")
    await add(chaos, "unheard")
    await holds(mirror, "unheard")
    assert mirror.restarts["stalled"] >= 1
    await until(lambda: _true(mirror.synced), "a copy to rely on")


@pytest.mark.parametrize("patient", [BRISK.watches], ids=["checked"])
async def test_a_server_that_stalls_behind_an_open_watch_makes_it_blind(
    levers: Levers, mirror: Mirror[str]
) -> None:
    await watching(levers, mirror)
    levers.pull("stall", path="networkchaos")
    await until(lambda: _true(not mirror.synced), "blindness")
    assert "did not answer" in mirror.why_blind
    levers.client.delete("/kubernetes/").raise_for_status()
    await until(lambda: _true(mirror.synced), "a copy to rely on")


@pytest.mark.parametrize("patient", [BRISK.watches], ids=["checked"])
async def test_a_watch_that_tells_everything_is_left_alone(
    chaos: ChaosMesh, levers: Levers, mirror: Mirror[str]
) -> None:
    await watching(levers, mirror)
    lists = levers.calls("list")
    await add(chaos, "one")

    async def checked() -> bool:
        return levers.calls("list") >= lists + 4

    await until(checked, "four checks")
    assert mirror.restarts["stalled"] == 0
    assert mirror.synced
