"""Why: what is called by a name is shown by it: an experiment or a suite as it is declared, a run as it went.

What is declared is read from files alone. A run is put together from the journal, as its report is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any

import typer
from pydantic.alias_generators import to_camel
from rich.console import Console
from rich.text import Text

from gameday.cli import complete
from gameday.cli.catalogue import open_catalogue, print_experiment, print_suite
from gameday.cli.liveness import Life, look_again
from gameday.cli.named import run_of
from gameday.cli.options import ExperimentsOption, OutputOption, examples
from gameday.cli.output import Format, emit, in_seconds, local_date_time, local_time, table
from gameday.errors import ExitCode, UsageError
from gameday.journal.actions import ActionItem, Actions
from gameday.journal.results import FindingRecord, Results
from gameday.journal.store import FaultRecord, Journal, RunRecord
from gameday.journal.summary import REMARK
from gameday.report.data import ReportData, collect
from gameday.settings import load


@dataclass(frozen=True)
class _Shown:
    """A run with everything that was learned from it."""

    data: ReportData
    now_lives: Life
    findings: Sequence[FindingRecord]
    actions: Sequence[ActionItem]


def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="An experiment or a suite, as `gameday list` names it, or a run, or the end of its id.",
            autocompletion=complete.experiments_and_runs,
        ),
    ],
    output: OutputOption = Format.TEXT,
    experiments: ExperimentsOption = None,
) -> int:
    """Show an experiment (hypothesis, steady state, stages), a suite, or a run with all that is known of it.

    A run's report says more; this is it in short. Exit code 0; 2 where nothing is called so.
    """
    catalogue = open_catalogue(experiments)
    if name in catalogue.names:
        experiment = catalogue.experiment(name)
        plain = experiment.model_dump(mode="json", by_alias=True, exclude_none=True)
        emit(plain, output, lambda console: print_experiment(console, experiment))
        return ExitCode.HELD
    if name in catalogue.suites:
        suite = catalogue.suite(name)
        plain = suite.model_dump(mode="json", by_alias=True, exclude_none=True)
        emit(plain, output, lambda console: print_suite(console, suite, catalogue))
        return ExitCode.HELD
    shown = asyncio.run(_shown(name))
    if shown is None:
        # With the nearest name of an experiment: nobody mistypes what looks like a run's id.
        catalogue.experiment(name)
        raise UsageError(f"nothing is called {name!r}")
    emit(_plain(shown), output, lambda console: _print(console, shown))
    return ExitCode.HELD


async def _shown(name: str) -> _Shown | None:
    async with Journal.open(load().database_url) as journal:
        if await journal.find(name) is None:
            return None
        record = await run_of(journal, name)
        known = await look_again(journal, [record])
        return _Shown(
            data=await collect(journal, record.run),
            now_lives=known[record.run][1],
            findings=await Results(journal).findings(run=record.run),
            actions=await Actions(journal).items(run=record.run),
        )


def _camel(record: RunRecord | FaultRecord | ActionItem) -> dict[str, Any]:
    return {to_camel(one.name): getattr(record, one.name) for one in fields(record)}


def _plain(shown: _Shown) -> dict[str, Any]:
    data = shown.data
    return _camel(data.run) | {
        "state": shown.now_lives.value,
        "faults": [
            {to_camel(one.name): getattr(fault, one.name) for one in fields(fault)} for fault in data.faults
        ],
        "signals": list(data.analysis.effects if data.analysis is not None else data.impacts),
        "recovery": dict(data.recovery),
        "comebacks": list(data.comebacks),
        "findings": [dict(one.body) for one in shown.findings],
        "actions": [_camel(item) for item in shown.actions],
        "notes": [{"at": event.at, "message": event.message, **event.data} for event in data.of(REMARK)],
        "unproved": list(data.unproved),
    }


def _print(console: Console, shown: _Shown) -> None:
    data, run = shown.data, shown.data.run
    verdict = run.verdict.value if run.verdict else f"no verdict, {shown.now_lives.words}"
    console.print(Text(f"{run.run}: {verdict}", style="bold"))
    if run.summary:
        console.print(Text(run.summary), soft_wrap=True)
    console.print()
    _print_facts(console, data)
    if data.faults:
        console.print()
        _print_faults(console, data)
    if data.analysis is not None and data.analysis.effects:
        console.print()
        _print_effects(console, data)
    elif data.impacts:
        console.print()
        _print_signals(console, data)
    _print_learned(console, shown)
    _print_lines(console, "Notes", [f"{local_time(one.at)}  {one.message}" for one in data.of(REMARK)])
    _print_lines(console, "Not proved or not done", data.unproved)
    console.print()
    console.print(Text(f"Report: {run.report or 'none was written'}"), soft_wrap=True)


def _print_facts(console: Console, data: ReportData) -> None:
    run, took = data.run, data.took
    facts = table("", "")
    facts.show_header = False
    facts.add_row("Experiment", f"{run.experiment} on {run.where}")
    if data.plan is not None:
        facts.add_row("Hypothesis", data.plan.hypothesis)
    facts.add_row("Requested by", f"{run.requested_by}: {run.reason}")
    facts.add_row("Started", local_date_time(run.started_at))
    if run.ended_at is not None:
        facts.add_row("Ended", local_date_time(run.ended_at))
    if took is not None:
        facts.add_row("Took", in_seconds(took))
    if run.suite:
        facts.add_row("Suite", run.suite)
    facts.add_row("Recovery", data.recovery_words)
    console.print(facts)


def _print_faults(console: Console, data: ReportData) -> None:
    columns = table("STAGE", "FAULT", "IN", "OUT", "PODS")
    for fault in data.faults:
        columns.add_row(fault.stage, data.what(fault), *_moments(fault), ", ".join(fault.pods))
    console.print(columns)


def _moments(fault: FaultRecord) -> tuple[str, str]:
    return (
        local_time(fault.injected_at) if fault.injected_at else "not proved",
        local_time(fault.ended_at) if fault.ended_at else "not proved",
    )


def _print_effects(console: Console, data: ReportData) -> None:
    changed, _ = data.effects_in_parts[0]
    if not changed:
        console.print(Text("No signal changed beyond its noise while faults were in."))
        return
    columns = table("SIGNAL", "SERVICE", "BEFORE", "WORST", "AFTER", "")
    for one in changed:
        summaries = (one.before.median if one.before else None, data.worst(one))
        values = (*summaries, one.after.median if one.after else None)
        columns.add_row(one.signal, one.service, *map(_figure, values), one.words)
    console.print(columns)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _print_signals(console: Console, data: ReportData) -> None:
    columns = table("SIGNAL", "SERVICE", "BEFORE", "WORST", "AFTER", "")
    for one in data.impacts:
        values = map(_figure, (one.before, one.worst, one.after))
        columns.add_row(one.signal, one.service, *values, "unusual" if one.unusual else "")
    console.print(columns)


def _print_learned(console: Console, shown: _Shown) -> None:
    found = [f"{one.severity}: {one.body.get('title', one.key)}" for one in shown.findings]
    _print_lines(console, "Findings", found)
    items = [
        f"{one.item}, {'open' if one.open else 'done'}, {one.assignee or one.owner}: {one.title}"
        for one in shown.actions
    ]
    _print_lines(console, "To do (`gameday actions`)", items)


def _print_lines(console: Console, head: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    console.print()
    console.print(Text(head, style="bold"))
    for line in lines:
        console.print(Text(f"  {line}"), soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "show",
        epilog=examples(
            "gameday show basic-pod-failure", "gameday show basic-pod-failure -o yaml", "gameday show 7f3a"
        ),
    )(show)
