"""Why: a curve tells in a second what a table of numbers hides.

Draws the signals of a run with matplotlib: each service a line, the baseline's band, the time in which
faults were in, the limits. As SVG for a page, with its words as text, and as PNG for Slack. What is worth
a chart is for ``telling``.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MultipleLocator

from gameday.analysis.model import SignalSeries, Window
from gameday.spec.base import Comparison

# Okabe and Ito's: told apart by people who see few colours, and in print by the dashes.
_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#7F7F7F")
_DASHES: Final = ("-", "--", "-.", ":")
_FAULT: Final = "#D55E00"
_BAND: Final = "#009E73"
_LIMITS: Final = {"expect": ":", "tolerate": "--", "abort when": "-."}
# More points than pixels cost time and show nothing.
_MOST_POINTS: Final = 400
# A limit farther away than so many heights of the curve is told in words: it would flatten the curve.
_NEAR: Final = 3.0
# Seconds between two marks of the time.
_TICKS: Final = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
_MOST_TICKS: Final = 8

_STYLE: Final[Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "path.simplify": True,
    # What people named is no formula.
    "text.parse_math": False,
}


@dataclass(frozen=True, slots=True)
class Chart:
    """One signal over a run. ``band`` is where the line of ``band_of`` usually lies, ``limits`` by name."""

    title: str
    unit: str
    lines: Sequence[SignalSeries]
    stages: Sequence[Window] = ()
    limits: dict[str, Comparison] = field(default_factory=dict)
    band: tuple[float, float] | None = None
    band_of: str = ""

    @property
    def in_words(self) -> str:
        """What somebody is told who does not see it."""
        services = ", ".join(one.service or "the platform" for one in self.lines)
        known = [value for one in self.lines for value in one.values if value is not None]
        values = [value for value in known if math.isfinite(value)]
        span = f", from {min(values):.4g} to {max(values):.4g} {self.unit}".rstrip() if values else ""
        return ", ".join([f"{self.title} of {services}{span}", *_edges(known)])


def svg(chart: Chart) -> str:
    """The chart as an ``svg`` element to be put into a page: no prologue, no outside reference."""
    return as_svg(lambda: _figure(chart, (7.2, 2.6)), chart.title)


def as_svg(draw: Callable[[], Figure], salt: str) -> str:
    """What ``draw`` draws, as an ``svg`` element; ``salt`` tells its names from those of others in a page."""
    drawn = io.StringIO()
    with mpl.rc_context({**_STYLE, "svg.hashsalt": salt}):
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        draw().savefig(drawn, format="svg", metadata=nothing)
    text = drawn.getvalue()
    return text[text.index("<svg") :].strip()


def png(chart: Chart) -> bytes:
    """The chart as a picture."""
    return as_png(lambda: _figure(chart, (8, 4)))


def as_png(draw: Callable[[], Figure]) -> bytes:
    """What ``draw`` draws, as a picture."""
    drawn = io.BytesIO()
    with mpl.rc_context(_STYLE):
        draw().savefig(drawn, format="png", dpi=120)
    return drawn.getvalue()


def _figure(chart: Chart, size: tuple[float, float]) -> Figure:
    figure = Figure(figsize=size)
    axes = figure.subplots()
    # Fixed: to have the layout worked out takes as long as all the rest.
    figure.subplots_adjust(left=0.085, right=0.74, top=0.88, bottom=0.13)
    curves: list[tuple[Line2D, list[float]]] = []
    looks = cycle((colour, dash) for dash in _DASHES for colour in _COLOURS)
    for one, (colour, dash) in zip(chart.lines, looks, strict=False):
        moments, line = _points(one)
        finite = [value if math.isfinite(value) else math.nan for value in line]
        label = one.service or "the platform"
        (curve,) = axes.plot(moments, finite, dash, color=colour, linewidth=1.2, label=label)
        curves.append((curve, line))
    _mark_stages(axes, chart.stages)
    if chart.band is not None:
        # On two lines: a long name does not fit beside the chart otherwise.
        words = f"usual at\n{chart.band_of}" if chart.band_of else "usual"
        axes.axhspan(*chart.band, color=_BAND, alpha=0.12, linewidth=0, label=words)
    values = [value for _, line in curves for value in line if math.isfinite(value)]
    notes = mark_limits(axes, chart.limits, values) + _draw_infinite(axes, curves)
    title = " · ".join([f"{chart.title}{f' ({chart.unit})' if chart.unit else ''}", *notes])
    axes.set_title(title, loc="left", fontsize=9)
    axes.margins(x=0)
    low, high = axes.get_xlim()
    apart = next((step for step in _TICKS if (high - low) / step <= _MOST_TICKS), _TICKS[-1])
    axes.xaxis.set_major_locator(MultipleLocator(apart))
    axes.xaxis.set_major_formatter(FuncFormatter(_time))
    small = 8 if len(chart.lines) <= 10 else 6
    figure.legend(loc="upper left", bbox_to_anchor=(0.745, 0.9), fontsize=small, frameon=False)
    return figure


def _points(one: SignalSeries) -> tuple[list[float], list[float]]:
    values = [math.nan if value is None else value for value in one.values]
    begin, step = one.begin.timestamp(), one.step.total_seconds()
    every = math.ceil(len(values) / _MOST_POINTS) if values else 1
    if every == 1:
        return [begin + place * step for place in range(len(values))], values
    moments, thinned = [], []
    for place in range(0, len(values), every):
        part = values[place : place + every]
        moments.append(begin + place * step)
        thinned.append(_telling([value for value in part if not math.isnan(value)]))
    return moments, thinned


def _telling(values: Sequence[float]) -> float:
    """The farthest from the middle of all: what stands out stays."""
    if not values:
        return math.nan
    middle = sum(values) / len(values)
    if not math.isfinite(middle):
        return next(value for value in values if math.isinf(value))
    return max(values, key=lambda value: abs(value - middle))


def _edges(values: Sequence[float]) -> list[str]:
    """In words, where the chart draws what is infinite; nothing where nothing is."""
    named = {math.inf: "+inf at the top edge", -math.inf: "-inf at the bottom edge"}
    return [words for value, words in named.items() if value in values]


def _draw_infinite(axes: Axes, curves: Sequence[tuple[Line2D, list[float]]]) -> list[str]:
    """Lead the lines to the edge of the chart where they are infinite; answers with that in words."""
    if not (told := _edges([value for _, line in curves for value in line])):
        return []
    low, high = axes.get_ylim()
    for curve, line in curves:
        moments = np.asarray(curve.get_xdata(), dtype=np.float64)
        curve.set_ydata(np.clip(line, low, high))
        curve.set_clip_on(False)  # half of a line that lies on the edge would be cut off
        # Of a line that was nowhere else, the chart does not know yet when it was.
        axes.update_datalim([(moment, low) for moment in (*moments[:1], *moments[-1:])])
    axes.set_ylim(low, high)
    return told


def _mark_stages(axes: Axes, stages: Iterable[Window]) -> None:
    for number, stage in enumerate(stages, start=1):
        axes.axvspan(stage.begin.timestamp(), stage.end.timestamp(), color=_FAULT, alpha=0.1, linewidth=0)
        axes.annotate(
            str(number),
            (stage.begin.timestamp(), 1),
            xycoords=("data", "axes fraction"),
            xytext=(2, -9),
            textcoords="offset points",
            fontsize=7,
            color=_FAULT,
        )


def _time(seconds: float, _: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%S}"


def mark_limits(axes: Axes, limits: Mapping[str, Comparison], values: Sequence[float]) -> list[str]:
    """Draw the limits that are near enough; answers with the others in words."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    height = max(high - low, abs(high) * 0.1, 1e-9)
    far: list[str] = []
    # One line of the chart where several limits have one value, and each by its own words.
    same: dict[float, dict[str, list[str]]] = {}
    for name, limit in limits.items():
        same.setdefault(limit.value, {}).setdefault(str(limit), []).append(name)
    for value, named in same.items():
        words = ", ".join(f"{', '.join(names)} {limit}" for limit, names in named.items())
        first = next(iter(named.values()))[0]
        if low - _NEAR * height <= value <= high + _NEAR * height:
            axes.axhline(value, linestyle=_LIMITS.get(first, ":"), color="#AA0000", linewidth=0.9)
            axes.annotate(
                words,
                (1, value),
                xycoords=("axes fraction", "data"),
                xytext=(-2, 2),
                textcoords="offset points",
                ha="right",
                fontsize=7,
                color="#AA0000",
            )
        else:
            far.append(words)
    return far
