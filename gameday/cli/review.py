"""Why: a quarter's review is written at any time, for a meeting or for whoever asks how it goes.

A door to ``gameday.report.quarter``. The flow ``quarterly-review`` writes the same on a schedule.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from gameday.analysis.periods import quarter, quarter_of
from gameday.cli import complete
from gameday.cli.catalogue import open_catalogue
from gameday.cli.options import ExperimentsOption, OutputOption, RecordOfSandboxOption, examples
from gameday.cli.output import Format, emit, note, table
from gameday.errors import ExitCode
from gameday.journal.store import Journal
from gameday.report.quarter import Written, made, write
from gameday.settings import clock_at_hand, load


def review(
    wanted: Annotated[
        str, typer.Option("--quarter", "-q", metavar="QUARTER", help="Such as 2026Q4; this one without it.")
    ] = "",
    env: Annotated[
        str, typer.Option("--env", "-e", help="Only there.", autocompletion=complete.environments)
    ] = "",
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="Where to write it; GAMEDAY_REPORTS_DIR without it."),
    ] = None,
    sandbox: RecordOfSandboxOption = False,
    output: OutputOption = Format.TEXT,
    experiments: ExperimentsOption = None,
) -> int:
    """Write the review of a quarter: a page with plots, Markdown and JSON.

    Results beside the quarter before, metrics and their trends, what was mended and whether it holds,
    new weaknesses, what is overdue, what was never tried, what to try next.
    docs/reference/metrics-of-reviews.md says how each is counted. Exit code 0, also for an empty
    quarter, which says so; 2 for what is no quarter or no environment; 6 where it cannot be written.
    """
    named = quarter(wanted).label if wanted else ""
    written = asyncio.run(_written(named, env, to, experiments, sandbox))
    found = written.review

    def text(console: Console) -> None:
        console.print(Text(f"{found.quarter.label}: {found.in_short}", style="bold"))
        if found.going_on:
            console.print(Text("The quarter is not over yet."))
        columns = table("METRIC", found.this.period.label, found.last.period.label, "OVER THE YEAR")
        for metric, trend in zip(found.metrics, found.by_month, strict=True):
            numbers = [side.metrics[metric.name].value for side in (found.this, found.last)]
            columns.add_row(f"{metric.title} ({metric.unit})", *map(_number, numbers), trend.words)
        console.print(columns)
        for path in (written.page, written.markdown, written.data):
            console.print(Text(str(path)), soft_wrap=True)

    emit(found, output, text)
    return ExitCode.HELD


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


async def _written(named: str, env: str, to: Path | None, experiments: Path | None, sandbox: bool) -> Written:
    settings = load()
    warn = partial(note, style="yellow")
    now = clock_at_hand(settings, warn).now()
    wanted = quarter(named) if named else quarter_of(now)
    async with Journal.open(settings.database_url) as journal:
        found = await made(
            journal,
            open_catalogue(experiments),
            wanted,
            environment=env,
            now=now,
            warn=warn,
            sandbox=sandbox or settings.on_sandbox,
        )
    return await write(found, to or settings.reports_dir)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "review",
        epilog=examples("gameday review --quarter 2026Q4", "gameday review -q 2026Q4 -e staging --to public"),
    )(review)
