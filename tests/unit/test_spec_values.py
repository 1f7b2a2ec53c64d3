"""Durations and limits are read as people write them, and written so that they are read again."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gameday.spec.base import Comparison, GoDuration, Limit, format_duration, nearest, parse_duration

LIMIT: TypeAdapter[Comparison] = TypeAdapter(Limit)
GO_DURATION: TypeAdapter[str] = TypeAdapter(GoDuration)
bounded = settings(derandomize=True, max_examples=200, deadline=None, database=None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("5m", 300), ("1h30m", 5400), ("250ms", 0.25), ("1.5h", 5400), (" 2m ", 120), ("0s", 0)],
)
def test_a_duration_is_read_with_its_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "wrong", ["", "5", 5, 1.5, True, None, "5 minutes", "m", "-5m", "5m 30s", "٣m", "5M", ["5m"], "1e3s"]
)
def test_anything_else_is_no_duration(wrong: object) -> None:
    with pytest.raises(ValueError, match="expected a duration with its unit, such as 30s"):
        parse_duration(wrong)


@pytest.mark.parametrize("long", ["99999999999999h", "1" * 400 + "s"])
def test_a_duration_longer_than_can_be_is_told_so(long: str) -> None:
    with pytest.raises(ValueError, match="too long"):
        parse_duration(long)


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(0), "0s"),
        (timedelta(minutes=5), "5m"),
        (timedelta(hours=1, minutes=30), "1h30m"),
        (timedelta(days=2), "48h"),
        (timedelta(milliseconds=90_250), "1m30s250ms"),
        (timedelta(microseconds=300), "300us"),
        (-timedelta(seconds=90), "-1m30s"),
    ],
)
def test_a_duration_is_written_without_parts_that_are_zero(duration: timedelta, text: str) -> None:
    assert format_duration(duration) == text


@bounded
@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=10_000)))
def test_a_duration_that_was_written_is_read_as_the_same(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@bounded
@given(st.text(max_size=12) | st.from_regex(r"[-+.0-9a-zµ]{0,12}", fullmatch=True))
def test_whatever_stands_for_a_duration_is_read_or_refused_in_words(text: str) -> None:
    try:
        assert parse_duration(text) >= timedelta(0)
    except ValueError as error:
        assert "duration" in str(error)  # noqa: PT017 - read or refused: either is right


def test_a_duration_for_chaos_mesh_is_kept_as_it_is_written() -> None:
    assert GO_DURATION.validate_python("90s") == "90s"
    assert GO_DURATION.validate_python(" 1.50m ") == "1.50m"


@pytest.mark.parametrize(
    ("text", "operator", "value"),
    [
        (">= 0.99", ">=", 0.99),
        ("<10", "<", 10.0),
        ("< 60%", "<", 0.6),
        ("== 0", "==", 0.0),
        ("!= -1.5", "!=", -1.5),
        ("  > 1000000 ", ">", 1e6),
    ],
)
def test_a_limit_is_read_as_a_comparison(text: str, operator: str, value: float) -> None:
    assert LIMIT.validate_python(text) == Comparison(operator, value)


@pytest.mark.parametrize(
    "wrong", ["", "0.99", ">=", "=> 1", ">= one", "> 1 or < 0", 1, None, ">= 1e3", "> ٣", ["> 1"], "> nan"]
)
def test_anything_else_is_no_limit(wrong: object) -> None:
    with pytest.raises(ValidationError, match="expected a comparison with a number"):
        LIMIT.validate_python(wrong)


def test_a_limit_without_end_is_refused() -> None:
    with pytest.raises(ValidationError, match="too large"):
        LIMIT.validate_python("> " + "9" * 400)


@bounded
@given(
    st.sampled_from([">=", "<=", ">", "<", "==", "!="]),
    st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**12), 10**12).map(float),
)
def test_a_limit_that_was_written_is_read_as_the_same(operator: str, value: float) -> None:
    limit = Comparison(operator, value)
    assert LIMIT.validate_python(str(limit)) == limit


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        (Comparison(">=", 0.9999999), ">= 0.9999999"),
        (Comparison(">", 10.0), "> 10"),
        (Comparison("<", 1e6), "< 1000000"),
    ],
)
def test_a_limit_is_written_with_every_digit(limit: Comparison, text: str) -> None:
    assert str(limit) == text


@pytest.mark.parametrize("operator", [">=", "<=", ">", "<", "==", "!="])
def test_what_is_no_number_is_never_within_a_limit(operator: str) -> None:
    assert not Comparison(operator, 1.0).holds(math.nan)


def test_the_nearest_name_is_suggested_and_nothing_where_none_is_near() -> None:
    assert nearest("api-gatway", ["api-gateway", "redis"]) == "; did you mean 'api-gateway'?"
    assert nearest("zzz", ["api-gateway", "redis"]) == ""
