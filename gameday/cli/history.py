"""Why: what was run before, and how it ended, is looked up, noted at, and taken elsewhere.

``history``, ``note`` and ``export`` are doors to the journal. What trends there are in it is for the
review.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic_core import to_json
from rich.console import Console
from rich.text import Text

from gameday.cli import complete
from gameday.cli.liveness import Life, look_again
from gameday.cli.named import run_of
from gameday.cli.options import OutputOption, RunArgument, day_or_moment, examples
from gameday.cli.output import Format, emit, in_seconds, local_date_time, note, table
from gameday.cli.who import user
from gameday.cli.writing import rewritten
from gameday.errors import ExitCode, UsageError
from gameday.journal.export import records
from gameday.journal.history import History, RunRow, Wanted
from gameday.journal.store import Event, Journal, Verdict
from gameday.journal.summary import REMARK
from gameday.settings import clock_at_hand, load
from gameday.typed import one_line

_SHORT: Final = 72

SinceOption = Annotated[
    datetime | None,
    typer.Option(
        "--since",
        parser=day_or_moment,
        metavar="TIME",
        help="Runs that began then or later: 2026-11-01, or 2026-11-01T10:00Z.",
    ),
]
UntilOption = Annotated[
    datetime | None,
    typer.Option("--until", parser=day_or_moment, metavar="TIME", help="Runs that began before."),
]


def history(
    experiment: Annotated[
        str,
        typer.Option(
            "--experiment", metavar="NAME", help="Only of this.", autocompletion=complete.experiments
        ),
    ] = "",
    env: Annotated[
        str, typer.Option("--env", "-e", help="Only there.", autocompletion=complete.environments)
    ] = "",
    verdict: Annotated[Verdict | None, typer.Option("--verdict", help="Only those that ended so.")] = None,
    service: Annotated[
        str, typer.Option("--service", metavar="NAME", help="Only those whose faults hit it.")
    ] = "",
    suite: Annotated[str, typer.Option("--suite", metavar="SUITE", help="Only those of this suite.")] = "",
    since: SinceOption = None,
    until: UntilOption = None,
    sandbox: Annotated[
        bool | None,
        typer.Option("--sandbox/--clusters", help="Only those on the sandbox, or only those on clusters."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, the newest.")] = 20,
    output: OutputOption = Format.TEXT,
) -> int:
    """List the runs that there were, the newest first: what was hit, how each ended, what was found.

    A run that was cut off, because its process is gone, is closed as such. Exit code 0, whatever the
    verdicts are; 2 for a wrong option; 6 where the journal cannot be read.
    """
    wanted = Wanted(experiment, env, verdict, service, since, until, suite, sandbox)
    rows, lives = asyncio.run(_rows(wanted, limit))

    def text(console: Console) -> None:
        if not rows:
            console.print(Text("No run matches." if wanted != Wanted() else "There was no run yet."))
            return
        columns = table("RUN", "STARTED", "TOOK", "ENVIRONMENT", "VERDICT", "FOUND", "WHY")
        for row in rows:
            ended = row.verdict.value if row.verdict else f"none, {lives[row.run].words}"
            took = in_seconds(row.ended_at - row.started_at) if row.ended_at is not None else ""
            columns.add_row(
                row.run,
                local_date_time(row.started_at),
                took,
                row.where,
                ended,
                str(row.findings) if row.findings else "",
                _short(row.summary),
            )
        console.print(columns)

    emit([_plain(row, lives[row.run]) for row in rows], output, text)
    return ExitCode.HELD


async def _rows(wanted: Wanted, limit: int) -> tuple[Sequence[RunRow], Mapping[str, Life]]:
    async with Journal.open(load().database_url) as journal:
        found = History(journal)
        rows = await found.newest(wanted, limit=limit)
        going = [record for row in rows if row.verdict is None and (record := await journal.find(row.run))]
        known = await look_again(journal, going)
        if any(record.verdict is not None for record, _ in known.values()):
            rows = await found.newest(wanted, limit=limit)
    return rows, {row.run: known[row.run][1] if row.run in known else Life.ENDED for row in rows}


def _short(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= _SHORT else f"{line[: _SHORT - 2]} …"


def _plain(row: RunRow, now_lives: Life) -> dict[str, Any]:
    return {
        "run": row.run,
        "experiment": row.experiment,
        "environment": row.environment,
        "sandbox": row.sandbox,
        "requestedBy": row.requested_by,
        "reason": row.reason,
        "startedAt": row.started_at,
        "endedAt": row.ended_at,
        "state": now_lives.value,
        "verdict": row.verdict.value if row.verdict else None,
        "summary": row.summary or None,
        "suite": row.suite,
        "digest": row.digest,
        "recoveredS": row.recovered_s,
        "availability": row.availability,
        "samples": row.samples,
        "interventions": row.interventions,
        "findings": row.findings,
        "hits": [{"service": one.service, "kind": one.kind, "action": one.action} for one in row.hits],
    }


def add_note(
    run: RunArgument,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What was seen or done.")],
    intervention: Annotated[
        bool,
        typer.Option(
            "--intervention",
            help="Somebody did something by hand: what follows is not the platform's own doing.",
        ),
    ] = False,
    by: Annotated[
        str | None, typer.Option("--by", metavar="NAME", help="Who says so; your user name without it.")
    ] = None,
) -> int:
    """Write into a run's record what you see or do, while it goes on or afterwards.

    It stands in the run's timeline and report. Interventions are counted in reviews: what came back
    only because a person stepped in did not come back by itself. Exit code 0; 2 where there is no such
    run or nothing is said.
    """
    words = one_line(text)
    if not words:
        raise UsageError("the note is empty", hint='gameday note RUN "what you saw"')
    kept = asyncio.run(_keep_note(run, words, one_line(by or "") or user(), intervention))
    note(f"{'Intervention' if intervention else 'Note'} kept with run {kept}.")
    return ExitCode.HELD


async def _keep_note(run: str, words: str, by: str, intervention: bool) -> str:
    settings = load()
    async with Journal.open(settings.database_url) as journal:
        record = await run_of(journal, run)
        # A rehearsal's record goes by the sandbox's clock; another time would tear its timeline apart.
        now = clock_at_hand(settings, partial(note, style="yellow")).now()
        what = "Intervention" if intervention else "Note"
        said = Event(
            record.run, now, REMARK, f"{what} by {by}: {words}", {"by": by, "intervention": intervention}
        )
        await journal.append(said)
        await History(journal).refresh(record.run)
    return record.run


def export(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Where to write it; stdout without it.")
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option(
            "--run", metavar="RUN", help="Only this run; may be repeated.", autocompletion=complete.runs
        ),
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
) -> int:
    """Write runs with all that is known of them as JSON Lines: each line one record, with its `record`.

    docs/reference/export.md says what the records hold. A FILE that is there is replaced once all is
    written. Exit code 0; 2 where FILE cannot be written or there is no such run.
    """
    count = asyncio.run(_export(file, run or (), Wanted(since=since, until=until)))
    if file is not None:
        note(f"{count} records are in {file}.")
    return ExitCode.HELD


async def _export(file: Path | None, runs: Sequence[str], wanted: Wanted) -> int:
    count = 0
    async with Journal.open(load().database_url) as journal:
        names = [(await run_of(journal, run)).run for run in runs]
        with rewritten(file) as stream:
            async for record in records(journal, wanted, names):
                stream.write(to_json(record, inf_nan_mode="strings").decode() + "\n")
                count += 1
    return count


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        "history",
        epilog=examples(
            "gameday history", "gameday history --service redis --verdict disproved --since 2026-10-01"
        ),
    )(history)
    app.command("note", epilog=examples('gameday note 7f3a "queue drained by hand" --intervention'))(add_note)
    app.command(
        "export", epilog=examples("gameday export runs.jsonl --since 2026-10-01", "gameday export --run 7f3a")
    )(export)
