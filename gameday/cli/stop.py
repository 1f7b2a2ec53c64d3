"""Why: ending faults must be one short command that depends on as little as possible.

A door to the emergency stop: it needs the cluster, and neither Prefect, nor Prometheus, nor Slack,
nor the journal. Measured cold, so it imports no more than that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from gameday.cli import complete
from gameday.cli.options import OutputOption, SandboxOption, examples
from gameday.cli.output import Format, emit, note
from gameday.cli.sandboxed import sandboxed
from gameday.cli.stopping import (
    ForceOption,
    IncidentOption,
    RestartOption,
    WhereOption,
    WithinOption,
    clock_at_hand,
    progress,
    told,
)
from gameday.cli.who import user
from gameday.errors import ExitCode, UsageError
from gameday.typed import one_line

if TYPE_CHECKING:
    from gameday.clients.faults import PodName
    from gameday.clients.kubernetes import Cluster
    from gameday.clock import Clock
    from gameday.safety.restart import Restarted
    from gameday.safety.stop_report import Scope, StopReport


def stop(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="The run to stop, or how its id begins or ends; one that is live goes before others.",
            autocompletion=complete.runs,
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="End every chaos object in the cluster, whoever made it.")
    ] = False,
    env: WhereOption = None,
    within: WithinOption = timedelta(seconds=60),
    force: ForceOption = False,
    restart: RestartOption = False,
    incident: IncidentOption = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="NAME", help="Who does it; your user name without it.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; kept in the audit trail.")] = "",
    output: OutputOption = Format.TEXT,
    sandbox: SandboxOption = False,
) -> int:
    """End the faults of a run, or all of them, now.

    Works with Prefect, Prometheus, Slack and the journal down. Ends Schedules and Workflows first,
    then every fault, and watches until they are gone. What could not be proved is said.

    Where `--all` has ended anything, incident management is told afterwards and a post-incident review
    opened; `--no-incident` leaves that out, `--incident` does it for a single run, too.

    A run that goes on is called off by its Lease; a suite is stopped by its own id, too.

    Exit code 0 where everything is proved to be over, 2 where nobody knows the run or several could
    be meant, 6 where something is not proved, a restart included, or the run may go on.
    """
    if (run is None) == (not everything):
        raise UsageError("name one RUN, or give --all", hint="`gameday status` shows what is live.")
    with sandboxed(sandbox, environment=env):
        stopping = _Stopping(
            run, env, within, force, restart, incident, one_line(by or "") or user(), one_line(reason)
        )
        return asyncio.run(stopping.stop(output))


@dataclass
class _Stopping:
    """What somebody wants to be stopped, and how."""

    run: str | None
    env: str | None
    within: timedelta
    force: bool
    restart: bool
    incident: bool | None
    by: str
    reason: str

    async def stop(self, output: Format) -> int:
        from gameday.cli.place import cluster_of  # noqa: PLC0415 - after --sandbox has set its variables
        from gameday.clients.kubernetes import Cluster  # noqa: PLC0415

        clock, context = clock_at_hand(), _context(self.env)
        began = clock.now()
        async with Cluster.connect(context, clock=clock, check=False) as cluster:
            if self.run is None:
                note(f"Ending everything in {cluster_of(context)}.")
            hit = await self._hit(cluster)
            report = await self._end(cluster, clock)
            stranger = False
            if self.run is not None and report.clean and _found_nothing(report):
                # Only now, when the cluster has nothing of it: a stop waits for no list and no journal.
                meant = await _meant(cluster, self.run, clock.now())
                stranger = meant is None and not report.notes
                if meant and meant != self.run:
                    note(f"{self.run} is run {meant}.")
                    self.run = meant
                    hit = await self._hit(cluster)
                    report = await self._end(cluster, clock)
            if stranger:
                _tell(report, output)
                raise UsageError(
                    f"unknown run {self.run!r}: nothing in the cluster is of it, "
                    "and the journal does not know it",
                    hint="`gameday status` shows what is live and the latest runs; `--all` ends everything.",
                )
            if self.run is not None and report.clean and _found_nothing(report):
                report = await _doubted(report, self.run)
            if output is Format.TEXT or not self.restart:
                _tell(report, output)
            restarted = await self._follow(cluster, report, hit, clock, began)
        if output is not Format.TEXT and self.restart:
            _tell(report, output, restarted=[one.as_dict() for one in restarted])
        well = report.clean and all(one.ok for one in restarted)
        return ExitCode.HELD if well else ExitCode.ERROR

    @property
    def _scope(self) -> Scope:
        from gameday.safety.stop_report import Scope  # noqa: PLC0415 - as above

        return Scope.everything() if self.run is None else Scope.of_run(self.run)

    async def _hit(self, cluster: Cluster) -> frozenset[PodName] | None:
        from gameday.safety.restart import pods_hit  # noqa: PLC0415 - as above
        from gameday.safety.stop_report import Scope  # noqa: PLC0415

        if not self.restart:
            return None
        suites = [Scope.of_suite(self.run)] if self.run is not None else []
        return frozenset([pod for scope in (self._scope, *suites) for pod in await pods_hit(cluster, scope)])

    async def _end(self, cluster: Cluster, clock: Clock) -> StopReport:
        from gameday.run.ending import end_faults_in  # noqa: PLC0415 - as above
        from gameday.safety.called_off import Caller  # noqa: PLC0415

        return await end_faults_in(
            cluster,
            self._scope,
            clock=clock,
            within=self.within,
            force=self.force,
            call_off=True,
            caller=Caller(self.by, self.reason),
            progress=progress,
        )

    async def _follow(
        self,
        cluster: Cluster,
        report: StopReport,
        hit: frozenset[PodName] | None,
        clock: Clock,
        began: datetime,
    ) -> Sequence[Restarted]:
        # Only now: it imports more than a stop needs.
        from gameday.cli import aftermath, protocol  # noqa: PLC0415
        from gameday.cli.place import place  # noqa: PLC0415
        from gameday.journal.audit import Action  # noqa: PLC0415

        command = f"gameday stop {self.run or '--all'}"
        emergency = protocol.Emergency(command, self.by, self.reason, place(self.env), clock, began)
        emergency.report, emergency.runs = report, [self.run] if self.run else []
        detail = {"reason": self.reason, **report.gist()}
        incident = self.incident if self.incident is not None else bool(self.run is None and report.outcomes)
        await aftermath.follow(
            emergency,
            cluster,
            hit,
            acts=[protocol.Act(Action.STOP, detail, self.run or "")],
            message=None,
            incident=incident,
        )
        return emergency.restarted


def _tell(report: StopReport, output: Format, **more: Any) -> None:
    def text(console: Console) -> None:
        for line in told(report):
            console.print(Text(line), soft_wrap=True)
        console.file.flush()

    emit({**report.as_dict(), **more}, output, text)


def _found_nothing(report: StopReport) -> bool:
    return not report.outcomes and not report.called_off


async def _meant(cluster: Cluster, run: str, now: datetime) -> str | None:
    """The whole id of the run whose id begins or ends with ``run``; None where nobody knows any.

    What is live in the cluster goes before what the journal knows, and needs no journal. ``run`` itself
    where there is none to ask. Raises ``UsageError`` where several could be meant.
    """
    from gameday.cli.named import several  # noqa: PLC0415 - seldom needed

    live = await _live(cluster, run, now)
    ids = live or await _known(run)
    if len(ids) > 1:
        what = "They are live" if live else "None of them was found live"
        raise several(run, ids, f"{what}; `gameday stop --all` ends everything.")
    return ids[0] if ids else None


async def _live(cluster: Cluster, run: str, now: datetime) -> list[str]:
    """The runs named so that go on, or have left anything in the cluster, as far as it can be asked."""
    from gameday.clients.chaos_mesh import ChaosMesh  # noqa: PLC0415 - seldom needed
    from gameday.errors import GamedayError  # noqa: PLC0415
    from gameday.run.ending import leases_of_runs  # noqa: PLC0415
    from gameday.safety.lease import is_run_lease  # noqa: PLC0415
    from gameday.safety.stop_report import Scope  # noqa: PLC0415

    ids = {one.meta.run for one in (await ChaosMesh(cluster.api).live()).objects}
    # That the Leases cannot be listed stands in the report of the stop.
    with suppress(GamedayError):
        leases = await leases_of_runs(cluster, Scope.everything())
        ids |= {one.holder for one in leases if is_run_lease(one.name) and not one.lapsed(now)}
    named = {one for one in ids if run and (one.startswith(run) or one.endswith(run))}
    return sorted(named, reverse=True)


async def _known(run: str) -> list[str]:
    """The ids that the journal knows by this one; it alone where there is no journal to ask."""
    from gameday.journal.store import Journal, JournalError  # noqa: PLC0415 - seldom needed, costs 0.2 s
    from gameday.settings import load  # noqa: PLC0415

    try:
        async with Journal.open(load().database_url) as journal:
            return await journal.matching(run)
    except (JournalError, UsageError):
        return [run]


async def _doubted(report: StopReport, run: str) -> StopReport:
    """That the run may go on, where the journal can be asked and has no verdict of it."""
    from gameday.journal.store import Journal, JournalError  # noqa: PLC0415 - as above
    from gameday.run.closing import doubted  # noqa: PLC0415
    from gameday.settings import load  # noqa: PLC0415

    try:
        async with Journal.open(load().database_url) as journal:
            return doubted(report, await journal.find(run))
    except (JournalError, UsageError):
        return report


def _context(env: str | None) -> str | None:
    """The context of an environment. Only where one is named: a stop must not need the catalogue."""
    if env is None:
        return None
    from gameday.cli.catalogue import open_catalogue  # noqa: PLC0415

    return open_catalogue(None).platform.environment(env).context


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "stop",
        epilog=examples(
            "gameday stop 20261123t101530-basic-pod-failure-7f3a",
            "gameday stop --all",
            "gameday stop --all --within 2m --force",
            'gameday stop --all --restart --reason "checkout is down"',
        ),
    )(stop)
