"""When a fault counts as injected, when as recovered, and how a stuck one is explained."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gameday.clients.faults import FaultState, PodName

POD = "staging/api-gateway-1"


def record(phase: str = "Injected", injected: int = 1, recovered: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "id": POD,
        "selectorKey": ".",
        "phase": phase,
        "injectedCount": injected,
        "recoveredCount": recovered,
        **more,
    }


def failed(operation: str, message: str) -> dict[str, Any]:
    return {
        "type": "Failed",
        "operation": operation,
        "message": message,
        "timestamp": "2026-11-23T10:00:00Z",
    }


def fault(
    *records: dict[str, Any],
    desired: str = "Run",
    kind: str = "NetworkChaos",
    conditions: dict[str, str] | None = None,
    deleting: bool = False,
    finalizers: tuple[str, ...] = ("chaos-mesh/records",),
    **spec: Any,
) -> FaultState:
    meta: dict[str, Any] = {
        "name": "slow",
        "namespace": "chaos-engineering",
        "creationTimestamp": "2026-11-23T10:00:00Z",
        "finalizers": list(finalizers),
    }
    if deleting:
        meta["deletionTimestamp"] = "2026-11-23T10:05:00Z"
    status = {
        "conditions": [{"type": key, "status": value} for key, value in (conditions or {}).items()],
        "experiment": {"desiredPhase": desired, "containerRecords": list(records)},
    }
    return FaultState.read(kind, {"metadata": meta, "spec": spec, "status": status})


def test_it_is_injected_when_every_record_is() -> None:
    assert fault(record(), record()).injected


@pytest.mark.parametrize(
    "state",
    [
        fault(),
        fault(record(), record("Not Injected", 0)),
        fault(record("Not Injected/Wait", 0)),
        fault(record("Injected/Wait", 1)),
        fault(record("Injected", 0)),
        fault(record(), desired="Stop"),
    ],
    ids=["no record", "one is not", "waiting", "waiting to recover", "never done", "ending"],
)
def test_it_is_not_injected_while_anything_is_missing(state: FaultState) -> None:
    assert not state.injected


def test_conditions_are_not_believed() -> None:
    fresh = fault(desired="Run", conditions={"AllRecovered": "True", "AllInjected": "True"})
    assert not fresh.injected
    assert not fresh.recovered


def test_it_is_recovered_when_every_record_was_recovered() -> None:
    assert fault(record("Not Injected", 1, 1), record("Not Injected", 0, 0), desired="Stop").recovered


@pytest.mark.parametrize(
    "state",
    [
        fault(record("Not Injected", 1, 1), desired="Run"),
        fault(record("Not Injected", 1, 0), desired="Stop"),
        fault(record("Injected", 1, 0), desired="Stop"),
        fault(record("Injected", 1, 1), desired="Stop"),
        fault(record("Not Injected", 1, 1), record("Injected/Wait", 1, 0), desired="Stop"),
    ],
    ids=["still wanted", "never recovered", "still in", "in again", "one waits"],
)
def test_it_is_not_recovered_while_anything_may_be_left(state: FaultState) -> None:
    assert not state.recovered


def test_its_pods_are_named_once_each_whatever_their_containers_and_sides() -> None:
    state = fault(
        record(id=f"{POD}/app"),
        record(id=f"{POD}/sidecar"),
        record("Not Injected", 1, 1, id="staging/auth-2", selectorKey=".Target"),
    )
    assert state.selected_pods == (PodName("staging", "api-gateway-1"), PodName("staging", "auth-2"))
    assert state.unrecovered_pods == (PodName("staging", "api-gateway-1"),)


def test_its_end_is_counted_from_its_creation() -> None:
    state = fault(record(), duration="5m30s")
    assert state.ends_by_itself_at == datetime(2026, 11, 23, 10, 5, 30, tzinfo=UTC)
    assert state.duration == timedelta(minutes=5, seconds=30)


def test_a_duration_that_cannot_be_read_never_ends_it() -> None:
    assert fault(kind="TimeChaos", duration="soon").ends_by_itself_at is None


def test_no_target_is_told_from_not_yet_looked_for() -> None:
    assert fault(conditions={"Selected": "False"}).nothing_selected
    assert not fault().nothing_selected


def test_a_stuck_one_is_explained_by_its_last_failed_attempt() -> None:
    stuck = fault(
        record(events=[failed("Recover", "dial tcp 10.0.0.7:31767: connection refused")]),
        desired="Stop",
        deleting=True,
    )
    assert stuck.why_stuck == f"{POD}: Recover failed: dial tcp 10.0.0.7:31767: connection refused"


def test_a_stress_whose_cancel_failed_silently_is_explained_too() -> None:
    stuck = fault(record(), desired="Stop", kind="StressChaos", deleting=True)
    assert POD in stuck.why_stuck
    assert "no failed attempt" in stuck.why_stuck


def test_the_finalizer_of_somebody_else_is_named() -> None:
    held = fault(
        record("Not Injected", 1, 1), desired="Stop", deleting=True, finalizers=("audit.example.com/keep",)
    )
    assert "audit.example.com/keep" in held.why_stuck


def test_one_that_works_has_nothing_to_explain() -> None:
    assert fault(record()).why_stuck == ""
