"""Why: whoever says beforehand what a fault will do learns more from what it does.

Runs an experiment on the embedded twin, in rehearsal time, with a journal of its own, and keeps what it
foretells. Of the real cluster it only reads replicas and limits.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from gameday.analysis.prediction import Prediction, SignalAhead
from gameday.cli.catalogue import open_catalogue
from gameday.cli.confirming import Rehearsed
from gameday.cli.embedded import enforce_limits, pointed_at
from gameday.cli.options import (
    EnvironmentOption,
    ExperimentArgument,
    ExperimentsOption,
    OutputOption,
    examples,
)
from gameday.cli.output import Format, emit, in_seconds, note, stderr, table
from gameday.cli.plan import DurationOption
from gameday.cli.run import EXIT_CODES, Following, carry_out, prepare_prefect
from gameday.clients.kubernetes import Cluster
from gameday.errors import ExitCode, GamedayError, OutsideError
from gameday.journal.store import Journal
from gameday.plan.build import scaled
from gameday.run.rehearsal import Size, foretold, keep, prepare, sizes
from gameday.settings import clock_at_hand, load
from gameday.spec.base import format_duration
from gameday.spec.catalogue import PLATFORM_FILE, Catalogue
from gameday.spec.platform import Environment

# Messages of a rehearsal go to nobody.
_SILENT: Final = {"GAMEDAY_INCIDENT_WEBHOOK_URL": "", "GAMEDAY_SLACK_WEBHOOK_URL": ""}


def rehearse(
    name: ExperimentArgument,
    env: EnvironmentOption = "staging",
    duration: DurationOption = None,
    seed: Annotated[int, typer.Option("--seed", help="Another one: another day at the twin.")] = 1,
    output: OutputOption = Format.TEXT,
    experiments: ExperimentsOption = None,
) -> int:
    """Foretell what an experiment will do: run it on the twin of platform.yaml, and keep what came out.

    Replicas and limits are those of the environment's cluster where it answers, else those of
    platform.yaml; which, is said. Nothing is done to that cluster. The next run of the experiment there
    takes the newest prediction, and its report sets it beside what happened.

    The exit code is that of the verdict that is foretold: 0 held, 1 disproved, 4 aborted by a
    guardrail; 3 where the plan would be refused, 6 where nothing could be foretold.
    """
    catalogue = open_catalogue(experiments)
    environment = catalogue.platform.environment(env)
    scaled(catalogue.experiment(name), duration)
    settings = load()
    at = clock_at_hand(settings, partial(note, style="yellow")).now()
    found = asyncio.run(_sizes(catalogue, environment))
    follower = Following(stderr())
    with tempfile.TemporaryDirectory(prefix="gameday-rehearsal-") as directory:
        home = Path(directory)
        twin = prepare(catalogue, env, found, home / "experiments")
        with _on_the_twin(home, env, seed):
            prepare_prefect()
            note(f"Rehearsing {name} on the twin of {env} ...")
            finished = carry_out(
                follower,
                Rehearsed([team.name for team in catalogue.platform.teams]),
                experiment=name,
                environment=env,
                duration=format_duration(duration) if duration else None,
                requested_by="rehearsal",
                reason="a rehearsal",
            )
            prediction = asyncio.run(_foretold(env, at, seed, twin)) if finished else None
    if prediction is None:
        note("Nothing is foretold: the rehearsal came to no judgement. What it said stands above.")
        return follower.exit_code or ExitCode.ERROR
    kept = asyncio.run(_keep(settings.database_url, prediction))
    emit(prediction, output, partial(_show, prediction))
    note(f"Kept as prediction {kept}: the next run of {name} on {env} takes it.")
    return EXIT_CODES[prediction.verdict]


async def _sizes(catalogue: Catalogue, environment: Environment) -> Mapping[str, Size]:
    settings = load()
    try:
        async with Cluster.connect(
            environment.context,
            clock=clock_at_hand(settings),
            call_timeout=settings.kubernetes_timeout,
        ) as cluster:
            found = await sizes(cluster, catalogue.platform, environment.namespace)
    except GamedayError as error:
        note(f"{error.message} The twin has the replicas and limits of platform.yaml.", style="yellow")
        return {}
    if not found:
        note(f"No service runs in {environment.namespace}: the twin is platform.yaml's.", style="yellow")
    return found


@contextmanager
def _on_the_twin(home: Path, env: str, seed: int) -> Iterator[None]:
    from sandbox.process.launch import SandboxError, launch_temporary  # noqa: PLC0415 - only to rehearse

    own = {
        "GAMEDAY_EXPERIMENTS": str(home / "experiments"),
        "GAMEDAY_DATABASE_URL": f"sqlite+aiosqlite:///{(home / 'journal.db').as_posix()}",
        "GAMEDAY_REPORTS_DIR": str(home / "reports"),
        **_SILENT,
    }
    try:
        sandbox = launch_temporary(
            seed=seed, platform=(home / "experiments" / PLATFORM_FILE).resolve(), environment=env
        )
    except SandboxError as error:
        raise OutsideError("sandbox", str(error)) from None
    with sandbox, pointed_at(sandbox.env | own):
        enforce_limits()
        yield


async def _foretold(env: str, at: datetime, seed: int, twin: Sequence[str]) -> Prediction | None:
    async with Journal.open(load().database_url) as journal:
        return await foretold(journal, environment=env, at=at, seed=seed, twin=twin)


async def _keep(url: str, prediction: Prediction) -> str:
    async with Journal.open(url) as journal:
        return await keep(journal, prediction)


def _show(prediction: Prediction, console: Console) -> None:
    breach = "a breach" if prediction.breach else "no breach"
    what = f"{prediction.experiment} on {prediction.environment}"
    head = f"{what} will end as {prediction.verdict.value}: {breach}"
    console.print(Text(head, style="bold"))
    if prediction.why:
        console.print(Text(prediction.why), soft_wrap=True)
    facts = table("", "")
    facts.show_header = False
    facts.add_row("Twin", "\n".join(prediction.twin))
    facts.add_row("Breaks", "\n".join(prediction.breaches) or "nothing that is promised")
    patterns = [f"{one.name}: {' -> '.join(one.services)}" for one in prediction.patterns]
    facts.add_row("Patterns", "\n".join(patterns) or "none")
    facts.add_row("Well again", _recovered(prediction.recovered_s))
    console.print(facts)
    if not prediction.moved:
        console.print(Text("No signal will change."))
        return
    columns = table("SIGNAL", "SERVICE", "BEFORE", "DURING", "WORST", "AFTER", "")
    for one in prediction.moved:
        columns.add_row(one.signal, one.service, *_values(one), one.change)
    console.print(columns)


def _values(one: SignalAhead) -> list[str]:
    values = (one.before, one.during, one.worst, one.after)
    return ["-" if value is None else f"{value:.4g} {one.unit}".rstrip() for value in values]


def _recovered(seconds: float | None) -> str:
    if seconds is None:
        return "not in time"
    return f"{in_seconds(timedelta(seconds=seconds))} after the last fault" if seconds >= 0.5 else "at once"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "rehearse",
        epilog=examples("gameday rehearse network-resilience", "gameday rehearse basic-pod-failure -e dev"),
    )(rehearse)
