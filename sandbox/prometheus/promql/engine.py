"""Why: one door to PromQL: a query and its times in, Prometheus's result types out.

Remembers compiled queries. It leaves HTTP, its parameters and its formats to ``sandbox.prometheus.api``.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from sandbox.prometheus.labels import EMPTY, Labels
from sandbox.prometheus.promql.compiler import compile_query
from sandbox.prometheus.promql.errors import BadDataError
from sandbox.prometheus.promql.values import (
    Context,
    Expr,
    MatrixExpr,
    ScalarExpr,
    StringExpr,
    Vector,
    VectorExpr,
    distinct,
)
from sandbox.prometheus.storage import Storage

_REMEMBERED = 512

Point = tuple[int, float]


@dataclass(frozen=True, slots=True)
class ScalarResult:
    """One number."""

    value: float


@dataclass(frozen=True, slots=True)
class StringResult:
    """One text."""

    value: str


@dataclass(frozen=True, slots=True)
class VectorResult:
    """One value for each label set."""

    elements: Vector


@dataclass(frozen=True, slots=True)
class MatrixResult:
    """Values with their times (ms) for each label set."""

    series: list[tuple[Labels, list[Point]]]


Result = ScalarResult | StringResult | VectorResult | MatrixResult


class Engine:
    """Evaluates PromQL over a ``Storage``."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._compiled: OrderedDict[str, Expr] = OrderedDict()

    def _expression(self, query: str) -> Expr:
        expression = self._compiled.get(query)
        if expression is None:
            expression = self._compiled[query] = compile_query(query)
            if len(self._compiled) > _REMEMBERED:
                self._compiled.popitem(last=False)
        return expression

    def instant(self, query: str, time: int) -> Result:
        """What ``query`` answers at ``time`` (ms). Raises ``QueryError``."""
        expression = self._expression(query)
        context = Context(self._storage, time, time, time)
        match expression:
            case ScalarExpr():
                return ScalarResult(expression.evaluate(context))
            case StringExpr():
                return StringResult(expression.value)
            case VectorExpr():
                return VectorResult(distinct(expression.evaluate(context)))
            case MatrixExpr():
                return MatrixResult(
                    [
                        (series.labels, list(zip(series.times[a:b], series.values[a:b], strict=True)))
                        for series, a, b in expression.evaluate(context).series
                    ]
                )

    def range(self, query: str, start: int, end: int, step: int) -> MatrixResult:
        """What ``query`` answers at each ``step`` from ``start`` to ``end`` (ms). Raises ``QueryError``."""
        expression = self._expression(query)
        if not isinstance(expression, VectorExpr | ScalarExpr):
            kind: Literal["string", "range vector"] = (
                "string" if isinstance(expression, StringExpr) else "range vector"
            )
            raise BadDataError(
                f'invalid expression type "{kind}" for range query, must be Scalar or instant Vector'
            )
        collected: dict[Labels, list[Point]] = {}
        if isinstance(expression, ScalarExpr):
            collected[EMPTY] = []
        for time in range(start, end + 1, step):
            context = Context(self._storage, time, start, end)
            if isinstance(expression, ScalarExpr):
                collected[EMPTY].append((time, expression.evaluate(context)))
                continue
            for labels, value in distinct(expression.evaluate(context)):
                points = collected.get(labels)
                if points is None:
                    points = collected[labels] = []
                points.append((time, value))
        return MatrixResult(sorted(collected.items(), key=lambda item: item[0].pairs))
