"""Why: every query begins with samples: of one moment, of a window, or of an inner query's steps.

Instant selectors look back five minutes unless the series was marked stale; windows are closed at
both ends and ignore staleness, as Prometheus 2.42's are (3.0 made them left-open). Which series a
selector means is remembered until a new series is born.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sandbox.prometheus.labels import Labels
from sandbox.prometheus.matching import Matcher
from sandbox.prometheus.promql.values import (
    LOOKBACK_MS,
    Context,
    MatrixExpr,
    ScalarExpr,
    Selection,
    Vector,
    VectorExpr,
    Windows,
)
from sandbox.prometheus.storage import Series, Storage


@dataclass(frozen=True, slots=True)
class Shift:
    """``offset`` and ``@``: which moment a selector means, given the one it is evaluated at."""

    offset_ms: int = 0
    at: int | Literal["start", "end"] | None = None

    def apply(self, context: Context) -> int:
        """The moment meant, in ms."""
        if self.at is None:
            return context.time - self.offset_ms
        if self.at == "start":
            return context.start - self.offset_ms
        return (context.end if self.at == "end" else self.at) - self.offset_ms


def _selecting(matchers: tuple[Matcher, ...]) -> Callable[[Storage], list[Series]]:
    generation = -1
    found: list[Series] = []

    def select(storage: Storage) -> list[Series]:
        nonlocal generation, found
        if storage.generation != generation:
            generation, found = storage.generation, storage.select(matchers)
        return found

    return select


def instant(matchers: tuple[Matcher, ...], shift: Shift) -> VectorExpr:
    """The latest sample of each series that satisfies ``matchers``."""
    select = _selecting(matchers)

    def samples(context: Context) -> list[tuple[Series, int]]:
        moment = shift.apply(context)
        found = ((series, series.at(moment, LOOKBACK_MS)) for series in select(context.storage))
        return [(series, index) for series, index in found if index >= 0]

    def evaluate(context: Context) -> Vector:
        return [(series.labels, series.values[index]) for series, index in samples(context)]

    return VectorExpr(evaluate, Selection(matchers, samples))


def windowed(matchers: tuple[Matcher, ...], range_ms: int, shift: Shift) -> MatrixExpr:
    """The samples of each series in the ``range_ms`` before."""
    select = _selecting(matchers)

    def evaluate(context: Context) -> Windows:
        end = shift.apply(context)
        start = end - range_ms
        windows = []
        for series in select(context.storage):
            first, after = series.window(start, end)
            if after > first:
                windows.append((series, first, after))
        return Windows(start, end, windows)

    return MatrixExpr(evaluate, range_ms, Selection(matchers, lambda context: []))


def subquery(inner: VectorExpr | ScalarExpr, range_ms: int, step_ms: int, shift: Shift) -> MatrixExpr:
    """What ``inner`` answers at each multiple of ``step_ms`` in the ``range_ms`` before."""

    def evaluate(context: Context) -> Windows:
        end = shift.apply(context)
        start = end - range_ms
        collected: dict[Labels, Series] = {}
        for moment in range(-(-start // step_ms) * step_ms, end + 1, step_ms):
            for labels, value in _vector(inner, context.at(moment)):
                series = collected.get(labels)
                if series is None:
                    series = collected[labels] = Series(labels)
                series.append(moment, value)
        return Windows(start, end, [(series, 0, len(series.times)) for series in collected.values()])

    return MatrixExpr(evaluate, range_ms)


def _vector(expression: VectorExpr | ScalarExpr, context: Context) -> Vector:
    if isinstance(expression, ScalarExpr):
        return [(Labels.of(()), expression.evaluate(context))]
    return expression.evaluate(context)
