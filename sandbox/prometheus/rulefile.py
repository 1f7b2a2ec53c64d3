"""Why: the sandbox evaluates the very file of alerting rules that is installed in a cluster.

Reads a rule file of Prometheus, strictly. Of the templates in labels and annotations it knows
``$labels.NAME`` and ``$value``; any other is refused, so that nothing is shown otherwise than there.
What the rules find is left to ``alerting``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import promql_parser
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from gameday.errors import DeclarationError

_TEMPLATE: Final = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_KNOWN: Final = re.compile(r"\s*\$(?:labels\.(\w+)|(value))\s*")
_LABEL: Final = r"^[a-zA-Z_][a-zA-Z0-9_]*$"


def _duration(value: object) -> timedelta:
    return promql_parser.parse_duration(str(value))


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Texts = dict[Annotated[str, Field(pattern=_LABEL)], str]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AlertRule(_Strict):
    """One alerting rule."""

    alert: Annotated[str, Field(min_length=1)]
    expr: str
    hold: Annotated[Duration, Field(alias="for")] = timedelta(0)
    keep_firing_for: Duration = timedelta(0)
    labels: Texts = {}
    annotations: Texts = {}

    @field_validator("expr")
    @classmethod
    def _promql(cls, query: str) -> str:
        promql_parser.parse(query)
        return query

    @field_validator("labels", "annotations")
    @classmethod
    def _templates(cls, texts: Mapping[str, str]) -> Mapping[str, str]:
        for text in texts.values():
            for inner in _TEMPLATE.findall(text):
                if not _KNOWN.fullmatch(inner):
                    raise ValueError(f"of templates, only $labels.NAME and $value are known: {inner.strip()}")
        return texts


class Group(_Strict):
    """Rules that are evaluated together, one after another; ``interval`` None is Prometheus's own."""

    name: Annotated[str, Field(min_length=1)]
    interval: Duration | None = None
    rules: tuple[AlertRule, ...]


class RuleFile(_Strict):
    """A rule file."""

    groups: tuple[Group, ...]


def read_rules(path: Path) -> tuple[Group, ...]:
    """The groups of a rule file. Raises ``DeclarationError``."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DeclarationError(f"{path}: the alerting rules cannot be read ({error})") from None
    try:
        return RuleFile.model_validate(content).groups
    except ValidationError as error:
        problems = tuple(f"{path}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise DeclarationError(f"{path}: the alerting rules are not valid", problems) from None


def expanded(text: str, labels: Mapping[str, str], value: str) -> str:
    """``text`` with its templates filled in; a label that is not there is empty."""

    def fill(template: re.Match[str]) -> str:
        known = _KNOWN.fullmatch(template[1])
        return (labels.get(known[1], "") if known[1] else value) if known else template[0]

    return _TEMPLATE.sub(fill, text)
