"""The emergency stop ends every fault it can, whatever else is broken, and says what it could not."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.kubernetes import Cluster
from gameday.clients.types import Pod
from gameday.clock import RemoteClock
from gameday.safety.emergency import stop
from gameday.safety.stop_report import Ending, Outcome, Proof, Scope, StopEvent, StopReport
from sandbox.process.launch import Sandbox, launch_temporary

CHAOS = "chaos-engineering"
STAGING = "pyairtable-staging"
SECOND = timedelta(seconds=1)

SPECS: dict[str, dict[str, Any]] = {
    "PodChaos": {"action": "pod-failure"},
    "NetworkChaos": {"action": "delay", "delay": {"latency": "50ms"}},
    "StressChaos": {"stressors": {"cpu": {"workers": 1, "load": 10}}},
    "TimeChaos": {"timeOffset": "-1m"},
    "BlockChaos": {"action": "delay", "delay": {"latency": "10ms"}, "volumeName": "data"},
}


def fault(
    kind: str, name: str, *, run: str = "run-a", service: str = "api-gateway", mode: str = "one", **spec: Any
) -> dict[str, Any]:
    labels = {"gameday/run": run, "gameday/flow-run": f"flow-{run}"} if run else {}
    selector = {"namespaces": [STAGING], "labelSelectors": {"app": service}}
    body = {"selector": selector, "mode": mode, "duration": "10m", **SPECS[kind], **spec}
    return {
        "apiVersion": "chaos-mesh.org/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": CHAOS, "labels": labels},
        "spec": body,
    }


def schedule(name: str, *, run: str = "run-a", every: str = "1s") -> dict[str, Any]:
    child = fault("TimeChaos", name)["spec"]
    return {
        "apiVersion": "chaos-mesh.org/v1alpha1",
        "kind": "Schedule",
        "metadata": {"name": name, "namespace": CHAOS, "labels": {"gameday/run": run}},
        "spec": {
            "schedule": f"@every {every}",
            "type": "TimeChaos",
            "timeChaos": child,
            "concurrencyPolicy": "Allow",
            "historyLimit": 100,
        },
    }


def workflow(name: str, *, run: str = "run-a") -> dict[str, Any]:
    inside = fault("TimeChaos", name)["spec"]
    del inside["duration"]
    return {
        "apiVersion": "chaos-mesh.org/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": name, "namespace": CHAOS, "labels": {"gameday/run": run}},
        "spec": {
            "entry": "all",
            "templates": [
                {"name": "all", "templateType": "Serial", "deadline": "10m", "children": ["first", "second"]},
                {"name": "first", "templateType": "TimeChaos", "deadline": "2s", "timeChaos": inside},
                {"name": "second", "templateType": "TimeChaos", "deadline": "5m", "timeChaos": inside},
            ],
        },
    }


@pytest.fixture(scope="module")
def broken_sandbox() -> Iterator[Sandbox]:
    with launch_temporary(history=timedelta(0)) as sandbox:
        yield sandbox


@pytest.fixture
def levers(broken_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """The levers of the sandbox's cluster, all put back before and after the test."""
    for name, value in broken_sandbox.env.items():
        monkeypatch.setenv(name, value)
    with httpx.Client(base_url=f"{broken_sandbox.url}/control/kubernetes", trust_env=False) as client:
        client.delete("/").raise_for_status()
        yield client
        client.delete("/").raise_for_status()


@pytest.fixture
def clock(broken_sandbox: Sandbox) -> RemoteClock:
    return RemoteClock(broken_sandbox.env["GAMEDAY_CLOCK_URL"])


@pytest.fixture
async def cluster(levers: httpx.Client, clock: RemoteClock) -> AsyncIterator[Cluster]:
    async with Cluster.connect(clock=clock) as connected:
        yield connected
        mend(levers)
        report = await stop(ChaosMesh(connected.api), Scope.everything(), clock=clock, force=True)
        assert not (await ChaosMesh(connected.api).live()).objects, report.lines()
        await clock.sleep(timedelta(seconds=60))  # pods that were replaced become ready


@pytest.fixture
def chaos(cluster: Cluster) -> ChaosMesh:
    return ChaosMesh(cluster.api)


Stop = Callable[..., Any]


@pytest.fixture
def end(chaos: ChaosMesh, clock: RemoteClock) -> Stop:
    async def stopped(scope: Scope | None = None, **how: Any) -> StopReport:
        return await stop(chaos, scope or Scope.everything(), clock=clock, **how)

    return stopped


def mend(levers: httpx.Client) -> None:
    levers.delete("/").raise_for_status()


def calls(levers: httpx.Client) -> Counter[str]:
    by_verb = levers.get("/calls").raise_for_status().json()["calls"]
    return Counter({verb: sum(resources.values()) for verb, resources in by_verb.items()})


def pull(levers: httpx.Client, lever: str, **how: Any) -> None:
    levers.post(f"/{lever}", json=how).raise_for_status()


