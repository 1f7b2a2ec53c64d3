"""Whether a run goes on follows from rules: what counts, from when, and what is graver."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gameday.monitor.judge import Decision, Judge, Outcome, Reading, Sample, State, unmet
from gameday.monitor.watch import Watch, watches
from gameday.spec.catalogue import Catalogue

START = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
GRACE = timedelta(seconds=30)
CATALOGUE = Catalogue()
GUIDE = watches(CATALOGUE.experiment("basic-pod-failure"), CATALOGUE.platform, CATALOGUE.guardrails)

SLOW = Watch.model_validate(
    {"name": "p95", "query": "p95", "unit": "s", "expect": "<= 1", "tolerate": "<= 3", "tolerateFor": "20s"}
)
LIMITED = SLOW.model_copy(update={"abort_when": GUIDE[2].abort_when})


class Watching:
    """A judge, and samples at so many seconds."""

    def __init__(self, *watches: Watch) -> None:
        self.judge = Judge(watches or (LIMITED,), GRACE)

    def at(self, second: float, *readings: Reading | float | None) -> Decision:
        """What is to be done after these readings."""
        return self.sample(second, *readings)[1]

    def sample(self, second: float, *readings: Reading | float | None) -> tuple[Sample, Decision]:
        """The readings judged, and what is to be done; a bare value is redis's P95."""
        made = [one if isinstance(one, Reading) else reading(one) for one in readings]
        return self.judge.judge(START + timedelta(seconds=second), made)


def reading(value: float | None, signal: str = "p95", service: str = "redis") -> Reading:
    return Reading(signal, service, value, "" if value is not None else "empty: no such series")


def outcomes(watching: Watching, samples: Iterable[tuple[float, float | None]]) -> list[Outcome]:
    return [watching.at(second, value).outcome for second, value in samples]


def test_a_breach_that_is_shorter_than_its_time_does_not_count() -> None:
    watching = Watching()
    found = outcomes(watching, [(0, 4), (5, 4), (10, 4), (15, 4), (19.9, 4)])
    assert set(found) == {Outcome.CONTINUE}


def test_a_breach_that_lasts_its_time_disproves_the_hypothesis() -> None:
    watching = Watching()
    assert set(outcomes(watching, [(0, 4), (5, 5), (10, 4), (15, 6)])) == {Outcome.CONTINUE}
    decision = watching.at(20, 4.5)
    assert decision.outcome is Outcome.DISPROVED
    assert decision.reasons == ("p95 4.5 s at redis: outside <= 3 for 20s",)


def test_one_good_sample_in_between_starts_the_time_anew() -> None:
    watching = Watching()
    outcomes(watching, [(0, 4), (5, 4), (10, 4), (15, 3), (20, 4), (25, 4), (35, 4)])
    assert watching.at(39, 4).outcome is Outcome.CONTINUE
    assert watching.at(40, 4).outcome is Outcome.DISPROVED


def test_each_service_has_a_time_of_its_own() -> None:
    watching = Watching()
    watching.at(0, reading(4, service="a"), reading(1, service="b"))
    watching.at(10, reading(1, service="a"), reading(4, service="b"))
    assert watching.at(20, reading(4, service="a"), reading(4, service="b")).outcome is Outcome.CONTINUE
    decision = watching.at(30, reading(1, service="a"), reading(4, service="b"))
    assert [reason.partition(":")[0] for reason in decision.reasons] == ["p95 4 s at b"]


def test_a_breach_without_a_time_counts_at_once() -> None:
    strict = SLOW.model_copy(update={"tolerate_for": timedelta(0)})
    decision = Watching(strict).at(0, 4)
    assert decision.outcome is Outcome.DISPROVED
    assert decision.reasons == ("p95 4 s at redis: outside <= 3",)


def test_a_breach_before_its_time_is_shown_as_one() -> None:
    sample, _ = Watching().sample(0, 4)
    assert [one.state for one in sample.judged] == [State.BREACH]
    assert str(sample.judged[0].limit) == "<= 3"


