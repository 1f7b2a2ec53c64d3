"""Why: the evaluator must give answers that can be worked out on paper, wherever the tests run.

The samples are few and round; each expected value follows from Prometheus's documentation by hand.
What a real Prometheus says of many more queries is compared in ``test_promql_against_prometheus``.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from sandbox.prometheus.promql.engine import Engine, MatrixResult, ScalarResult, VectorResult
from sandbox.prometheus.promql.errors import BadDataError, QueryError
from sandbox.prometheus.storage import Storage

MINUTE = 60_000
NOW = round(datetime(2026, 11, 23, 10, tzinfo=UTC).timestamp() * 1000)


@pytest.fixture(scope="module")
def engine() -> Engine:
    """Ten minutes of samples, one each minute, the last at ``NOW``."""
    storage = Storage()
    for step in range(11):
        time = NOW - (10 - step) * MINUTE

        def add(name: str, value: float, **labels: str) -> None:
            storage.append({"__name__": name, **labels}, time, value)  # noqa: B023 - called at once

        for pod in ("a", "b", "c"):
            add("up", 0.0 if pod == "c" and step > 5 else 1.0, service="gateway", pod=pod)
        add("up", 1.0, service="auth", pod="d")
        add("requests_total", 60.0 * step, service="gateway", status="200")
        add("requests_total", 6.0 * step, service="gateway", status="500")
        # Starts anew after the fifth minute, having counted 150.
        add("requests_total", 30.0 * step if step <= 5 else 30.0 * (step - 6), service="auth", status="200")
        for bound, share in (("0.1", 50), ("0.5", 90), ("1", 100), ("+Inf", 100)):
            add("latency_bucket", float(share * step), service="gateway", le=bound)
        add("level", float(step), tank="full")
        add("level", math.nan if step == 10 else 1.0, tank="broken")
        add("owner", 1.0, service="gateway", team="platform")
        add("owner", 1.0, service="auth", team="identity")
    return Engine(storage)


Answer = dict[str, float]

ANSWERS: list[tuple[str, Answer]] = [
    ("avg by (service) (up)", {"gateway": 2 / 3, "auth": 1.0}),
    ("sum by (service) (up)", {"gateway": 2.0, "auth": 1.0}),
    ("count without (pod) (up == 0)", {"gateway": 1.0}),
    ('rate(requests_total{status="500"}[5m])', {"gateway 500": 0.1}),
    ('increase(requests_total{status="500"}[5m])', {"gateway 500": 30.0}),
    ('sum by (service) (rate(requests_total{status=~"5.."}[2m]))', {"gateway": 0.1}),
    ("resets(requests_total[10m])", {"gateway 200": 0.0, "gateway 500": 0.0, "auth 200": 1.0}),
    # 120, 150, 0, 30, 60: grown by 30 + 0 + 30 + 30, over the whole window of four minutes.
    ('increase(requests_total{service="auth"}[4m] offset 2m)', {"auth 200": 90.0}),
    ('irate(requests_total{status="200",service="gateway"}[5m])', {"gateway 200": 1.0}),
    ("histogram_quantile(0.5, latency_bucket)", {"gateway": 0.1}),
    ("histogram_quantile(0.7, sum by (service, le) (rate(latency_bucket[5m])))", {"gateway": 0.3}),
    ("histogram_quantile(0.95, rate(latency_bucket[5m]))", {"gateway": 0.75}),
    ("max_over_time(level[5m])", {"full": 10.0, "broken": 1.0}),
    ('avg_over_time(level{tank="full"}[4m])', {"full": 8.0}),
    ('quantile_over_time(0.5, level{tank="full"}[4m])', {"full": 8.0}),
    ('deriv(level{tank="full"}[5m]) * 60', {"full": 1.0}),
    ('predict_linear(level{tank="full"}[5m], 300)', {"full": 15.0}),
    ('level{tank="full"} offset 3m', {"full": 7.0}),
    ('max_over_time(delta(level{tank="full"}[2m])[4m:1m])', {"full": 2.0}),
    ('level{tank="full"} @ end() - level{tank="full"} offset 1m', {"full": 1.0}),
    ('level{tank="full"} > 9', {"full": 10.0}),
    ('level{tank="full"} > bool 10', {"full": 0.0}),
    ("min(level)", {"": 10.0}),
    ("up * on (service) group_left (team) owner == 0", {"gateway c platform": 0.0}),
    ("sum by (service) (up) / on (service) count by (service) (up)", {"gateway": 2 / 3, "auth": 1.0}),
    ('up{pod="a"} or up{pod="d"}', {"gateway a": 1.0, "auth d": 1.0}),
    ('up and on (service) owner{team="identity"}', {"auth d": 1.0}),
    ('up unless on (service) owner{team="platform"}', {"auth d": 1.0}),
    ("topk(1, requests_total)", {"gateway 200": 600.0}),
    ('absent(up{service="nobody"})', {"nobody": 1.0}),
    ("absent(up)", {}),
    ("nothing", {}),
    ('label_replace(up{pod="d"}, "pod", "$1-1", "service", "(.*)")', {"auth auth-1": 1.0}),
    ('count_values("team", up)', {"1": 3.0, "0": 1.0}),
    ('time() - timestamp(level{tank="full"})', {"full": 0.0}),
    ("hour(vector(36000)) + minute(vector(90))", {"": 11.0}),
    ("vector(7) / 0", {"": math.inf}),
    ("clamp(vector(7), 1, 3)", {"": 3.0}),
    ("round(vector(2.6), 0.5)", {"": 2.5}),
]


def _words(result: VectorResult) -> Answer:
    order = ("service", "pod", "status", "tank", "team")
    return {
        " ".join(labels.get(name) for name in order if labels.get(name)): value
        for labels, value in result.elements
    }


@pytest.mark.parametrize(("query", "answer"), ANSWERS, ids=[query for query, _ in ANSWERS])
def test_a_query_gives_the_answer_worked_out_by_hand(engine: Engine, query: str, answer: Answer) -> None:
    result = engine.instant(query, NOW)
    assert isinstance(result, VectorResult)
    assert _words(result) == pytest.approx(answer)


@pytest.mark.parametrize(
    ("query", "value"),
    [("1 + 2 * 3 ^ 2", 19.0), ("-2 ^ 2", -4.0), ("7 % -3", 1.0), ("2 > bool 1", 1.0), ("time()", NOW / 1000)],
)
def test_a_query_without_series_is_a_number(engine: Engine, query: str, value: float) -> None:
    assert engine.instant(query, NOW) == ScalarResult(value)


def test_a_range_query_gives_a_value_for_each_step_that_has_one(engine: Engine) -> None:
    result = engine.range('level{tank="full"}', NOW - 2 * MINUTE, NOW + MINUTE, MINUTE)
    [(_, points)] = result.series
    assert points == [
        (NOW - 2 * MINUTE, 8.0),
        (NOW - MINUTE, 9.0),
        (NOW, 10.0),
        (NOW + MINUTE, 10.0),
    ]


def test_an_instant_query_for_a_range_gives_the_samples_with_both_ends(engine: Engine) -> None:
    result = engine.instant('level{tank="full"}[1m]', NOW)
    assert isinstance(result, MatrixResult)
    assert [points for _, points in result.series] == [[(NOW - MINUTE, 9.0), (NOW, 10.0)]]


def test_a_sample_is_seen_for_five_minutes_and_no_longer(engine: Engine) -> None:
    assert engine.instant("up", NOW + 5 * MINUTE) != VectorResult([])
    assert engine.instant("up", NOW + 5 * MINUTE + 1) == VectorResult([])


@pytest.mark.parametrize("query", ["rate(up)", "up{", "nonsense(up)", "{}", "up and 1", "sum_over_time(up)"])
def test_what_is_not_promql_is_bad_data(engine: Engine, query: str) -> None:
    with pytest.raises(BadDataError, match=r'invalid parameter "query": 1:\d+: parse error: '):
        engine.instant(query, NOW)


def test_functions_that_came_after_this_prometheus_are_unknown(engine: Engine) -> None:
    with pytest.raises(BadDataError, match='unknown function with name "sort_by_label"'):
        engine.instant('sort_by_label(up, "pod")', NOW)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("up / on (service) owner", "many-to-one matching must be explicit"),
        ("owner / on (service) up", "matching labels must be unique on one side"),
        ('label_replace(up, "pod", "same", "", "")', "vector cannot contain metrics with the same labelset"),
        ('label_replace(up, "0bad", "", "", "")', "invalid destination label name"),
    ],
)
def test_what_cannot_be_computed_says_why(engine: Engine, query: str, words: str) -> None:
    with pytest.raises(QueryError, match=words) as caught:
        engine.instant(query, NOW)
    assert caught.value.status == 422
