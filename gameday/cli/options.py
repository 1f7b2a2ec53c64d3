"""Why: an option that several commands have is called, read and explained the same in all of them.

What an option does is its command's business.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated

import typer

from gameday.cli import complete
from gameday.cli.output import Format


def duration(value: str | timedelta) -> timedelta:
    """Read ``90s``, ``5m`` or ``1h30m``, for ``typer.Option(parser=duration)``. Raises ``BadParameter``."""
    from gameday.spec.base import parse_duration  # noqa: PLC0415 - pydantic, only where it is used

    try:
        return parse_duration(value)
    except ValueError as error:
        raise typer.BadParameter(f"{value!r}: {error}") from None


def moment(value: str | datetime) -> datetime:
    """Read ``2026-12-01T10:00Z``, for ``typer.Option(parser=moment)``. Raises ``BadParameter``."""
    if isinstance(value, datetime):
        return value
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        raise typer.BadParameter(f"{value!r}: expected a time such as 2026-12-01T10:00Z") from None
    if read.tzinfo is None:
        raise typer.BadParameter(f"{value!r}: expected its zone, too: {value}Z is UTC, or say {value}+01:00")
    return read


def day_or_moment(value: str | datetime) -> datetime:
    """Read ``2026-12-01``, midnight in the reader's zone, or a ``moment``. Raises ``BadParameter``."""
    return _midnight_or_moment(value, timedelta(0))


def end_of_day_or_moment(value: str | datetime) -> datetime:
    """Read ``2026-12-01``, the midnight with which that day ends, or a ``moment``, which is that moment.

    Raises ``BadParameter``.
    """
    return _midnight_or_moment(value, timedelta(days=1))


def _midnight_or_moment(value: str | datetime, later: timedelta) -> datetime:
    if isinstance(value, datetime):
        return value
    try:
        return datetime.combine(date.fromisoformat(value) + later, time()).astimezone()
    except (ValueError, OverflowError):
        return moment(value)


def examples(*lines: str) -> str:
    """The end of a command's help: what people type."""
    # An empty line between: Typer joins the others into one. A bracket would be taken for markup.
    return "\n\n".join(["[bold]Examples[/]", *(f"  {line.replace('[', chr(92) + '[')}" for line in lines)])


OutputOption = Annotated[
    Format, typer.Option("--output", "-o", help="Print for people (text) or for programs.")
]

SandboxOption = Annotated[
    bool,
    typer.Option(
        "--sandbox",
        help="Use the embedded sandbox: the one that is up, or a rehearsal for this command alone.",
    ),
]

RecordOfSandboxOption = Annotated[
    bool,
    typer.Option(
        "--sandbox",
        help="Of what was run on the sandbox; without it of what was run on clusters, unless the sandbox's "
        "environment is loaded.",
    ),
]

EnvironmentOption = Annotated[
    str,
    typer.Option(
        "--env", "-e", help="Where: an environment of platform.yaml.", autocompletion=complete.environments
    ),
]

RunArgument = Annotated[
    str,
    typer.Argument(metavar="RUN", help="The run, or the end of its id.", autocompletion=complete.runs),
]

ExperimentArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="The experiment, as `gameday list` names it.",
        autocompletion=complete.experiments,
    ),
]

RunnableArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="The experiment or the suite, as `gameday list` names it.",
        autocompletion=complete.experiments_and_suites,
    ),
]

ExperimentsOption = Annotated[
    Path | None,
    typer.Option(
        "--experiments",
        metavar="DIR",
        help="The catalogue; GAMEDAY_EXPERIMENTS or the one that comes along where it is not given.",
    ),
]
