"""Why: before anything runs, people look at what there is and whether it is written well.

``list`` and ``validate``, and how ``show`` prints an experiment. They read files and nothing else: no
cluster, no journal.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from gameday.cli.options import ExperimentsOption, OutputOption, examples
from gameday.cli.output import Format, emit, note, table
from gameday.errors import DeclarationError, ExitCode, UsageError
from gameday.plan.objects import in_words
from gameday.settings import load
from gameday.spec.base import format_duration
from gameday.spec.catalogue import Catalogue
from gameday.spec.experiment import Experiment
from gameday.spec.faults import Fault, OutsideFault
from gameday.spec.gradual import Gradual
from gameday.spec.suite import Suite, takes


def open_catalogue(directory: Path | None) -> Catalogue:
    """The catalogue that the option, the environment or the installation names."""
    return Catalogue(directory or load().experiments)


def _row(experiment: Experiment) -> dict[str, Any]:
    return {
        "name": experiment.name,
        "title": experiment.title,
        "category": experiment.category,
        "frequency": experiment.frequency,
        "duration": format_duration(experiment.duration),
        "environments": list(experiment.environments),
        "owner": experiment.owner,
    }


def _suite_row(suite: Suite, catalogue: Catalogue) -> dict[str, Any]:
    chosen = catalogue.parts(suite)
    return {
        "name": suite.name,
        "title": suite.title,
        "category": suite.category,
        "duration": format_duration(takes(chosen)),
        "frequency": suite.frequency,
        "environments": list(suite.environments),
        "owner": suite.owner,
        "experiments": [one.experiment.name for one in chosen],
    }


def list_experiments(output: OutputOption = Format.TEXT, experiments: ExperimentsOption = None) -> int:
    """List the experiments and suites there are."""
    catalogue = open_catalogue(experiments)
    rows, broken = [], []
    for path in catalogue.files:
        try:
            rows.append(_row(catalogue.load(path)))
        except DeclarationError:
            broken.append(path.name)
    for path in catalogue.suite_files:
        try:
            rows.append(_suite_row(catalogue.load_suite(path), catalogue))
        except UsageError:
            broken.append(path.name)

    def text(console: Console) -> None:
        columns = table("NAME", "TAKES", "CATEGORY", "HOW OFTEN", "ENVIRONMENTS", "WHAT", fold="WHAT")
        for row in rows:
            cells = [row[name] for name in ("name", "duration", "category", "frequency")]
            of_suite = f" (a suite of {len(row['experiments'])})" if "experiments" in row else ""
            columns.add_row(*cells, ", ".join(row["environments"]), row["title"] + of_suite)
        console.print(columns)

    emit(rows, output, text)
    if broken:
        note(f"Not listed, because of mistakes that `gameday validate` tells: {', '.join(broken)}")
    return ExitCode.USAGE if broken else ExitCode.HELD


def _target(fault: Fault) -> str:
    if isinstance(fault, OutsideFault):
        return "outside Kubernetes"
    if isinstance(fault.target, str):
        return fault.target
    labels = ", ".join(f"{key}={value}" for key, value in fault.target.label_selectors.items())
    return labels or "selected pods"


def print_experiment(console: Console, experiment: Experiment) -> None:
    """Print hypothesis, steady state and stages."""
    console.print(Text(f"{experiment.name}: {experiment.title}", style="bold"))
    console.print(Text(experiment.hypothesis))
    console.print()
    facts = table("", "")
    facts.show_header = False
    facts.add_row("Category", experiment.category)
    facts.add_row("How often", experiment.frequency)
    facts.add_row("Environments", ", ".join(experiment.environments))
    facts.add_row("Owner", experiment.owner)
    facts.add_row("Takes", format_duration(experiment.duration))
    facts.add_row("Runbook", experiment.runbook or "none")
    if experiment.load is not None:
        facts.add_row("Load", str(experiment.load))
    if alerts := experiment.alerts:
        facts.add_row("Must be told of", ", ".join(map(str, alerts)))
    console.print(facts)
    console.print()
    _print_steady_state(console, experiment)
    console.print()
    _print_stages(console, experiment)


def print_suite(console: Console, suite: Suite, catalogue: Catalogue) -> None:
    """Print what a suite runs, in order, and what it waits for."""
    chosen = catalogue.parts(suite)
    console.print(Text(f"{suite.name}: {suite.title}", style="bold"))
    console.print()
    facts = table("", "")
    facts.show_header = False
    facts.add_row("Category", suite.category)
    facts.add_row("Environments", ", ".join(suite.environments))
    facts.add_row("Owner", suite.owner)
    facts.add_row("Takes", f"{format_duration(takes(chosen))} of faults")
    facts.add_row("How often", suite.frequency)
    between = suite.between
    facts.add_row(
        "Between two",
        f"settles {format_duration(between.settle)}, then waits up to {format_duration(between.timeout)} "
        "for a platform that is well",
    )
    facts.add_row("After one that fails", "stops" if suite.on_failure == "stop" else "goes on")
    console.print(facts)
    console.print()
    columns = table("", "EXPERIMENT", "TAKES", "HYPOTHESIS")
    for number, one in enumerate(chosen, start=1):
        experiment = one.experiment
        columns.add_row(str(number), experiment.name, format_duration(one.takes), experiment.hypothesis)
    console.print(columns)


def _print_steady_state(console: Console, experiment: Experiment) -> None:
    columns = table("STEADY STATE", "EXPECT", "TOLERATE", "FOR", "FROM", fold="FROM")
    for probe in experiment.steady_state:
        tolerated = str(probe.tolerate or probe.expect)
        lasts = format_duration(probe.breach_for)
        columns.add_row(probe.name, str(probe.expect), tolerated, lasts, probe.source)
    console.print(columns)


def _steps(gradual: Gradual) -> str:
    """What grows, and how far it must hold: ``delay.latency 50ms, 100ms (must hold), 200ms``."""
    words = list(map(str, gradual.strengths))
    if gradual.must_hold < len(words):
        words[gradual.must_hold - 1] += " (must hold up to here)"
    return f"{gradual.parameter} {', '.join(words)}"


def _print_stages(console: Console, experiment: Experiment) -> None:
    columns = table("STAGE", "LASTS", "SETTLES", "FAULTS")
    for stage in experiment.stages:
        faults = "; ".join(f"{fault.kind} {in_words(fault)} on {_target(fault)}" for fault in stage.faults)
        if stage.gradual is not None:
            faults += f"; step by step: {_steps(stage.gradual)}"
        columns.add_row(stage.name, format_duration(stage.duration), format_duration(stage.settle), faults)
    console.print(columns)
    showings = [(stage.name, one) for stage in experiment.stages for one in stage.must_show]
    if showings:
        console.print()
        columns = table("STAGE", "MUST SHOW", "WHAT", "WHERE", "FROM", fold="FROM")
        for stage_name, one in showings:
            source = f"signal {one.signal}" if one.signal else str(one.query)
            columns.add_row(stage_name, one.name, str(one), ", ".join(one.services) or "any", source)
        console.print(columns)


PathsArgument = Annotated[
    list[Path] | None,
    typer.Argument(metavar="PATH", help="Files or directories; else the whole catalogue."),
]


def validate(
    paths: PathsArgument = None,
    output: OutputOption = Format.TEXT,
    experiments: ExperimentsOption = None,
) -> int:
    """Check experiment files; tells every mistake at once.

    Each mistake names file, line and key, what was expected, and the nearest name. The files are
    held against platform.yaml beside them.
    """
    files = _files(paths or [], experiments)
    # A broken platform.yaml is told once, not again with each file that is held against it.
    mistakes = dict.fromkeys(mistake for path, catalogue in files for mistake in catalogue.check(path))

    def text(_: Console) -> None:
        for mistake in mistakes:
            typer.echo(mistake)

    emit({"checked": [str(path) for path, _ in files], "mistakes": list(mistakes)}, output, text)
    count = f"{len(files)} file" + ("s" if len(files) != 1 else "")
    if mistakes:
        note(f"{count} checked, {len(mistakes)} mistake" + ("s" if len(mistakes) > 1 else ""))
        return ExitCode.USAGE
    note(f"{count} checked, no mistakes")
    return ExitCode.HELD


def _files(paths: list[Path], experiments: Path | None) -> list[tuple[Path, Catalogue]]:
    if not paths:
        catalogue = open_catalogue(experiments)
        return [(path, catalogue) for path in sorted(catalogue.directory.glob("*.yaml"))]
    found: list[tuple[Path, Catalogue]] = []
    for path in paths:
        if path.is_dir():
            own = Catalogue(path)
            inside = [(file, own) for file in sorted(path.glob("*.yaml"))]
            if not inside:
                raise UsageError(f"{path}: no *.yaml in this directory")
            found += inside
        elif path.exists():
            found.append((path, _catalogue_of(path, experiments)))
        else:
            near = difflib.get_close_matches(path.name, [one.name for one in path.parent.glob("*.yaml")], n=1)
            hint = f"Did you mean {path.parent / near[0]}?" if near else ""
            raise UsageError(f"{path}: no such file or directory", hint=hint)
    return found


def _catalogue_of(path: Path, experiments: Path | None) -> Catalogue:
    """The catalogue that a single file belongs to: its own directory's, if that has a platform.yaml."""
    beside = path.resolve().parent
    return Catalogue(beside) if (beside / "platform.yaml").exists() else open_catalogue(experiments)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("list", epilog=examples("gameday list", "gameday list -o json"))(list_experiments)
    app.command(
        "validate",
        epilog=examples("gameday validate", "gameday validate experiments/basic-pod-failure.yaml"),
    )(validate)
