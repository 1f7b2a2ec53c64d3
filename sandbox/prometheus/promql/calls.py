"""Why: a function call in a query becomes a closure over its compiled arguments.

The parser has checked number and types of the arguments; a function that Prometheus 2.42 did not
have is refused as unknown, even where the parser knows it. What each function computes stands in
``instants`` and ``ranges``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sandbox.prometheus.promql import instants, ranges
from sandbox.prometheus.promql.errors import QueryError, bad_parameter
from sandbox.prometheus.promql.values import (
    Context,
    Expr,
    MatrixExpr,
    ScalarExpr,
    StringExpr,
    Vector,
    VectorExpr,
    Windows,
    distinct,
    quantile,
)
from sandbox.prometheus.storage import Series

Arguments = Sequence[Expr]


def call(name: str, arguments: Arguments) -> Expr:
    """The compiled call of the function ``name``. Raises ``BadDataError`` where there is none."""
    if name in ranges.FUNCTIONS:
        return _over_range(ranges.FUNCTIONS[name], _matrix(arguments[0]), keep_name=name == "last_over_time")
    if name in instants.MATHEMATICS:
        return _mapped(instants.MATHEMATICS[name], arguments[0])
    if name in instants.CALENDAR:
        return _calendar(instants.CALENDAR[name], arguments)
    if name in _SPECIAL:
        return _SPECIAL[name](arguments)
    raise bad_parameter("query", f'1:1: parse error: unknown function with name "{name}"')


def _matrix(argument: Expr) -> MatrixExpr:
    assert isinstance(argument, MatrixExpr)
    return argument


def _vector(argument: Expr) -> VectorExpr:
    assert isinstance(argument, VectorExpr)
    return argument


def _scalar(argument: Expr) -> ScalarExpr:
    assert isinstance(argument, ScalarExpr)
    return argument


def _string(argument: Expr) -> str:
    assert isinstance(argument, StringExpr)
    return argument.value


def _over_range(function: ranges.RangeFunction, matrix: MatrixExpr, *, keep_name: bool) -> VectorExpr:
    def evaluate(context: Context) -> Vector:
        windows = matrix.evaluate(context)
        start, end = windows.start, windows.end
        found: Vector = []
        for series, first, after in windows.series:
            value = function(series, first, after, start, end)
            if value is not None:
                found.append((series.labels if keep_name else series.labels.nameless(), value))
        return distinct(found)

    return VectorExpr(evaluate)


def _with_parameter(
    matrix: MatrixExpr, bind: Callable[[Context, Windows], Callable[[Series, int, int], float | None]]
) -> VectorExpr:
    def evaluate(context: Context) -> Vector:
        windows = matrix.evaluate(context)
        function = bind(context, windows)
        values = [(series.labels.nameless(), function(series, *where)) for series, *where in windows.series]
        return distinct([(labels, value) for labels, value in values if value is not None])

    return VectorExpr(evaluate)


def _mapped(function: Callable[[float], float], argument: Expr) -> VectorExpr:
    vector = _vector(argument)
    return VectorExpr(lambda context: instants.each(vector.evaluate(context), function))


def _calendar(function: Callable[[float], float], arguments: Arguments) -> VectorExpr:
    if arguments:
        return _mapped(function, arguments[0])
    return VectorExpr(lambda context: instants.vector_of(function(context.time / 1000)))


def _round(arguments: Arguments) -> VectorExpr:
    vector = _vector(arguments[0])
    nearest = _scalar(arguments[1]) if len(arguments) > 1 else ScalarExpr(lambda context: 1.0)

    def evaluate(context: Context) -> Vector:
        to = nearest.evaluate(context)
        return instants.each(vector.evaluate(context), lambda value: instants.rounded(value, to))

    return VectorExpr(evaluate)


def _clamp(arguments: Arguments, low: Expr | None, high: Expr | None) -> VectorExpr:
    vector = _vector(arguments[0])
    lowest = _scalar(low) if low else ScalarExpr(lambda context: -math.inf)
    highest = _scalar(high) if high else ScalarExpr(lambda context: math.inf)
    return VectorExpr(
        lambda context: instants.clamp(
            vector.evaluate(context), lowest.evaluate(context), highest.evaluate(context)
        )
    )


def _sort(arguments: Arguments, *, descending: bool) -> VectorExpr:
    vector = _vector(arguments[0])
    return VectorExpr(lambda context: instants.ordered(vector.evaluate(context), descending=descending))


def _histogram_quantile(arguments: Arguments) -> VectorExpr:
    q, vector = _scalar(arguments[0]), _vector(arguments[1])
    return VectorExpr(
        lambda context: instants.histogram_quantile(q.evaluate(context), vector.evaluate(context))
    )


def _label_replace(arguments: Arguments) -> VectorExpr:
    vector = _vector(arguments[0])
    target, replacement, source, pattern = (_string(argument) for argument in arguments[1:])
    return VectorExpr(
        lambda context: instants.label_replace(vector.evaluate(context), target, replacement, source, pattern)
    )


def _label_join(arguments: Arguments) -> VectorExpr:
    vector = _vector(arguments[0])
    target, separator, *sources = (_string(argument) for argument in arguments[1:])
    return VectorExpr(
        lambda context: instants.label_join(vector.evaluate(context), target, separator, sources)
    )


def _absent(arguments: Arguments) -> VectorExpr:
    vector = _vector(arguments[0])
    matchers = vector.selection.matchers if vector.selection else ()
    return VectorExpr(lambda context: instants.absent(vector.evaluate(context), matchers))


def _absent_over_time(arguments: Arguments) -> VectorExpr:
    matrix = _matrix(arguments[0])
    matchers = matrix.selection.matchers if matrix.selection else ()

    def evaluate(context: Context) -> Vector:
        return [] if matrix.evaluate(context).series else [(instants.absent_labels(matchers), 1.0)]

    return VectorExpr(evaluate)


def _timestamp(arguments: Arguments) -> VectorExpr:
    vector = _vector(arguments[0])
    selection = vector.selection

    def of_samples(context: Context) -> Vector:
        assert selection is not None
        return distinct(
            [
                (series.labels.nameless(), series.times[index] / 1000)
                for series, index in selection.samples(context)
            ]
        )

    def of_evaluation(context: Context) -> Vector:
        return instants.each(vector.evaluate(context), lambda value: context.time / 1000)

    return VectorExpr(of_samples if selection else of_evaluation)


def _quantile_over_time(arguments: Arguments) -> VectorExpr:
    q = _scalar(arguments[0])

    def bind(context: Context, windows: Windows) -> Callable[[Series, int, int], float | None]:
        wanted = q.evaluate(context)
        return lambda series, first, after: quantile(wanted, series.values[first:after])

    return _with_parameter(_matrix(arguments[1]), bind)


def _predict_linear(arguments: Arguments) -> VectorExpr:
    ahead = _scalar(arguments[1])

    def bind(context: Context, windows: Windows) -> Callable[[Series, int, int], float | None]:
        seconds = ahead.evaluate(context)
        return lambda series, first, after: ranges.predict_linear(series, first, after, context.time, seconds)

    return _with_parameter(_matrix(arguments[0]), bind)


def _holt_winters(arguments: Arguments) -> VectorExpr:
    smoothing, trend = _scalar(arguments[1]), _scalar(arguments[2])

    def bind(context: Context, windows: Windows) -> Callable[[Series, int, int], float | None]:
        factors = smoothing.evaluate(context), trend.evaluate(context)
        for what, factor in zip(("smoothing", "trend"), factors, strict=True):
            if not 0 < factor < 1:
                raise QueryError(f"invalid {what} factor. Expected: 0 < {what[0]}f < 1, got: {factor:f}")
        return lambda series, first, after: ranges.holt_winters(series, first, after, *factors)

    return _with_parameter(_matrix(arguments[0]), bind)


def _scalar_call(arguments: Arguments) -> ScalarExpr:
    vector = _vector(arguments[0])
    return ScalarExpr(lambda context: instants.scalar_of(vector.evaluate(context)))


def _vector_call(arguments: Arguments) -> VectorExpr:
    scalar = _scalar(arguments[0])
    return VectorExpr(lambda context: instants.vector_of(scalar.evaluate(context)))


_SPECIAL: dict[str, Callable[[Arguments], Expr]] = {
    "absent": _absent,
    "absent_over_time": _absent_over_time,
    "clamp": lambda arguments: _clamp(arguments, arguments[1], arguments[2]),
    "clamp_max": lambda arguments: _clamp(arguments, None, arguments[1]),
    "clamp_min": lambda arguments: _clamp(arguments, arguments[1], None),
    "histogram_quantile": _histogram_quantile,
    "holt_winters": _holt_winters,
    "label_join": _label_join,
    "label_replace": _label_replace,
    "pi": lambda arguments: ScalarExpr(lambda context: math.pi),
    "predict_linear": _predict_linear,
    "quantile_over_time": _quantile_over_time,
    "round": _round,
    "scalar": _scalar_call,
    "sort": lambda arguments: _sort(arguments, descending=False),
    "sort_desc": lambda arguments: _sort(arguments, descending=True),
    "time": lambda arguments: ScalarExpr(lambda context: context.time / 1000),
    "timestamp": _timestamp,
    "vector": _vector_call,
}
