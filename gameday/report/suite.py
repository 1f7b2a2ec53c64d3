"""Why: what a suite found stands in one table, with a way to the report of each of its runs.

Renders a ``SuiteRun`` with one template; nothing is worked out here.
"""

from __future__ import annotations

from pathlib import Path

from gameday.report.templating import markdown, save
from gameday.run.suite import SuiteRun


def render(going: SuiteRun) -> str:
    """The report as Markdown."""
    return markdown.get_template("suite.md.j2").render(going=going, suite=going.suite)


def write(going: SuiteRun, directory: Path) -> Path:
    """Write the report to ``<directory>/<suite id>.md``. Raises ``ReportError``."""
    return save(render(going), directory / f"{going.id}.md")
