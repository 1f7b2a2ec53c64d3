"""Why: people who have an hour for chaos should not have to guess what it is best spent on.

A door to ``gameday.analysis.suggest``: reads the catalogue and the journal, and prints the ranked list.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from gameday.analysis.suggest import Known, Suggestion, suggest
from gameday.cli import complete
from gameday.cli.catalogue import open_catalogue
from gameday.cli.options import ExperimentsOption, OutputOption, RecordOfSandboxOption, examples
from gameday.cli.output import Format, emit, note
from gameday.errors import ExitCode
from gameday.journal.store import Journal
from gameday.report.past import known
from gameday.settings import clock_at_hand, load
from gameday.spec.catalogue import Catalogue


def suggest_next(
    env: Annotated[
        str,
        typer.Option(
            "--env",
            "-e",
            help="Only what was run, and may be run, there.",
            autocompletion=complete.environments,
        ),
    ] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, the best.")] = 5,
    sandbox: RecordOfSandboxOption = False,
    output: OutputOption = Format.TEXT,
    experiments: ExperimentsOption = None,
) -> int:
    """Say what to try next, ranked, and why.

    From what was never tried or long ago, how many services need what would be hit, what was weak
    before, and what was mended and never proved. docs/reference/metrics-of-reviews.md says how the
    points are counted. Exit code 0; 2 for an unknown environment; 6 where the journal cannot be read.
    """
    catalogue = open_catalogue(experiments)
    past = asyncio.run(_known(catalogue, env, sandbox))
    found = suggest(past, limit)

    def text(console: Console) -> None:
        where = f" in {env}" if env else ""
        tried, of = len(past.coverage.met), len(past.coverage.cells)
        console.print(Text(f"{tried} of {of} faults that services can meet were tried{where}."))
        for place, one in enumerate(found, start=1):
            console.print()
            console.print(Text(f"{place}. {one.what}: {one.points:g} points", style="bold"))
            for line in _in_words(one):
                console.print(Text(f"   {line}"), soft_wrap=True)

    emit(found, output, text)
    return ExitCode.HELD


def _in_words(one: Suggestion) -> list[str]:
    parts = [f"{part.points:+5.1f}  {part.what}: {part.why}" for part in one.parts]
    also = [f"With it: {', '.join(one.also)}"] if one.also else []
    return [*parts, *also, f"$ {one.command}" if one.command else f"{one.by_hand}."]


async def _known(catalogue: Catalogue, env: str, sandbox: bool) -> Known:
    settings = load()
    warn = partial(note, style="yellow")
    async with Journal.open(settings.database_url) as journal:
        now = clock_at_hand(settings, warn).now()
        return await known(journal, catalogue, env, now, warn, sandbox=sandbox or settings.on_sandbox)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("suggest", epilog=examples("gameday suggest --env staging", "gameday suggest -n 20 -o json"))(
        suggest_next
    )
