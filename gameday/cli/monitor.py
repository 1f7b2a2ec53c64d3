"""Why: a run can be followed from another terminal, by anybody who can read the journal."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Annotated, Any

import typer

from gameday.cli import complete
from gameday.cli.catalogue import open_catalogue
from gameday.cli.live import Follower
from gameday.cli.liveness import Life, life
from gameday.cli.named import run_of
from gameday.cli.options import OutputOption, examples
from gameday.cli.output import Format, emit, note, stdout
from gameday.clients.kubernetes import Cluster
from gameday.clock import SystemClock
from gameday.errors import ExitCode, GamedayError, UsageError
from gameday.journal.store import Event, Journal, JournalError, RunRecord
from gameday.settings import clock, load

_POLL = timedelta(milliseconds=500)
# A run tells something every few seconds; after so long in silence the cluster is asked about it.
_QUIET = timedelta(seconds=20)
_EPILOGUE = timedelta(seconds=1.5)


def monitor(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="The run, or the end of its id; the latest without it.",
            autocompletion=complete.runs,
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Stay until the run has its verdict.")
    ] = True,
    output: OutputOption = Format.TEXT,
) -> int:
    """Follow a run from another terminal: everything it has told, then what it tells.

    Only looks: Ctrl-C here does not touch the run (`gameday stop RUN` does). Exit code 0, or 6 where
    the run was cut off: its process is gone and it will never have a verdict of its own.
    """
    return asyncio.run(_monitor(run, follow, output))


async def _monitor(run: str | None, follow: bool, output: Format) -> int:
    async with Journal.open(load().database_url) as journal:
        record = await _found(journal, run)
        follower = Follower(stdout()) if output is Format.TEXT else None
        following = _Following(journal, record.run, follower)
        now_lives = await (following.to_its_end() if follow else following.once())
        if follower is None:
            emit([_plain(event) for event in await journal.events(record.run)], output, lambda _: None)
    if now_lives is not Life.CUT_OFF:
        return ExitCode.HELD
    note(
        f"Run {record.run} was cut off: its process is gone. `gameday status` shows what it left, "
        f"`gameday stop {record.run}` ends it.",
        style="bold red",
    )
    return ExitCode.ERROR


async def _found(journal: Journal, run: str | None) -> RunRecord:
    if run is not None:
        return await run_of(journal, run)
    latest = await journal.latest(1)
    if not latest:
        raise UsageError("there is no run to follow yet", hint="`gameday run NAME` starts one.")
    return latest[0]


class _Following:
    """Shows what a run tells. In real time: whoever only looks must not drive a rehearsal's clock."""

    def __init__(self, journal: Journal, run: str, follower: Follower | None) -> None:
        self._journal = journal
        self._run = run
        self._follower = follower
        self._last = 0
        self._clock = SystemClock()

    async def once(self) -> Life:
        """Show what was told so far."""
        await self._show_news()
        return await self._life()

    async def to_its_end(self) -> Life:
        """Show everything until the run has its verdict, or is known to be cut off."""
        await self._show_news()
        known = await self._life()
        quiet_since = self._clock.now()
        while known not in {Life.ENDED, Life.CUT_OFF}:
            await self._clock.sleep(_POLL)
            if await self._show_news():
                quiet_since = self._clock.now()
            if await self._has_verdict():
                await self._epilogue()
                return Life.ENDED
            if self._clock.now() - quiet_since >= _QUIET:
                known = await self._life()
                quiet_since = self._clock.now()
        return known

    async def _epilogue(self) -> None:
        """The report and the last message follow the verdict."""
        until = self._clock.now() + _EPILOGUE
        while self._clock.now() < until:
            await self._clock.sleep(_POLL)
            if await self._show_news():
                until = self._clock.now() + _EPILOGUE

    async def _show_news(self) -> bool:
        events = await self._journal.events(self._run, after=self._last)
        for event in events:
            self._last = event.id
            if self._follower is not None:
                self._follower.show(event)
        return bool(events)

    async def _has_verdict(self) -> bool:
        record = await self._journal.find(self._run)
        return record is not None and record.verdict is not None

    async def _life(self) -> Life:
        """Whether the run goes on, as far as the cluster can be asked."""
        record = await self._journal.find(self._run)
        if record is None or record.verdict is not None:
            return Life.ENDED
        try:
            settings = load()
            platform = open_catalogue(None).platform
            where = platform.environment(record.environment)
            time = clock(settings)
            async with Cluster.connect(
                where.context, clock=time, call_timeout=settings.kubernetes_timeout, check=False
            ) as cluster:
                return await life(record, self._journal, cluster, platform.chaos_namespace, time.now())
        except JournalError:
            raise
        except GamedayError:
            return Life.UNKNOWN


def _plain(event: Event) -> dict[str, Any]:
    return {"at": event.at, "kind": event.kind, "message": event.message, "data": dict(event.data)}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "monitor",
        epilog=examples("gameday monitor", "gameday monitor 7f3a", "gameday monitor --no-follow -o json"),
    )(monitor)
