"""Why: every run leaves a report, however it ended, and the journal says where it lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gameday.background import one_at_a_time
from gameday.errors import GamedayError
from gameday.journal.store import Journal
from gameday.report.data import ReportData, collect
from gameday.report.markdown import write
from gameday.report.runbook import Proposal, propose
from gameday.report.telling import telling
from gameday.report.templating import ReportError, save
from gameday.run import links
from gameday.run.context import Run
from gameday.spec.catalogue import Catalogue

if TYPE_CHECKING:
    from gameday.report.charts import Chart


@dataclass(frozen=True, slots=True)
class Published:
    """The files of a report; ``diff`` and ``picture`` only where there is something to show."""

    data: ReportData
    page: Path
    markdown: Path
    diff: Path | None = None
    picture: Path | None = None


async def publish(run: Run, directory: Path) -> Published:
    """Write the report of ``run`` into ``directory``, once it has its verdict.

    Raises ``ReportError`` or ``JournalError``; the verdict stands all the same.
    """
    published = await publish_kept(run.session.journal, run.id, run.session.catalogue, directory)
    run.findings.reported = True
    await run.tell("report", f"The report is at {published.page}", path=str(published.page))
    return published


async def publish_kept(journal: Journal, run: str, catalogue: Catalogue, directory: Path) -> Published:
    """Write the report of a run that the journal knows. Raises ``UsageError``, ``ReportError``."""
    data = await collect(journal, run)
    try:
        published = await one_at_a_time(partial(_write, data, catalogue, directory))
    except GamedayError:
        raise
    except Exception as error:
        # Whatever is wrong with how it looks: a verdict is not lost because its report could not be drawn.
        raise ReportError(f"The report could not be made: {type(error).__name__}: {error}") from error
    await journal.amend(data.run.run, report=str(published.page))
    return published


def _write(data: ReportData, catalogue: Catalogue, directory: Path) -> Published:
    # matplotlib takes half a second to import: only for whoever writes a page, and not on the loop.
    from gameday.report import html  # noqa: PLC0415

    base = directory / data.run.run
    written = write(data, directory)
    told = telling(data)
    proposal, why = _proposal(data, catalogue)
    page = html.render(data, told, links=_links(data, catalogue), runbook=proposal, runbook_why=why)
    save(page, base.with_suffix(".html"))
    diff = save(proposal.diff, base.with_suffix(".runbook.diff")) if proposal is not None else None
    picture = None
    if shown := _most_telling(data, told.charts):
        picture = base.with_suffix(".png")
        try:
            picture.write_bytes(shown)
        except OSError as error:
            raise ReportError(f"{picture}: the chart cannot be written ({error})") from None
    return Published(data, base.with_suffix(".html"), written, diff, picture)


def _most_telling(data: ReportData, drawn: Sequence[Chart]) -> bytes | None:
    """Of a gradual stage what it bore, else the first chart; None where there is nothing to show."""
    from gameday.report import charts, strength_chart  # noqa: PLC0415 - as above

    steps = data.strengths
    if steps is not None and steps.drawn:
        return strength_chart.png(steps, steps.drawn[0])
    return charts.png(drawn[0]) if drawn else None


def _proposal(data: ReportData, catalogue: Catalogue) -> tuple[Proposal | None, str]:
    try:
        file = catalogue.experiment(data.run.experiment).runbook
    except GamedayError as error:
        return None, f"Nothing to change: {error.message}."
    if file is None:
        return None, "Nothing to change: the experiment names no runbook."
    return propose(data, file, catalogue.directory.resolve().parent)


def _links(data: ReportData, catalogue: Catalogue) -> Sequence[tuple[str, str]]:
    found = []
    grafana = catalogue.platform.grafana
    if grafana is not None:
        begin = round(data.run.started_at.timestamp() * 1000)
        end = round(data.run.ended_at.timestamp() * 1000) if data.run.ended_at is not None else "now"
        found = [
            (f"Grafana: {name}", f"{grafana.url.rstrip('/')}/d/{name}?from={begin}&to={end}")
            for name in grafana.dashboards
        ]
    if address := links.of_flow_run(data.run.flow_run):
        found.append(("Flow run", address))
    return found
