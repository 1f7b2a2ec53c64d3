"""Faults are made once, watched by their records, and found wherever they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.faults import Ref
from gameday.clients.kubernetes import Cluster
from gameday.clock import RemoteClock
from gameday.errors import ConflictError, NotAllowedError, NotFoundError, RejectedError, UnreachableError
from sandbox.process.launch import Sandbox, launch_temporary

CHAOS = "chaos-engineering"
STAGING = "pyairtable-staging"
PATIENCE = timedelta(seconds=30)


def delay(name: str = "slow", *, run: str = "run-a", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "chaos-mesh.org/v1alpha1",
        "kind": "NetworkChaos",
        "metadata": {"name": name, "namespace": CHAOS, "labels": {"gameday/run": run} if run else {}},
        "spec": {
            "action": "delay",
            "delay": {"latency": "50ms"},
            "mode": "all",
            "duration": "2m",
            "selector": {"namespaces": [STAGING], "labelSelectors": {"app": "api-gateway"}},
            **spec,
        },
    }


def killing(name: str = "kill") -> dict[str, Any]:
    body = delay(name, action="pod-kill", mode="one")
    del body["spec"]["delay"]
    return {**body, "kind": "PodChaos"}


@pytest.fixture(scope="module")
def own_sandbox() -> Iterator[Sandbox]:
    with launch_temporary(history=timedelta(0)) as sandbox:
        yield sandbox


@pytest.fixture
def levers(own_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    for name, value in own_sandbox.env.items():
        monkeypatch.setenv(name, value)
    with httpx.Client(base_url=f"{own_sandbox.url}/control/kubernetes", trust_env=False) as client:
        yield client
        client.delete("/").raise_for_status()


@pytest.fixture
def clock(own_sandbox: Sandbox) -> RemoteClock:
    return RemoteClock(own_sandbox.env["GAMEDAY_CLOCK_URL"])


def pull(levers: httpx.Client, lever: str, **how: Any) -> None:
    levers.post(f"/{lever}", json=how).raise_for_status()


def mend(levers: httpx.Client) -> None:
    levers.delete("/").raise_for_status()


@pytest.fixture
async def chaos(levers: httpx.Client, clock: RemoteClock) -> AsyncIterator[ChaosMesh]:
    async with Cluster.connect(clock=clock) as cluster:
        mesh = ChaosMesh(cluster.api)
        yield mesh
        mend(levers)
        refs = [state.ref for state in (await mesh.live()).objects]
        for ref in refs:
            await mesh.delete(ref)
        left = await mesh.wait(refs, lambda state: state is None, within=PATIENCE)
        assert not any(left.values())


async def injected(chaos: ChaosMesh, body: dict[str, Any]) -> Ref:
    ref = (await chaos.create(body)).ref
    states = await chaos.wait([ref], lambda state: bool(state and state.injected), within=PATIENCE)
    state = states[ref]
    assert state is not None
    assert state.injected, state.why_stuck
    return ref


async def test_a_dry_run_judges_an_object_without_creating_it(chaos: ChaosMesh) -> None:
    assert (await chaos.dry_run(delay())).action == "delay"
    assert (await chaos.live()).objects == ()


async def test_what_the_webhook_refuses_is_told_in_its_words(chaos: ChaosMesh) -> None:
    with pytest.raises(RejectedError, match="denied the request"):
        await chaos.dry_run(delay(mode="fixed", value="0"))
    with pytest.raises(RejectedError):
        await chaos.create(delay(mode="fixed", value="0"))


async def test_a_fault_goes_in_and_comes_out_again_by_its_records(chaos: ChaosMesh) -> None:
    fresh = await chaos.create(delay())
    assert not fresh.injected
    assert not fresh.recovered
    ref = fresh.ref
    state = (await chaos.wait([ref], lambda one: bool(one and one.injected), within=PATIENCE))[ref]
    assert state is not None
    assert len(state.selected_pods) == 3
    assert state.meta.run == "run-a"
    assert state.why_stuck == ""
    assert await chaos.delete(ref)
    gone = await chaos.wait([ref], lambda one: one is None, within=PATIENCE)
    assert gone == {ref: None}
    assert not await chaos.delete(ref), "there is nothing to delete any more"


async def test_a_fault_ends_by_itself_but_its_object_stays(chaos: ChaosMesh, clock: RemoteClock) -> None:
    ref = await injected(chaos, delay(duration="30s"))
    await clock.sleep(timedelta(seconds=40))
    state = await chaos.get(ref)
    assert state.recovered
    assert state.ends_by_itself_at is not None
    assert state.ends_by_itself_at < clock.now()


async def test_a_kill_is_over_at_once_and_stays_wanted_until_it_is_deleted(
    chaos: ChaosMesh, clock: RemoteClock
) -> None:
    ref = await injected(chaos, killing())
    await clock.sleep(timedelta(minutes=5))
    state = await chaos.get(ref)
    assert state.one_shot
    assert (state.desired_phase, state.recovered) == ("Run", False)


async def test_a_paused_fault_recovers_and_comes_back(chaos: ChaosMesh) -> None:
    ref = await injected(chaos, delay())
    await chaos.pause(ref)
    paused = (await chaos.wait([ref], lambda one: bool(one and one.recovered), within=PATIENCE))[ref]
    assert paused is not None
    assert paused.paused
    assert paused.recovered
    await chaos.resume(ref)
    again = (await chaos.wait([ref], lambda one: bool(one and one.injected), within=PATIENCE))[ref]
    assert again is not None
    assert again.injected


async def test_a_selector_that_matches_nothing_is_told_from_a_slow_start(
    chaos: ChaosMesh, clock: RemoteClock
) -> None:
    nobody = {"namespaces": [STAGING], "labelSelectors": {"app": "no-such-app"}}
    ref = (await chaos.create(delay(selector=nobody))).ref
    await clock.sleep(timedelta(seconds=5))
    state = await chaos.get(ref)
    assert state.nothing_selected
    assert "no target" in state.why_stuck


async def test_an_injection_that_fails_says_why(chaos: ChaosMesh, levers: httpx.Client) -> None:
    pull(levers, "injection", kind="NetworkChaos", message="unable to flush ip sets")
    ref = (await chaos.create(delay())).ref
    state = (await chaos.wait([ref], lambda one: bool(one and one.injected), within=timedelta(seconds=5)))[
        ref
    ]
    assert state is not None
    assert not state.injected
    assert "Apply failed: unable to flush ip sets" in state.why_stuck


class LossyLine:
    """A line to the API server that breaks once: after a POST was carried out, before its answer."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.broke = False
        self.connections: set[asyncio.Task[None] | None] = set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        self.connections.add(asyncio.current_task())
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.port)
        posting = asyncio.Event()

        async def upwards() -> None:
            while data := await reader.read(65536):
                if data.startswith(b"POST"):
                    posting.set()
                up_writer.write(data)
            up_writer.close()

        sending = asyncio.create_task(upwards())
        while data := await up_reader.read(65536):
            if posting.is_set() and not self.broke:
                self.broke = True
                break
            writer.write(data)
        writer.close()
        up_writer.close()
        await asyncio.gather(sending, writer.wait_closed(), up_writer.wait_closed())

    async def ended(self) -> None:
        """Return when every connection is over."""
        await asyncio.wait([task for task in self.connections if task])


