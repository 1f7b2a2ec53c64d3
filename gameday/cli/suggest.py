"""Why: people who have an hour for chaos should not have to guess what it is best spent on.

A door to ``gameday.analysis.suggest``: reads the catalogue and the journal, and prints the ranked list.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from gameday.analysis.suggest import Known, Suggestion, suggest
from gameday.cli import complete
from gameday.cli.catalogue import open_catalogue
from gameday.cli.options import ExperimentsOption, OutputOption, examples
from gameday.cli.output import Format, emit, note
from gameday.errors import DeclarationError, ExitCode
from gameday.journal.actions import ActionItem, Actions
from gameday.journal.history import History, RunRow, Wanted
from gameday.journal.store import Journal
from gameday.settings import clock_at_hand, load
from gameday.spec.catalogue import Catalogue
from gameday.spec.experiment import Experiment


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
    output: OutputOption = Format.TEXT,
    experiments: ExperimentsOption = None,
) -> int:
    """Say what to try next, ranked, and why.

    From what was never tried or long ago, how many services need what would be hit, what was weak
    before, and what was mended and never proved. docs/reference/metrics-of-reviews.md says how the
    points are counted. Exit code 0; 2 for an unknown environment; 6 where the journal cannot be read.
    """
    catalogue = open_catalogue(experiments)
    if env:
        catalogue.platform.environment(env)
    known = asyncio.run(_known(catalogue, env))
    found = suggest(known, limit)

    def text(console: Console) -> None:
        where = f" in {env}" if env else ""
        tried, of = len(known.coverage.met), len(known.coverage.cells)
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
    return [*parts, *also, f"$ {one.command}"]


async def _known(catalogue: Catalogue, env: str) -> Known:
    settings = load()
    declared = readable(catalogue)
    rows, items = await _read(settings.database_url, env)
    now = clock_at_hand(settings, partial(note, style="yellow")).now()
    return Known(catalogue.platform, declared, rows, items, now, env)


async def _read(url: str, env: str) -> tuple[Sequence[RunRow], Sequence[ActionItem]]:
    async with Journal.open(url) as journal:
        rows = await History(journal).rows(Wanted(environment=env))
        items = await Actions(journal).items()
    names = {row.run for row in rows}
    return rows, [one for one in items if not env or names.intersection(one.runs)]


def readable(catalogue: Catalogue) -> list[Experiment]:
    """The experiments that can be read; of the others ``gameday validate`` tells what is wrong."""
    found = []
    for path in catalogue.files:
        try:
            found.append(catalogue.load(path))
        except DeclarationError as error:
            note(f"{path.name} is left out: {error.message}", style="yellow")
    return found


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("suggest", epilog=examples("gameday suggest --env staging", "gameday suggest -n 20 -o json"))(
        suggest_next
    )