async def inject(chaos: ChaosMesh, *bodies: dict[str, Any]) -> None:
    refs = [(await chaos.create(body)).ref for body in bodies]
    faults = [ref for ref in refs if ref.kind not in {"Schedule", "Workflow"}]
    states = await chaos.wait(faults, lambda state: bool(state and state.injected), within=30 * SECOND)
    assert all(state and state.injected for state in states.values()), states


async def left(chaos: ChaosMesh) -> set[str]:
    census = await chaos.live()
    assert census.complete
    return {str(state.ref) for state in census.objects}


def outcome(report: StopReport, name: str) -> Outcome:
    (found,) = [one for one in report.outcomes if one.ref.name == name]
    return found


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


async def node_of(cluster: Cluster, chaos: ChaosMesh, name: str) -> str:
    (state,) = [one for one in (await chaos.live()).objects if one.ref.name == name]
    pod = state.selected_pods[0]
    return (await cluster.pod(pod.namespace, pod.name)).node


async def test_an_object_that_hangs_on_a_dead_daemon_is_named_with_the_reason(
    chaos: ChaosMesh, cluster: Cluster, end: Stop, levers: httpx.Client
) -> None:
    await inject(chaos, fault("NetworkChaos", "hangs"), fault("PodChaos", "ends"))
    pull(levers, "daemon", node=await node_of(cluster, chaos, "hangs"))
    report = await end(within=10 * SECOND)
    assert outcome(report, "ends").ending is Ending.ENDED
    hanging = outcome(report, "hangs")
    assert (hanging.ending, hanging.proof) == (Ending.STUCK, Proof.UNPROVED)
    assert "connection refused" in hanging.why
    assert not report.clean
    assert any("hangs" in task and "gameday stop" in task and "--force" in task for task in report.todo)


async def pods_of(cluster: Cluster, service: str) -> dict[str, Pod]:
    return {pod.uid: pod for pod in await cluster.pods(STAGING, {"app": service})}


async def test_with_force_the_finalizer_goes_the_targets_are_replaced_and_it_is_called_unproved(
    chaos: ChaosMesh, cluster: Cluster, end: Stop, levers: httpx.Client, clock: RemoteClock
) -> None:
    before = await pods_of(cluster, "api-gateway")
    await inject(
        chaos, fault("NetworkChaos", "hangs", mode="all"), fault("StressChaos", "ends", service="redis")
    )
    pull(levers, "hang", kind="NetworkChaos")
    report = await end(within=10 * SECOND, force=True)
    assert await left(chaos) == set()
    forced = outcome(report, "hangs")
    assert (forced.ending, forced.proof) == (Ending.FORCED, Proof.UNPROVED)
    assert "its finalizer was removed" in forced.why
    assert all(pod.name in forced.why for pod in before.values())
    assert outcome(report, "ends").ending is Ending.ENDED
    assert not report.clean
    assert any("hangs" in task for task in report.todo)
    await clock.sleep(timedelta(minutes=2))
    after = await pods_of(cluster, "api-gateway")
    assert len(after) == len(before)
    assert not after.keys() & before.keys()


async def test_a_fault_outside_pods_is_let_go_but_no_pod_is_harmed_for_it(
    chaos: ChaosMesh, cluster: Cluster, end: Stop, levers: httpx.Client
) -> None:
    before = await pods_of(cluster, "postgres")
    await inject(chaos, fault("BlockChaos", "slow-disk", service="postgres"))
    pull(levers, "hang", kind="BlockChaos")
    report = await end(within=5 * SECOND, force=True)
    assert "nothing undid it" in outcome(report, "slow-disk").why
    assert (await pods_of(cluster, "postgres")).keys() == before.keys()


async def test_a_pod_that_nothing_would_bring_back_is_left_to_a_person(
    chaos: ChaosMesh, cluster: Cluster, end: Stop, levers: httpx.Client, clock: RemoteClock
) -> None:
    bare = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "bare", "namespace": STAGING, "labels": {"app": "bare"}},
        "spec": {"containers": [{"name": "bare", "image": "bare:1"}]},
    }
    await cluster.api.post(f"/api/v1/namespaces/{STAGING}/pods", bare, doing="create a bare pod")
    await clock.sleep(timedelta(seconds=60))
    await inject(chaos, fault("NetworkChaos", "hangs", service="bare"))
    pull(levers, "hang", kind="NetworkChaos")
    report = await end(within=5 * SECOND, force=True)
    assert "belongs to no controller" in outcome(report, "hangs").why
    assert (await cluster.pod(STAGING, "bare")).deleting is None
    await cluster.delete_pod(STAGING, "bare")


async def test_a_stress_whose_cancel_failed_in_silence_gets_another_pass(
    chaos: ChaosMesh, end: Stop, levers: httpx.Client
) -> None:
    await inject(chaos, fault("StressChaos", "silent"))
    pull(levers, "hang", kind="StressChaos")

    def revive(event: StopEvent) -> None:
        if "touching" in str(event):
            pull(levers, "hang", kind="StressChaos", release=True)

    report = await end(progress=revive)
    assert outcome(report, "silent").ending is Ending.ENDED
    assert 5 <= report.seconds < 15


