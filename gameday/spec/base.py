"""Why: every declared thing is read the same strict way, and every mistake is explained the same way.

Holds the base model (unknown keys forbidden, camelCase in files, a suggestion for a misspelt key)
and the small types that all declarations share. Where a value stands in which file is the
loader's business.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Self

import durationpy
import promql_parser
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainSerializer,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import InitErrorDetails, PydanticCustomError

_DURATION = re.compile(r"([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+")
_COMPARISON = re.compile(r"(>=|<=|==|!=|>|<)\s*(-?[0-9]+(?:\.[0-9]+)?)\s*(%)?")
_OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}


# What pydantic calls these things tells a reader of YAML nothing.
_PLAIN_WORDS: Final = {
    "string_type": "expected text; a number or a date stands in quotes",
    "tuple_type": "expected a list",
    "list_type": "expected a list",
    "dict_type": "expected keys and values",
    "model_type": "expected keys and values",
    "model_attributes_type": "expected keys and values",
    "union_tag_not_found": "the key 'kind' is missing",
    "union_tag_invalid": "expected the name of a fault kind as kind",
    "invalid_key": "expected text as key",
}

Mistake = tuple[tuple[str | int, ...], str]


def nearest(name: str, known: Iterable[str]) -> str:
    """The hint ``; did you mean …?`` for the known name most like ``name``, or nothing."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {found[0]!r}?" if found else ""


def check_promql(query: str) -> str:
    """Return ``query`` as it is. Raises ``ValueError`` where it is not PromQL."""
    try:
        promql_parser.parse(query)
    except ValueError as error:
        raise ValueError(f"not valid PromQL: {error}") from None
    return query


