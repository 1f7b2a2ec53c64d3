"""Why: "it does not work" is a question with an answer: what was looked at, what was found, what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from gameday.cli.catalogue import open_catalogue
from gameday.cli.options import (
    EnvironmentOption,
    ExperimentsOption,
    OutputOption,
    SandboxOption,
    examples,
)
from gameday.cli.output import Format, emit
from gameday.cli.sandboxed import sandboxed
from gameday.doctor.examine import Doctor
from gameday.doctor.lines import Line, State
from gameday.errors import ExitCode
from gameday.settings import clock, load

_MARKS = {
    State.OK: ("ok  ", "green"),
    State.WARN: ("warn", "yellow"),
    State.FAIL: ("FAIL", "bold red"),
    State.SKIPPED: ("-   ", "dim"),
}


async def _look(environment: str, experiments: Path | None) -> list[Line]:
    from flows.diagnosis import diagnose  # noqa: PLC0415 - Prefect takes a second to import

    settings = load()
    catalogue = open_catalogue(experiments)
    where = catalogue.platform.environment(environment)
    doctor = Doctor(settings, catalogue, where, clock(settings))
    return [*await doctor.all(), *await diagnose()]


def doctor(
    env: EnvironmentOption = "staging",
    output: OutputOption = Format.TEXT,
    sandbox: SandboxOption = False,
    experiments: ExperimentsOption = None,
) -> int:
    """Look at everything that runs lean on, and say how to mend what is not well.

    Cluster, clocks, Chaos Mesh and its webhook and daemons, permissions, installed guardrails, the
    platform's health, Prometheus and every signal, Grafana, Slack, the journal, Prefect and its
    workers. Nothing is changed. Exit code 0 where nothing failed (a warning does not count), else 3.
    """
    with sandboxed(sandbox, environment=env):
        lines = asyncio.run(_look(env, experiments))
    emit([asdict(line) for line in lines], output, lambda console: _print(console, lines))
    failed = any(line.state is State.FAIL for line in lines)
    return ExitCode.REFUSED if failed else ExitCode.HELD


def _print(console: Console, lines: Sequence[Line]) -> None:
    width = max(len(line.name) for line in lines)
    area = ""
    for line in lines:
        if line.area != area:
            area = line.area
            console.print(Text(area, style="bold"))
        mark, style = _MARKS[line.state]
        console.print(
            Text.assemble("  ", (mark, style), f"  {line.name:<{width}}  {line.found}"), soft_wrap=True
        )
        if line.mend:
            console.print(Text(f"        {'':<{width}}  {line.mend}", style="dim"), soft_wrap=True)
    counts = {state: sum(line.state is state for line in lines) for state in State}
    console.print(
        Text(
            f"{len(lines)} checks: {counts[State.FAIL]} failed, {counts[State.WARN]} warnings, "
            f"{counts[State.SKIPPED]} skipped"
        )
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "doctor",
        epilog=examples(
            "gameday doctor --sandbox", "gameday doctor --env production", "gameday doctor -o json"
        ),
    )(doctor)
