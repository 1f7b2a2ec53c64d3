"""Why: what teams wrote for Chaos Mesh becomes experiments, and they read what became of every part.

``import`` writes one file and changes no other. What a manifest means is ``gameday.spec.importing``'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from ruamel.yaml import YAML

from gameday.cli import complete
from gameday.cli.catalogue import open_catalogue
from gameday.cli.options import ExperimentsOption, OutputOption, examples
from gameday.cli.output import Format, emit, note
from gameday.errors import ExitCode, UsageError
from gameday.spec.experiment import Experiment
from gameday.spec.importing.experiment import Imported, imported, read_manifests
from gameday.spec.loader import document

_SCHEMA: Final = "# yaml-language-server: $schema=./experiment.schema.json\n"


def import_manifests(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Manifests of Chaos Mesh: YAML or JSON, many objects each."),
    ],
    name: Annotated[
        str,
        typer.Option(
            "--name", metavar="NAME", help="What the experiment is called; else as the first object."
        ),
    ] = "",
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="Where to write it; else into the catalogue."),
    ] = None,
    env: Annotated[
        str | None,
        typer.Option(
            "--env",
            "-e",
            help="Where it is to run; else as the selectors say.",
            autocompletion=complete.environments,
        ),
    ] = None,
    together: Annotated[
        bool, typer.Option("--together", help="Put faults that are not in a Workflow into one stage.")
    ] = False,
    leave_out: Annotated[
        bool, typer.Option("--leave-out-refused", help="Write what is left although something was refused.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the file and write nothing.")] = False,
    output: OutputOption = Format.TEXT,
    experiments: ExperimentsOption = None,
) -> int:
    """Make an experiment of manifests of Chaos Mesh: faults, Schedules and Workflows.

    Tells, with file and line, what Chaos Mesh itself would refuse, what is otherwise than it was, what
    was left out, and what a person must fill in. No file is ever overwritten.

    Exit code 0 where the file was written, or would be; 2 for a wrong option, a file that is no YAML or
    has nothing of Chaos Mesh in it, or one that is there already; 3 where something was refused and so
    nothing was written.
    """
    catalogue = open_catalogue(experiments)
    platform = catalogue.platform
    where = platform.environment(env) if env is not None else None
    made = imported(read_manifests(files), platform, where, name, together)
    path = (to or (catalogue.directory if dry_run else catalogue.for_writing())) / f"{made.name}.yaml"
    _tell(made)
    if made.remarks.refused and not (leave_out and made.content):
        note("Nothing was written." + ("" if leave_out else " --leave-out-refused writes what is left."))
        emit(_plain(made, None, None), output, lambda _: None)
        return ExitCode.REFUSED
    text = _text(made, files)
    experiment = catalogue.checked(document(path, text))
    if not dry_run:
        _write(path, text)
    plain = _plain(made, experiment, None if dry_run else path)
    emit(plain, output, lambda _: typer.echo(text if dry_run else f"{path}\n", nl=False))
    if not dry_run:
        note(f"Next: fill it in, then `gameday validate {path}` and `gameday plan {made.name}`.")
    return ExitCode.HELD


def _plain(made: Imported, experiment: Experiment | None, written: Path | None) -> dict[str, Any]:
    remarks = made.remarks
    return {
        "name": made.name,
        "file": str(written) if written is not None else None,
        "experiment": experiment.model_dump(mode="json", by_alias=True, exclude_none=True)
        if experiment is not None
        else None,
        "refused": remarks.refused,
        "changed": remarks.changed,
        "leftOut": remarks.left_out,
        "toFillIn": remarks.to_fill_in,
    }


def _tell(made: Imported) -> None:
    remarks = made.remarks
    for title, lines in (
        ("Refused", remarks.refused),
        ("Otherwise than it was", remarks.changed),
        ("Left out", remarks.left_out),
        ("To fill in", remarks.to_fill_in if made.content else ()),
    ):
        if lines:
            note(f"{title}:", style="bold")
        for line in lines:
            note(f"  {line}")


def _text(made: Imported, files: Sequence[Path]) -> str:
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 110
    written = StringIO()
    yaml.dump(dict(made.content), written)
    names = ", ".join(file.name for file in files)
    head = [f"Imported from {names}. To fill in:", *(f"- {line}" for line in made.remarks.to_fill_in)]
    return _SCHEMA + "".join(f"# {line}\n" for line in head) + written.getvalue()


def _write(path: Path, text: str) -> None:
    """Write a new file. Raises ``UsageError`` where there is one, or it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(
            f"{path}: is there already, and is not overwritten", hint="--name NAME calls it otherwise."
        ) from None
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written ({error})", hint="--to DIR names another place."
        ) from None


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "import",
        epilog=examples(
            "gameday import chaos/pod-kill.yaml",
            "gameday import workflow.yaml --name checkout-failure --dry-run",
            "gameday import a.yaml b.yaml --together --env staging --to experiments",
        ),
    )(import_manifests)