class Model(BaseModel):
    """A declared thing: immutable, no unknown keys, camelCase in files."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        validate_default=False,
        hide_input_in_errors=True,
    )

    # Keys that people write here although they belong elsewhere, and where that is.
    elsewhere: ClassVar[Mapping[str, str]] = MappingProxyType({})
    # Lists whose items are told apart by their names: the key, and what one of them is called.
    told_apart: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def mistakes(self) -> Iterator[Mistake]:
        """What is wrong although each value by itself is right: where below this, and why.

        All of them are told at once, which a chain of pydantic's own validators would not do.
        """
        yield from ()

    @model_validator(mode="wrap")
    @classmethod
    def _tell_every_mistake(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        # Looked for in what was written, so that no other mistake in it hides them.
        twice = [_detail("rule", words, place, None) for place, words in cls._given_twice(data)]
        try:
            made = handler(data)
        except ValidationError as error:
            found = error.errors(include_url=False)
            details = [cls._explained(detail) for detail in found]
            details += cls._behind_unknown_keys(data, found, handler)
            raise ValidationError.from_exception_data(error.title, details + twice) from None
        broken = [_detail("rule", words, place, None) for place, words in made.mistakes()]
        if broken or twice:
            raise ValidationError.from_exception_data(cls.__name__, broken + twice)
        return made

    @classmethod
    def _given_twice(cls, data: Any) -> Iterator[Mistake]:
        """A mistake for each item of a list that has the name of one before it."""
        for key, what in cls.told_apart.items():
            items = data.get(key) if isinstance(data, Mapping) else None
            seen: set[str] = set()
            for index, item in enumerate(items if isinstance(items, list | tuple) else ()):
                name = item.get("name") if isinstance(item, Mapping) else getattr(item, "name", None)
                if isinstance(name, str):
                    if name in seen:
                        yield (key, index, "name"), f"another {what} is called {name!r} already"
                    seen.add(name)

    @classmethod
    def _behind_unknown_keys(
        cls, data: Any, found: list[Any], handler: ModelWrapValidatorHandler[Self]
    ) -> list[InitErrorDetails]:
        """The mistakes that would only come up once the unknown keys were mended."""
        unknown = {
            one["loc"][0] for one in found if one["type"] == "extra_forbidden" and len(one["loc"]) == 1
        }
        if len(unknown) < len(found) or not isinstance(data, Mapping):
            return []
        try:
            made = handler({key: value for key, value in data.items() if key not in unknown})
        except ValidationError as error:
            return [cls._explained(detail) for detail in error.errors(include_url=False)]
        return [_detail("rule", words, place, None) for place, words in made.mistakes()]

    @classmethod
    def _explained(cls, detail: Any) -> InitErrorDetails:
        kind, message, location = detail["type"], detail["msg"], detail["loc"]
        if kind == "extra_forbidden" and len(location) == 1:
            key = str(location[0])
            known = [field.alias or name for name, field in cls.model_fields.items()]
            hint = nearest(key, known) or "; known here: " + ", ".join(known)
            message = cls.elsewhere.get(key) or f"unknown key{hint}"
            kind = "unknown_key"
        elif kind == "literal_error":
            expected = detail["ctx"]["expected"]
            hint = nearest(str(detail.get("input")), re.findall("'([^']*)'", expected))
            message = f"expected {expected}{hint}"
            kind = "not_one_of"
        elif kind == "string_pattern_mismatch":
            message = f"expected {cls._described(location) or message.removeprefix('String should ')}"
            kind = "not_of_this_form"
        else:
            message = _PLAIN_WORDS.get(kind) or message.replace("Input should be", "expected")
        return _detail(kind, message, location, detail.get("input"))

    @classmethod
    def _described(cls, location: tuple[str | int, ...]) -> str:
        """What this model says of the field at ``location``, if it is one of its own."""
        fields = cls.model_fields.items()
        own = {field.alias or name: field.description for name, field in fields}
        return (own.get(str(location[0])) or "") if len(location) == 1 else ""


def _detail(kind: str, words: str, place: tuple[str | int, ...], value: Any) -> InitErrorDetails:
    # A custom error keeps the words as they are; a built-in type would need its context again.
    plain = PydanticCustomError(kind, "{words}", {"words": words})
    return InitErrorDetails(type=plain, loc=place, input=value)


def parse_duration(value: object) -> timedelta:
    """Read ``90s``, ``5m``, ``1h30m`` or ``100ms`` (Go's notation, as Chaos Mesh writes it).

    Raises ``ValueError`` for anything else, a bare number included: it would have no unit.
    """
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str) or not _DURATION.fullmatch(value.strip()):
        raise ValueError("expected a duration with its unit, such as 30s, 5m or 1h30m")
    try:
        parsed: timedelta = durationpy.from_str(value.strip())
    except (durationpy.DurationError, OverflowError):
        raise ValueError("too long for a duration") from None
    return parsed


def format_duration(value: timedelta) -> str:
    """Write a duration in Go's notation, without parts that are zero: ``5m``, ``1m30s``, ``250ms``."""
    rest = abs(value) // timedelta(microseconds=1)
    sign = "-" if value < timedelta(0) else ""
    parts = []
    for size, unit in ((3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"), (1000, "ms"), (1, "us")):
        amount, rest = divmod(rest, size)
        parts.append((amount, unit))
    return sign + ("".join(f"{amount}{unit}" for amount, unit in parts if amount) or "0s")


_DURATION_SCHEMA: Final[dict[str, Any]] = {
    "type": "string",
    "pattern": f"^{_DURATION.pattern}$",
    "examples": ["30s", "5m", "1h30m"],
}

Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema(_DURATION_SCHEMA),
]


def _check_go_duration(value: object) -> object:
    parse_duration(value)
    return value.strip() if isinstance(value, str) else value


# Kept as it is written: it goes to Chaos Mesh word for word.
GoDuration = Annotated[str, BeforeValidator(_check_go_duration), WithJsonSchema(_DURATION_SCHEMA)]

# RFC 1123 label: these names become parts of Kubernetes names and label values.
_NAME: Final = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
LONGEST_NAME: Final = 40
NAME_FORM: Final = f"lowercase letters, digits and '-', at most {LONGEST_NAME} characters"
"""What a name is made of, in words."""
Name = Annotated[str, StringConstraints(pattern=_NAME, max_length=LONGEST_NAME), Field(description=NAME_FORM)]


def is_name(text: str) -> bool:
    """Whether ``text`` can be a ``Name``."""
    return len(text) <= LONGEST_NAME and re.fullmatch(_NAME.strip("^$"), text) is not None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A limit such as ``>= 0.99``; ``60%`` is read as 0.6."""

    operator: str
    value: float

    def holds(self, measured: float) -> bool:
        """Whether ``measured`` is on the right side of the limit. NaN never is."""
        return not math.isnan(measured) and _OPERATORS[self.operator](measured, self.value)

    def __str__(self) -> str:
        # Every digit and no exponent: what is written here is read again from plans and journals.
        digits = f"{Decimal(repr(self.value)):f}"
        return f"{self.operator} {digits.removesuffix('.0')}"


def _parse_comparison(value: object) -> Comparison:
    if isinstance(value, Comparison):
        return value
    match = _COMPARISON.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match:
        raise ValueError("expected a comparison with a number, such as '>= 0.99' or '< 10'")
    number = float(match[2]) / (100 if match[3] else 1)
    if math.isinf(number):
        raise ValueError("too large for a limit")
    return Comparison(match[1], number)


Limit = Annotated[
    Comparison,
    BeforeValidator(_parse_comparison),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": f"^{_COMPARISON.pattern}$", "examples": [">= 0.99"]}),
]
