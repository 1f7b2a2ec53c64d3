"""Why: every report writes moments, lengths of time and numbers in one way, and escapes what people typed.

The two environments that templates are rendered in, Markdown and HTML, and the one way to a file. What
is said in a report is for its own module; nothing here knows of runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gameday.analysis.trends import Value
from gameday.errors import GamedayError
from gameday.spec.base import format_duration
from gameday.typed import STEERING
from gameday.yaml_text import yaml_text


class ReportError(GamedayError):
    """The report could not be written; the journal still has everything."""


def _moment(value: datetime | None) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S} UTC" if value else "not known"


def _time(value: datetime) -> str:
    return f"{value:%H:%M:%S}"


def _day(value: datetime) -> str:
    return f"{value:%Y-%m-%d}"


def _measured(value: Value) -> str:
    if value.value is None:
        return value.note or "no runs"
    sure = ""
    if value.low is not None and value.high is not None:
        sure = f"{value.low:.3g} to {value.high:.3g}"
    more = "; ".join(part for part in (sure, value.note) if part)
    return f"{value.value:.4g}{f' ({more})' if more else ''}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:+}" if math.isinf(value) else f"{value:.4g}"


def _seconds(value: float | None) -> str:
    if value is None:
        return "not in time"
    return format_duration(timedelta(seconds=round(value))) if value >= 0.5 else "at once"


def _whole(value: timedelta) -> str:
    return format_duration(timedelta(seconds=round(value.total_seconds())))


# The backslash first: one before a pipe would otherwise take the pipe's own away. A bracket opens a link
# whose words lie, or a picture that tells its owner who reads.
_MARKUP: Final = (("\\", "\\\\"), ("|", "\\|"), ("&", "&amp;"), ("<", "&lt;"), ("`", "\\`"), ("[", "\\["))


def cell(text: str) -> str:
    """Text of one line that breaks neither a Markdown table nor the page around it."""
    for mark, written in _MARKUP:
        text = text.replace(mark, written)
    return " ".join(text.translate(dict.fromkeys(STEERING, " ")).split())


filters: Final[Mapping[str, Callable[[Any], str]]] = {
    "moment": _moment,
    "day": _day,
    "time": _time,
    "whole": _whole,
    "number": _number,
    "measured": _measured,
    "seconds": _seconds,
    "duration": format_duration,
}
"""How a report writes moments, lengths of time and numbers, in every form that it has."""

markdown = Environment(
    loader=PackageLoader("gameday.report"),
    undefined=StrictUndefined,
    autoescape=False,  # noqa: S701 - Markdown, not HTML; cells are escaped by the filter ``cell``
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
markdown.filters.update({**filters, "cell": cell})


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3g}"


def _harmless(value: Any) -> Any:
    # A page in which words run backwards lies, however well its markup is escaped.
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return value.translate(dict.fromkeys(STEERING, " "))


html = Environment(
    loader=PackageLoader("gameday.report"),
    undefined=StrictUndefined,
    autoescape=True,
    finalize=_harmless,
    trim_blocks=True,
    lstrip_blocks=True,
)
html.filters.update({**filters, "signed": _signed, "yaml": yaml_text})


def save(text: str, path: Path) -> Path:
    """Write a report to ``path``, whose directory is made where it is missing. Raises ``ReportError``."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ReportError(
            f"{path}: the report cannot be written ({error})", hint="GAMEDAY_REPORTS_DIR names another place."
        ) from None
    return path
