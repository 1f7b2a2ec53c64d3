"""Why: ``sum by (service)`` and its kin fold many elements into one per group.

The rules are those of Prometheus 2.42's ``promql/engine.go``: NaN loses to any number in min and
max, sorts last in topk and bottomk, and variances are of the population.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sandbox.prometheus.labels import EMPTY, Labels
from sandbox.prometheus.promql.errors import QueryError
from sandbox.prometheus.promql.values import (
    Context,
    Expr,
    ScalarExpr,
    StringExpr,
    Vector,
    VectorExpr,
    format_value,
    quantile,
    variance,
)

Grouping = Callable[[Labels], Labels]


def grouping(names: Sequence[str] | None, *, without: bool) -> Grouping:
    """By which labels a group is known: ``by (names)``, ``without (names)``, or all in one group."""
    if names is None:
        return lambda labels: EMPTY
    kept = tuple(names)
    if without:
        return lambda labels: labels.without(kept)
    return lambda labels: labels.only(kept)


def _maximum(values: Sequence[float]) -> float:
    found = values[0]
    for value in values:
        if found < value or math.isnan(found):
            found = value
    return found


def _minimum(values: Sequence[float]) -> float:
    found = values[0]
    for value in values:
        if found > value or math.isnan(found):
            found = value
    return found


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


_FOLDS: dict[str, Callable[[Sequence[float]], float]] = {
    "avg": _mean,
    "min": _minimum,
    "max": _maximum,
    "count": lambda values: float(len(values)),
    "group": lambda values: 1.0,
    "stdvar": variance,
    "stddev": lambda values: math.sqrt(variance(values)),
}


def aggregate(op: str, operand: VectorExpr, parameter: Expr | None, group: Grouping) -> VectorExpr:
    """The compiled aggregation ``op`` of ``operand``."""
    if op == "sum":
        return VectorExpr(_sum(operand, group))
    if op in _FOLDS:
        return VectorExpr(_fold(_FOLDS[op], operand, group))
    if op == "count_values" and isinstance(parameter, StringExpr):
        return VectorExpr(_count_values(parameter.value, operand, group))
    assert isinstance(parameter, ScalarExpr)
    if op == "quantile":
        return VectorExpr(_quantile(parameter, operand, group))
    return VectorExpr(_best(parameter, operand, group, highest=op == "topk"))


def _sum(operand: VectorExpr, group: Grouping) -> Callable[[Context], Vector]:
    def evaluate(context: Context) -> Vector:
        sums: dict[Labels, float] = {}
        for labels, value in operand.evaluate(context):
            key = group(labels)
            sums[key] = sums[key] + value if key in sums else value
        return list(sums.items())

    return evaluate


def _groups(vector: Vector, group: Grouping) -> dict[Labels, list[float]]:
    groups: dict[Labels, list[float]] = {}
    for labels, value in vector:
        groups.setdefault(group(labels), []).append(value)
    return groups


def _fold(
    fold: Callable[[Sequence[float]], float], operand: VectorExpr, group: Grouping
) -> Callable[[Context], Vector]:
    def evaluate(context: Context) -> Vector:
        found = _groups(operand.evaluate(context), group)
        return [(labels, fold(values)) for labels, values in found.items()]

    return evaluate


def _quantile(parameter: ScalarExpr, operand: VectorExpr, group: Grouping) -> Callable[[Context], Vector]:
    def evaluate(context: Context) -> Vector:
        q = parameter.evaluate(context)
        found = _groups(operand.evaluate(context), group)
        return [(labels, quantile(q, values)) for labels, values in found.items()]

    return evaluate


def _count_values(label: str, operand: VectorExpr, group: Grouping) -> Callable[[Context], Vector]:
    def evaluate(context: Context) -> Vector:
        if not label.replace("_", "a").isalnum() or label[0].isdigit():
            raise QueryError(f'invalid label name "{label}"')
        counts: dict[Labels, float] = {}
        for labels, value in operand.evaluate(context):
            key = group(labels.replace({label: format_value(value)})).replace({label: format_value(value)})
            counts[key] = counts.get(key, 0.0) + 1.0
        return list(counts.items())

    return evaluate


def _best(
    parameter: ScalarExpr, operand: VectorExpr, group: Grouping, *, highest: bool
) -> Callable[[Context], Vector]:
    def rank(element: tuple[Labels, float]) -> tuple[bool, float]:
        value = element[1]
        return math.isnan(value), -value if highest else value

    def evaluate(context: Context) -> Vector:
        limit = parameter.evaluate(context)
        if math.isnan(limit) or math.isinf(limit):
            raise QueryError(f"Scalar value {format_value(limit)} overflows int64")
        groups: dict[Labels, Vector] = {}
        for element in operand.evaluate(context):
            groups.setdefault(group(element[0]), []).append(element)
        count = max(0, int(limit))
        return [element for members in groups.values() for element in sorted(members, key=rank)[:count]]

    return evaluate
