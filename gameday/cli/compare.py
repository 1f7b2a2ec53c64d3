"""Why: after something was mended, people want to see that it helped, and that nothing else got worse."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from gameday.analysis.model import Finding
from gameday.cli import complete
from gameday.cli.catalogue import open_catalogue
from gameday.cli.named import run_of
from gameday.cli.options import ExperimentsOption, OutputOption, examples
from gameday.cli.output import Format, emit, table
from gameday.errors import ExitCode
from gameday.journal.store import Journal
from gameday.report.compare import Compared, compare_runs, ranked
from gameday.report.data import collect
from gameday.run.work_out import direction
from gameday.settings import load


def compare(
    first: Annotated[
        str, typer.Argument(metavar="RUN", help="The run before.", autocompletion=complete.runs)
    ],
    second: Annotated[
        str, typer.Argument(metavar="RUN", help="The run after.", autocompletion=complete.runs)
    ],
    output: OutputOption = Format.TEXT,
    experiments: ExperimentsOption = None,
) -> int:
    """Set two runs side by side: verdicts, findings, and which signals got worse or better under faults.

    What makes the two hard to compare is said. Exit code 0, whatever differs; 2 where there is no such run.
    """
    found = asyncio.run(_compared(first, second, experiments))
    emit(found, output, lambda console: _print(console, found))
    return ExitCode.HELD


async def _compared(first: str, second: str, experiments: Path | None) -> Compared:
    platform = open_catalogue(experiments).platform
    async with Journal.open(load().database_url) as journal:
        both = [await collect(journal, (await run_of(journal, run)).run) for run in (first, second)]
    return compare_runs(both[0], both[1], direction(platform, both[1].plan))


def _print(console: Console, found: Compared) -> None:
    for warning in found.warnings:
        console.print(Text(f"Hard to compare: {warning}", style="yellow"), soft_wrap=True)
    columns = table("", found.first, found.second)
    for row in found.facts:
        style = "bold" if row.differs else ""
        columns.add_row(Text(row.what), Text(row.first), Text(row.second, style=style))
    console.print(columns)
    console.print()
    changed = ranked(found.effects)
    if changed:
        columns = table("SIGNAL", "SERVICE", "FIRST", "SECOND", "SHIFT", "")
        for one in changed:
            medians = (f"{each.median:.4g}" if each is not None else "" for each in (one.before, one.during))
            shift = f"{one.shift:+.3g} ({one.low:+.3g} to {one.high:+.3g})"
            columns.add_row(one.signal, one.service, *medians, shift, one.words)
        console.print(columns)
    else:
        count = len(found.effects)
        console.print(Text(f"None of {count} series was worse or better while faults were in."))
    for head, findings in (("No longer found", found.gone), ("New", found.new), ("Still found", found.still)):
        _print_findings(console, head, findings)


def _print_findings(console: Console, head: str, findings: Sequence[Finding]) -> None:
    if not findings:
        return
    console.print()
    console.print(Text(head, style="bold"))
    for one in findings:
        console.print(Text(f"  {one.severity}: {one.title}"), soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare", epilog=examples("gameday compare 1a2b 7f3a"))(compare)
