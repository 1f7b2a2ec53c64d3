"""Why: everything that reaches the screen does so in one way, for people and for programs.

Data goes to stdout, notes and errors to stderr, so that ``-o json`` can be piped. Colour only on a
terminal and without ``NO_COLOR``. Times are shown in the reader's zone, here and nowhere else.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any, Final

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from gameday.typed import STEERING
from gameday.yaml_text import yaml_text

_PIPED_WIDTH = 160
"""Columns where there is no terminal to fit in; a program that reads tables wants whole lines."""

_LEAST_FOLDED = 16
"""Columns that the text which gives way must have left to stay readable."""


# What is shown quotes what services and people said.
HARMLESS: Final = dict.fromkeys(STEERING, "\N{REPLACEMENT CHARACTER}")
# In JSON the same characters can be said without being there.
_ESCAPED: Final = {code: f"\\u{code:04x}" for code in HARMLESS if code >= 127}


class Format(StrEnum):
    """How data is printed: for people (text) or for programs."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


@cache
def stdout() -> Console:
    """The console for data."""
    return _console(stderr=False)


@cache
def stderr() -> Console:
    """The console for notes and errors."""
    return _console(stderr=True)


class _Console(Console):
    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as Rich does; what only steers a terminal is Rich's to say, and nobody else's."""
        for segment in super().render(renderable, options):
            plain = segment.text.isprintable() or segment.control
            yield segment if plain else segment._replace(text=segment.text.translate(HARMLESS))

    def on_broken_pipe(self) -> None:
        """Let ``gameday.cli.main`` end the process: 1, with which Rich would, is a verdict here."""
        raise BrokenPipeError


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else _PIPED_WIDTH
    # Markup would make "[staging]" in somebody's data disappear.
    return _Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def emit(data: Any, form: Format, text: Callable[[Console], None]) -> None:
    """Print ``data`` (pydantic models, dataclasses, lists, mappings) as ``form`` says.

    ``text`` prints it for people to the console that it is given. JSON and YAML carry the same
    keys, those of the model's aliases; times are ISO 8601 in UTC, infinite values text.
    """
    if form is Format.TEXT:
        text(stdout())
        return
    from pydantic_core import to_json  # noqa: PLC0415 - only where it is asked for

    # Through JSON itself, which has no number for what is infinite: it becomes the text "Infinity".
    plain = json.loads(to_json(data, by_alias=True, inf_nan_mode="strings"))
    if form is Format.JSON:
        written = json.dumps(plain, indent=2, ensure_ascii=False)
        sys.stdout.write(written.translate(_ESCAPED) + "\n")
        return
    sys.stdout.write(yaml_text(plain))


def note(message: str, *, style: str = "") -> None:
    """Tell people something on stderr, out of the way of data."""
    stderr().print(Text(message, style=style), soft_wrap=True)


class _Table(Table):
    """Where the screen is too narrow for its columns, one block a row: nothing is ever cut off."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Print side by side, or one below the other."""
        if not self.show_header or self._needs(console, options) <= options.max_width:
            yield from super().__rich_console__(console, options)
            return
        titles = [str(column.header) for column in self.columns]
        for row in zip(*(column.cells for column in self.columns), strict=True):
            block = Table.grid(padding=(0, 2, 0, 0))
            block.add_column(no_wrap=True, style="bold")
            block.add_column(overflow="fold")
            for title, cell in zip(titles, row, strict=True):
                if cell:
                    block.add_row(title, cell)
            yield block
            yield Text()

    def _needs(self, console: Console, options: ConsoleOptions) -> int:
        """The least width at which no column loses anything."""
        endless = options.update(max_width=10_000)
        needed = 0
        for column in self.columns:
            cells = (column.header, *column.cells)
            widest = max(Measurement.get(console, endless, cell).maximum for cell in cells)
            needed += widest if column.no_wrap else min(widest, _LEAST_FOLDED)
        # The space behind the last column may be missing.
        return needed + 2 * (len(self.columns) - 1)


def table(*columns: str, fold: str | None = None) -> Table:
    """A table without lines that loses nothing on a narrow screen.

    Only the column named ``fold`` (the last, where None) gives way when space is short; where that is
    not enough, each row is printed as a block of its own.
    """
    giving_way = fold or columns[-1]
    result = _Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        result.add_column(column, no_wrap=column != giving_way, overflow="fold")
    return result


def local_time(moment: datetime) -> str:
    """The time of day in the reader's zone: ``10:15:30``."""
    return moment.astimezone().strftime("%H:%M:%S")


def local_date_time(moment: datetime) -> str:
    """Date, time and zone, the reader's: ``2026-11-23 10:15:30 CET``."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z").rstrip()


def in_seconds(length: timedelta) -> str:
    """A length of time to the second: ``6m42s``."""
    from gameday.spec.base import format_duration  # noqa: PLC0415 - pydantic, only where it is used

    return format_duration(timedelta(seconds=round(length.total_seconds())))
