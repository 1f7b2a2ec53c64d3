"""Why: functions over an instant vector change each element, or the vector as a whole.

The plain mathematical ones are tables; ``histogram_quantile``, the label functions and ``absent``
follow Prometheus 2.42's ``promql/functions.go`` and ``promql/quantile.go``.
"""

from __future__ import annotations

import math
import re
from calendar import monthrange
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from sandbox.prometheus.labels import EMPTY, NAME, Labels
from sandbox.prometheus.matching import Matcher
from sandbox.prometheus.promql.errors import QueryError
from sandbox.prometheus.promql.values import Vector, distinct

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_REFERENCE = re.compile(r"\$(?:(\$)|(\w+)|\{(\w+)\})")


def _guarded(function: Callable[[float], float]) -> Callable[[float], float]:
    """``function``, with NaN where Python raises and infinity where it overflows."""

    def compute(value: float) -> float:
        try:
            return float(function(value))
        except OverflowError:
            return math.inf
        except ValueError:
            return math.nan

    return compute


def _logarithm(function: Callable[[float], float]) -> Callable[[float], float]:
    return _guarded(lambda value: -math.inf if value == 0 else function(value))


def _whole(function: Callable[[float], int]) -> Callable[[float], float]:
    return lambda value: float(function(value)) if math.isfinite(value) else value


def _sign(value: float) -> float:
    return value if value == 0 or math.isnan(value) else math.copysign(1.0, value)


MATHEMATICS: dict[str, Callable[[float], float]] = {
    "abs": abs,
    "acos": _guarded(math.acos),
    "acosh": _guarded(math.acosh),
    "asin": _guarded(math.asin),
    "asinh": _guarded(math.asinh),
    "atan": math.atan,
    "atanh": _guarded(math.atanh),
    "ceil": _whole(math.ceil),
    "cos": _guarded(math.cos),
    "cosh": _guarded(math.cosh),
    "deg": math.degrees,
    "exp": _guarded(math.exp),
    "floor": _whole(math.floor),
    "ln": _logarithm(math.log),
    "log10": _logarithm(math.log10),
    "log2": _logarithm(math.log2),
    "rad": math.radians,
    "sgn": _sign,
    "sin": _guarded(math.sin),
    "sinh": _guarded(math.sinh),
    "sqrt": _guarded(math.sqrt),
    "tan": _guarded(math.tan),
    "tanh": math.tanh,
}


def _calendar(read: Callable[[datetime], int]) -> Callable[[float], float]:
    def compute(value: float) -> float:
        if not math.isfinite(value):
            return math.nan
        return float(read(datetime.fromtimestamp(math.trunc(value), UTC)))

    return compute


CALENDAR: dict[str, Callable[[float], float]] = {
    "day_of_month": _calendar(lambda moment: moment.day),
    "day_of_week": _calendar(lambda moment: moment.isoweekday() % 7),
    "day_of_year": _calendar(lambda moment: moment.timetuple().tm_yday),
    "days_in_month": _calendar(lambda moment: monthrange(moment.year, moment.month)[1]),
    "hour": _calendar(lambda moment: moment.hour),
    "minute": _calendar(lambda moment: moment.minute),
    "month": _calendar(lambda moment: moment.month),
    "year": _calendar(lambda moment: moment.year),
}


def each(vector: Vector, function: Callable[[float], float]) -> Vector:
    """``function`` of each element, without its metric's name."""
    return distinct([(labels.nameless(), function(value)) for labels, value in vector])


def rounded(value: float, nearest: float) -> float:
    """``value`` to the nearest multiple of ``nearest``; halves go up."""
    if not math.isfinite(value) or nearest == 0:
        return math.nan if nearest == 0 else value
    inverse = 1.0 / nearest
    return math.floor(value * inverse + 0.5) / inverse


def clamp(vector: Vector, low: float, high: float) -> Vector:
    """Each element, held within [low, high]; nothing where that is empty."""
    if low > high:
        return []
    if math.isnan(low) or math.isnan(high):
        return each(vector, lambda value: math.nan)
    return each(vector, lambda value: value if math.isnan(value) else max(low, min(high, value)))


def ordered(vector: Vector, *, descending: bool) -> Vector:
    """By value, NaN last."""
    return sorted(
        vector, key=lambda element: (math.isnan(element[1]), -element[1] if descending else element[1])
    )


