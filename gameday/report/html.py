"""Why: a run is read on phones, in meetings and on paper, so its report is one page that needs nothing else.

Renders ``ReportData`` as one HTML file: its styles and charts are in it, and it fetches nothing. What is
said in it is ``data``'s, what is drawn ``telling``'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gameday.report.charts import Chart, svg
from gameday.report.data import ReportData
from gameday.report.markdown import filters, save
from gameday.report.runbook import Proposal
from gameday.typed import STEERING

Link = tuple[str, str]
"""A label and an address."""


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3g}"


def _yaml(value: Any) -> str:
    from io import StringIO  # noqa: PLC0415 - with the next one

    from ruamel.yaml import YAML  # noqa: PLC0415 - only for whoever writes a page

    written = StringIO()
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(value, written)
    return written.getvalue().rstrip()


def _harmless(value: Any) -> Any:
    # A page in which words run backwards lies, however well its markup is escaped.
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return value.translate(dict.fromkeys(STEERING, " "))


pages = Environment(
    loader=PackageLoader("gameday.report"),
    undefined=StrictUndefined,
    autoescape=True,
    finalize=_harmless,
    trim_blocks=True,
    lstrip_blocks=True,
)
pages.filters.update({**filters, "signed": _signed, "yaml": _yaml})


def render(
    data: ReportData,
    charts: Sequence[Chart],
    *,
    links: Sequence[Link] = (),
    runbook: Proposal | None = None,
    runbook_why: str = "Nothing to change: the experiment names no runbook.",
) -> str:
    """The report as a page."""
    # Drawn by matplotlib from numbers; the names in it are escaped there.
    drawn = [(chart, Markup(svg(chart))) for chart in charts]  # noqa: S704
    return pages.get_template("run.html.j2").render(
        data=data,
        run=data.run,
        plan=data.plan,
        analysis=data.analysis,
        charts=drawn,
        links=links,
        runbook=runbook,
        runbook_why=runbook_why,
    )


def write(text: str, path: Path) -> Path:
    """Write a page to ``path``. Raises ``ReportError``."""
    return save(text, path)
