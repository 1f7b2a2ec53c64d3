"""Why: people see exactly what would be done, to which pods, before they let it be done.

``plan`` asks the cluster which pods there are; with ``--dry-run`` of ``run`` the API server judges
the objects too. Nothing is changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from gameday.cli.catalogue import open_catalogue
from gameday.cli.options import (
    EnvironmentOption,
    ExperimentsOption,
    OutputOption,
    RunnableArgument,
    SandboxOption,
    duration,
    examples,
)
from gameday.cli.output import Format, emit, table
from gameday.cli.sandboxed import sandboxed
from gameday.clients.kubernetes import Cluster
from gameday.errors import ExitCode, GamedayError
from gameday.journal.past import PastRuns
from gameday.journal.store import Journal
from gameday.plan.build import build
from gameday.plan.model import Plan
from gameday.run.suite import parts
from gameday.settings import clock, load
from gameday.spec.base import format_duration
from gameday.spec.suite import Part

DurationOption = Annotated[
    timedelta | None,
    typer.Option(
        "--duration",
        "-d",
        parser=duration,
        metavar="DURATION",
        help="Stretch or shrink the whole execution to this, such as 5m.",
    ),
]


_NEEDS: Final = {
    "checklist": "the checklist",
    "approval": "an approval",
    "two-approvals": "approvals of two people",
}


async def _build(
    name: str, environment: str, wanted: timedelta | None, experiments: Path | None
) -> Sequence[Plan]:
    """The plan of an experiment, or of each one of a suite."""
    settings = load()
    catalogue = open_catalogue(experiments)
    where = catalogue.platform.environment(environment)
    if name in catalogue.suites:
        chosen = parts(catalogue.suite(name), catalogue, wanted)
    else:
        chosen = (Part(catalogue.experiment(name), wanted),)
    time = clock(settings)
    async with (
        Cluster.connect(where.context, clock=time, call_timeout=settings.kubernetes_timeout) as cluster,
        _journal(settings.database_url) as journal,
    ):
        return [
            await build(
                catalogue,
                one.experiment,
                where,
                cluster,
                now=time.now(),
                duration=one.duration,
                past=PastRuns(journal, sandbox=settings.on_sandbox) if journal is not None else None,
            )
            for one in chosen
        ]


@asynccontextmanager
async def _journal(url: str) -> AsyncIterator[Journal | None]:
    """The journal, for what happened last time; a plan can be made without."""
    async with AsyncExitStack() as stack:
        try:
            journal = await stack.enter_async_context(Journal.open(url))
        except GamedayError:
            journal = None
        yield journal


def plan(
    name: RunnableArgument,
    env: EnvironmentOption = "staging",
    duration: DurationOption = None,
    output: OutputOption = Format.TEXT,
    sandbox: SandboxOption = False,
    experiments: ExperimentsOption = None,
) -> int:
    """Show exactly what a run would do, and what would be refused.

    The pods that could be touched and their share of each service, the objects to the letter (with
    -o yaml or json), the timeline, and every reason to refuse. --duration stretches or shrinks all
    stages and pauses by the same factor. Of a suite, the plan of each of its experiments.
    """
    with sandboxed(sandbox, environment=env):
        found = asyncio.run(_build(name, env, duration, experiments))
    documents = [one.document | {"digest": one.digest} for one in found]
    of_suite = name in open_catalogue(experiments).suites
    emit({"suite": name, "plans": documents} if of_suite else documents[0], output, partial(_print, found))
    return ExitCode.REFUSED if any(one.refusals for one in found) else ExitCode.HELD


def _print(found: Sequence[Plan], console: Console) -> None:
    for number, one in enumerate(found, start=1):
        if len(found) > 1:
            console.print(Text(f"==== {number} of {len(found)} ====", style="bold cyan"))
        print_plan(console, one)


def print_plan(console: Console, plan: Plan) -> None:
    """The plan for people."""
    console.print(Text(f"{plan.title} ({plan.experiment}) on {plan.environment}", style="bold"))
    console.print(Text(plan.hypothesis))
    console.print()
    takes = format_duration(plan.duration)
    if plan.scaled:
        takes += f" (declared {format_duration(plan.declared)}; every stage and pause scaled alike)"
    facts = table("", "")
    facts.show_header = False
    facts.add_row("Takes", f"{takes}, then recovery up to {format_duration(plan.recovery.timeout)}")
    facts.add_row("Namespace", plan.namespace)
    facts.add_row("Digest", plan.digest[:16])
    if plan.load is not None:
        facts.add_row("Load", f"{plan.load}, from the baseline to the end of the recovery")
    for where, alerts in (*((one.name, one.expect_alerts) for one in plan.stages), ("", plan.expect_alerts)):
        for one in alerts:
            must = "must fire" if one.required else "should fire"
            of_stage = f"in {where}" if where else "in some stage"
            facts.add_row("Alert", f"{one} {must} within {format_duration(one.within)} {of_stage}")
    console.print(facts)
    console.print()
    _print_stages(console, plan)
    _print_signals(console, plan)
    _print_risk(console, plan)
    for warning in plan.warnings:
        console.print(Text(f"note: {warning}", style="yellow"), soft_wrap=True)
    if plan.refusals:
        console.print(Text("A run would be refused:", style="bold red"))
        for refusal in plan.refusals:
            console.print(Text(f"  - {refusal}"), soft_wrap=True)
    else:
        console.print(Text("Nothing in the plan refuses a run.", style="green"))


def _print_stages(console: Console, plan: Plan) -> None:
    columns = table("AT", "STAGE", "FAULT", "HITS", "ONE OR MORE OF", fold="ONE OR MORE OF")
    for stage in plan.stages:
        for index, fault in enumerate(stage.faults):
            at = f"+{format_duration(stage.starts)}" if index == 0 else ""
            lasts = f"{stage.name} ({format_duration(stage.duration)})" if index == 0 else ""
            hits = ", ".join(f"{share.hit} of {share.of} {share.service}" for share in fault.shares)
            pods = ", ".join(pod.name for pod in fault.candidates)
            columns.add_row(at, lasts, f"{fault.kind} {fault.what}", hits or fault.mode, pods or "-")
        if stage.settle:
            settles_at = format_duration(stage.starts + stage.duration)
            columns.add_row(f"+{settles_at}", f"settle ({format_duration(stage.settle)})", "none", "", "")
    console.print(columns)
    console.print()
    _print_showings(console, plan)


def _print_showings(console: Console, plan: Plan) -> None:
    rows = [(stage.name, one) for stage in plan.stages for one in stage.must_show]
    if not rows:
        return
    columns = table("STAGE", "MUST SHOW", "WHAT", "WHERE", fold="WHAT")
    for stage, one in rows:
        columns.add_row(stage, one.name, str(one), ", ".join(one.services) or "any")
    console.print(columns)
    console.print()


def _print_signals(console: Console, plan: Plan) -> None:
    columns = table("SIGNAL", "BEFORE AND AFTER", "WHILE FAULTS ARE IN", "ABORTS")
    for watch in plan.watches:
        tolerate = f"{watch.tolerate}, breach up to {format_duration(watch.tolerate_for)}"
        columns.add_row(
            watch.name,
            str(watch.expect or "-"),
            tolerate if watch.tolerate else "-",
            f"where {watch.abort_when}" if watch.abort_when else "-",
        )
    console.print(columns)
    console.print()


def _print_risk(console: Console, plan: Plan) -> None:
    console.print(Text(f"Risk: {plan.risk.summary}", style="bold"))
    for line in plan.risk.lines:
        console.print(Text(f"  {line}"), soft_wrap=True)
    approvable = [violation for violation in plan.violations if not violation.refuses]
    if plan.needs != "nothing":
        who = f", by {' or '.join(plan.approvers)}" if plan.approvers else ""
        console.print(Text(f"It needs: {_NEEDS[plan.needs]}{who}", style="yellow"))
    for violation in approvable:
        console.print(Text(f"  - {violation}"), soft_wrap=True)
    console.print()


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "plan",
        epilog=examples(
            "gameday plan basic-pod-failure --sandbox",
            "gameday plan network-resilience --env staging --duration 5m",
            "gameday plan network-resilience -o yaml",
        ),
    )(plan)
