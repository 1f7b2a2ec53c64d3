"""Why: what runs found wrong is mended by people, and whoever looks sees what is still to be done.

A door to the action items of the journal. Runs open them, with their findings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any, Final

import typer
from pydantic.alias_generators import to_camel
from rich.console import Console
from rich.text import Text

from gameday.cli.catalogue import open_catalogue
from gameday.cli.named import run_of
from gameday.cli.options import OutputOption, RecordOfSandboxOption, end_of_day_or_moment, examples
from gameday.cli.output import Format, emit, local_date_time, note, table
from gameday.cli.who import user
from gameday.clock import Clock
from gameday.errors import ExitCode, UsageError
from gameday.journal.actions import ActionItem, Actions
from gameday.journal.store import Journal
from gameday.settings import clock_at_hand, load
from gameday.spec.platform import unknown
from gameday.typed import one_line

ItemArgument = Annotated[int, typer.Argument(metavar="ITEM", help="Its number, as `actions list` shows it.")]
ByOption = Annotated[
    str | None, typer.Option("--by", metavar="NAME", help="Who says so; your user name without it.")
]


# A day that is due ends when the next begins.
_INSTANT: Final = timedelta(microseconds=1)


def _clock() -> Clock:
    return clock_at_hand(load(), partial(note, style="yellow"))


def list_items(
    every: Annotated[bool, typer.Option("--all", help="Those that are done, too.")] = False,
    owner: Annotated[str, typer.Option("--owner", metavar="TEAM", help="Only this team's.")] = "",
    service: Annotated[str, typer.Option("--service", metavar="NAME", help="Only about it.")] = "",
    run: Annotated[str, typer.Option("--run", metavar="RUN", help="Only what this run saw.")] = "",
    sandbox: RecordOfSandboxOption = False,
    output: OutputOption = Format.TEXT,
) -> int:
    """List what is to be done, what is due first on top; what is overdue is said.

    Exit code 0, whatever is overdue.
    """
    items = asyncio.run(_items(every, owner, service, run, sandbox))
    now = _clock().now()

    def text(console: Console) -> None:
        if not items:
            console.print(Text("Nothing matches." if owner or service or run else "Nothing is to be done."))
            return
        columns = table("ITEM", "STATE", "DUE", "OWNER", "SEVERITY", "RUNS", "WHAT")
        for one in items:
            whose = f"{one.owner} ({one.assignee})" if one.assignee else one.owner
            columns.add_row(
                str(one.item), _state(one, now), _due(one), whose, one.severity, str(len(one.runs)), one.title
            )
        console.print(columns)
        late = sum(one.overdue(now) for one in items)
        if late:
            console.print(Text(f"{late} overdue.", style="bold red"))

    emit([_plain(one, now) for one in items], output, text)
    return ExitCode.HELD


async def _items(every: bool, owner: str, service: str, run: str, sandbox: bool) -> Sequence[ActionItem]:
    settings = load()
    async with Journal.open(settings.database_url) as journal:
        whole = (await run_of(journal, run)).run if run else ""
        of_sandbox = sandbox or settings.on_sandbox
        found = await Actions(journal).items(
            closed=None if every else False, owner=owner, service=service, run=whole
        )
    # A run is of one of them: whoever names it need not say which.
    own = [one for one in found if whole or one.sandbox == of_sandbox]
    if len(own) < len(found) and not of_sandbox:
        note(f"{len(found) - len(own)} of the sandbox left out; --sandbox lists those instead.")
    return own


def _due(item: ActionItem) -> str:
    """The last day on which it is in time, in the reader's zone."""
    return f"{item.due.astimezone() - _INSTANT:%Y-%m-%d}" if item.due else ""


def _state(item: ActionItem, now: datetime) -> str:
    if not item.open:
        return "done"
    return "OVERDUE" if item.overdue(now) else "open"


def _plain(item: ActionItem, now: datetime) -> dict[str, Any]:
    values = {to_camel(one.name): getattr(item, one.name) for one in fields(item)}
    return values | {"state": _state(item, now).lower()}


