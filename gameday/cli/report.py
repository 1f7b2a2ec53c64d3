"""Why: a report can be written again: it says more by now, its file is gone, or it is wanted elsewhere."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from gameday.cli.catalogue import open_catalogue
from gameday.cli.named import run_of
from gameday.cli.options import ExperimentsOption, OutputOption, RunArgument, examples
from gameday.cli.output import Format, emit
from gameday.errors import ExitCode
from gameday.journal.store import Journal
from gameday.report.publish import Published, publish_kept
from gameday.settings import load


def report(
    run: RunArgument,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="Where to write it; GAMEDAY_REPORTS_DIR without it."),
    ] = None,
    output: OutputOption = Format.TEXT,
    experiments: ExperimentsOption = None,
) -> int:
    """Write the report of a run again from the journal: a page, Markdown, a chart, a change of the runbook.

    Exit code 0; 2 where there is no such run, 6 where the files cannot be written.
    """
    published = asyncio.run(_published(run, to, experiments))
    files = {
        "page": published.page,
        "markdown": published.markdown,
        "chart": published.picture,
        "runbook": published.diff,
    }

    def text(console: Console) -> None:
        for path in files.values():
            if path is not None:
                console.print(Text(str(path)), soft_wrap=True)

    emit({name: str(path) if path is not None else None for name, path in files.items()}, output, text)
    return ExitCode.HELD


async def _published(run: str, to: Path | None, experiments: Path | None) -> Published:
    settings = load()
    async with Journal.open(settings.database_url) as journal:
        record = await run_of(journal, run)
        catalogue = open_catalogue(experiments)
        return await publish_kept(journal, record.run, catalogue, to or settings.reports_dir)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report", epilog=examples("gameday report 7f3a", "gameday report 7f3a --to public"))(report)
