"""Whatever stands in a chaos object, the guard reads it, and never takes what it cannot read for well."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gameday.guard.objects import Reader, Watched
from gameday.guard.rules import Judge, Offence, Pulse, Rule
from gameday.spec.catalogue import Catalogue
from gameday.spec.kinds import ALL_KINDS

CATALOGUE = Catalogue()
CREATED = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
known_keys = st.sampled_from(
    ["duration", "action", "selector", "mode", "templates", "entry", "schedule", "type", "podChaos"]
)
status_keys = st.sampled_from(["experiment", "conditions", "desiredPhase", "containerRecords"])


def reader(kind: str) -> Reader:
    return Reader(kind, CATALOGUE.guardrails, CATALOGUE.platform)


def item(kind: str, spec: object, status: object = None, **meta: Any) -> dict[str, Any]:
    metadata = {
        "name": "one",
        "namespace": "chaos-engineering",
        "uid": "u-1",
        "creationTimestamp": CREATED.isoformat(),
        **meta,
    }
    return {"kind": kind, "metadata": metadata, "spec": spec, "status": status}


def offence(one: Watched, after: timedelta) -> Offence | None:
    return Judge(Pulse()).offence(one, CREATED + after)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=st.sampled_from(ALL_KINDS),
    spec=json_values | st.dictionaries(known_keys, json_values, max_size=6),
    status=json_values | st.dictionaries(status_keys, json_values, max_size=4),
)
def test_nothing_in_an_object_keeps_the_guard_from_reading_it(
    kind: str, spec: object, status: object
) -> None:
    one = reader(kind)(item(kind, spec, status), None)
    assert one.uid == "u-1"
    offence(one, timedelta(hours=1))


@pytest.mark.parametrize("status", ["gibberish", {"experiment": "gibberish"}, {"conditions": [{"a": 1}]}])
def test_what_cannot_be_read_is_taken_for_live_and_ended_at_the_latest_when_its_time_is_up(
    status: object,
) -> None:
    selector = {"namespaces": ["pyairtable-staging"], "labelSelectors": {"app": "redis"}}
    spec = {"duration": "5m", "mode": "one", "timeOffset": "-1m", "selector": selector}
    one = reader("TimeChaos")(item("TimeChaos", spec, status), None)
    assert one.live
    found = offence(one, timedelta(minutes=6))
    assert found is not None
    assert found.rule in {Rule.GUARDRAILS, Rule.DEADLINE}


@pytest.mark.parametrize(
    ("kind", "spec", "ends"),
    [
        ("TimeChaos", {"duration": "5m"}, timedelta(minutes=5)),
        ("TimeChaos", {"duration": "soon"}, timedelta(minutes=30)),
        ("TimeChaos", {}, timedelta(minutes=30)),
        (
            "Workflow",
            {"entry": "all", "templates": [{"name": "all", "deadline": "12m"}]},
            timedelta(minutes=12),
        ),
        ("Workflow", {"entry": "all", "templates": [{"name": "all"}]}, timedelta(minutes=60)),
        ("Schedule", {"schedule": "@every 1h"}, None),
    ],
)
def test_when_it_should_be_over(kind: str, spec: dict[str, Any], ends: timedelta | None) -> None:
    one = reader(kind)(item(kind, spec), None)
    assert one.ends == (None if ends is None else CREATED + ends)


def test_a_fault_that_is_over_at_once_is_not_live_once_it_was_in() -> None:
    kill = {"action": "pod-kill", "duration": "30s"}
    record = {"id": "a/b", "phase": "Injected", "injectedCount": 1}
    status = {"experiment": {"desiredPhase": "Run", "containerRecords": [record]}}
    assert reader("PodChaos")(item("PodChaos", kill), None).live
    assert not reader("PodChaos")(item("PodChaos", kill, status), None).live


def test_a_spec_is_judged_once() -> None:
    read = reader("TimeChaos")
    body = item("TimeChaos", {"duration": "5h"})
    first = read(body, None)
    later = read(item("TimeChaos", {}, {"experiment": {"desiredPhase": "Stop"}}), first)
    assert later.violations is first.violations
    assert not later.live
