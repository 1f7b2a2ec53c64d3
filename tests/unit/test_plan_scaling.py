"""A run takes as long as was asked: every stage and every pause stretched by the same factor."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gameday.errors import UsageError
from gameday.plan.build import new_run_id, scaled
from gameday.spec.base import parse_duration
from gameday.spec.catalogue import Catalogue
from gameday.spec.experiment import Experiment

EXPERIMENT = Catalogue().experiment("basic-pod-failure")
bounded = settings(derandomize=True, max_examples=150, deadline=None, database=None)


def lasting(*parts: tuple[float, float]) -> Experiment:
    """The experiment with stages and pauses of so many seconds."""
    stage = EXPERIMENT.stages[0]
    stages = [
        stage.model_copy(
            update={"name": f"s{n}", "duration": timedelta(seconds=a), "settle": timedelta(seconds=b)}
        )
        for n, (a, b) in enumerate(parts)
    ]
    return EXPERIMENT.model_copy(update={"stages": tuple(stages)})


def seconds(experiment: Experiment, duration: timedelta | None) -> list[tuple[float, float]]:
    return [(a.total_seconds(), b.total_seconds()) for a, b in scaled(experiment, duration)]


def test_without_a_wish_it_takes_what_was_declared() -> None:
    assert seconds(lasting((5, 0), (90.5, 30)), None) == [(5, 0), (90.5, 30)]


def test_the_guides_five_minutes_shrink_every_stage_and_pause_alike() -> None:
    assert seconds(EXPERIMENT, timedelta(minutes=5)) == [(50, 50)] * 3


def test_a_longer_wish_stretches_them_alike() -> None:
    assert seconds(lasting((60, 0), (120, 60)), timedelta(minutes=8)) == [(120, 0), (240, 120)]


def test_a_wish_too_short_names_the_least() -> None:
    with pytest.raises(UsageError, match="1m is too short for 2 stages") as caught:
        scaled(lasting((20, 40), (120, 20)), timedelta(minutes=1))
    assert "It needs 1m40s at least" in caught.value.hint
    assert "Declared: 3m20s" in caught.value.hint


@pytest.mark.parametrize("wish", [timedelta(0), timedelta(seconds=-5)])
def test_no_time_at_all_is_too_short(wish: timedelta) -> None:
    with pytest.raises(UsageError, match="too short"):
        scaled(EXPERIMENT, wish)


lengths = st.lists(st.tuples(st.integers(1, 900), st.integers(0, 900)), min_size=1, max_size=6)


@bounded
@given(lengths)
def test_the_least_that_is_named_is_enough(parts: list[tuple[int, int]]) -> None:
    experiment = lasting(*parts)
    with pytest.raises(UsageError) as caught:
        scaled(experiment, timedelta(seconds=1))
    named = re.search(r"It needs (\S+) at least", caught.value.hint)
    assert named is not None
    least = parse_duration(named[1])
    assert min(stage for stage, _ in scaled(experiment, least)) >= timedelta(seconds=10)
    with pytest.raises(UsageError):
        scaled(experiment, least - timedelta(seconds=1))


@bounded
@given(lengths, st.integers(1, 40))
def test_every_part_keeps_its_proportion(parts: list[tuple[int, int]], factor: int) -> None:
    experiment = lasting(*[(stage + 10, settle) for stage, settle in parts])
    found = scaled(experiment, experiment.duration * factor)
    assert found == [(stage.duration * factor, stage.settle * factor) for stage in experiment.stages]


def test_a_run_id_is_sortable_readable_unique_and_fits_a_label() -> None:
    now = datetime(2026, 11, 23, 10, 15, 30, tzinfo=UTC)
    first = new_run_id("basic-pod-failure", now)
    assert re.fullmatch(r"20261123t101530-basic-pod-failure-[0-9a-f]{4}", first)
    assert first < new_run_id("basic-pod-failure", now + timedelta(seconds=1))
    assert len({new_run_id("a", now) for _ in range(20)}) > 15
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", new_run_id("x" * 40, now))
