"""Why: whoever must account for what was done reads it here, and can prove that nobody has changed it.

A door to the audit trail in the journal. It changes nothing.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic_core import to_json
from rich.console import Console
from rich.text import Text

from gameday.cli import complete
from gameday.cli.named import several
from gameday.cli.options import OutputOption, examples
from gameday.cli.output import Format, emit, local_date_time, note, table
from gameday.cli.writing import rewritten
from gameday.errors import ExitCode, UsageError
from gameday.journal.audit import Audit, Chain, Entry, verify_export
from gameday.journal.store import Journal
from gameday.settings import load

RunOption = Annotated[
    str, typer.Option("--run", metavar="RUN", help="Only this run's.", autocompletion=complete.runs)
]


@asynccontextmanager
async def _trail() -> AsyncIterator[tuple[Journal, Audit]]:
    async with Journal.open(load().database_url) as journal:
        yield journal, Audit(journal)


async def _whole_name(journal: Journal, run: str) -> str:
    """The run's id; ``run`` itself where only the trail can know it. Raises ``UsageError`` for several."""
    ids = await journal.matching(run)
    if len(ids) > 1:
        raise several(run, ids)
    return ids[0] if ids else run


def list_entries(
    run: RunOption = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, the newest.")] = 30,
    output: OutputOption = Format.TEXT,
) -> int:
    """List what was done last, by whom and from where; the newest at the end."""

    async def read() -> list[Entry]:
        async with _trail() as (journal, audit):
            return await audit.latest(limit, await _whole_name(journal, run))

    entries = asyncio.run(read())

    def text(console: Console) -> None:
        if not entries:
            console.print(Text("Nothing was written down yet."))
            return
        columns = table("NO.", "WHEN", "ACTION", "BY", "FROM", "RUN", "DETAIL")
        for one in entries:
            where = f"{one.source} on {one.host}"
            when = local_date_time(one.at)
            columns.add_row(str(one.number), when, one.action, one.by, where, one.run, _words(one.detail))
        console.print(columns)

    emit([one.as_dict() for one in entries], output, text)
    return ExitCode.HELD


def _words(detail: Any) -> str:
    parts = (
        f"{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in detail.items()
        if value not in ("", None, [])
    )
    text = " ".join("  ".join(parts).split())
    return text if len(text) <= 200 else f"{text[:199]}…"


def verify(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="An export to check, - for stdin; the journal's without it."),
    ] = None,
    expect: Annotated[
        str,
        typer.Option("--expect", metavar="HASH", help="An entry with this hash must be there, noted before."),
    ] = "",
    output: OutputOption = Format.TEXT,
) -> int:
    """Check that nobody has changed, removed or put in an entry.

    Prints the hash of the last entry: note it elsewhere, and give it to `--expect` the next time. Only
    so is it noticed that entries were taken off the end.

    Exit code 0 where the chain is whole, 1 where it is not: the first broken entry is named.
    """

    async def check() -> Chain:
        if file is not None:
            return await verify_export(_lines(file), expect)
        async with _trail() as (_, audit):
            return await audit.verify(expect)

    chain = asyncio.run(check())
    data = {
        "whole": chain.whole,
        "entries": chain.entries,
        "last": chain.last or None,
        "firstBroken": chain.broken,
        "why": chain.why or None,
    }

    def text(console: Console) -> None:
        if chain.whole:
            console.print(Text(f"The chain is whole: {chain.entries} entries."), soft_wrap=True)
            console.print(Text(f"Last hash: {chain.last or 'none yet'}"), soft_wrap=True)
        else:
            console.print(Text(f"BROKEN: {chain.why}.", style="bold red"), soft_wrap=True)
            console.print(Text(f"Whole up to entry {chain.entries}."), soft_wrap=True)

    emit(data, output, text)
    return ExitCode.HELD if chain.whole else ExitCode.DISPROVED


def _lines(file: Path) -> list[str]:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: cannot be read ({error})") from None
    return text.splitlines()


def export(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Where to write it; stdout without it.")
    ] = None,
    run: RunOption = "",
) -> int:
    """Write the trail as JSON Lines, one entry a line, oldest first; `audit verify FILE` checks it.

    With `--run` only that run's entries are written: they are no whole chain, and cannot be verified.
    A FILE that is there is replaced once all is written.
    """
    count, last = asyncio.run(_export(file, run))
    if file is not None:
        note(f"{count} entries are in {file}. Last hash: {last or 'none'}")
    return ExitCode.HELD


async def _export(file: Path | None, run: str) -> tuple[int, str]:
    count, last = 0, ""
    async with _trail() as (journal, audit):
        whole = await _whole_name(journal, run)
        with rewritten(file) as stream:
            async for entry in audit.entries(run=whole):
                stream.write(to_json(entry.as_dict()).decode() + "\n")
                count, last = count + 1, entry.hash
    return count, last


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Show, check and export who did what.", no_args_is_help=True)
    group.command("list", epilog=examples("gameday audit list", "gameday audit list --run 7f3a -o json"))(
        list_entries
    )
    group.command("verify", epilog=examples("gameday audit verify", "gameday audit verify trail.jsonl"))(
        verify
    )
    group.command("export", epilog=examples("gameday audit export trail.jsonl"))(export)
    app.add_typer(group, name="audit")
