"""Why: how much a platform bears is found by the same fault, a step stronger each time.

Says which strengths there are, in the unit they are written in, and what an experiment's author must
mend. What the steps become in a plan is ``gameday.plan``'s, what they showed ``gameday.run.gradual``'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from itertools import pairwise
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError

from gameday.spec.base import Mistake, Model, Name, nearest
from gameday.spec.faults import BaseFault, Fault

# More would take longer than any run may, or be too close to each other to be told apart.
MOST: Final = 50
_AMOUNT: Final = re.compile(r"([+-]?[0-9]{1,12}(?:\.[0-9]{1,12})?)\s*([^\s0-9.][^\s0-9]*)?")
_SECONDS: Final = {
    "ns": Decimal("1e-9"),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "ms": Decimal("1e-3"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
}
_DIGITS: Final = Context(prec=6)
_FAULT: Final = TypeAdapter[Fault](Fault)


def _no_flag(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("expected a number, or text with a unit such as 100ms")  # noqa: TRY004 - pydantic collects ValueError only
    return value


Strength = Annotated[int | float | str, BeforeValidator(_no_flag)]


@dataclass(frozen=True, slots=True)
class _Amount:
    """A number with its unit, and whether it was written as text."""

    number: Decimal
    unit: str
    text: bool
    whole: bool

    @classmethod
    def read(cls, strength: Strength) -> Self | None:
        """The amount that ``strength`` says; None where it is none."""
        match = _AMOUNT.fullmatch(str(strength).strip())
        if match is None:
            return None
        whole = isinstance(strength, int)
        return cls(Decimal(match[1]), match[2] or "", isinstance(strength, str), whole)

    def within(self, unit: str) -> Decimal | None:
        """The number in another unit; None where that cannot be said."""
        if self.unit == unit:
            return self.number
        if self.unit in _SECONDS and unit in _SECONDS:
            return self.number * _SECONDS[self.unit] / _SECONDS[unit]
        return None

    def at(self, number: Decimal) -> Strength:
        """Another number, written as this one is."""
        rounded = _DIGITS.create_decimal(number)
        if self.text:
            # Without an exponent and without zeros at the end, which ``normalize`` alone would give.
            return f"{rounded.normalize():f}{self.unit}"
        return int(rounded) if self.whole and rounded == rounded.to_integral_value() else float(rounded)


class Gradual(Model):
    """One parameter of a stage's fault over a list or a range, a step stronger each time.

    The range goes ``from`` one strength by ``step`` or ``factor``, never beyond ``to``. With
    ``holdsUpTo`` the hypothesis speaks of the steps up to that one only.
    """

    parameter: Annotated[str, Field(description="where it stands in the fault's spec, such as delay.latency")]
    fault: Annotated[Name, Field(description="which fault of the stage, where there are several")] | None = (
        None
    )
    values: tuple[Strength, ...] = ()
    first: Annotated[Strength | None, Field(alias="from")] = None
    to: Strength | None = None
    step: Strength | None = None
    factor: Annotated[float, Field(gt=0, le=1000)] | None = None
    holds_up_to: Strength | None = None

    def mistakes(self) -> Iterator[Mistake]:
        """There must be strengths, each stronger than the one before."""
        ranged = {"from": self.first, "to": self.to, "step": self.step, "factor": self.factor}
        given = [key for key, value in ranged.items() if value is not None]
        if self.values and given:
            yield (given[0],), "give either values or a range, not both"
        elif self.values:
            yield from self._of_list()
        elif self.first is None or self.to is None or (self.step is None) == (self.factor is None):
            yield (), "give values, or from and to with either a step or a factor"
        else:
            yield from self._of_range(self.first, self.to)
        if not given or not self.values:
            yield from self._of_promise()

    def _of_list(self) -> Iterator[Mistake]:
        if not 2 <= len(self.values) <= MOST:
            yield ("values",), f"expected 2 to {MOST} values"
        numbers = _in_one_unit(self.values)
        pairs = list(pairwise(numbers))
        rises = all(one < other for one, other in pairs)
        if numbers and not rises and not all(one > other for one, other in pairs):
            yield ("values",), "must grow step by step: all rising, or all falling where less is stronger"
        elif not numbers and len({str(value) for value in self.values}) < len(self.values):
            yield ("values",), "each must be given once"

    def _of_range(self, first: Strength, to: Strength) -> Iterator[Mistake]:
        begin, end = _Amount.read(first), _Amount.read(to)
        if begin is None or end is None:
            yield (
                ("from" if begin is None else "to",),
                "expected a number with at most one unit, such as 100ms",
            )
            return
        last = end.within(begin.unit)
        if last is None:
            yield ("to",), f"expected the unit of from, {begin.unit or 'none'}"
            return
        if self.factor is not None:
            up = last > begin.number
            if (self.factor <= 1) if up else (self.factor >= 1):
                yield ("factor",), f"must be {'above' if up else 'below'} 1 to come from {first} to {to}"
                return
        elif self.step is not None and _by(self.step, begin) is None:
            yield ("step",), f"expected a number above 0 in the unit of from, {begin.unit or 'none'}"
            return
        count = len(self._range(begin, last))
        if not 2 <= count <= MOST:
            yield (), f"expected 2 to {MOST} strengths from {first} to {to}; these are {_told(count)}"

    def _of_promise(self) -> Iterator[Mistake]:
        if self.holds_up_to is not None and self.strengths and self.must_hold == 0:
            known = ", ".join(str(one) for one in self.strengths)
            yield ("holdsUpTo",), f"expected one of the strengths: {known}"

    @property
    def strengths(self) -> tuple[Strength, ...]:
        """Every strength, in the order in which they are tried."""
        if self.values:
            return self.values
        begin, end = (_Amount.read(one) if one is not None else None for one in (self.first, self.to))
        last = end.within(begin.unit) if begin is not None and end is not None else None
        return (
            tuple(map(begin.at, self._range(begin, last))) if begin is not None and last is not None else ()
        )

    def _range(self, begin: _Amount, last: Decimal) -> list[Decimal]:
        by = _by(self.step, begin) if self.step is not None else None
        up, number = last > begin.number, begin.number
        found: list[Decimal] = []
        while (number <= last if up else number >= last) and len(found) <= MOST:
            found.append(number)
            if self.factor is not None:
                number *= Decimal(repr(self.factor))
            elif by is not None:
                number += by if up else -by
            else:
                break
        return found

    @property
    def must_hold(self) -> int:
        """How many of the strengths the hypothesis says are borne; 0 where it names none of them."""
        if self.holds_up_to is None:
            return len(self.strengths)
        for number, strength in enumerate(self.strengths, start=1):
            if _same(strength, self.holds_up_to):
                return number
        return 0


def _told(count: int) -> str:
    return f"more than {MOST}" if count > MOST else str(count)


def _by(step: Strength, begin: _Amount) -> Decimal | None:
    amount = _Amount.read(step)
    number = amount.within(begin.unit) if amount is not None else None
    return number if number is not None and number > 0 else None


def _in_one_unit(values: Sequence[Strength]) -> list[Decimal]:
    """The values as numbers of one unit; empty where they have none in common."""
    amounts = [_Amount.read(value) for value in values]
    first = amounts[0] if amounts else None
    numbers = [one.within(first.unit) if one is not None and first is not None else None for one in amounts]
    known = [number for number in numbers if number is not None]
    return known if len(known) == len(values) else []


def _same(one: Strength, other: Strength) -> bool:
    numbers = _in_one_unit((one, other))
    return numbers[0] == numbers[1] if numbers else str(one) == str(other)


class Step(Model):
    """Which step of which gradual stage a stage of a plan is; ``number`` counts from 1 to ``of``."""

    stage: Name
    parameter: str
    strength: str
    number: int
    of: int
    must_hold: bool

    def __str__(self) -> str:
        return f"{self.parameter} {self.strength}"


def chosen(faults: Sequence[BaseFault], gradual: Gradual) -> int | None:
    """Which of ``faults`` grows; None where that is not said."""
    if gradual.fault is None:
        return 0 if len(faults) == 1 else None
    return next((index for index, fault in enumerate(faults) if fault.name == gradual.fault), None)


def wrong_choice(faults: Sequence[BaseFault], gradual: Gradual) -> Mistake:
    """Why it is not said which of ``faults`` grows."""
    names = [fault.name for fault in faults if fault.name]
    if gradual.fault is None:
        return (
            "parameter",
        ), "the stage has several faults: name the one that grows, and say `fault: NAME` here"
    known = nearest(gradual.fault, names) or f"; known: {', '.join(names) or 'none has a name'}"
    return ("fault",), f"no fault of the stage is called {gradual.fault!r}{known}"


def wrong_path(spec: BaseModel, parameter: str) -> str:
    """Why ``parameter`` names no single value of a fault's ``spec``, "" where it does."""
    node: Any = spec
    steps = parameter.split(".")
    for number, step in enumerate(steps):
        inside = _members(node)
        if step not in inside:
            known = nearest(step, inside) or f"; known here: {', '.join(inside)}"
            return f"{step!r} is no key of {'.'.join(steps[:number]) or 'the spec'}{known}"
        node, last = inside[step], number == len(steps) - 1
        if node is None and not last:
            so_far = ".".join(steps[: number + 1])
            return f"{so_far} does not stand in the fault's spec; write it there with its first strength"
        if not last and not isinstance(node, BaseModel | dict):
            return f"{'.'.join(steps[: number + 1])} is a single value; nothing stands below it"
    if isinstance(node, BaseModel | dict):
        further = ", ".join(f"{parameter}.{key}" for key in _members(node))
        return f"names several values; go on with one of: {further}"
    return "names a list, which has no strength" if isinstance(node, tuple | list) else ""


def _members(node: Any) -> dict[str, Any]:
    if isinstance(node, BaseModel):
        own = {field.alias or name: getattr(node, name) for name, field in type(node).model_fields.items()}
        return own | (node.model_extra or {})
    return dict(node) if isinstance(node, dict) else {}


def with_strength(fault: BaseFault, parameter: str, strength: Strength) -> Fault:
    """``fault`` with another value at ``parameter``. Raises ``ValidationError`` where it cannot be."""
    written = fault.model_dump(mode="json", by_alias=True, exclude_none=True)
    *above, last = parameter.split(".")
    node = written["spec"]
    for step in above:
        node = node[step]
    node[last] = strength
    return _FAULT.validate_python(written)


def wrong_strengths(fault: BaseFault, gradual: Gradual) -> Iterator[Mistake]:
    """The strengths at which the fault would be refused."""
    for index, strength in enumerate(gradual.strengths):
        try:
            with_strength(fault, gradual.parameter, strength)
        except ValidationError as error:
            words = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
            yield (("values", index) if gradual.values else ("to",)), f"strength {strength}: {words}"
            return
