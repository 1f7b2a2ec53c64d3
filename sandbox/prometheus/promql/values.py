"""Why: every part of the evaluator exchanges the same few shapes; they stand here, once.

A compiled expression is one of ``ScalarExpr``, ``VectorExpr``, ``MatrixExpr`` or ``StringExpr``:
closures over their operands, called once per evaluation time. Times are milliseconds since the
Unix epoch, values are floats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from sandbox.prometheus.labels import Labels
from sandbox.prometheus.matching import Matcher
from sandbox.prometheus.promql.errors import QueryError
from sandbox.prometheus.storage import Series, Storage

LOOKBACK_MS = 300_000

Vector = list[tuple[Labels, float]]


class Context:
    """One evaluation: at which time, over which query's range, on which samples."""

    __slots__ = ("end", "start", "storage", "time")

    def __init__(self, storage: Storage, time: int, start: int, end: int) -> None:
        self.storage = storage
        self.time = time
        self.start = start
        self.end = end

    def at(self, time: int) -> Context:
        """The same evaluation at another time."""
        return Context(self.storage, time, self.start, self.end)


@dataclass(frozen=True, slots=True)
class Windows:
    """The samples of a range vector: of each series the indexes ``[first, after)``."""

    start: int
    end: int
    series: Sequence[tuple[Series, int, int]]


@dataclass(frozen=True, slots=True)
class Selection:
    """What a selector asks for, where functions such as ``absent`` and ``timestamp`` need to know."""

    matchers: tuple[Matcher, ...]
    samples: Callable[[Context], list[tuple[Series, int]]]


@dataclass(frozen=True, slots=True)
class ScalarExpr:
    """An expression that yields one number."""

    evaluate: Callable[[Context], float]


@dataclass(frozen=True, slots=True)
class VectorExpr:
    """An expression that yields an instant vector."""

    evaluate: Callable[[Context], Vector]
    selection: Selection | None = None


@dataclass(frozen=True, slots=True)
class MatrixExpr:
    """An expression that yields a range vector, of windows ``range_ms`` long."""

    evaluate: Callable[[Context], Windows]
    range_ms: int
    selection: Selection | None = None


@dataclass(frozen=True, slots=True)
class StringExpr:
    """A string literal."""

    value: str


Expr = ScalarExpr | VectorExpr | MatrixExpr | StringExpr


def distinct(vector: Vector) -> Vector:
    """``vector``; raises ``QueryError`` where two of its elements have the same labels."""
    if len({labels for labels, _ in vector}) != len(vector):
        raise QueryError("vector cannot contain metrics with the same labelset")
    return vector


def format_value(value: float) -> str:
    """``value`` as Prometheus writes it: the shortest exact decimal, never with an exponent."""
    if math.isfinite(value):
        text = repr(value)
        if "e" in text:
            text = format(Decimal(text), "f")
        return text.removesuffix(".0")
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def quantile(q: float, values: Sequence[float]) -> float:
    """The ``q`` quantile of ``values``, linear between ranks; infinite where q is outside [0, 1]."""
    if not values or math.isnan(q):
        return math.nan
    if q < 0 or q > 1:
        return math.copysign(math.inf, q)
    ordered = sorted(values, key=lambda value: (not math.isnan(value), value))
    rank = q * (len(ordered) - 1)
    lower = max(0, math.floor(rank))
    upper = min(len(ordered) - 1, lower + 1)
    weight = rank - math.floor(rank)
    return ordered[lower] * (1 - weight) + ordered[upper] * weight


def total(values: Sequence[float]) -> float:
    """The exact sum of ``values``, with IEEE's answers where they are not finite."""
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):
        return sum(values)


def variance(values: Sequence[float]) -> float:
    """The population variance of ``values``."""
    mean = total(values) / len(values)
    return total([(value - mean) * (value - mean) for value in values]) / len(values)
