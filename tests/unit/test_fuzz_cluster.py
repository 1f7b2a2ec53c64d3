"""Whatever a cluster hands us, nothing is proved by what cannot be read, and nothing falls over."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gameday.clients.faults import FaultState, Record
from gameday.spec.kinds import ALL_KINDS

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
TIME = st.sampled_from(["2026-11-23T10:15:30Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", ""])
DURATION = st.sampled_from(["5m", "0s", "-1h", "1e9h", "87600000h", "9" * 30 + "h", "soon", ""]) | JSON


def having(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Some of ``fields``, each as it should be or as anything."""
    return st.fixed_dictionaries({}, optional={name: value | JSON for name, value in fields.items()})


EVENT = having(
    type=st.sampled_from(["Succeeded", "Failed"]),
    operation=st.just("Apply"),
    message=st.text(),
    timestamp=TIME,
)
RECORD = having(
    id=st.sampled_from(["ns/pod", "ns/pod/container", "a/b/c/d", ""]),
    selectorKey=st.just("."),
    phase=st.sampled_from(["Injected", "Not Injected", "Injected/Wait"]),
    injectedCount=st.integers(-1, 3),
    recoveredCount=st.integers(-1, 3),
    events=st.lists(EVENT | JSON, max_size=3),
)
OBJECT = having(
    metadata=having(
        name=st.just("fault"),
        namespace=st.just("chaos-engineering"),
        labels=st.dictionaries(st.text(max_size=5), JSON, max_size=2),
        annotations=st.dictionaries(st.text(max_size=5), JSON, max_size=2),
        finalizers=st.lists(JSON, max_size=2),
        creationTimestamp=TIME,
        deletionTimestamp=TIME,
    ),
    spec=having(action=st.just("delay"), duration=DURATION),
    status=having(
        conditions=st.lists(having(type=st.just("Selected"), status=st.just("False")) | JSON, max_size=2),
        experiment=having(
            desiredPhase=st.sampled_from(["Run", "Stop"]),
            containerRecords=st.lists(RECORD | JSON, max_size=3),
        ),
    ),
)


@settings(derandomize=True, deadline=None, max_examples=400)
@given(kind=st.sampled_from(ALL_KINDS), item=OBJECT)
def test_an_object_of_any_shape_is_read_and_described(kind: str, item: dict[str, Any]) -> None:
    state = FaultState.read(kind, item)
    told = (state.why_stuck, state.action, str(state.ref), state.meta.run)
    assert all(isinstance(words, str) for words in told)
    assert not (state.injected and state.recovered)
    assert len(state.selected_pods) <= len(state.records)
    assert state.ends_by_itself_at is None or state.duration is not None


@settings(derandomize=True, deadline=None, max_examples=200)
@given(found=JSON.filter(lambda value: not isinstance(value, dict)))
def test_a_record_that_is_none_proves_neither_injection_nor_recovery(found: Any) -> None:
    record = Record.read(found)
    assert not record.injected
    assert not record.recovered


@settings(derandomize=True, deadline=None, max_examples=200)
@given(records=JSON.filter(lambda value: bool(value) and not isinstance(value, list)))
def test_records_that_are_no_list_prove_neither_injection_nor_recovery(records: Any) -> None:
    for phase in ("Run", "Stop"):
        status = {"experiment": {"desiredPhase": phase, "containerRecords": records}}
        state = FaultState.read("PodChaos", {"metadata": {"name": "fault"}, "status": status})
        assert not state.injected
        assert not state.recovered
