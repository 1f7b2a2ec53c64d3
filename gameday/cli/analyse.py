"""Why: what a run teaches can be worked out again: the analysis has grown, or Prometheus answers now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from gameday.analysis.model import Analysis, Effect
from gameday.cli.catalogue import open_catalogue
from gameday.cli.named import run_of
from gameday.cli.options import ExperimentsOption, OutputOption, RunArgument, examples
from gameday.cli.output import Format, emit, in_seconds, table
from gameday.clients.prometheus import Prometheus, prometheus_url
from gameday.clock import SystemClock
from gameday.errors import ExitCode, RefusedError
from gameday.journal.store import Journal
from gameday.run.analyse import analyse as work
from gameday.run.analyse import in_short
from gameday.settings import load


def analyse(
    run: RunArgument,
    ask: Annotated[
        bool,
        typer.Option("--ask", help="Ask Prometheus for the run's time again, instead of what was kept then."),
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="Signals that did not change, too.")] = False,
    output: OutputOption = Format.TEXT,
    experiments: ExperimentsOption = None,
) -> int:
    """Work out again what an ended run teaches: effects, detection, error budget, patterns, findings.

    Its findings replace those that the run had; the verdict stays. Exit code 0; 2 where there is no such
    run, 3 where it has not ended yet.
    """
    found = asyncio.run(_analysed(run, ask, experiments))
    emit(found, output, lambda console: _print(console, found, every=every))
    return ExitCode.HELD


async def _analysed(run: str, ask: bool, experiments: Any) -> Analysis:
    settings = load()
    platform = open_catalogue(experiments).platform
    async with Journal.open(settings.database_url) as journal:
        record = await run_of(journal, run)
        if record.verdict is None:
            raise RefusedError(f"{record.run} has not ended", hint="`gameday monitor` follows it.")
        clock = SystemClock()
        if not ask:
            return await work(journal, record.run, platform, None, clock.now)
        url = prometheus_url(settings, platform.environment(record.environment))
        async with Prometheus(url, clock=clock, timeout=settings.prometheus_timeout) as prometheus:
            return await work(journal, record.run, platform, prometheus, clock.now)


def _print(console: Console, found: Analysis, *, every: bool) -> None:
    console.print(Text(in_short(found), style="bold"))
    console.print(Text(found.method, style="dim"))
    parts: Sequence[tuple[str, Callable[[], Any]]] = (
        ("effects", lambda: _effects(found.effects, every=every)),
        ("detections", lambda: _detections(found)),
        ("budgets", lambda: _budgets(found)),
        ("scores", lambda: _scores(found)),
        ("patterns", lambda: _patterns(found)),
        ("findings", lambda: _findings(found)),
    )
    for name, made in parts:
        if getattr(found, name):
            console.print()
            console.print(made())
    for line in found.missing:
        console.print(Text(f"Not known: {line}", style="yellow"), soft_wrap=True)


def _effects(effects: Sequence[Effect], *, every: bool) -> Any:
    columns = table("SIGNAL", "SERVICE", "BEFORE", "DURING", "SHIFT", "IN STAGE", "", "BACK")
    shown = [one for one in effects if every or one.change in {"worse", "better"}]
    for one in shown:
        back = "" if one.back is None else "yes" if one.back else "no"
        before = f"{one.before.median:.4g}" if one.before else ""
        during = f"{one.during.median:.4g}" if one.during else ""
        columns.add_row(one.signal, one.service, before, during, _shift(one), one.stage, one.words, back)
    return columns if shown else Text(f"None of {len(effects)} series changed beyond its noise.")


def _shift(one: Effect) -> str:
    if one.shift is None or one.low is None or one.high is None:
        return ""
    return f"{one.shift:+.3g} ({one.low:+.3g} to {one.high:+.3g})"


def _detections(found: Analysis) -> Any:
    columns = table("STAGE", "SEEN AFTER", "BY")
    for one in found.detections:
        took = in_seconds(one.took) if one.took is not None else "not at all"
        columns.add_row(one.stage, took, f"alert {one.by}" if one.kind == "alert" else one.by)
    return columns


def _budgets(found: Analysis) -> Any:
    columns = table("SERVICE", "REQUESTS", "FAILED", "OBJECTIVE", "ERROR BUDGET SPENT")
    for one in found.budgets:
        columns.add_row(
            one.service,
            f"{one.requests:.0f}",
            f"{one.failed:.0f}",
            f"{one.objective:.3%}",
            f"{one.spent:.1%}",
        )
    return columns


def _scores(found: Analysis) -> Any:
    columns = table("RESILIENCE", "OF 100", "WHY")
    for one in found.scores:
        why = "; ".join(f"{part.what} {part.points:g}/{part.of:g}: {part.why}" for part in one.parts)
        columns.add_row(one.service or "the platform", f"{one.value:g}", why)
    return columns


def _patterns(found: Analysis) -> Any:
    columns = table("PATTERN", "SURE", "SERVICES", "EVIDENCE")
    for one in found.patterns:
        columns.add_row(one.name, f"{one.sure:.0%}", " -> ".join(one.services), "; ".join(one.evidence))
    return columns


def _findings(found: Analysis) -> Any:
    columns = table("FINDING", "SEVERITY", "OWNER", "TO DO", fold="TO DO")
    for one in found.findings:
        columns.add_row(one.title, one.severity, one.owner, one.action)
    return columns


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("analyse", epilog=examples("gameday analyse 7f3a", "gameday analyse 7f3a --ask --all"))(
        analyse
    )
