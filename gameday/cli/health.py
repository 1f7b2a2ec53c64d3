"""Why: the question "may we start?" and "is it well again?" has one answer, asked without a run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

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
from gameday.errors import ExitCode
from gameday.health import Check, examine
from gameday.settings import clock, load


class When(StrEnum):
    """Before a run, or after one."""

    PRE = "pre"
    POST = "post"


async def _examine(environment: str, experiments: Path | None) -> list[Check]:
    settings = load()
    catalogue = open_catalogue(experiments)
    return await examine(settings, catalogue, catalogue.platform.environment(environment), clock(settings))


def health(
    when: Annotated[
        When, typer.Argument(metavar="pre|post", help="pre: may a run start? post: is it well again?")
    ] = When.PRE,
    env: EnvironmentOption = "staging",
    output: OutputOption = Format.TEXT,
    sandbox: SandboxOption = False,
    experiments: ExperimentsOption = None,
) -> int:
    """Check the platform before a run (pre) or after one (post).

    Pods against replicas, endpoints, health paths, Chaos Mesh, other faults, permissions, Prometheus
    and the age of its data. Exit code 0 where all is well, else 3 for pre and 1 for post.
    """
    with sandboxed(sandbox, environment=env):
        checks = asyncio.run(_examine(env, experiments))
    emit([asdict(check) for check in checks], output, lambda console: print_checks(console, checks))
    if all(check.ok for check in checks):
        return ExitCode.HELD
    return ExitCode.REFUSED if when is When.PRE else ExitCode.DISPROVED


def print_checks(console: Console, checks: Sequence[Check]) -> None:
    """The checks for people, one a line, with what to do where something is wrong."""
    width = max((len(check.name) for check in checks), default=0)
    for check in checks:
        mark, style = ("ok  ", "green") if check.ok else ("FAIL", "bold red")
        line = Text.assemble((mark, style), f"  {check.name:<{width}}  {check.found}")
        console.print(line, soft_wrap=True)
        if check.hint:
            console.print(Text(f"      {'':<{width}}  {check.hint}", style="dim"), soft_wrap=True)
    bad = sum(not check.ok for check in checks)
    console.print(
        Text(f"{bad} of {len(checks)} checks failed" if bad else f"All {len(checks)} checks are well"),
        soft_wrap=True,
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "health",
        epilog=examples(
            "gameday health --sandbox", "gameday health pre --env staging", "gameday health post -o json"
        ),
    )(health)
