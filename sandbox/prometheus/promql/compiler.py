"""Why: a query is parsed and resolved once, and then asked again every few seconds.

Turns promql-parser's tree into the closures of ``values.Expr``. What the parser accepts and
Prometheus 2.42 does not is refused here; how a refusal is worded is left to ``wording``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal, cast

import promql_parser as ast

from sandbox.prometheus.labels import NAME
from sandbox.prometheus.matching import Matcher, Operator
from sandbox.prometheus.promql import operators, selectors
from sandbox.prometheus.promql.aggregates import aggregate, grouping
from sandbox.prometheus.promql.calls import call
from sandbox.prometheus.promql.errors import bad_parameter
from sandbox.prometheus.promql.values import Expr, MatrixExpr, ScalarExpr, StringExpr, VectorExpr
from sandbox.prometheus.promql.wording import parse_error

# Prometheus's default ``global.evaluation_interval``, which a subquery without a step takes.
DEFAULT_STEP_MS = 60_000

_UNIT = timedelta(milliseconds=1)

# The parser knows it only by the name that Prometheus 3 gave it.
ast.register_extra_functions(
    [
        ast.Function(
            "holt_winters",
            [ast.ValueType.Matrix, ast.ValueType.Scalar, ast.ValueType.Scalar],
            ast.ValueType.Vector,
        )
    ]
)


def compile_query(query: str) -> Expr:
    """The compiled ``query``. Raises ``BadDataError`` where it is not PromQL."""
    return _compile(parse(query))


def parse(query: str, parameter: str = "query") -> ast.Expr:
    """promql-parser's tree of ``query``. Raises ``BadDataError`` naming the API's ``parameter``."""
    try:
        return ast.parse(query)
    except ValueError as error:
        raise bad_parameter(parameter, parse_error(str(error), query)) from error


def matchers_of(selector: ast.VectorSelector, parameter: str = "query") -> tuple[Matcher, ...]:
    """The conditions that ``selector`` sets, its name included."""
    if selector.matchers.or_matchers:
        raise bad_parameter(parameter, '1:1: parse error: unexpected identifier "or" in label matching')
    found = [] if selector.name is None else [Matcher(NAME, "=", selector.name)]
    for matcher in selector.matchers.matchers:
        try:
            found.append(Matcher(matcher.name, _operator(matcher.op), matcher.value))
        except re.error as error:
            raise bad_parameter(
                parameter, f"1:1: parse error: error parsing regexp: {error}: `{matcher.value}`"
            ) from error
    return tuple(found)


def _operator(op: ast.MatchOp) -> Operator:
    if op == ast.MatchOp.Equal:
        return "="
    if op == ast.MatchOp.NotEqual:
        return "!="
    return "=~" if op == ast.MatchOp.Re else "!~"


def _compile(node: ast.Expr) -> Expr:
    compiled: Expr
    match node:
        case ast.NumberLiteral():
            compiled = _constant(node.val)
        case ast.StringLiteral():
            compiled = StringExpr(node.val)
        case ast.ParenExpr():
            compiled = _compile(node.expr)
        case ast.VectorSelector():
            compiled = selectors.instant(matchers_of(node), _shift(node.offset, node.at))
        case ast.MatrixSelector():
            inner = node.vector_selector
            shift = _shift(inner.offset, inner.at)
            compiled = selectors.windowed(matchers_of(inner), node.range // _UNIT, shift)
        case ast.SubqueryExpr():
            compiled = _subquery(node)
        case ast.UnaryExpr():
            compiled = operators.negated(_numeric(node.expr))
        case ast.BinaryExpr():
            compiled = _binary(node)
        case ast.AggregateExpr():
            compiled = _aggregate(node)
        case ast.Call():
            compiled = call(node.func.name, [_compile(argument) for argument in node.args])
        case _:
            raise bad_parameter("query", f"1:1: parse error: unknown expression {type(node).__name__}")
    return compiled


def _constant(value: float) -> ScalarExpr:
    return ScalarExpr(lambda context: value)


def _numeric(node: ast.Expr) -> ScalarExpr | VectorExpr:
    compiled = _compile(node)
    assert isinstance(compiled, ScalarExpr | VectorExpr)
    return compiled


def _shift(offset: timedelta | None, at: ast.AtModifier | None) -> selectors.Shift:
    offset_ms = 0 if offset is None else offset // _UNIT
    if at is None:
        return selectors.Shift(offset_ms)
    if at.type == ast.AtModifierType.Start:
        return selectors.Shift(offset_ms, "start")
    if at.type == ast.AtModifierType.End:
        return selectors.Shift(offset_ms, "end")
    assert at.at is not None
    return selectors.Shift(offset_ms, round(at.at.timestamp() * 1000))


def _subquery(node: ast.SubqueryExpr) -> MatrixExpr:
    assert node.range is not None
    step = DEFAULT_STEP_MS if node.step is None else node.step // _UNIT
    return selectors.subquery(_numeric(node.expr), node.range // _UNIT, step, _shift(node.offset, node.at))


def _binary(node: ast.BinaryExpr) -> ScalarExpr | VectorExpr:
    op = str(node.op)
    left, right = _numeric(node.lhs), _numeric(node.rhs)
    matching = _matching(node.modifier)
    if isinstance(left, ScalarExpr):
        if isinstance(right, ScalarExpr):
            return operators.scalars(op, left, right)
        return operators.vector_and_scalar(
            op, right, left, scalar_first=True, bool_result=matching.bool_result
        )
    if isinstance(right, ScalarExpr):
        return operators.vector_and_scalar(
            op, left, right, scalar_first=False, bool_result=matching.bool_result
        )
    if op in {"and", "or", "unless"}:
        return operators.set_operation(op, left, right, matching)
    return operators.vectors(op, left, right, matching)


def _matching(modifier: ast.BinModifier | None) -> operators.Matching:
    if modifier is None:
        return operators.Matching()
    labels = modifier.matching
    many: dict[Any, Literal["left", "right"]] = {
        str(ast.VectorMatchCardinality.ManyToOne): "left",
        str(ast.VectorMatchCardinality.OneToMany): "right",
    }
    return operators.Matching(
        on=labels is not None and labels.type == ast.LabelModifierType.Include,
        names=() if labels is None else tuple(labels.labels),
        many=many.get(str(modifier.card), ""),
        include=tuple(modifier.group_labels or ()),
        bool_result=modifier.return_bool,
    )


def _aggregate(node: ast.AggregateExpr) -> VectorExpr:
    operand = _compile(node.expr)
    assert isinstance(operand, VectorExpr)
    names: Sequence[str] | None = None
    without = False
    if node.modifier is not None:
        names = node.modifier.labels
        without = node.modifier.type == ast.AggModifierType.Without
    parameter = None if node.param is None else _compile(cast("ast.Expr", node.param))
    return aggregate(str(node.op), operand, parameter, grouping(names, without=without))
