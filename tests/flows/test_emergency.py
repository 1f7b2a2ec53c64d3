"""The emergency stop ends every fault it can, whoever brought it forth, and proves it."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clock import RemoteClock
from gameday.safety.stop_report import Ending, Proof, Scope, StopEvent
from tests.flows import emergency_fixtures as fixtures
from tests.flows.emergency_fixtures import (
    CHAOS,
    SPECS,
    Stop,
    calls,
    fault,
    inject,
    left,
    outcome,
    pull,
    schedule,
    workflow,
)

broken_sandbox = fixtures.broken_sandbox
levers = fixtures.levers
clock = fixtures.clock
cluster = fixtures.cluster
chaos = fixtures.chaos
end = fixtures.end


async def test_everything_that_is_live_is_ended_and_proved_gone(chaos: ChaosMesh, end: Stop) -> None:
    await inject(chaos, *(fault(kind, f"some-{kind.lower()}") for kind in SPECS))
    report = await end()
    assert await left(chaos) == set()
    assert {one.ref.kind for one in report.outcomes} == set(SPECS)
    assert {(one.ending, one.proof) for one in report.outcomes} == {(Ending.ENDED, Proof.GONE)}
    assert report.clean
    assert report.todo == ()
    assert all(one.seconds is not None and 0 < one.seconds <= report.seconds for one in report.outcomes)


async def test_with_nothing_live_it_says_so(end: Stop) -> None:
    report = await end()
    assert report.clean
    assert report.lines() == ["Stopped everything: there was nothing to end."]


@pytest.mark.parametrize("scope", [Scope.of_run("run-a"), Scope.of_flow_run("flow-run-a")], ids=str)
async def test_the_faults_of_one_run_are_ended_and_no_other(
    chaos: ChaosMesh, end: Stop, scope: Scope
) -> None:
    await inject(
        chaos,
        fault("NetworkChaos", "ours"),
        fault("NetworkChaos", "theirs", run="run-b"),
        fault("StressChaos", "by-hand", run=""),
    )
    report = await end(scope)
    assert [one.ref.name for one in report.outcomes] == ["ours"]
    assert report.outcomes[0].run == "run-a"
    assert await left(chaos) == {f"NetworkChaos {CHAOS}/theirs", f"StressChaos {CHAOS}/by-hand"}


@pytest.mark.parametrize("scope", [Scope.everything(), Scope.of_run("run-a")], ids=str)
async def test_schedules_end_before_their_children_and_none_is_born_again(
    chaos: ChaosMesh, end: Stop, clock: RemoteClock, scope: Scope
) -> None:
    await inject(chaos, schedule("often"))
    await clock.sleep(timedelta(seconds=3.5))
    steps: list[str] = []
    report = await end(scope, progress=lambda event: steps.append(str(event)))
    assert steps.index("pause 1 Schedules") < steps.index("TimeChaos: all gone")
    assert steps.index("Schedule: all gone") < steps.index("TimeChaos: all gone")
    assert len([one for one in report.outcomes if one.ref.kind == "TimeChaos"]) >= 3
    await clock.sleep(timedelta(seconds=30))
    assert await left(chaos) == set()


async def test_what_is_born_while_others_end_is_ended_too(
    chaos: ChaosMesh, end: Stop, levers: httpx.Client
) -> None:
    await inject(chaos, fault("NetworkChaos", "first"))

    def late(event: StopEvent) -> None:
        if str(event) == "NetworkChaos: all gone":
            pull(levers, "objects", objects=[fault("TimeChaos", "late")])

    report = await end(progress=late)
    assert outcome(report, "late").ending is Ending.ENDED
    assert await left(chaos) == set()


async def test_children_without_the_label_of_the_run_are_ended_with_their_schedule(
    chaos: ChaosMesh, end: Stop
) -> None:
    child = fault("NetworkChaos", "often-x7", run="")
    child["metadata"]["labels"] = {"managed-by": "often"}
    stranger = fault("NetworkChaos", "stranger", run="")
    stranger["metadata"]["labels"] = {"managed-by": "somebody-else"}
    await inject(chaos, schedule("often", every="1h"), child, stranger)
    await end(Scope.of_run("run-a"))
    assert await left(chaos) == {f"NetworkChaos {CHAOS}/stranger"}


@pytest.mark.parametrize("scope", [Scope.everything(), Scope.of_run("run-a")], ids=str)
async def test_workflows_are_aborted_with_all_that_they_brought_forth(
    chaos: ChaosMesh, end: Stop, clock: RemoteClock, scope: Scope
) -> None:
    await inject(chaos, workflow("many-steps"))
    await clock.sleep(timedelta(seconds=4))
    assert len(await left(chaos)) >= 2
    report = await end(scope)
    assert {one.ref.kind for one in report.outcomes} == {"Workflow", "TimeChaos"}
    await clock.sleep(timedelta(seconds=30))
    assert await left(chaos) == set()


async def test_hundreds_of_objects_cost_hardly_more_calls_than_one(
    chaos: ChaosMesh, end: Stop, levers: httpx.Client
) -> None:
    for kind in ("PodChaos", "NetworkChaos", "StressChaos", "TimeChaos"):
        pull(levers, "objects", object=fault(kind, "many"), count=100)
    before = calls(levers)
    report = await end()
    assert len(report.outcomes) == 400
    assert report.clean
    made = calls(levers) - before
    assert made["deletecollection"] == 4
    assert made["delete"] == 0
    assert made["list"] < 100


async def test_a_display_that_fails_does_not_fail_the_stop(chaos: ChaosMesh, end: Stop) -> None:
    def broken(event: StopEvent) -> None:
        raise BrokenPipeError("the terminal is gone")

    await inject(chaos, fault("NetworkChaos", "ends"))
    report = await end(progress=broken)
    assert report.clean
    assert any("the terminal is gone" in note for note in report.notes)


async def test_the_report_is_readable_by_programs(chaos: ChaosMesh, end: Stop) -> None:
    await inject(chaos, fault("NetworkChaos", "ends"))
    told = (await end(Scope.of_run("run-a"))).as_dict()
    (one,) = told["objects"]
    assert (told["scope"], told["clean"]) == ("run run-a", True)
    assert (one["kind"], one["name"], one["ending"], one["proof"]) == (
        "NetworkChaos",
        "ends",
        "ended",
        "gone",
    )