@pytest.mark.parametrize(
    ("signal", "value", "reason"),
    [
        ("availability", 0.599, "availability 0.599 at auth-service: the guardrail < 0.6"),
        ("errors", 10.1, "errors 10.1 requests/s at auth-service: the guardrail > 10"),
        ("p95", 10.5, "p95 10.5 s at auth-service: the guardrail > 10"),
    ],
)
def test_a_threshold_of_the_guide_aborts_at_the_first_sample(signal: str, value: float, reason: str) -> None:
    decision = Watching(*GUIDE).at(0, reading(value, signal, "auth-service"))
    assert decision == Decision(Outcome.ABORT, (reason,))


@pytest.mark.parametrize(("signal", "value"), [("availability", 0.6), ("errors", 10.0), ("p95", 10.0)])
def test_a_value_just_on_the_threshold_does_not_abort(signal: str, value: float) -> None:
    assert Watching(*GUIDE).at(0, reading(value, signal)).outcome is Outcome.CONTINUE


def test_a_threshold_with_a_time_waits_for_it_and_forgets_after_a_good_sample() -> None:
    watching = Watching(LIMITED.model_copy(update={"abort_for": timedelta(seconds=10), "tolerate": None}))
    assert set(outcomes(watching, [(0, 11), (5, 11), (9, 1), (10, 11), (19, 11)])) == {Outcome.CONTINUE}
    assert watching.at(20, 11).outcome is Outcome.ABORT


def test_a_service_that_one_lost_replica_takes_past_the_limit_has_the_time_to_replace_it() -> None:
    availability = next(watch for watch in GUIDE if watch.name == "availability")
    assert set(availability.small) == {"postgres", "redis", "automation-services"}
    untolerated = availability.model_copy(update={"tolerate": None})
    watching = Watching(untolerated)
    lone = [reading(0.0, "availability", "redis"), reading(0.5, "availability", "automation-services")]
    assert watching.at(0, *lone).outcome is Outcome.CONTINUE
    assert watching.at(85, *lone).outcome is Outcome.CONTINUE
    assert watching.at(90, *lone).outcome is Outcome.ABORT
    assert Watching(untolerated).at(0, reading(0.5, "availability", "api-gateway")).outcome is Outcome.ABORT


def test_abort_is_graver_than_disproved() -> None:
    watching = Watching(*GUIDE)
    watching.at(0, reading(3.5))
    decision = watching.at(60, reading(3.5), reading(0.5, "availability", "auth-service"))
    assert decision.outcome is Outcome.ABORT
    assert all("guardrail" in reason for reason in decision.reasons)


def test_unknown_aborts_after_the_grace_and_not_before() -> None:
    watching = Watching()
    assert set(outcomes(watching, [(0, None), (10, None), (29.9, None)])) == {Outcome.CONTINUE}
    decision = watching.at(30, None)
    assert decision.outcome is Outcome.ABORT
    assert decision.reasons == ("p95 at redis: no data for 30s (empty: no such series); grace 30s",)


def test_data_that_comes_back_within_the_grace_and_stays_starts_it_anew() -> None:
    watching = Watching()
    outcomes(watching, [(0, None), (25, None), (29, 1), (60, 1), (90, 1), (100, None)])
    assert watching.at(129, None).outcome is Outcome.CONTINUE
    assert watching.at(130, None).outcome is Outcome.ABORT


def test_a_signal_that_comes_and_goes_aborts_once_it_was_unknown_for_half_of_the_time() -> None:
    watching = Watching()
    coming_and_going = [(second, None if second % 10 == 0 else 1) for second in range(0, 60, 5)]
    assert set(outcomes(watching, coming_and_going)) == {Outcome.CONTINUE}
    decision = watching.at(60, None)
    assert decision.outcome is Outcome.ABORT
    assert decision.reasons == (
        "p95 at redis: no data for 30s of the last 1m (empty: no such series); grace 30s",
    )


def test_a_signal_that_is_seldom_unknown_never_aborts() -> None:
    watching = Watching()
    samples = [(second, None if second % 15 == 0 else 1) for second in range(0, 600, 5)]
    assert set(outcomes(watching, samples)) == {Outcome.CONTINUE}


def test_a_breach_is_not_forgiven_because_nothing_can_be_seen() -> None:
    watching = Watching()
    outcomes(watching, [(0, 4), (5, None), (10, None), (15, None)])
    assert watching.at(20, 4).outcome is Outcome.DISPROVED


