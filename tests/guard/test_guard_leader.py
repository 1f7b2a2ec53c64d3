"""One guard acts at a time: it leads while it can renew, and not a moment into another's time."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta

import pytest

from gameday.clients.kubernetes import Cluster
from gameday.clock import Beat, SteadyClock
from gameday.guard.leader import LEASE, Election, Term
from tests.flows.conftest import until
from tests.guard.conftest import CHAOS, SECOND, Levers, StartGuard, ready


class HandClock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        """Begin now."""
        self.time = SteadyClock().now()

    def now(self) -> datetime:
        """What the test has made it."""
        return self.time

    async def sleep(self, delay: timedelta) -> None:
        """A candidate that stands once does not wait."""
        raise NotImplementedError

    def every(self, interval: timedelta, beat: Beat) -> AbstractAsyncContextManager[None]:
        """Nor does it beat."""
        raise NotImplementedError


@pytest.fixture
def hand() -> HandClock:
    return HandClock()


def candidate(cluster: Cluster, name: str, hand: HandClock) -> Election:
    return Election(cluster, CHAOS, pace=hand, name=name)


async def test_the_first_leads_and_the_second_waits_for_as_long_as_it_renews(
    cluster: Cluster, hand: HandClock
) -> None:
    first, second = candidate(cluster, "first", hand), candidate(cluster, "second", hand)
    for _ in range(20):
        await first.stand()
        await second.stand()
        assert (first.leading, second.leading) == (True, False)
        hand.time += 5 * SECOND
    assert second.leader == "first"
    lease = await cluster.lease(CHAOS, LEASE)
    assert (lease.holder, lease.duration, lease.transitions) == ("first", Term().good, 0)


async def test_a_leader_that_dies_is_followed_after_the_lease_is_up_and_not_before(
    cluster: Cluster, hand: HandClock
) -> None:
    first, second = candidate(cluster, "first", hand), candidate(cluster, "second", hand)
    await first.stand()
    await second.stand()
    hand.time += 15 * SECOND
    await second.stand()
    assert not second.leading
    hand.time += SECOND
    await second.stand()
    assert second.leading
    assert (await cluster.lease(CHAOS, LEASE)).transitions == 1


async def test_a_leader_that_cannot_renew_gives_up_before_another_can_have_followed(
    cluster: Cluster, levers: Levers, hand: HandClock
) -> None:
    dropped: list[bool] = []
    first = Election(cluster, CHAOS, pace=hand, name="first", deposed=lambda: dropped.append(True))
    second = candidate(cluster, "second", hand)
    await first.stand()
    await second.stand()
    levers.pull("fail", path="leases")
    hand.time += 9 * SECOND
    await first.stand()
    assert first.leading, "the Lease is still good"
    hand.time += SECOND
    assert not first.leading, "whether or not it had a chance to notice"
    await first.stand()
    assert dropped == [True]
    levers.mend()
    await second.stand()
    assert not second.leading, "a while in which nobody leads lies between"
    hand.time += 6 * SECOND
    await second.stand()
    assert second.leading
    await first.stand()
    assert (first.leading, first.leader) == (False, "second")


async def test_a_leader_whose_lease_was_taken_stops_at_once(cluster: Cluster, hand: HandClock) -> None:
    dropped: list[bool] = []
    first = Election(cluster, CHAOS, pace=hand, name="first", deposed=lambda: dropped.append(True))
    await first.stand()
    await cluster.delete_lease(await cluster.lease(CHAOS, LEASE))
    await candidate(cluster, "second", hand).stand()
    await first.stand()
    assert (first.leading, dropped) == (False, [True])


async def test_an_answer_that_was_lost_costs_nobody_the_lead(cluster: Cluster, hand: HandClock) -> None:
    first = candidate(cluster, "first", hand)
    await first.stand()
    # As if its own last renewal had been carried out, but never answered.
    await cluster.update_lease(await cluster.lease(CHAOS, LEASE))
    hand.time += SECOND
    await first.stand()
    hand.time += 9 * SECOND
    assert first.leading


async def test_clocks_that_disagree_by_hours_make_no_second_leader(cluster: Cluster) -> None:
    ahead, behind = HandClock(), HandClock()
    ahead.time += timedelta(hours=5)
    first, second = candidate(cluster, "first", behind), candidate(cluster, "second", ahead)
    for _ in range(10):
        await first.stand()
        await second.stand()
        assert (first.leading, second.leading) == (True, False)
        ahead.time += 5 * SECOND
        behind.time += 5 * SECOND


async def test_who_resigns_is_followed_at_once(cluster: Cluster, hand: HandClock) -> None:
    first, second = candidate(cluster, "first", hand), candidate(cluster, "second", hand)
    await first.stand()
    await second.stand()
    await first.resign()
    assert not first.leading
    await second.stand()
    assert second.leading


async def test_of_two_guards_one_leads_and_the_other_is_ready_to(
    cluster: Cluster, start_guard: StartGuard
) -> None:
    first = await start_guard()
    await ready(first)
    second = await start_guard()

    async def stands_by() -> bool:
        return second.view.synced and second.election.leader == first.election.name

    await until(stands_by, "a second guard that stands by")
    assert not second.election.leading
    assert second.ready() == (True, f"standing by; {first.election.name} leads")
    await first.election.resign()

    async def one_leads() -> bool:
        return first.election.leading != second.election.leading

    await until(one_leads, "one of them leading again")
