"""Why: half of every alert is a comparison, and vectors must be matched before they are compared.

Arithmetic with Go's answers (no exception for 1/0), comparisons that filter or, with ``bool``,
answer 0 or 1, the set operators, and matching by ``on``, ``ignoring`` and ``group_*``, as
Prometheus 2.42's ``promql/engine.go`` does them.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.prometheus.labels import Labels
from sandbox.prometheus.promql.errors import QueryError
from sandbox.prometheus.promql.values import Context, ScalarExpr, Vector, VectorExpr, distinct


def _divide(left: float, right: float) -> float:
    if right:
        return left / right
    return math.nan if left == 0 or math.isnan(left) else left * math.copysign(math.inf, right)


def _modulo(left: float, right: float) -> float:
    if right == 0 or math.isinf(left) or math.isnan(left) or math.isnan(right):
        return math.nan
    return math.fmod(left, right)


def _power(left: float, right: float) -> float:
    try:
        return math.pow(left, right)
    except OverflowError:
        return -math.inf if left < 0 and right % 2 == 1 else math.inf
    except ValueError:
        if left:
            return math.nan
        return math.copysign(math.inf, left) if right % 2 == 1 else math.inf


ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "%": _modulo,
    "^": _power,
    "atan2": math.atan2,
}
# Prometheus 2.42 forgets to drop the metric's name for atan2, and so must we.
_NAMELESS = frozenset("+-*/%^")
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


@dataclass(frozen=True, slots=True)
class Matching:
    """How the two sides of an operator find each other, and what it answers."""

    on: bool = False
    names: tuple[str, ...] = ()
    many: str = ""
    """``left`` for group_left, ``right`` for group_right."""
    include: tuple[str, ...] = ()
    bool_result: bool = False

    def signature(self, labels: Labels) -> Labels:
        """What two elements must share to be matched."""
        return labels.only(self.names) if self.on else labels.without(self.names)


def scalars(op: str, left: ScalarExpr, right: ScalarExpr) -> ScalarExpr:
    """An operator between two numbers; a comparison answers 0 or 1."""
    compute: Callable[[float, float], float] = ARITHMETIC.get(op) or COMPARISONS[op]
    return ScalarExpr(lambda context: float(compute(left.evaluate(context), right.evaluate(context))))


def vector_and_scalar(
    op: str, vector: VectorExpr, scalar: ScalarExpr, *, scalar_first: bool, bool_result: bool
) -> VectorExpr:
    """An operator between each element of a vector and a number, on either side."""
    if op in ARITHMETIC:
        compute = ARITHMETIC[op]

        def arithmetic(context: Context) -> Vector:
            number = scalar.evaluate(context)
            elements = vector.evaluate(context)
            if scalar_first:
                found = [(labels, compute(number, value)) for labels, value in elements]
            else:
                found = [(labels, compute(value, number)) for labels, value in elements]
            if op not in _NAMELESS:
                return found
            return distinct([(labels.nameless(), value) for labels, value in found])

        return VectorExpr(arithmetic)
    holds = COMPARISONS[op]

    def comparison(context: Context) -> Vector:
        number = scalar.evaluate(context)
        elements = vector.evaluate(context)
        verdicts = [holds(number, value) if scalar_first else holds(value, number) for _, value in elements]
        if bool_result:
            judged = zip(elements, verdicts, strict=True)
            return distinct([(labels.nameless(), float(verdict)) for (labels, _), verdict in judged])
        return [element for element, verdict in zip(elements, verdicts, strict=True) if verdict]

    return VectorExpr(comparison)


def set_operation(op: str, left: VectorExpr, right: VectorExpr, matching: Matching) -> VectorExpr:
    """``and``, ``or`` or ``unless``."""
    signature = matching.signature

    def evaluate(context: Context) -> Vector:
        ours, theirs = left.evaluate(context), right.evaluate(context)
        if op == "or":
            known = {signature(labels) for labels, _ in ours}
            return distinct(ours + [element for element in theirs if signature(element[0]) not in known])
        known = {signature(labels) for labels, _ in theirs}
        wanted = op == "and"
        return [element for element in ours if (signature(element[0]) in known) == wanted]

    return VectorExpr(evaluate)


def vectors(op: str, left: VectorExpr, right: VectorExpr, matching: Matching) -> VectorExpr:
    """Arithmetic or a comparison between the matching elements of two vectors."""
    many_right = matching.many == "right"

    def evaluate(context: Context) -> Vector:
        ours, theirs = left.evaluate(context), right.evaluate(context)
        if not ours or not theirs:
            return []
        many, one = (theirs, ours) if many_right else (ours, theirs)
        partners = _unique(one, matching)
        found: Vector = []
        matched: dict[Labels, set[Labels]] = {}
        for labels, value in many:
            key = matching.signature(labels)
            partner = partners.get(key)
            if partner is None:
                continue
            sides = (partner[1], value) if many_right else (value, partner[1])
            result = _compute(op, *sides, matching.bool_result)
            if result is None:
                continue
            metric = _result_labels(op, labels, partner[0], matching)
            _note(matched, key, metric, matching)
            found.append((metric, result))
        return distinct(found)

    return VectorExpr(evaluate)


def _compute(op: str, left: float, right: float, bool_result: bool) -> float | None:
    if op in ARITHMETIC:
        return ARITHMETIC[op](left, right)
    holds = COMPARISONS[op](left, right)
    if bool_result:
        return float(holds)
    return left if holds else None


def _unique(one: Vector, matching: Matching) -> dict[Labels, tuple[Labels, float]]:
    found: dict[Labels, tuple[Labels, float]] = {}
    for element in one:
        key = matching.signature(element[0])
        if key in found:
            side = "left" if matching.many == "right" else "right"
            raise QueryError(
                f"found duplicate series for the match group {key!r} on the {side} hand-side "
                f"of the operation: [{element[0]!r}, {found[key][0]!r}];many-to-many matching not allowed: "
                "matching labels must be unique on one side"
            )
        found[key] = element
    return found


def _note(matched: dict[Labels, set[Labels]], key: Labels, metric: Labels, matching: Matching) -> None:
    metrics = matched.get(key)
    if metrics is None:
        matched[key] = {metric}
    elif not matching.many:
        raise QueryError(
            "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
        )
    elif metric in metrics:
        raise QueryError("multiple matches for labels: grouping labels must ensure unique matches")
    else:
        metrics.add(metric)


def _result_labels(op: str, labels: Labels, partner: Labels, matching: Matching) -> Labels:
    drop_name = op in _NAMELESS or matching.bool_result
    result = labels.nameless() if drop_name else labels
    if not matching.many:
        if matching.on:
            kept = result.only(matching.names)
            return kept.nameless() if drop_name else kept
        if matching.names:
            return result.replace(dict.fromkeys(matching.names, ""))
        return result
    return (
        result.replace({name: partner.get(name) for name in matching.include}) if matching.include else result
    )


def negated(operand: ScalarExpr | VectorExpr) -> ScalarExpr | VectorExpr:
    """``-operand``."""
    if isinstance(operand, ScalarExpr):
        return ScalarExpr(lambda context: -operand.evaluate(context))
    return VectorExpr(
        lambda context: distinct([(labels.nameless(), -value) for labels, value in operand.evaluate(context)])
    )
