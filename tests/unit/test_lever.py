"""The safety lever: engaged, nothing starts; whoever turns it is named; what cannot be read refuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest

from gameday.clients.kubernetes import Cluster
from gameday.clients.types import ConfigMap
from gameday.clock import RemoteClock
from gameday.errors import NotAllowedError, UsageError
from gameday.safety import lever
from gameday.settings import load
from sandbox.process.launch import Sandbox

NAMESPACE = "chaos-engineering"

pytestmark = pytest.mark.usefixtures("sandbox")


@asynccontextmanager
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster.connect(clock=RemoteClock(str(load().clock_url))) as connected:
        yield connected


async def engage(there: Cluster, by: str = "ann", reason: str = "checkout is down") -> lever.Turn:
    return await lever.engage(there, NAMESPACE, by=by, reason=reason, source="command", clock=there.api.clock)


async def release(there: Cluster, by: str = "ben", reason: str = "it is back") -> lever.Turn:
    return await lever.release(
        there, NAMESPACE, by=by, reason=reason, source="command", clock=there.api.clock
    )


async def test_a_lever_that_was_never_made_is_not_engaged() -> None:
    async with cluster() as there:
        state = await lever.read(there, NAMESPACE)
    assert (state.engaged, state.by, state.history) == (False, "", ())


async def test_whoever_engages_it_is_named_with_the_reason_and_since_when() -> None:
    async with cluster() as there:
        now = there.api.clock.now()
        assert (await engage(there)).changed
        state = await lever.read(there, NAMESPACE)
    assert (state.engaged, state.by, state.reason, state.source) == (
        True,
        "ann",
        "checkout is down",
        "command",
    )
    assert state.since is not None
    assert abs((state.since - now).total_seconds()) < 1
    assert "by ann: checkout is down" in str(state)


async def test_engaging_it_twice_changes_nothing_and_whoever_was_first_stays_named() -> None:
    async with cluster() as there:
        await engage(there, "ann")
        again = await engage(there, "ben", "something else")
        assert not again.changed
        state = await lever.read(there, NAMESPACE)
    assert (again.state.by, state.by, len(state.history)) == ("ann", "ann", 1)


async def test_of_many_who_engage_it_at_once_one_does_and_all_see_it_engaged() -> None:
    async with cluster() as there:
        turns = await asyncio.gather(*(engage(there, f"person {number}") for number in range(8)))
        state = await lever.read(there, NAMESPACE)
    assert [turn.changed for turn in turns].count(True) == 1
    assert {turn.state.by for turn in turns} == {state.by}
    assert len(state.history) == 1


async def test_its_history_tells_every_turn_and_is_bounded() -> None:
    async with cluster() as there:
        for number in range(lever.KEPT):
            await engage(there, f"ann {number}")
            await release(there, f"ben {number}")
        state = await lever.read(there, NAMESPACE)
    assert len(state.history) == lever.KEPT
    assert [(one.action, one.by) for one in state.history[-2:]] == [
        ("engaged", f"ann {lever.KEPT - 1}"),
        ("released", f"ben {lever.KEPT - 1}"),
    ]
    assert not state.engaged


@pytest.mark.parametrize(("by", "reason"), [("", "it is back"), ("ben", " "), ("", "")])
async def test_nobody_releases_it_without_a_name_and_a_reason(by: str, reason: str) -> None:
    async with cluster() as there:
        await engage(there)
        with pytest.raises(UsageError, match="by somebody, for a reason"):
            await release(there, by, reason)
        assert (await lever.read(there, NAMESPACE)).engaged


async def test_releasing_one_that_is_not_engaged_changes_nothing() -> None:
    async with cluster() as there:
        assert not (await release(there)).changed


async def spoil(there: Cluster, **data: str) -> None:
    await engage(there)
    known = await there.config_map(NAMESPACE, lever.NAME)
    await there.write_config_map(replace(known, data={**known.data, **data}))


@pytest.mark.parametrize("halted", ["True", "yes", "maybe"])
async def test_one_that_says_nothing_clearly_cannot_be_read_but_can_be_turned(halted: str) -> None:
    async with cluster() as there:
        await spoil(there, halted=halted)
        with pytest.raises(lever.LeverError, match="expected 'true' or 'false'"):
            await lever.read(there, NAMESPACE)
        assert (await engage(there, "cid")).changed
        assert (await lever.read(there, NAMESPACE)).by == "cid"


@pytest.mark.parametrize("history", ["not json", "{}", "[1, null]", json.dumps([{"by": 7}]), "[" * 100_000])
async def test_a_spoilt_history_hides_nothing_of_how_it_stands(history: str) -> None:
    async with cluster() as there:
        await spoil(there, history=history)
        assert (await lever.read(there, NAMESPACE)).engaged
        assert (await release(there)).changed
        assert (await engage(there)).changed


async def test_one_without_content_as_it_is_installed_is_not_engaged() -> None:
    async with cluster() as there:
        await there.write_config_map(ConfigMap(lever.NAME, NAMESPACE, {}))
        assert not (await lever.read(there, NAMESPACE)).engaged
        assert (await engage(there)).changed


async def test_one_that_may_not_be_read_is_an_error_and_not_good_news(sandbox: Sandbox) -> None:
    rule = {"resources": ["configmaps"], "verbs": ["get"]}
    httpx.post(f"{sandbox.url}/control/kubernetes/forbid", json=rule, trust_env=False).raise_for_status()
    async with cluster() as there:
        with pytest.raises(NotAllowedError):
            await lever.read(there, NAMESPACE)


async def test_a_write_that_fails_now_and_then_is_still_one_turn(sandbox: Sandbox) -> None:
    rule = {"method": "POST", "path": ".*configmaps.*", "next": 1}
    httpx.post(f"{sandbox.url}/control/kubernetes/fail", json=rule, trust_env=False).raise_for_status()
    async with cluster() as there:
        assert (await engage(there)).changed
        assert len((await lever.read(there, NAMESPACE)).history) == 1


async def test_secrets_in_a_reason_are_not_left_in_the_cluster() -> None:
    async with cluster() as there:
        await engage(there, reason="somebody posted xoxb-1234567890-secret")
        data = (await there.config_map(NAMESPACE, lever.NAME)).data
    assert "xoxb-1234567890" not in json.dumps(dict(data))
