"""Why: how much a platform bears is seen at once where strength stands beside what it did, with the limit.

Draws one signal of a gradual stage over the strengths that were tried, evenly spaced. A step that held
and one that broke differ in shape as well as in colour. What is drawn is ``strengths``'s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gameday.report.charts import as_png, as_svg, mark_limits
from gameday.report.strengths import Drawn, Strengths, Worst
from gameday.run.gradual import Outcome

_LOOKS: Final = {
    Outcome.HELD: ("o", "#009E73", "held"),
    Outcome.BROKE: ("X", "#D55E00", "broke"),
    Outcome.UNCLEAR: ("D", "#7F7F7F", "not known"),
}
_LINE: Final = "#BBBBBB"
# So many letters fit beside each other.
_LETTERS: Final = 75


def in_words(found: Strengths, one: Drawn) -> str:
    """What somebody is told who does not see it."""
    steps = zip(found.result.steps, one.worst, strict=True)
    each = [f"{step.strength} {step.outcome.value}, {_value(worst)}" for step, worst in steps]
    return f"Worst {_title(one)} by {found.result.parameter}: {'; '.join(each)}"


def svg(found: Strengths, one: Drawn) -> str:
    """The signal over the strengths, as an ``svg`` element."""
    return as_svg(lambda: _figure(found, one, (7.2, 2.8)), f"strength-{one.watch.name}")


def png(found: Strengths, one: Drawn) -> bytes:
    """The signal over the strengths, as a picture."""
    return as_png(lambda: _figure(found, one, (8, 4)))


def _figure(found: Strengths, one: Drawn, size: tuple[float, float]) -> Figure:
    figure = Figure(figsize=size)
    axes = figure.subplots()
    figure.subplots_adjust(left=0.085, right=0.76, top=0.88, bottom=0.2)
    values = [math.nan if worst is None else worst.value for worst in one.worst]
    known = [value for value in values if math.isfinite(value)]
    axes.plot([value if math.isfinite(value) else math.nan for value in values], color=_LINE, linewidth=1)
    _mark_steps(axes, found, values)
    far = mark_limits(axes, one.limits, known)
    axes.set_title(" · ".join([f"Worst {_title(one)}", *far]), loc="left", fontsize=9)
    _mark_ends(axes, found)
    strengths = [step.strength for step in found.result.steps]
    every = math.ceil(len(strengths) * (max(map(len, strengths)) + 2) / _LETTERS)
    axes.set_xticks(range(0, len(strengths), every), strengths[::every])
    axes.set_xlim(-0.5, len(strengths) - 0.5)
    axes.set_xlabel(found.result.parameter)
    axes.margins(y=0.15)
    figure.legend(loc="upper left", bbox_to_anchor=(0.765, 0.9), fontsize=8, frameon=False)
    return figure


def _mark_steps(axes: Axes, found: Strengths, values: Sequence[float]) -> None:
    for outcome, (marker, colour, name) in _LOOKS.items():
        own = [place for place, step in enumerate(found.result.steps) if step.outcome is outcome]
        if not own:
            continue
        finite = [place for place in own if math.isfinite(values[place])]
        heights = [values[place] for place in finite]
        axes.scatter(finite, heights, s=60, marker=marker, color=colour, label=name, zorder=3)
        for place in set(own).difference(finite):
            # Beyond every scale, or never seen: told where it would stand.
            words = "no data" if math.isnan(values[place]) else f"{values[place]:+}"
            axes.annotate(
                words,
                (place, 0.5),
                xycoords=("data", "axes fraction"),
                ha="center",
                fontsize=8,
                color=colour,
            )


def _mark_ends(axes: Axes, found: Strengths) -> None:
    """Up to where the hypothesis speaks of it, and what was not tried."""
    steps = found.result.steps
    if found.result.promise:
        end = sum(step.must_hold for step in steps) - 0.5
        axes.axvline(end, color="#000000", linestyle=":", linewidth=1, label="end of what must hold")
    tried = sum(step.outcome is not Outcome.NOT_TRIED for step in steps)
    if tried < len(steps):
        axes.axvspan(tried - 0.5, len(steps) - 0.5, color="#000000", alpha=0.06, label="not tried")


def _title(one: Drawn) -> str:
    return f"{one.watch.name}{f' ({one.watch.unit})' if one.watch.unit else ''}"


def _value(worst: Worst | None) -> str:
    if worst is None:
        return "no value"
    return f"{worst.value:.4g}{f' at {worst.service}' if worst.service else ''}"