def show_item(item: ItemArgument, output: OutputOption = Format.TEXT) -> int:
    """Show one action item: what is to be done, why, whose it is, in which runs it was seen."""
    found, now = asyncio.run(_one(item)), _clock().now()

    def text(console: Console) -> None:
        console.print(Text(f"{found.item}: {found.title}", style="bold"))
        facts = table("", "")
        facts.show_header = False
        facts.add_row("State", _state(found, now))
        facts.add_row("To do", found.what)
        facts.add_row("Owner", found.owner)
        facts.add_row("Assigned to", found.assignee or "nobody yet")
        facts.add_row("Due", _due(found) or "not said")
        facts.add_row("Service", found.service or "the platform")
        facts.add_row("Severity", found.severity)
        facts.add_row("Opened", local_date_time(found.opened_at))
        if found.closed_at is not None:
            facts.add_row("Closed", f"{local_date_time(found.closed_at)} by {found.closed_by}")
            facts.add_row("What was done", found.outcome or "")
        facts.add_row("Of", "the sandbox" if found.sandbox else "clusters")
        facts.add_row("Seen in", ", ".join(found.runs))
        console.print(facts)

    emit(_plain(found, now), output, text)
    return ExitCode.HELD


async def _one(item: int) -> ActionItem:
    async with Journal.open(load().database_url) as journal:
        return await Actions(journal).get(item)


def assign(
    item: ItemArgument,
    to: Annotated[str, typer.Option("--to", metavar="NAME", help="The person who does it.")] = "",
    owner: Annotated[str, typer.Option("--owner", metavar="TEAM", help="The team that owns it.")] = "",
    due: Annotated[
        datetime | None,
        typer.Option(
            "--due",
            parser=end_of_day_or_moment,
            metavar="TIME",
            help="Until when: 2026-12-01, the end of that day, or 2026-12-01T10:00Z.",
        ),
    ] = None,
    by: ByOption = None,
) -> int:
    """Say who does what is to be done, and until when.

    Exit code 0; 2 where there is no such item, it is done already, or nothing is said.
    """
    if not (to or owner or due):
        raise UsageError("nothing to change", hint="Give --to NAME, --owner TEAM or --due TIME.")
    if owner and (platform := open_catalogue(None).platform).team(owner) is None:
        raise UsageError(unknown("team", owner, [team.name for team in platform.teams]))

    async def change() -> ActionItem:
        async with Journal.open(load().database_url) as journal:
            return await Actions(journal).assign(
                item,
                by=one_line(by or "") or user(),
                at=_clock().now(),
                owner=owner,
                assignee=one_line(to),
                due=due,
            )

    found = asyncio.run(change())
    until = f", due {_due(found)}" if found.due else ""
    note(f"{found.item} is {found.owner}'s ({found.assignee or 'nobody in person'}){until}: {found.title}")
    return ExitCode.HELD


def close(
    item: ItemArgument,
    outcome: Annotated[str, typer.Option("--outcome", metavar="TEXT", help="What was done about it.")],
    by: ByOption = None,
) -> int:
    """Say that it is done, and what was done. A later run that finds the same again opens a new one.

    Exit code 0; 2 where there is no such item, it is done already, or nothing is said.
    """
    words = _said(outcome, "--outcome")

    async def change() -> ActionItem:
        async with Journal.open(load().database_url) as journal:
            return await Actions(journal).close(
                item, by=one_line(by or "") or user(), at=_clock().now(), outcome=words
            )

    found = asyncio.run(change())
    note(f"{found.item} is done: {found.title}")
    note(f"Whether it helped is seen when {found.experiment} runs again.")
    return ExitCode.HELD


def reopen(
    item: ItemArgument,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="Why it is not done after all.")],
    by: ByOption = None,
) -> int:
    """Say that it is not done after all.

    Exit code 0; 2 where there is no such item, it is open, or nothing is said.
    """
    words = _said(why, "--why")

    async def change() -> ActionItem:
        async with Journal.open(load().database_url) as journal:
            return await Actions(journal).reopen(
                item, by=one_line(by or "") or user(), at=_clock().now(), why=words
            )

    found = asyncio.run(change())
    note(f"{found.item} is open again: {found.title}")
    return ExitCode.HELD


def _said(text: str, option: str) -> str:
    words = one_line(text)
    if not words:
        raise UsageError(f"{option} says nothing", hint="One sentence is enough.")
    return words


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="List, assign and close what runs found to be done.", no_args_is_help=True)
    group.command("list", epilog=examples("gameday actions list", "gameday actions list --owner data-team"))(
        list_items
    )
    group.command("show", epilog=examples("gameday actions show 3"))(show_item)
    group.command(
        "assign", epilog=examples("gameday actions assign 3 --to somebody@example.com --due 2026-12-01")
    )(assign)
    group.command("close", epilog=examples('gameday actions close 3 --outcome "40 connections now"'))(close)
    group.command("reopen", epilog=examples('gameday actions reopen 3 --why "it was the wrong pool"'))(reopen)
    app.add_typer(group, name="actions")