async def test_a_kind_that_may_not_be_deleted_does_not_keep_the_others_from_ending(
    chaos: ChaosMesh, end: Stop, levers: httpx.Client
) -> None:
    await inject(chaos, fault("NetworkChaos", "kept"), fault("StressChaos", "ends"))
    pull(levers, "forbid", verbs=["delete", "deletecollection"], resources=["networkchaos"])
    report = await end(within=5 * SECOND)
    assert outcome(report, "ends").ending is Ending.ENDED
    assert outcome(report, "kept").ending is Ending.STUCK
    assert "cannot delete resource" in outcome(report, "kept").why
    assert await left(chaos) == {f"NetworkChaos {CHAOS}/kept"}


async def test_without_the_right_to_delete_collections_objects_are_deleted_one_by_one(
    chaos: ChaosMesh, end: Stop, levers: httpx.Client
) -> None:
    await inject(chaos, fault("NetworkChaos", "one"), fault("NetworkChaos", "two"))
    pull(levers, "forbid", verbs=["deletecollection"], resources=["*"])
    report = await end()
    assert report.clean
    assert await left(chaos) == set()


async def test_a_kind_that_may_not_be_listed_is_reported_as_unknown_not_as_gone(
    chaos: ChaosMesh, end: Stop, levers: httpx.Client
) -> None:
    await inject(chaos, fault("NetworkChaos", "hidden"), fault("StressChaos", "ends"))
    pull(levers, "forbid", verbs=["list"], resources=["networkchaos"])
    report = await end()
    assert outcome(report, "ends").ending is Ending.ENDED
    assert "cannot list resource" in report.unseen["NetworkChaos"]
    assert not report.clean
    assert any("kubectl get networkchaos -A" in task for task in report.todo)
    assert report.seconds < 30, "what stays refused is not waited for"


async def test_a_hidden_kind_is_deleted_blindly_where_runs_keep_their_objects(
    chaos: ChaosMesh, end: Stop, levers: httpx.Client, clock: RemoteClock
) -> None:
    await inject(chaos, fault("NetworkChaos", "hidden"))
    pull(levers, "forbid", verbs=["list"], resources=["networkchaos"])
    report = await end(Scope.of_run("run-a", CHAOS))
    assert "NetworkChaos" in report.unseen
    mend(levers)
    await clock.sleep(5 * SECOND)
    assert await left(chaos) == set()


async def test_rights_in_the_chaos_namespace_alone_are_enough_for_a_run(
    chaos: ChaosMesh, end: Stop, levers: httpx.Client
) -> None:
    await inject(chaos, fault("NetworkChaos", "ours"))
    pull(levers, "forbid", verbs=["list"], namespace="")
    report = await end(Scope.of_run("run-a", CHAOS))
    assert report.clean
    assert outcome(report, "ours").ending is Ending.ENDED
    mend(levers)
    assert await left(chaos) == set()


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_a_stop_survives_an_api_server_that_fails_every_third_call(
    chaos: ChaosMesh, end: Stop, levers: httpx.Client, status: int
) -> None:
    await inject(
        chaos, schedule("often", every="2s"), *(fault(kind, f"some-{kind.lower()}") for kind in SPECS)
    )
    pull(levers, "fail", share=1 / 3, status=status)
    report = await end()
    mend(levers)
    assert await left(chaos) == set()
    assert report.clean, report.lines()


async def test_a_kind_whose_calls_hang_does_not_keep_the_others_from_ending(
    chaos: ChaosMesh, end: Stop, levers: httpx.Client
) -> None:
    await inject(chaos, fault("NetworkChaos", "hidden"), fault("StressChaos", "ends"))
    pull(levers, "stall", path="networkchaos")
    report = await end(within=SECOND)
    assert outcome(report, "ends").ending is Ending.ENDED
    assert "did not answer in time" in report.unseen["NetworkChaos"]
    assert not report.clean


async def test_with_the_controller_away_nothing_is_called_recovered(
    chaos: ChaosMesh, end: Stop, levers: httpx.Client
) -> None:
    await inject(chaos, fault("NetworkChaos", "left-alone"))
    pull(levers, "controller", down=True)
    report = await end(within=7 * SECOND, force=True)
    stuck = outcome(report, "left-alone")
    assert (stuck.ending, stuck.proof) == (Ending.STUCK, Proof.UNPROVED)
    assert "webhook" in stuck.why
    assert any(call.doing.startswith("touch ") and not call.overcome for call in report.failed_calls)


async def test_a_cluster_that_lacks_some_kinds_is_no_obstacle(
    start_sandbox: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = start_sandbox(history=timedelta(0))
    monkeypatch.setenv("KUBECONFIG", old.env["KUBECONFIG"])
    clock = RemoteClock(old.env["GAMEDAY_CLOCK_URL"])
    async with Cluster.connect(clock=clock) as cluster:
        definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/blockchaos.chaos-mesh.org"
        await cluster.api.delete(definition, doing="delete a definition")
        chaos = ChaosMesh(cluster.api)
        await inject(chaos, fault("NetworkChaos", "ends"))
        assert (await chaos.live()).missing == {"BlockChaos"}
        report = await stop(chaos, Scope.everything(), clock=clock)
        assert report.clean
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