def histogram_quantile(q: float, vector: Vector) -> Vector:
    """The ``q`` quantile of each histogram, estimated from its cumulative buckets."""
    histograms: dict[Labels, list[tuple[float, float]]] = {}
    for labels, value in vector:
        try:
            bound = float(labels.get("le"))
        except ValueError:
            continue
        histograms.setdefault(labels.without(("le",)), []).append((bound, value))
    return [(labels, _bucket_quantile(q, buckets)) for labels, buckets in histograms.items()]


def _bucket_quantile(q: float, unsorted: list[tuple[float, float]]) -> float:
    if math.isnan(q):
        return math.nan
    if q < 0 or q > 1:
        return math.copysign(math.inf, q)
    buckets = _merged(sorted(unsorted))
    observations = buckets[-1][1]
    if len(buckets) < 2 or buckets[-1][0] != math.inf or observations == 0 or math.isnan(observations):
        return math.nan
    return _interpolated(q * observations, buckets)


def _interpolated(rank: float, buckets: Sequence[tuple[float, float]]) -> float:
    index = next((i for i, (_, count) in enumerate(buckets[:-1]) if count >= rank), len(buckets) - 1)
    if index == len(buckets) - 1:
        return buckets[-2][0]
    bound, count = buckets[index]
    if index == 0:
        return bound if bound <= 0 else bound * (rank / count)
    below, already = buckets[index - 1]
    return below + (bound - below) * ((rank - already) / (count - already))


def _merged(buckets: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Buckets of the same bound added up, and counts that never fall (scrapes are not atomic)."""
    merged: list[tuple[float, float]] = []
    for bound, count in buckets:
        if merged and merged[-1][0] == bound:
            merged[-1] = (bound, merged[-1][1] + count)
        else:
            merged.append((bound, count))
    highest = -math.inf
    for index, (bound, count) in enumerate(merged):
        highest = max(highest, count)
        merged[index] = (bound, highest)
    return merged


def label_replace(vector: Vector, target: str, replacement: str, source: str, pattern: str) -> Vector:
    """Set ``target`` to ``replacement`` (with ``$1``) where ``source`` matches ``pattern`` as a whole."""
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise QueryError(f"invalid regular expression in label_replace(): {pattern}") from error
    if not _LABEL_NAME.fullmatch(target):
        raise QueryError(f"invalid destination label name in label_replace(): {target}")
    result: Vector = []
    for labels, value in vector:
        match = expression.fullmatch(labels.get(source))
        changed = labels.replace({target: _expand(replacement, match)}) if match else labels
        result.append((changed, value))
    return distinct(result)


def _expand(template: str, match: re.Match[str]) -> str:
    def reference(found: re.Match[str]) -> str:
        dollar, plain, braced = found.groups()
        if dollar:
            return "$"
        name: str = plain or braced
        try:
            return match.group(int(name) if name.isdigit() else name) or ""
        except IndexError:
            return ""

    return _REFERENCE.sub(reference, template)


def label_join(vector: Vector, target: str, separator: str, sources: Sequence[str]) -> Vector:
    """Set ``target`` to the values of ``sources``, joined by ``separator``."""
    if not _LABEL_NAME.fullmatch(target):
        raise QueryError(f"invalid destination label name in label_join(): {target}")
    for source in sources:
        if not _LABEL_NAME.fullmatch(source):
            raise QueryError(f"invalid source label name in label_join(): {source}")
    return distinct(
        [
            (labels.replace({target: separator.join(labels.get(source) for source in sources)}), value)
            for labels, value in vector
        ]
    )


def absent_labels(matchers: Iterable[Matcher]) -> Labels:
    """The labels of what ``absent`` answers: those that the selector asks for by equality, once."""
    wanted: dict[str, str] = {}
    twice: set[str] = set()
    for matcher in matchers:
        if matcher.name == NAME:
            continue
        if matcher.op == "=" and matcher.name not in wanted:
            wanted[matcher.name] = matcher.value
        else:
            twice.add(matcher.name)
    return Labels.of((name, value) for name, value in wanted.items() if name not in twice)


def absent(vector: Vector, matchers: Iterable[Matcher]) -> Vector:
    """One element of value 1 where ``vector`` has none."""
    return [] if vector else [(absent_labels(matchers), 1.0)]


def scalar_of(vector: Vector) -> float:
    """The value of the only element; NaN where there is not exactly one."""
    return vector[0][1] if len(vector) == 1 else math.nan


def vector_of(value: float) -> Vector:
    """One element without labels."""
    return [(EMPTY, value)]
