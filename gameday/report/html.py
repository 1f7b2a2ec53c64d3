"""Why: a run is read on phones, in meetings and on paper, so its report is one page that needs nothing else.

Renders ``ReportData`` as one HTML file: its styles and charts are in it, and it fetches nothing. What is
said in it is ``data``'s, what is drawn ``telling``'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from markupsafe import Markup

from gameday.report import strength_chart
from gameday.report.charts import svg
from gameday.report.data import ReportData
from gameday.report.runbook import Proposal
from gameday.report.strengths import Strengths
from gameday.report.telling import Telling
from gameday.report.templating import html, save

Link = tuple[str, str]
"""A label and an address."""


def render(
    data: ReportData,
    told: Telling,
    *,
    links: Sequence[Link] = (),
    runbook: Proposal | None = None,
    runbook_why: str = "Nothing to change: the experiment names no runbook.",
) -> str:
    """The report as a page."""
    # Drawn by matplotlib from numbers; the names in it are escaped there.
    drawn = [(chart.in_words, Markup(svg(chart))) for chart in told.charts]  # noqa: S704
    by_strength = [] if data.strengths is None else list(_by_strength(data.strengths))
    return html.get_template("run.html.j2").render(
        data=data,
        run=data.run,
        plan=data.plan,
        analysis=data.analysis,
        charts=drawn,
        told=told,
        by_strength=by_strength,
        links=links,
        runbook=runbook,
        runbook_why=runbook_why,
    )


def _by_strength(found: Strengths) -> Iterator[tuple[str, Markup]]:
    for one in found.drawn:
        # As above.
        yield strength_chart.in_words(found, one), Markup(strength_chart.svg(found, one))  # noqa: S704


def write(text: str, path: Path) -> Path:
    """Write a page to ``path``. Raises ``ReportError``."""
    return save(text, path)
