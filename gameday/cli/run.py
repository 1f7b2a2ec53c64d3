"""Why: a run, or a suite, is started by hand as it is by schedule: the same flow, followed on the terminal.

Imports Prefect, once the run really begins. Ctrl-C ends the faults first; a second one does not hurry it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from gameday.cli.catalogue import open_catalogue
from gameday.cli.confirming import Confirmed, Prompt, Rehearsed
from gameday.cli.live import Follower
from gameday.cli.options import (
    EnvironmentOption,
    ExperimentsOption,
    OutputOption,
    RunnableArgument,
    SandboxOption,
    examples,
)
from gameday.cli.output import Format, emit, note, stderr, stdout, table
from gameday.cli.plan import DurationOption
from gameday.cli.sandboxed import sandboxed
from gameday.cli.who import user
from gameday.clients.kubernetes import Cluster
from gameday.clients.prometheus import prometheus_url
from gameday.clock import is_rehearsal
from gameday.errors import ExitCode, UnreachableError, UsageError
from gameday.journal.store import Event, Journal, Verdict
from gameday.plan.build import scaled
from gameday.run.approval import Door
from gameday.run.suite import parts
from gameday.settings import clock, load
from gameday.spec.base import format_duration

EXIT_CODES = {
    Verdict.HELD: ExitCode.HELD,
    Verdict.DISPROVED: ExitCode.DISPROVED,
    Verdict.REFUSED: ExitCode.REFUSED,
    Verdict.ABORTED: ExitCode.ABORTED,
    Verdict.STOPPED: ExitCode.STOPPED,
    Verdict.ERROR: ExitCode.ERROR,
}

# Prefect's own: no telemetry, no log lines between ours, patience for a cold database.
_PREFECT_DEFAULTS: Final = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_ROOT_LEVEL": "CRITICAL",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}


def run(
    name: RunnableArgument,
    env: EnvironmentOption = "staging",
    duration: DurationOption = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Stop after the plan and its checks."),
    ] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the record.")] = "",
    confirm_checklist: Annotated[
        bool,
        typer.Option(
            "--confirm-checklist",
            help="All that a person must confirm of the checklist is true: do not ask each.",
        ),
    ] = False,
    rehearse_approval: Annotated[
        list[str] | None,
        typer.Option(
            "--rehearse-approval",
            metavar="NAME",
            help="Approve as NAME, in a rehearsal only; once for each person who must.",
        ),
    ] = None,
    output: OutputOption = Format.TEXT,
    sandbox: SandboxOption = False,
    experiments: ExperimentsOption = None,
) -> int:
    """Run an experiment, or a suite of them: inject, watch, end the faults, judge.

    Ctrl-C at any moment ends the faults and says so. A plan that needs an approval waits for it before
    anything is broken: others give it by `gameday approve`, or in the Prefect UI. What a checklist
    leaves to a person is asked here.

    A suite runs its experiments one after another, waits in between until the platform is well, and held
    only if all of them did. --duration is then for all executions together.

    The exit code is the verdict: 0 held, 1 disproved, 3 refused, 4 aborted by a guardrail,
    5 stopped by a person, 6 error.
    """
    if experiments is not None:
        os.environ["GAMEDAY_EXPERIMENTS"] = str(experiments.resolve())
    follower = Following(stdout() if output is Format.TEXT else stderr())
    what = _check_names(name, env, duration)
    with sandboxed(sandbox, environment=env):
        asyncio.run(_check_surroundings(env))
        door = _door(confirm_checklist, rehearse_approval or [])
        prepare_prefect()
        if "PREFECT_API_URL" not in os.environ:
            note("Starting Prefect for this run (set PREFECT_API_URL to use a server that is up) ...")
        finished = carry_out(
            follower,
            door,
            environment=env,
            duration=format_duration(duration) if duration else None,
            dry_run=dry_run,
            requested_by=user(),
            reason=reason or "started by hand",
            **{what: name},
        )
        if not finished:
            note(follower.interruption, style="bold")
    follower.result(output)
    return follower.exit_code


def _door(confirm: bool, rehearsed: Sequence[str]) -> Door | None:
    """How this command itself answers what the run asks. Raises ``UsageError``."""
    if rehearsed and not is_rehearsal(clock(load())):
        raise UsageError(
            "--rehearse-approval is for rehearsals only: nobody approves for others elsewhere",
            hint="Say --sandbox, or have it approved: `gameday approve --help`.",
        )
    if rehearsed:
        return Rehearsed(rehearsed)
    if confirm:
        return Confirmed(user())
    return Prompt(user()) if sys.stdin.isatty() else None


def carry_out(follower: Following, door: Door | None, **parameters: Any) -> bool:
    """Have the flow run here, followed by ``follower``. False where a person interrupted it."""
    # Prefect costs over a second to import: only here, when a run really starts.
    from flows import by_hand  # noqa: PLC0415

    # Once the run has ended, so that it cannot take the last words and the exit code.
    _ignore(signal.SIGTERM)
    try:
        return by_hand.carry_out(follower, door, **parameters)
    except RuntimeError as error:
        if "API" not in str(error):
            raise
        # Prefect has no class of its own for a server that it could not start or reach.
        raise UnreachableError(
            "Prefect",
            str(error).rstrip("."),
            hint="Set PREFECT_API_URL to a server that is up, or start again: a first start takes longest.",
        ) from error
    finally:
        # Everything that Ctrl-C could be for is over, too.
        _ignore(signal.SIGINT)


def _ignore(number: signal.Signals) -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(number, signal.SIG_IGN)


def prepare_prefect() -> None:
    """Say how Prefect should behave where the environment does not."""
    state_dir = load().state_dir
    # A server that is started for this run keeps its flow runs beside the journal: the database in
    # Prefect's home may be in use by another server, and SQLite then answers "database is locked".
    database = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{state_dir / 'prefect.db'}"}
    with contextlib.suppress(OSError):  # the journal has said it, or is elsewhere
        state_dir.mkdir(parents=True, exist_ok=True)
    for variable, value in {**_PREFECT_DEFAULTS, **database, **_home(state_dir)}.items():
        os.environ.setdefault(variable, value)


def _home(state_dir: Path) -> dict[str, str]:
    """A home for Prefect where its own, with its profiles, cannot be written."""
    own = Path("~/.prefect").expanduser()
    with contextlib.suppress(OSError):
        own.mkdir(parents=True, exist_ok=True)
        if os.access(own, os.W_OK):
            return {}
    return {"PREFECT_HOME": str(state_dir / "prefect")}


def _check_names(name: str, env: str, duration: timedelta | None) -> str:
    """Tell a wrong name, file or duration at once, not after Prefect has started.

    Answers whether ``name`` is that of an experiment or of a suite, as the flows' parameters are called.
    """
    catalogue = open_catalogue(None)
    is_suite = name in catalogue.suites
    if is_suite:
        parts(catalogue.suite(name), catalogue, duration)
    else:
        scaled(catalogue.experiment(name), duration)
    catalogue.platform.environment(env)
    _ = catalogue.guardrails
    return "suite" if is_suite else "experiment"


async def _check_surroundings(env: str) -> None:
    """Tell a missing cluster, Prometheus, sandbox or journal at once, not after Prefect has started."""
    settings = load()
    environment = open_catalogue(None).platform.environment(env)
    prometheus_url(settings, environment)
    async with (
        Journal.open(settings.database_url),
        Cluster.connect(environment.context, clock=clock(settings), call_timeout=settings.kubernetes_timeout),
    ):
        pass


class Following:
    """Prints what happens and remembers how it ends."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._follower = Follower(console)
        self._run = ""
        self._verdict: Verdict | None = None
        self._reasons: list[str] = []
        self._report: Path | None = None
        self._reader_gone = False
        self._injecting = False
        self._dry = False
        self._unproved = False
        self._suite = ""
        self._of_suite: list[Mapping[str, Any]] = []

    def __call__(self, event: Event) -> None:
        """Show an event and remember what matters of it."""
        self._run = event.run
        self._injecting |= event.kind == "stage"
        self._unproved |= event.kind == "warning" and "still there" in event.message
        if event.kind == "stop":  # it looked at all that could still be there
            self._unproved = not event.data.get("clean", False)
        if event.kind == "verdict":
            self._verdict = Verdict(event.data["verdict"])
            self._reasons = list(event.data["reasons"])
            self._of_suite = list(event.data.get("experiments", ()))
        self._dry |= event.kind == "dry-run"
        if event.kind == "suite":
            self._suite = event.run
        if event.kind == "report":
            self._report = Path(event.data["path"])
        if self._reader_gone:
            return
        try:
            if event.kind != "report":  # it is the last line of all
                self._follower.show(event)
        except (OSError, ValueError, SystemExit):
            # Nobody reads any more, or the disk is full; a run with faults in must not end so.
            self._reader_gone = True

    @property
    def interruption(self) -> str:
        """What a person who interrupted it should know."""
        if not self._injecting:
            return "Interrupted. Nothing had been injected."
        if self._unproved:
            return "Interrupted. Not every fault is proved to be over: see above, and `gameday status`."
        return "Interrupted. No fault of this run is left."

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of how it ended."""
        if self._verdict is None:
            return ExitCode.HELD if self._dry else ExitCode.STOPPED
        return EXIT_CODES[self._verdict]

    def result(self, output: Format) -> None:
        """Say how it ended, and where the report lies."""
        verdict = self._verdict or (None if self._dry else Verdict.STOPPED)
        data: dict[str, Any] = {
            "run": self._run,
            "dryRun": self._dry,
            "verdict": verdict.value if verdict else None,
            "reasons": self._reasons,
            "report": str(self._report) if self._report else None,
            "exitCode": int(self.exit_code),
        }

        if self._suite:
            # Of a suite each experiment has a run, and it has none itself.
            data |= {"run": None, "suite": self._suite, "experiments": self._of_suite}

        def text(console: Console) -> None:
            if self._of_suite:
                console.print(_table(self._of_suite))
            if self._report:
                console.print(Text(f"Report: {self._report}"), soft_wrap=True)

        if not self._reader_gone:
            emit(data, output, text)


def _table(of_suite: Sequence[Mapping[str, Any]]) -> RenderableType:
    columns = table("EXPERIMENT", "VERDICT", "RUN", "WHY")
    for one in of_suite:
        columns.add_row(one["experiment"], one["verdict"] or "not tried", one["run"] or "", one["why"])
    return columns


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "run",
        epilog=examples(
            "gameday run basic-pod-failure --sandbox",
            "gameday run basic-pod-failure --env staging --dry-run",
            'gameday run network-resilience --env staging -d 5m --reason "after the release"',
            "gameday run full-resilience-suite --env staging --sandbox",
        ),
    )(run)
