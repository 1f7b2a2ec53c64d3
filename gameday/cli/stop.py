"""Why: ending faults must be one short command that depends on as little as possible.

A door to the emergency stop: it needs the cluster, and neither Prefect, nor Prometheus, nor Slack,
nor the journal. Measured cold, so it imports no more than that.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from gameday.cli import complete
from gameday.cli.options import OutputOption, SandboxOption, duration, examples
from gameday.cli.output import Format, emit, note
from gameday.cli.sandboxed import sandboxed
from gameday.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from gameday.clock import Clock
    from gameday.safety.stop_report import StopReport


def stop(
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="The run to stop.", autocompletion=complete.runs),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="End every chaos object in the cluster, whoever made it.")
    ] = False,
    env: Annotated[
        str | None,
        typer.Option(
            "--env",
            "-e",
            help="The environment whose cluster is meant; the kubeconfig's current one without it.",
            autocompletion=complete.environments,
        ),
    ] = None,
    within: Annotated[
        timedelta,
        typer.Option(
            parser=duration,
            metavar="DURATION",
            show_default="1m",
            help="How long to wait until all are gone.",
        ),
    ] = timedelta(seconds=60),
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="At the end, let go what hangs without a recovery, and replace its target pods.",
        ),
    ] = False,
    output: OutputOption = Format.TEXT,
    sandbox: SandboxOption = False,
) -> int:
    """End the faults of a run, or all of them, now.

    Works with Prefect, Prometheus and Slack down. Ends Schedules and Workflows first, then every
    fault, and watches until they are gone. What could not be proved is said.

    Exit code 0 where everything is proved to be over, 2 where nobody knows the run, 6 where
    something is not proved.
    """
    if (run is None) == (not everything):
        raise UsageError("name one RUN, or give --all", hint="`gameday status` shows what is live.")
    with sandboxed(sandbox, environment=env):
        return asyncio.run(_stop(run, env, within, force, output))


async def _stop(run: str | None, env: str | None, within: timedelta, force: bool, output: Format) -> int:
    from gameday.run.ending import end_faults  # noqa: PLC0415 - after --sandbox has set its variables
    from gameday.safety.stop_report import Scope, StopEvent  # noqa: PLC0415

    def progress(event: StopEvent) -> None:
        # The last one is the head of the report, which follows.
        if not str(event).startswith("Stopped "):
            note(str(event))

    async def end(run: str | None) -> StopReport:
        return await end_faults(
            Scope.everything() if run is None else Scope.of_run(run),
            context=_context(env),
            clock=_clock(),
            within=within,
            force=force,
            call_off=True,
            progress=progress,
        )

    report = await end(run)
    stranger = False
    if run is not None and report.clean and not report.outcomes and not report.notes:
        # Only now, when the cluster has nothing of that name: a stop does not wait for a journal.
        known = await _known(run)
        stranger = known is None
        if known and known != run:
            note(f"{run} is run {known}.")
            report = await end(known)

    def text(console: Console) -> None:
        for line in told(report):
            console.print(Text(line), soft_wrap=True)

    emit(report.as_dict(), output, text)
    if stranger:
        raise UsageError(
            f"unknown run {run!r}: nothing in the cluster is of it, and the journal does not know it",
            hint="`gameday status` shows what is live and the latest runs; `--all` ends everything.",
        )
    return ExitCode.HELD if report.clean else ExitCode.ERROR


async def _known(run: str) -> str | None:
    """The whole id of the run that the journal knows by this one, or by its end; None where by none.

    ``run`` itself where there is no journal to ask.
    """
    from gameday.journal.store import Journal, JournalError  # noqa: PLC0415 - seldom needed, costs 0.2 s
    from gameday.settings import load  # noqa: PLC0415

    try:
        async with Journal.open(load().database_url) as journal:
            record = await journal.find(run)
    except (JournalError, UsageError):
        return run
    return record.run if record is not None else None


def told(report: StopReport) -> list[str]:
    """The report for people; what went wrong with many kinds in the same way is said once."""
    if not report.unseen:
        return report.lines()
    bare = replace(report, unseen={}, failed_calls=())
    head, *rest = bare.lines()
    if not report.outcomes:
        head = f"Stop of {report.scope}: nothing was found, but not everything could be looked at."
    kinds = ", ".join(sorted(report.unseen))
    first, why = next(iter(report.unseen.items()))
    from gameday.clients.chaos_kinds import plural  # noqa: PLC0415 - as the rest

    look = ",".join(plural(kind) for kind in sorted(report.unseen))
    if len(set(report.unseen.values())) > 1:
        why = f"{first}: {why}"
    return [
        head,
        *rest,
        f"Not known to be over, {len(report.unseen)} of the kinds could not be listed: {kinds}.",
        f"Why: {why}",
        f"To do: mend that and stop again, or look with `kubectl get {look} -A`.",
    ]


def _context(env: str | None) -> str | None:
    """The context of an environment. Only where one is named: a stop must not need the catalogue."""
    if env is None:
        return None
    from gameday.cli.catalogue import open_catalogue  # noqa: PLC0415

    return open_catalogue(None).platform.environment(env).context


def _clock() -> Clock:
    """The sandbox's clock where one is named and answers; a stop must not depend on it."""
    from gameday.clock import SystemClock  # noqa: PLC0415
    from gameday.errors import UnreachableError  # noqa: PLC0415
    from gameday.settings import clock, load  # noqa: PLC0415

    try:
        return clock(load())
    except UnreachableError as error:
        note(f"{error.message} Going on in real time.", style="yellow")
        return SystemClock()


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "stop",
        epilog=examples(
            "gameday stop 20261123t101530-basic-pod-failure-7f3a",
            "gameday stop --all",
            "gameday stop --all --within 2m --force",
        ),
    )(stop)