def test_what_is_no_number_is_unknown() -> None:
    watching = Watching()
    sample, _ = watching.sample(0, math.nan)
    assert [one.state for one in sample.judged] == [State.UNKNOWN]
    assert sample.judged[0].reading.text == "unknown (not a number)"
    assert watching.at(30, math.nan).outcome is Outcome.ABORT
    assert unmet([SLOW], [reading(math.nan)]) == ["p95 at redis: unknown (not a number)"]


def test_a_latency_beyond_the_last_bucket_is_past_every_threshold() -> None:
    decision = Watching(*GUIDE).at(0, reading(math.inf))
    assert decision == Decision(Outcome.ABORT, ("p95 +inf s at redis: the guardrail > 10",))


def test_a_service_that_the_probe_does_not_speak_of_may_breach_but_not_pass_a_threshold() -> None:
    watching = Watching(LIMITED.model_copy(update={"services": ("postgres",), "tolerate_for": timedelta(0)}))
    assert watching.at(0, reading(9)).outcome is Outcome.CONTINUE
    assert watching.at(1, reading(11)).outcome is Outcome.ABORT


def test_before_and_after_a_run_every_expectation_must_hold() -> None:
    assert unmet(GUIDE, [reading(0.5), reading(1, "availability"), reading(0, "errors")]) == []
    found = unmet(GUIDE, [reading(1.5), reading(0.5, "availability"), reading(None, "errors")])
    assert found == [
        "p95 1.5 s at redis: expected <= 1",
        "availability 0.5 at redis: past the guardrail < 0.6",
        "errors at redis: unknown (empty: no such series)",
    ]


def test_a_threshold_without_a_probe_must_be_seen_and_kept_before_a_run_too() -> None:
    alone = Watch.model_validate({"name": "errors", "query": "errors", "abortWhen": "> 10"})
    assert unmet([alone], [reading(11, "errors")]) == ["errors 11 at redis: past the guardrail > 10"]
    assert unmet([alone], [reading(None, "errors")]) == ["errors at redis: unknown (empty: no such series)"]
    assert unmet([alone], [reading(9, "errors")]) == []


values = st.none() | st.floats() | st.sampled_from([0.0, 0.5, 0.6, 1.0, 3.0, 10.0, 11.0])
services = ("api-gateway", "redis", "")
samples = st.lists(
    st.dictionaries(
        st.tuples(st.sampled_from(["availability", "errors", "p95"]), st.sampled_from(services)),
        values,
        max_size=6,
    ),
    min_size=1,
    max_size=12,
)
bounded = settings(derandomize=True, max_examples=60, deadline=None, database=None)


@bounded
@given(samples, st.randoms(use_true_random=False))
def test_the_order_of_readings_does_not_change_the_decision(
    seen: list[dict[tuple[str, str], float | None]], shuffle: st.DataObject
) -> None:
    one, other = Watching(*GUIDE), Watching(*GUIDE)
    for number, sample in enumerate(seen):
        readings = [reading(value, signal, service) for (signal, service), value in sample.items()]
        first = one.at(number * 5, *readings)
        shuffle.shuffle(readings)  # type: ignore[attr-defined]  # a random.Random that hypothesis controls
        second = other.at(number * 5, *readings)
        assert first.outcome is second.outcome
        assert sorted(first.reasons) == sorted(second.reasons)


@bounded
@given(samples)
def test_what_is_unknown_is_never_ok(seen: list[dict[tuple[str, str], float | None]]) -> None:
    watching = Watching(*GUIDE)
    for number, sample in enumerate(seen):
        readings = [reading(value, signal, service) for (signal, service), value in sample.items()]
        judged = watching.sample(number * 5, *readings)[0].judged
        assert len(judged) == len(readings)
        for given_value, one in zip(sample.values(), judged, strict=True):
            known = given_value is not None and not math.isnan(given_value)
            assert (one.state is State.UNKNOWN) is not known


@bounded
@given(samples)
def test_a_run_that_must_end_is_told_why(seen: list[dict[tuple[str, str], float | None]]) -> None:
    watching = Watching(*GUIDE)
    for number, sample in enumerate(seen):
        readings = [reading(value, signal, service) for (signal, service), value in sample.items()]
        decision = watching.at(number * 20, *readings)
        assert bool(decision.reasons) is (decision.outcome is not Outcome.CONTINUE)