async def test_a_creation_whose_answer_got_lost_is_not_made_twice(
    chaos: ChaosMesh,
    own_sandbox: Sandbox,
    clock: RemoteClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = LossyLine(own_sandbox.state.port)
    async with await asyncio.start_server(line, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        text = own_sandbox.state.kubeconfig.read_text("utf-8")
        copy = tmp_path / "kubeconfig"
        copy.write_text(text.replace(f":{own_sandbox.state.port}/", f":{port}/"), "utf-8")
        monkeypatch.setenv("KUBECONFIG", str(copy))
        async with Cluster.connect(clock=clock) as cluster:
            state = await ChaosMesh(cluster.api).create(delay())
        await line.ended()
    assert line.broke
    assert [one.meta.uid for one in (await chaos.live()).objects] == [state.meta.uid]


async def test_a_name_that_is_taken_is_a_conflict_and_not_ours(chaos: ChaosMesh) -> None:
    await chaos.create(delay(run="run-b"))
    with pytest.raises(ConflictError):
        await chaos.create(delay())


async def test_all_that_is_live_is_found_ours_and_others(chaos: ChaosMesh) -> None:
    await chaos.create(delay("ours"))
    await chaos.create(killing())
    elsewhere = delay("by-hand", run="")
    elsewhere["metadata"]["namespace"] = "default"
    await chaos.create(elsewhere)
    census = await chaos.live()
    assert census.complete
    assert {str(state.ref) for state in census.objects} == {
        f"NetworkChaos {CHAOS}/ours",
        f"PodChaos {CHAOS}/kill",
        "NetworkChaos default/by-hand",
    }
    ours = await chaos.live({"gameday/run": "run-a"}, ("NetworkChaos",))
    assert [state.ref.name for state in ours.objects] == ["ours"]


async def test_a_kind_that_may_not_be_listed_is_refused_and_not_empty(
    chaos: ChaosMesh, levers: httpx.Client
) -> None:
    await chaos.create(killing())
    pull(levers, "forbid", verbs=["list"], resources=["networkchaos"])
    census = await chaos.live()
    assert not census.complete
    assert isinstance(census.refused["NetworkChaos"], NotAllowedError)
    assert [state.ref.kind for state in census.objects] == ["PodChaos"]


async def test_waiting_survives_an_api_server_that_comes_and_goes(
    chaos: ChaosMesh, levers: httpx.Client
) -> None:
    ref = await injected(chaos, delay())
    await chaos.delete(ref)
    pull(levers, "fail", path="networkchaos", status=503, next=10)
    left = await chaos.wait([ref], lambda one: one is None, within=PATIENCE)
    assert left == {ref: None}


async def test_waiting_for_an_api_server_that_stays_away_is_given_up_early(
    chaos: ChaosMesh, levers: httpx.Client, clock: RemoteClock
) -> None:
    ref = await injected(chaos, delay())
    pull(levers, "fail", path="networkchaos", status=503)
    began = clock.now()
    with pytest.raises(UnreachableError):
        await chaos.wait([ref], lambda one: one is None, within=timedelta(minutes=1))
    assert timedelta(seconds=10) <= clock.now() - began < timedelta(seconds=15)


async def test_a_creation_without_an_answer_is_asked_for_once(chaos: ChaosMesh, levers: httpx.Client) -> None:
    pull(levers, "fail", method="POST", path="networkchaos", status=500, next=1)
    with pytest.raises(UnreachableError):
        await chaos.create(delay())
    assert (await chaos.live()).objects == ()


async def test_waiting_in_vain_ends_with_what_is_there(chaos: ChaosMesh, levers: httpx.Client) -> None:
    ref = await injected(chaos, delay())
    pull(levers, "hang", kind="NetworkChaos")
    await chaos.delete(ref)
    state = (await chaos.wait([ref], lambda one: one is None, within=timedelta(seconds=5)))[ref]
    assert state is not None
    assert "connection refused" in state.why_stuck
    assert state.unrecovered_pods == state.selected_pods


async def test_the_finalizer_of_somebody_else_is_left_where_it_is(
    chaos: ChaosMesh, levers: httpx.Client
) -> None:
    foreign = "audit.example.com/keep"
    body = delay()
    body["metadata"]["finalizers"] = [foreign]
    ref = await injected(chaos, body)
    pull(levers, "hang", kind="NetworkChaos")
    await chaos.delete(ref)
    await chaos.remove_finalizers((await chaos.get(ref)).meta)
    held = await chaos.get(ref)
    assert held.meta.finalizers == (foreign,)
    assert foreign not in held.why_stuck or held.recovered
    mend(levers)
    await chaos.api.patch(
        f"/apis/chaos-mesh.org/v1alpha1/namespaces/{CHAOS}/networkchaos/{ref.name}",
        {"metadata": {"finalizers": None}},
        doing="let it go",
    )


async def test_what_does_not_exist_is_not_found(chaos: ChaosMesh) -> None:
    with pytest.raises(NotFoundError):
        await chaos.get(Ref("PodChaos", CHAOS, "no-such-fault"))
