"""Why: every run leaves a report, however it ended, and the journal says where it lies."""

from __future__ import annotations

from pathlib import Path

from gameday.report.data import ReportData, collect
from gameday.report.markdown import write
from gameday.run.context import Run


async def publish(run: Run, directory: Path) -> ReportData:
    """Write the report of ``run`` into ``directory``, once it has its verdict.

    Raises ``ReportError`` or ``JournalError``; the verdict stands all the same.
    """
    journal = run.session.journal
    collected = await collect(journal, run.id)
    path = write(collected, directory)
    await journal.amend(run.id, report=str(path))
    run.findings.reported = True
    await run.tell("report", f"The report is at {path}", path=str(path))
    return collected
