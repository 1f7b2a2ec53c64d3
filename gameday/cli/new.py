"""Why: from a name to an experiment that runs in one step, so that writing one is not put off.

``new`` writes a file and reads it again. What stands in it is ``gameday.spec.new``'s.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from gameday.cli import complete
from gameday.cli.catalogue import open_catalogue
from gameday.cli.options import ExperimentsOption, OutputOption, examples
from gameday.cli.output import Format, emit
from gameday.errors import DeclarationError, ExitCode, UsageError
from gameday.spec.base import NAME_FORM, is_name
from gameday.spec.catalogue import Catalogue
from gameday.spec.mild import ACTIONS, KINDS
from gameday.spec.new import CATEGORIES, text_of

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="What the experiment is called.")]


def new(
    name: NameArgument,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            "-t",
            metavar="SERVICE",
            help="The service that is hit; the one that users ask without it.",
            autocompletion=complete.services,
        ),
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            "-k",
            metavar="KIND",
            help=f"The kind of its fault: {', '.join(KINDS)}.",
            autocompletion=complete.of(KINDS),
        ),
    ] = "PodChaos",
    action: Annotated[
        str,
        typer.Option(
            "--action",
            "-a",
            metavar="ACTION",
            help="What a fault of that kind does, such as pod-failure or loss; the usual without it.",
            autocompletion=complete.of(ACTIONS),
        ),
    ] = "",
    owner: Annotated[
        str | None,
        typer.Option(
            "--owner",
            metavar="TEAM",
            help="A team of platform.yaml; the target's owner without it.",
            autocompletion=complete.teams,
        ),
    ] = None,
    category: Annotated[
        str,
        typer.Option(
            "--category",
            metavar="CATEGORY",
            help=f"One of {', '.join(CATEGORIES)}.",
            autocompletion=complete.of(CATEGORIES),
        ),
    ] = "basic",
    output: OutputOption = Format.TEXT,
    experiments: ExperimentsOption = None,
) -> int:
    """Write a new experiment into the catalogue, with what to think about beside each key.

    It validates and runs as it is written: one mild fault on one pod. An existing file is never written
    over, and the catalogue of an installation never written into.
    """
    catalogue = open_catalogue(experiments)
    if not is_name(name):
        raise UsageError(f"{name!r} cannot be the name of an experiment: expected {NAME_FORM}")
    text = text_of(
        name,
        catalogue.platform,
        catalogue.guardrails,
        target=target,
        kind=kind,
        action=action,
        owner=owner,
        category=category,
    )
    path = _written(catalogue, name, text)
    if mistakes := catalogue.check(path):
        raise DeclarationError(f"{path}: written, and to be mended", tuple(mistakes))
    steps = [f"gameday show {name}", f"gameday plan {name} --sandbox", f"gameday run {name} --sandbox"]

    def show(console: Console) -> None:
        console.print(Text(f"Wrote {path}: no mistakes."), soft_wrap=True)
        console.print()
        console.print(Text("Say in it what you believe (hypothesis) and what must be seen (mustShow). Then:"))
        for step in steps:
            console.print(Text(f"  {step}"), soft_wrap=True)

    emit({"name": name, "file": str(path), "next": steps}, output, show)
    return ExitCode.HELD


def _written(catalogue: Catalogue, name: str, text: str) -> Path:
    """The file, made new. Raises ``UsageError`` where there is one, or none can be made."""
    path = catalogue.for_writing() / f"{name}.yaml"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(
            f"{path} is there already, and stays as it is",
            hint="Choose another name, or change that file.",
        ) from None
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written ({error.strerror})",
            hint="Name a directory of your own with --experiments DIR or GAMEDAY_EXPERIMENTS.",
        ) from None
    return path


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "new",
        epilog=examples(
            "gameday new slow-redis --target redis --kind NetworkChaos",
            "gameday new hanging-worker --target automation-services --action pod-failure",
        ),
    )(new)
