"""Why: the result of a run as Markdown: for Prefect's UI, for Git, for a pull request.

Renders ``ReportData`` with one template; nothing is worked out here.
"""

from __future__ import annotations

from pathlib import Path

from gameday.report.data import ReportData
from gameday.report.templating import markdown, save


def render(data: ReportData) -> str:
    """The report as Markdown."""
    return markdown.get_template("run.md.j2").render(data=data, run=data.run, plan=data.plan)


def write(data: ReportData, directory: Path) -> Path:
    """Write the report to ``<directory>/<run>.md``. Raises ``ReportError``."""
    return save(render(data), directory / f"{data.run.run}.md")
