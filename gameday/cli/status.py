"""Why: before anybody starts or stops anything, they see what is live, of ours and of others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.text import Text

from gameday.cli.catalogue import open_catalogue
from gameday.cli.liveness import Life, closed_where_cut_off
from gameday.cli.options import (
    EnvironmentOption,
    ExperimentsOption,
    OutputOption,
    SandboxOption,
    examples,
)
from gameday.cli.output import Format, emit, local_date_time, note, table
from gameday.cli.sandboxed import sandboxed
from gameday.clients.chaos_mesh import Census, ChaosMesh
from gameday.clients.faults import FaultState
from gameday.clients.grafana import Access
from gameday.clients.kubernetes import Cluster
from gameday.clients.times import parsed
from gameday.clock import Clock
from gameday.errors import ExitCode, GamedayError, UsageError
from gameday.journal.approvals import Approvals, Dossier
from gameday.journal.store import Journal, JournalError, RunRecord
from gameday.run.asking import command, waiting_lines
from gameday.run.marks import wanted
from gameday.safety.approval import standing
from gameday.safety.lever import LeverState, read
from gameday.settings import clock_at_hand, load
from gameday.spec.base import format_duration
from gameday.spec.platform import Platform

# How many turns of the lever are shown; `gameday audit list` has them all.
_TURNS: Final = 3
# So many runs are shown; of one cluster among several they are looked for among more.
_RUNS: Final = 5
_LOOKED_THROUGH: Final = 50


@dataclass(frozen=True)
class _Seen:
    """What is live, and the latest runs with what is known of each."""

    census: Census
    runs: Sequence[tuple[RunRecord, Life]]
    waiting: Sequence[Dossier]
    unread: str
    now: datetime
    environments: Sequence[str]
    lever: LeverState | None
    lever_unread: str

    @property
    def whole(self) -> bool:
        """Whether everything that is live could be listed, and the lever read."""
        return self.census.complete and self.lever is not None


async def _look(platform: Platform, names: Sequence[str], *, own: bool = False) -> _Seen:
    """Look at the cluster of the environments ``names``; with ``own`` at no runs but theirs.

    Raises an ``OutsideError`` where it does not answer.
    """
    settings = load()
    where = platform.environment(names[0])
    # What is live is to be seen whatever has become of the sandbox's clock.
    time = clock_at_hand(settings, partial(note, style="yellow"))
    marked = wanted(settings, platform)
    async with Cluster.connect(
        where.context, clock=time, call_timeout=settings.kubernetes_timeout
    ) as cluster:
        census = await ChaosMesh(cluster.api).live()
        lever, lever_unread = await _lever(cluster, platform.chaos_namespace)
        try:
            async with Journal.open(settings.database_url) as journal:
                latest = await journal.latest(_LOOKED_THROUGH if own else _RUNS)
                runs = [
                    await _known(
                        record, names, journal, cluster, platform.chaos_namespace, census, time, marked
                    )
                    for record in [one for one in latest if not own or one.environment in names][:_RUNS]
                ]
                waiting, unread = await _waiting(journal, runs), ""
        except JournalError as error:
            runs, waiting, unread = [], [], error.message
    return _Seen(census, runs, waiting, unread, time.now(), names, lever, lever_unread)


async def _look_everywhere(platform: Platform) -> list[tuple[Sequence[str], _Seen | GamedayError]]:
    """Look at every cluster at once; what is wrong with one is told in its place."""
    clusters: dict[str | None, list[str]] = {}
    for one in platform.environments:
        clusters.setdefault(one.context, []).append(one.name)

    async def look(names: Sequence[str]) -> tuple[Sequence[str], _Seen | GamedayError]:
        try:
            return names, await _look(platform, names, own=True)
        except GamedayError as error:
            return names, error

    return await asyncio.gather(*map(look, clusters.values()))


async def _lever(cluster: Cluster, namespace: str) -> tuple[LeverState | None, str]:
    """How the safety lever stands, or why that is not known."""
    try:
        return await read(cluster, namespace), ""
    except GamedayError as error:
        return None, f"{error.message} {error.hint}".strip()


async def _waiting(journal: Journal, runs: Sequence[tuple[RunRecord, Life]]) -> list[Dossier]:
    """What is asked about the runs that still wait for people."""
    approvals = Approvals(journal)
    live = [record.run for record, now_lives in runs if now_lives in {Life.GOING_ON, Life.UNKNOWN}]
    asked = [await approvals.of_subject(run) for run in live]
    return [one for one in asked if one is not None and one.closing is None]


async def _known(
    record: RunRecord,
    environments: Sequence[str],
    journal: Journal,
    cluster: Cluster,
    namespace: str,
    census: Census,
    time: Clock,
    marked: Access | None,
) -> tuple[RunRecord, Life]:
    if record.verdict is not None:
        return record, Life.ENDED
    if record.environment not in environments:
        return record, Life.UNKNOWN
    return await closed_where_cut_off(record, journal, cluster, namespace, census, time, marked=marked)


def status(
    env: EnvironmentOption = "staging",
    every: Annotated[
        bool, typer.Option("--all", help="Every environment of platform.yaml; each cluster is asked once.")
    ] = False,
    output: OutputOption = Format.TEXT,
    sandbox: SandboxOption = False,
    experiments: ExperimentsOption = None,
) -> int:
    """Show whether everything is halted, every fault that is live, of ours and of others, the latest runs.

    A run that was cut off, because its process is gone, is told from its Lease. Exit code 0, or 6
    where the safety lever could not be read, or not every kind of fault listed; with ``--all``, where
    that is so of any cluster, or one does not answer.
    """
    platform = open_catalogue(experiments).platform
    if every:
        return _everywhere(platform, output, sandbox)
    platform.environment(env)
    with sandboxed(sandbox, environment=env):
        seen = asyncio.run(_look(platform, [env]))
    data = {"environment": env} | _plain(seen)
    emit(data, output, lambda console: _print(console, seen))
    return ExitCode.HELD if seen.whole else ExitCode.ERROR


def _everywhere(platform: Platform, output: Format, sandbox: bool) -> int:
    if sandbox:
        raise UsageError("the sandbox is one environment", hint="Leave out --all, or --sandbox.")
    found = asyncio.run(_look_everywhere(platform))

    def text(console: Console) -> None:
        for number, (names, seen) in enumerate(found):
            if number:
                console.print()
            console.print(Text(", ".join(names), style="bold"))
            if isinstance(seen, _Seen):
                _print(console, seen)
            else:
                console.print(Text(f"Not known: {seen.message} {seen.hint}".strip(), style="bold red"))

    data = [
        {"environments": names}
        | (_plain(seen) if isinstance(seen, _Seen) else {"unread": f"{seen.message} {seen.hint}".strip()})
        for names, seen in found
    ]
    emit(data, output, text)
    whole = all(isinstance(seen, _Seen) and seen.whole for _, seen in found)
    return ExitCode.HELD if whole else ExitCode.ERROR


def _plain(seen: _Seen) -> dict[str, Any]:
    return {
        "lever": _lever_row(seen),
        "live": [_row(one) for one in seen.census.objects],
        "notListed": {kind: error.message for kind, error in seen.census.refused.items()},
        "runs": [_run_row(record, now_lives) for record, now_lives in seen.runs],
        "waiting": [_waiting_row(one) for one in seen.waiting],
        "journal": seen.unread or None,
    }


def _lever_row(seen: _Seen) -> dict[str, Any]:
    if seen.lever is None:
        return {"engaged": None, "unread": seen.lever_unread}
    state = seen.lever
    return {
        "engaged": state.engaged,
        "since": state.since,
        "by": state.by or None,
        "reason": state.reason or None,
        "source": state.source or None,
        "history": [asdict(one) for one in state.history[-_TURNS:]],
    }


def _row(one: FaultState) -> dict[str, Any]:
    return {
        "kind": one.ref.kind,
        "namespace": one.ref.namespace,
        "name": one.ref.name,
        "run": one.meta.run or None,
        "state": _state(one),
        "pods": [str(pod) for pod in one.selected_pods],
        "endsByItselfAt": one.ends_by_itself_at,
        "stuck": one.why_stuck or None,
    }


def _state(one: FaultState) -> str:
    if one.meta.deleting is not None:
        return "ending"
    if one.paused:
        return "paused"
    if not one.is_fault:
        return "active"
    return "injected" if one.injected else "recovered" if one.recovered else "not injected"


def _run_row(record: RunRecord, now_lives: Life) -> dict[str, Any]:
    return {
        "run": record.run,
        "experiment": record.experiment,
        "environment": record.environment,
        "sandbox": record.sandbox,
        "startedAt": record.started_at,
        "state": now_lives.value,
        "verdict": record.verdict.value if record.verdict else None,
        "summary": record.summary,
        "report": record.report,
    }


def _waiting_row(dossier: Dossier) -> dict[str, Any]:
    request, found = dossier.request, standing(dossier.request, dossier.answers)
    return {
        "run": request.subject,
        "needs": request.demand,
        "needed": request.needed,
        "approvedBy": [one.who for one in found.approved],
        "until": request.until,
        "digest": request.digest,
        "command": command(request),
    }


def _print(console: Console, seen: _Seen) -> None:
    _print_lever(console, seen)
    census = seen.census
    if census.objects:
        columns = table("KIND", "STATE", "ENDS IN", "RUN", "NAME", "PODS")
        for one in census.objects:
            ends = one.ends_by_itself_at
            left = format_duration(_whole(ends, seen.now)) if ends is not None else "never"
            pods = ", ".join(pod.name for pod in one.selected_pods)
            columns.add_row(one.ref.kind, _state(one), left, one.meta.run or "not ours", one.ref.name, pods)
        console.print(columns)
    elif census.complete:
        console.print(Text(f"No fault is live in the cluster of {', '.join(seen.environments)}."))
    if census.refused:
        _print_refused(console, census)
    if seen.unread:
        console.print(Text(f"The journal cannot be read: {seen.unread}", style="yellow"), soft_wrap=True)
    if seen.runs:
        console.print()
        _print_runs(console, seen)


def _print_lever(console: Console, seen: _Seen) -> None:
    state = seen.lever
    if state is None:
        words = f"Whether everything is halted is not known, so nothing starts: {seen.lever_unread}"
        console.print(Text(words, style="bold red"), soft_wrap=True)
    elif state.engaged:
        since = f" since {local_date_time(state.since)}" if state.since else ""
        words = f"HALTED{since} by {state.by or 'somebody'} ({state.source or 'unknown'}): {state.reason}"
        console.print(Text(words, style="bold red"), soft_wrap=True)
        console.print(Text("Nothing new starts until `gameday resume`."))
    for one in reversed(state.history[-_TURNS:] if state is not None else ()):
        at = parsed(one.at)
        when = local_date_time(at) if at else one.at
        words = f"  {when}  {one.action} by {one.by} ({one.source}): {one.reason}"
        console.print(Text(words, style="dim"), soft_wrap=True)


def _print_refused(console: Console, census: Census) -> None:
    """What could not be listed, in one line: the reason is nearly always the same for all kinds."""
    style, first = "bold red", next(iter(census.refused.values()))
    kinds = ", ".join(sorted(census.refused))
    what = "Whether other faults are live" if census.objects else "Whether faults are live"
    console.print(Text(f"{what} is not known. Could not be listed: {kinds}.", style=style), soft_wrap=True)
    console.print(Text(first.message), soft_wrap=True)
    if first.hint:
        console.print(Text(first.hint), soft_wrap=True)


def _print_runs(console: Console, seen: _Seen) -> None:
    columns = table("LATEST RUNS", "STARTED", "VERDICT", "WHY")
    for record, now_lives in seen.runs:
        verdict = record.verdict.value if record.verdict else f"none, {now_lives.words}"
        columns.add_row(record.run, local_date_time(record.started_at), verdict, record.summary or "")
    console.print(columns)
    for record, now_lives in seen.runs:
        if now_lives is Life.CUT_OFF:
            words = f"{record.run} was cut off and may have left faults: gameday stop {record.run}"
            console.print(Text(words, style="bold red"), soft_wrap=True)
    for dossier in seen.waiting:
        gist, *more = waiting_lines(dossier.request, standing(dossier.request, dossier.answers))
        console.print(Text(f"{dossier.request.subject}: {gist}", style="bold yellow"), soft_wrap=True)
        for line in more:
            console.print(Text(f"  {line}"), soft_wrap=True)


def _whole(ends: datetime, now: datetime) -> timedelta:
    return timedelta(seconds=round(max((ends - now).total_seconds(), 0.0)))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "status",
        epilog=examples("gameday status", "gameday status --env staging -o json", "gameday status --all"),
    )(status)
