"""A plan is held to the guardrails: when, where, beside whom, how much of a service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from gameday.clients.kubernetes import Cluster
from gameday.clients.types import Lease
from gameday.clock import SystemClock
from gameday.safety.lease import RunLeases, Target, run_lease
from gameday.safety.occasion import within
from gameday.spec.guardrails import Guardrails, Hours
from sandbox.process.launch import Sandbox
from tests.unit.test_plan_build import NOW, Planner

CHAOS = "chaos-engineering"
GATEWAY = Target("pyairtable-staging", "api-gateway")


@pytest.fixture
async def planner(sandbox: Sandbox) -> AsyncIterator[Planner]:
    assert sandbox.url
    async with Cluster.connect("pyairtable-staging", clock=SystemClock()) as cluster:
        yield Planner(cluster)


@pytest.fixture
async def looking(shared_sandbox: Sandbox) -> AsyncIterator[Planner]:
    """Plans on the shared sandbox, for what only looks."""
    assert shared_sandbox.url
    async with Cluster.connect("pyairtable-staging", clock=SystemClock()) as cluster:
        yield Planner(cluster)


async def broken(planner: Planner, name: str = "basic-pod-failure", **options: Any) -> list[str]:
    return [violation.rule for violation in (await planner.plan(name, **options)).violations]


def guard(planner: Planner, **rules: Any) -> None:
    planner.data["guardrails"].update(rules)


HOURS = [{"days": ["mon", "tue"], "from": "09:00", "to": "17:00", "timezone": "Europe/Berlin"}]
MOMENTS = {
    "within": (NOW, []),
    "a minute after they begin": (datetime(2026, 11, 24, 8, 1, tzinfo=UTC), []),
    "an hour before, by the clock there": (datetime(2026, 11, 24, 7, 30, tzinfo=UTC), ["hours"]),
    "ending after them": (datetime(2026, 11, 24, 15, 58, tzinfo=UTC), ["hours"]),
    "on another day": (datetime(2026, 11, 25, 10, 0, tzinfo=UTC), ["hours"]),
    "in summer, by the clock there": (datetime(2026, 7, 6, 7, 30, tzinfo=UTC), []),
}


@pytest.mark.parametrize("what", MOMENTS)
async def test_a_run_takes_place_within_the_hours(what: str, looking: Planner) -> None:
    now, expected = MOMENTS[what]
    guard(looking, hours=HOURS)
    assert await broken(looking, now=now) == expected


NIGHT = [{"from": "22:00", "to": "23:59"}, {"from": "00:00", "to": "06:00"}]
ALWAYS = [{"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "from": "00:00", "to": "23:59"}]


@pytest.mark.parametrize(
    ("rules", "begins", "hours", "expected"),
    [
        ([{}], datetime(2026, 11, 23, 16, 30, tzinfo=UTC), 17, False),  # the night between two days
        ([{}], datetime(2026, 11, 23, 9, 0, tzinfo=UTC), 8, False),  # to the minute at which they close
        ([{}], datetime(2026, 11, 23, 9, 0, tzinfo=UTC), 7.9, True),
        (NIGHT, datetime(2026, 11, 23, 22, 30, tzinfo=UTC), 3, True),  # across midnight, in two rules
        (NIGHT, datetime(2026, 11, 23, 23, 59, 30, tzinfo=UTC), 0.001, True),
        (NIGHT, datetime(2026, 11, 23, 22, 30, tzinfo=UTC), 8, False),
        (NIGHT, datetime(2026, 11, 27, 22, 30, tzinfo=UTC), 3, False),  # into a Saturday
        (ALWAYS, datetime(2026, 11, 23, 22, 30, tzinfo=UTC), 60, True),
        # The night in which 02:00 comes twice.
        (
            [{**ALWAYS[0], "to": "02:30", "timezone": "Europe/Berlin"}],
            datetime(2026, 10, 25, 0, 10, tzinfo=UTC),
            1,
            False,
        ),
    ],
)
def test_hours_hold_all_the_time_and_not_only_at_both_ends(
    rules: list[dict[str, Any]], begins: datetime, hours: float, expected: bool
) -> None:
    ends = begins + timedelta(hours=hours)
    assert within([Hours.model_validate(rule) for rule in rules], begins, ends) is expected


async def test_a_freeze_of_a_day_in_the_midst_of_a_run_counts(looking: Planner) -> None:
    guard(looking, freezes=[{"name": "that day", "from": "2026-11-24", "to": "2026-11-24"}])
    assert "freezes" in await broken(looking, duration=timedelta(days=3))


@pytest.mark.parametrize(
    ("key", "rule"),
    [
        ("hours", {"from": 9, "to": 17}),
        ("hours", {"from": "09:00Z", "to": "17:00Z"}),
        ("hours", {"from": "09:00+01:00", "to": "17:00"}),
        ("freezes", {"name": "a number is no day", "from": 20261218, "to": 20270104}),
        ("freezes", {"name": "nor are days since 1970", "from": 86400, "to": 172800}),
    ],
)
def test_a_time_that_would_mean_something_else_is_a_mistake(key: str, rule: dict[str, Any]) -> None:
    whole = {"thresholds": [{"signal": "errors", "abortWhen": "> 10"}], key: [rule]}
    with pytest.raises(ValidationError, match=r"expected a (time of day|day)"):
        Guardrails.model_validate(whole)


async def test_the_hours_of_another_environment_do_not_matter(looking: Planner) -> None:
    guard(looking, hours=[{**HOURS[0], "environments": ["production"]}])
    assert await broken(looking, now=datetime(2026, 11, 22, 3, 0, tzinfo=UTC)) == []


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (datetime(2026, 12, 17, 22, 59, tzinfo=UTC) - timedelta(minutes=6), []),
        (datetime(2026, 12, 17, 22, 59, tzinfo=UTC), ["freezes"]),
        (datetime(2027, 1, 4, 22, 59, tzinfo=UTC), ["freezes"]),
        (datetime(2027, 1, 4, 23, 1, tzinfo=UTC), []),
    ],
)
async def test_nothing_runs_in_a_freeze(now: datetime, expected: list[str], looking: Planner) -> None:
    freeze = {"name": "end of year", "from": "2026-12-18", "to": "2027-01-04", "timezone": "Europe/Berlin"}
    guard(looking, freezes=[freeze])
    assert await broken(looking, now=now) == expected


async def test_a_category_runs_where_it_may(looking: Planner) -> None:
    guard(looking, categories=[{"category": "basic", "environments": ["dev"]}])
    plan = await looking.plan()
    assert "where basic experiments may run: staging; the limit is dev (categories)" in plan.refusals
    assert plan.risk.level == "forbidden"


HALF = [{"share": "50%", "untouchedReady": 1}]
RADII: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "one of three": ("api-gateway", {"mode": "one"}, []),
    "two of three, which is half rounded up": ("api-gateway", {"mode": "fixed", "value": "2"}, []),
    "half of two": ("automation-services", {"mode": "one"}, []),
    "all of three": ("api-gateway", {"mode": "all"}, ["blastRadius.share", "blastRadius.untouchedReady"]),
    "all of two": (
        "automation-services",
        {"mode": "fixed-percent", "value": "51"},
        ["blastRadius.share", "blastRadius.untouchedReady"],
    ),
    "a lone replica, which can only be hit whole": ("redis", {"mode": "all"}, []),
}


@pytest.mark.parametrize("what", RADII)
async def test_only_so_much_of_a_service_is_hit(what: str, looking: Planner) -> None:
    target, mode, expected = RADII[what]
    guard(looking, blastRadius=HALF)
    looking.fault().update(target=target, spec={"action": "pod-kill", **mode})
    assert await broken(looking) == expected


async def test_the_faults_of_a_stage_are_counted_together(looking: Planner) -> None:
    guard(looking, blastRadius=HALF)
    stage = looking.data["basic-pod-failure"]["stages"][0]
    stage["faults"] = [
        looking.fault(),
        {**looking.fault(), "spec": {"action": "pod-kill", "mode": "fixed", "value": "2"}},
    ]
    assert "blastRadius.share" in await broken(looking)
    # The same pod twice is one pod.
    name = (await looking.cluster.pods("pyairtable-staging", {"app": "api-gateway"}))[0].name
    stage["faults"] = [
        {**looking.fault(), "target": {"pods": {"pyairtable-staging": [name]}}} for _ in range(3)
    ]
    assert await broken(looking) == []


async def test_a_fault_on_a_mixed_crowd_counts_at_its_worst_for_each_service(looking: Planner) -> None:
    guard(looking, blastRadius=HALF)
    crowd = {"labelSelectors": {"tier": "backend"}}
    looking.fault().update(
        target=crowd, spec={"action": "pod-failure", "mode": "fixed-percent", "value": "30"}
    )
    found = (await looking.plan()).violations
    assert {one.rule for one in found} == {"blastRadius.share", "blastRadius.untouchedReady"}
    assert any("automation-services" in one.what and one.value == "2 of 2" for one in found)


async def test_the_far_end_of_a_network_fault_counts_where_it_is_acted_in(looking: Planner) -> None:
    guard(looking, blastRadius=HALF)
    peer = {"mode": "all", "selector": "auth-service"}
    spec = {"action": "delay", "mode": "one", "delay": {"latency": "1s"}, "target": peer}
    looking.fault().update(kind="NetworkChaos", spec={**spec, "direction": "to"})
    assert await broken(looking) == []
    looking.fault().update(spec={**spec, "direction": "both"})
    assert "blastRadius.share" in await broken(looking)


async def test_pods_of_no_service_are_not_hit_because_no_rule_could_protect_them(planner: Planner) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "stranger", "labels": {"app": "stranger", "tier": "backend"}},
        "spec": {"containers": [{"name": "stranger", "image": "stranger:1"}]},
    }
    await planner.cluster.api.post("/api/v1/namespaces/pyairtable-staging/pods", pod, doing="create a pod")
    assert await broken(planner) == []
    for selector in ({"app": "stranger"}, {"tier": "backend"}):
        planner.fault().update(target={"labelSelectors": selector})
        plan = await planner.plan()
        assert "service" in [one.rule for one in plan.violations]
        assert (
            "stage kill-api-gateway, pods without a service of platform.yaml that can be hit: stranger; "
            "the limit is none (service)"
        ) in plan.refusals


async def test_a_service_that_is_hit_is_watched(looking: Planner) -> None:
    for probe in looking.data["basic-pod-failure"]["steadyState"]:
        probe["services"] = ["api-gateway", "auth-service"]
    plan = await looking.plan()
    (refusal,) = plan.refusals
    assert refusal.startswith("probes of the steady state that watch platform-services, which is hit: none")
    guard(looking, monitoringRequired=False)
    assert await broken(looking) == []


async def test_a_protected_service_asks_for_an_approval_and_does_not_refuse(looking: Planner) -> None:
    looking.fault().update(target="postgres")
    guard(looking, protected=[{"service": "postgres", "faults": ["pod-kill"]}])
    plan = await looking.plan()
    assert plan.refusals == ()
    assert plan.needs == "approval"
    assert plan.approvers[:1] == ("platform-team",)
    assert "data-team" in plan.approvers
    (violation,) = plan.violations
    assert violation.what == "PodChaos kill-api-gateway on postgres"


async def test_a_pod_that_is_named_is_protected_by_what_it_is_not_by_what_it_is_called(
    looking: Planner,
) -> None:
    name = (await looking.cluster.pods("pyairtable-staging", {"app": "postgres"}))[0].name
    # By platform.yaml the service may be called otherwise than its pods.
    for service in looking.data["platform"]["services"]:
        service["name"] = "ledger" if service["name"] == "postgres" else service["name"]
        service["calls"] = ["ledger" if one == "postgres" else one for one in service.get("calls", ())]
        service.pop("twin", None)
    looking.data["platform"].pop("twin", None)
    looking.fault().update(target={"pods": {"pyairtable-staging": [name]}})
    guard(looking, protected=[{"service": "ledger", "faults": ["pod-kill"]}], destructive=[])
    plan = await looking.plan()
    assert [(one.rule, one.what) for one in plan.violations] == [
        ("protected", "PodChaos kill-api-gateway on ledger")
    ]


async def live_runs(cluster: Cluster, *runs: str) -> None:
    for run in runs:
        lease = Lease(run_lease(run), CHAOS, run, timedelta(seconds=30), NOW, NOW)
        await cluster.create_lease(lease)


async def test_only_so_many_runs_go_on_at_once(planner: Planner) -> None:
    await live_runs(planner.cluster, "run-a", "run-b")
    assert await broken(planner) == []
    assert await broken(planner, run="run-a") == []
    await live_runs(planner.cluster, "run-c")
    plan = await planner.plan()
    assert plan.refusals == ("runs at once: 4, with run-a, run-b, run-c; the limit is 3 (experimentsAtOnce)",)
    assert await broken(planner, now=NOW + timedelta(minutes=1)) == [], "theirs have lapsed"


class At(SystemClock):
    """A clock that stands."""

    def now(self) -> datetime:
        """Ever the same."""
        return NOW


async def test_a_service_is_left_alone_for_a_while_after_it_was_hit(planner: Planner) -> None:
    guard(planner, gaps=[{"betweenRuns": "30m"}])
    leases = RunLeases(planner.cluster, "run-a", [GATEWAY], namespace=CHAOS, clock=At())
    await leases.acquire()
    await leases.release()
    assert await broken(planner) == [], "it took the service and did nothing to it"
    await leases.acquire()
    leases.hits([GATEWAY])
    await leases.release()
    plan = await planner.plan(now=NOW + timedelta(minutes=20))
    assert plan.refusals == (
        "pause since api-gateway was last hit: 20m; the limit is 30m, until 10:45:30 UTC (gaps)",
    )
    assert await broken(planner, now=NOW + timedelta(minutes=30)) == []
    guard(planner, gaps=[{"betweenRuns": "30m", "environments": ["production"]}])
    assert await broken(planner) == []


async def test_a_run_that_hits_nothing_does_not_make_another_wait_longer(planner: Planner) -> None:
    guard(planner, gaps=[{"betweenRuns": "30m"}])
    first = RunLeases(planner.cluster, "run-a", [GATEWAY], namespace=CHAOS, clock=At())
    await first.acquire()
    first.hits([GATEWAY])
    await first.renew()
    del first  # killed
    late = NOW + timedelta(minutes=29)
    assert await broken(planner, now=late) == ["gaps"]

    class Late(At):
        def now(self) -> datetime:
            return late

    second = RunLeases(planner.cluster, "run-b", [GATEWAY], namespace=CHAOS, clock=Late())
    await second.acquire()
    await second.release()
    assert await broken(planner, now=late) == ["gaps"]
    assert await broken(planner, now=NOW + timedelta(minutes=30)) == []
