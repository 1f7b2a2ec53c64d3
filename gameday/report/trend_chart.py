"""Why: a trend of twelve months is seen at once, where twelve numbers have to be read.

Draws one metric of a review, month by month, with the line of its trend where one can be told.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gameday.analysis.trends import Metric, Trend
from gameday.report.charts import as_svg

_INK: Final = "#0072B2"
_COLOURS: Final = {"better": "#009E73", "worse": "#D55E00"}


def in_words(trend: Trend, metric: Metric) -> str:
    """What somebody is told who does not see it."""
    values = [(one.period.label, one.value.value) for one in trend.points]
    known = [f"{label} {value:.4g}" for label, value in values if value is not None]
    return f"{metric.title} ({metric.unit}) by {trend.by}: {', '.join(known) or 'no values'}. {trend.words}"


def svg(trend: Trend, metric: Metric) -> str:
    """The metric over its weeks or months, as an ``svg`` element."""
    return as_svg(lambda: _figure(trend, metric), f"{metric.name}-{trend.by}")


def _figure(trend: Trend, metric: Metric) -> Figure:
    figure = Figure(figsize=(7.2, 2.1))
    axes = figure.subplots()
    figure.subplots_adjust(left=0.085, right=0.98, top=0.87, bottom=0.14)
    places = list(range(len(trend.points)))
    values = [math.nan if one.value.value is None else one.value.value for one in trend.points]
    axes.plot(places, values, "o-", color=_INK, linewidth=1.2, markersize=4)
    _mark_intervals(axes, trend)
    if trend.direction in _COLOURS and trend.slope is not None:
        # Theil and Sen's line goes through the medians.
        known = [(place, value) for place, value in zip(places, values, strict=True) if not math.isnan(value)]
        middle_x, middle_y = np.median(known, axis=0)
        line = [middle_y + trend.slope * (place - middle_x) for place in (known[0][0], known[-1][0])]
        axes.plot((known[0][0], known[-1][0]), line, "--", color=_COLOURS[trend.direction], linewidth=1.4)
    axes.set_xlim(-0.4, len(places) - 0.6)
    every = math.ceil(len(places) / 13)
    axes.set_xticks(places[::every], [one.period.label for one in trend.points[::every]], fontsize=7)
    axes.set_title(f"{metric.title} ({metric.unit})", loc="left", fontsize=9)
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 0.0), high)
    return figure


def _mark_intervals(axes: Axes, trend: Trend) -> None:
    for place, one in enumerate(trend.points):
        if one.value.low is not None and one.value.high is not None:
            axes.vlines(place, one.value.low, one.value.high, color=_INK, alpha=0.35, linewidth=3)
