"""Why: settings, metrics and errors are declared with words of their own; the reference repeats those."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from prometheus_client.metrics import MetricWrapperBase
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

import gameday.errors
from docs._ext.markdown import cell, code, plain, table
from gameday.errors import GamedayError
from gameday.guard.metrics import Metrics
from gameday.journal.kinds import EVENTS
from gameday.settings import Settings
from gameday.spec.base import format_duration


def settings() -> str:
    """Every variable ``GAMEDAY_*``."""
    prefix = str(Settings.model_config["env_prefix"])
    rows = (
        (code(prefix + name.upper()), cell(plain(field.description or "")), _default(field))
        for name, field in Settings.model_fields.items()
    )
    return table(("Variable", "What", "Default"), rows)


def _default(field: FieldInfo) -> str:
    value = field.default
    if field.default_factory is not None:
        return "as said"
    if value is None or value is PydanticUndefined:
        return "none"
    return code(format_duration(value) if isinstance(value, timedelta) else str(value))


def metrics() -> str:
    """Every metric of the guard, with its type and labels."""
    rows = []
    for metric in vars(Metrics()).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = ", ".join(code(one) for one in metric._labelnames)
            rows.append((code(name), family.type, labels, cell(plain(family.documentation))))
    return table(("Metric", "Type", "Labels", "What"), rows)


def events() -> str:
    """Every kind of event in a run's record."""
    rows = (
        (code(kind), cell(plain(told.what)), ", ".join(code(key) for key in told.data) or "none")
        for kind, told in EVENTS.items()
    )
    return table(("Kind", "What it tells", "Keys of its data"), rows)


def errors() -> str:
    """Every kind of error, with the exit code that it gives."""
    rows = (
        (code(one.__name__), f"{one.exit_code.value} {one.exit_code.name.lower()}", cell(plain(_first(one))))
        for one in _tree(GamedayError)
        if one.__module__ == gameday.errors.__name__
    )
    return table(("Error", "Exit code", "When"), rows)


def _first(kind: type) -> str:
    return (kind.__doc__ or "").split("\n\n")[0]


def _tree(kind: type[GamedayError]) -> Iterator[type[GamedayError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _tree(below)
