"""How much a signal changed, and how sure that is, is said rightly from few and restless samples."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from pydantic_core import to_json

from gameday.analysis.detection import detections
from gameday.analysis.effects import compare, effects, is_back
from gameday.analysis.model import Effect, SignalSeries, Window
from gameday.analysis.series import Table, Values, on_grid

AT = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)
STEP = timedelta(seconds=5)


def effect(before: Values | list[float], during: Values | list[float], worse: str = "higher") -> Effect:
    found = compare(np.asarray(before, float), np.asarray(during, float), worse)  # type: ignore[arg-type]  # as given
    return Effect.model_validate({"signal": "p95", "service": "s", **found})


def window(name: str, begin: int, end: int) -> Window:
    return Window.model_validate({"name": name, "begin": AT + begin * STEP, "end": AT + end * STEP})


def series(
    values: Sequence[float | None], signal: str = "p95", service: str = "auth-service"
) -> SignalSeries:
    return SignalSeries.model_validate(
        {"signal": signal, "service": service, "begin": AT, "step": STEP, "values": values}
    )


def test_what_truly_changed_lies_in_the_interval_as_often_as_is_said() -> None:
    inside = 0
    for seed in range(300):
        chance = np.random.default_rng(seed)
        found = effect(chance.lognormal(0, 0.3, 40), chance.lognormal(0, 0.3, 25) + 0.5)
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= 0.5 <= found.high
    assert inside / 300 >= 0.93


def test_what_did_not_change_is_hardly_ever_called_changed() -> None:
    alarms = 0
    for seed in range(300):
        chance = np.random.default_rng(seed)
        alarms += effect(chance.lognormal(0, 0.4, 60), chance.lognormal(0, 0.4, 30)).change != "same"
    assert alarms / 300 <= 0.05


def test_samples_that_follow_each_other_are_not_taken_for_many_witnesses() -> None:
    alarms = 0
    for seed in range(200):
        noise = np.random.default_rng(seed).normal(size=100)
        walk = np.empty(100)
        walk[0] = noise[0]
        for i in range(1, 100):
            walk[i] = 0.7 * walk[i - 1] + noise[i]
        alarms += effect(walk[:60] + 50, walk[60:] + 50).change != "same"
    assert alarms / 200 <= 0.06


def test_one_outlier_is_no_change() -> None:
    found = effect([1.0, 1.1, 0.9, 1.0, 1.05] * 4, [1.0, 1.1, 0.9, 1.0, 90.0] * 3)
    assert found.change == "same"
    assert found.shift == pytest.approx(0, abs=0.1)


def test_a_clear_change_is_worse_or_better_by_what_is_measured() -> None:
    before, during = [0.1, 0.11, 0.09] * 8, [0.9, 1.1, 1.0] * 5
    assert effect(before, during).change == "worse"
    assert effect(before, during, "lower").change == "better"
    assert effect(before, during).size == 1.0


def test_a_change_that_nobody_would_notice_is_none() -> None:
    assert effect([100.0, 100.1] * 20, [100.4, 100.5] * 20).change == "same"


def test_a_signal_that_never_moved_has_no_shift() -> None:
    found = effect([0.0] * 30, [0.0] * 20)
    assert (found.change, found.shift, found.size) == ("same", 0.0, 0.0)


@pytest.mark.parametrize(("before", "during"), [([], [1.0] * 9), ([1.0] * 9, [2.0] * 4)])
def test_too_few_samples_are_said_to_be_too_few(before: list[float], during: list[float]) -> None:
    found = effect(before, during)
    assert (found.change, found.shift) == ("unknown", None)
    assert "at least 5 each" in found.why_unknown


def test_back_means_where_it_usually_lay() -> None:
    usual = np.array([1.0, 1.2, 0.9] * 10)
    assert is_back(usual, np.array([9.0] * 5 + [1.1] * 5)) is True
    assert is_back(usual, np.array([1.1] * 5 + [9.0] * 5)) is False
    assert is_back(usual, np.empty(0)) is None


def test_the_stage_that_moved_a_signal_farthest_is_named() -> None:
    values = [1.0, 1.1] * 15 + [1.0, 1.1] * 10 + [5.0, 5.5] * 10 + [1.0] * 10
    windows = [
        window("before", 0, 30),
        window("during", 30, 70),
        window("after", 70, 80),
        window("mild", 30, 50),
        window("hard", 50, 70),
    ]
    (found,) = effects([series(values)], windows, lambda _: "higher")
    assert (found.change, found.stage, found.back) == ("worse", "hard", True)
    assert found.during is not None
    assert found.during.count == 40


def test_gaps_are_left_out_and_nothing_is_filled_in() -> None:
    one = on_grid("p95", "s", [(AT, 1.0), (AT + 3 * STEP, math.nan)], begin=AT, end=AT + 4 * STEP, step=STEP)
    assert one.values == (1.0, None, None, None, None)
    assert list(Table([one]).window("p95", "s", window("all", 0, 5))) == [1.0]


def test_what_is_infinite_is_a_value() -> None:
    one = on_grid("p95", "s", [(AT, 1.0), (AT + STEP, math.inf)], begin=AT, end=AT + 2 * STEP, step=STEP)
    assert one.values == (1.0, math.inf, None)
    assert list(Table([one]).window("p95", "s", window("all", 0, 3))) == [1.0, math.inf]
    kept = json.loads(to_json(one.model_dump(mode="json", by_alias=True), inf_nan_mode="strings"))
    assert SignalSeries.model_validate(kept) == one, "the journal gives it back"


def test_a_signal_that_was_infinite_all_stage_got_worse_and_is_told_in_words() -> None:
    found = effect([0.005, 0.006] * 10, [math.inf] * 12)
    assert (found.change, found.shift, found.size) == ("worse", math.inf, 1.0)
    assert found.words == "worse, past every bucket or limit"
    back = effect([math.inf] * 12, [0.005, 0.006] * 10)
    assert back.words == "better: it was past every bucket or limit before"


def test_one_infinite_value_is_an_outlier_like_any_other() -> None:
    found = effect([1.0, 1.1, 0.9, 1.0, 1.05] * 4, [1.0, 1.1, 0.9, 1.0, 1.05] * 3 + [math.inf])
    assert (found.change, found.words) == ("same", "same")
    assert found.shift == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("before", [[1.0, 1.1] * 6, [1.0, math.inf] * 6, [math.inf] * 12])
@pytest.mark.parametrize("during", [[1.0, 1.1] * 6, [math.inf, 1.0] * 6, [math.inf] * 12])
def test_nothing_that_is_told_of_infinite_values_is_no_number(
    before: list[float], during: list[float]
) -> None:
    windows = [window("before", 0, 12), window("after", 24, 36), window("stage", 12, 24)]
    (found,) = effects([series([*before, *during, *before])], windows, lambda _: "higher")
    assert b"NaN" not in to_json(found, inf_nan_mode="strings")
    assert found.back is not None
    detections(Table([series([*before, *during])]), windows[2:], windows[0], ["p95"], lambda _: "higher")


def test_a_fault_is_detected_when_a_signal_leaves_its_band_for_more_than_a_moment() -> None:
    values = [1.0, 1.1] * 15 + [1.0, 9.0, 1.0, 9.0, 9.0, 9.0] + [1.0] * 4
    stages = [window("stage", 30, 40), window("calm", 36, 40)]
    found = detections(Table([series(values)]), stages, window("before", 0, 30), ["p95"], lambda _: "higher")
    assert [(one.stage, one.by, one.took) for one in found] == [
        ("stage", "p95 at auth-service", 3 * STEP),
        ("calm", "no signal", None),
    ]
