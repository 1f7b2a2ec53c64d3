"""How fast a service comes back is told of each stage, and counted from what hit it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gameday.journal.store import FaultRecord
from gameday.monitor.judge import Reading
from gameday.monitor.watch import Watch
from gameday.plan.model import PlannedStage
from gameday.run.comeback import Comeback, StageLooks
from gameday.run.recovery import Progress

START = datetime(2026, 11, 23, 10, 15, 30, tzinfo=UTC)
P95 = Watch.model_validate({"name": "p95", "query": "p95", "unit": "s", "expect": "<= 1", "tolerate": "<= 3"})
WELL, ILL = 0.1, 2.0


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def fault(name: str, service: str, *, kill: bool) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "PodChaos" if kill else "NetworkChaos",
        "what": "pod-kill" if kill else "delay 500ms",
        "mode": "one",
        "oneShot": kill,
        "atMost": 1,
        "candidates": [{"namespace": "ns", "name": f"{service}-0", "service": service, "ready": True}],
        "shares": [{"service": service, "hit": 1, "of": 1}],
        "chaosObject": {},
    }


def stage(*faults: Mapping[str, Any], name: str = "kill") -> PlannedStage:
    times = {"starts": "0s", "duration": "60s", "settle": "60s"}
    return PlannedStage.model_validate({"name": name, "title": name, **times, "faults": faults})


def record(name: str, pod: str, *, requested: float = 0, ended: float | None = 60) -> FaultRecord:
    ended_at = at(ended) if ended is not None else None
    return FaultRecord(
        name, "PodChaos", "chaos", "kill", at(requested), at(requested), ended_at, [f"ns/{pod}"]
    )


def looked(looks: StageLooks, service: str, seen: Mapping[float, float | None]) -> StageLooks:
    for second, value in seen.items():
        reading = Reading("p95", service, value, "" if value is not None else "empty: no such series")
        looks.take(at(second), [P95], [reading])
    return looks


def only(looks: StageLooks, *records: FaultRecord) -> Comeback:
    (row,) = looks.comebacks({one.name: one for one in records})
    return row


KILL = stage(fault("f", "auth", kill=True))
SLOW = stage(fault("f", "auth", kill=False))


def test_a_kill_is_counted_from_the_kill_although_its_object_stays_longer() -> None:
    looks = looked(StageLooks(KILL), "auth", {0: WELL, 5: ILL, 10: ILL, 15: WELL, 70: WELL})
    looks.replaced = {"auth": timedelta(seconds=7)}
    row = only(looks, record("f", "auth-0", requested=1))
    assert (row.outcome, row.took_s, row.replaced_s) == ("back", 14.0, 7.0)
    assert row.hit_by == ("PodChaos pod-kill",)
    assert (row.words, row.replacement) == ("14s after the kill", "7s after the kill")


def test_time_to_recover_includes_the_replacement_where_the_signals_never_showed_it() -> None:
    looks = looked(StageLooks(KILL), "auth", {0: WELL, 5: WELL, 70: WELL})
    looks.replaced = {"auth": timedelta(seconds=7)}
    row = only(looks, record("f", "auth-0"))
    assert (row.outcome, row.took_s) == ("stayed", 7.0)
    assert row.words == "7s after the kill; its signals stayed well"


@pytest.mark.parametrize("replaced", [{"auth": None}, {}], ids=["not ready", "not known"])
def test_a_killed_pod_that_was_not_replaced_has_not_come_back(replaced: dict[str, timedelta | None]) -> None:
    looks = looked(StageLooks(KILL), "auth", {0: WELL, 70: WELL})
    looks.replaced = replaced
    row = only(looks, record("f", "auth-0"))
    assert (row.outcome, row.took_s, row.words) == ("not-back", None, "not well again")
    assert looks.unreplaced


@pytest.mark.parametrize(
    ("seen", "outcome", "took", "words"),
    [
        ({10: ILL, 60: ILL, 72: WELL, 80: WELL}, "back", 12.0, "12s after the end of the fault"),
        ({10: ILL, 40: WELL, 72: WELL}, "back", 0.0, "before the end of the fault"),
        ({10: WELL, 72: WELL}, "stayed", 0.0, "stayed well"),
        ({10: ILL, 65: WELL, 70: ILL}, "not-back", None, "not well again"),
        ({10: ILL, 65: WELL, 70: ILL, 75: WELL}, "back", 15.0, "15s after the end of the fault"),
        ({10: ILL, 65: None}, "unseen", None, "could not be seen"),
        ({10: WELL, 65: None, 75: WELL}, "back", 15.0, "15s after the end of the fault"),
        ({}, "unseen", None, "could not be seen"),
    ],
)
def test_a_lasting_fault_is_counted_from_its_end(
    seen: dict[float, float | None], outcome: str, took: float | None, words: str
) -> None:
    row = only(looked(StageLooks(SLOW), "auth", seen), record("f", "auth-0"))
    assert (row.outcome, row.took_s, row.words) == (outcome, took, words)
    assert row.replacement == "-"


def test_a_fault_that_is_not_proved_to_have_ended_leaves_nothing_to_count_from() -> None:
    looks = looked(StageLooks(SLOW), "auth", {10: ILL, 70: WELL})
    assert only(looks, record("f", "auth-0", ended=None)).outcome == "not-back"


def test_a_service_that_was_not_hit_is_told_where_it_suffered() -> None:
    looks = looked(StageLooks(SLOW), "auth", {10: WELL, 70: WELL})
    looked(looks, "gateway", {10: ILL, 64: WELL})
    looked(looks, "redis", {10: WELL, 70: WELL})
    rows = {row.service: row for row in looks.comebacks({"f": record("f", "auth-0")})}
    assert rows.keys() == {"auth", "gateway"}
    assert (rows["gateway"].hit_by, rows["gateway"].words) == ((), "4s after the end of the fault")


def test_each_stage_keeps_its_own() -> None:
    progress = Progress([P95])
    looks = {}
    for name, base in (("first", 0), ("second", 100)):
        progress.begin(stage(fault(name, "auth", kill=False), name=name))
        looks[name] = progress.stages[-1]
        for second, value in {10: ILL, 65: ILL, 70 + base / 50: WELL}.items():
            progress.take(at(base + second), [Reading("p95", "auth", value)], faults_in=second < 60)
    first = only(looks["first"], record("first", "auth-0", ended=60))
    later = only(looks["second"], record("second", "auth-0", requested=100, ended=160))
    assert [(row.stage, row.took_s) for row in (first, later)] == [("first", 10.0), ("second", 12.0)]


def test_nothing_counts_as_the_platforms_recovery_while_faults_are_in() -> None:
    progress = Progress([P95])
    progress.begin(KILL)
    progress.take(at(5), [Reading("p95", "auth", WELL)], faults_in=True)
    assert progress.whole_since is None
    progress.take(at(65), [Reading("p95", "auth", WELL)])
    assert progress.whole_since == at(65)


def test_a_pod_that_came_after_the_plan_is_taken_for_one_of_the_service_that_the_fault_hits() -> None:
    looks = looked(StageLooks(SLOW), "auth", {10: WELL, 70: WELL})
    assert only(looks, record("f", "auth-new")).hit_by == ("NetworkChaos delay 500ms",)
