"""Why: when something is wrong, one command sees to it that everything ends and nothing new starts.

``halt`` engages the safety lever first and stops everything then; ``resume`` releases it. Both need
the cluster and nothing else: whoever else cannot be reached is one line. What follows the stop is
``protocol``'s.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.text import Text

from gameday.cli.options import OutputOption, SandboxOption, examples
from gameday.cli.output import Format, emit, note
from gameday.cli.sandboxed import sandboxed
from gameday.cli.stopping import (
    ForceOption,
    IncidentOption,
    RestartOption,
    WhereOption,
    WithinOption,
    clock_at_hand,
    progress,
    told,
)
from gameday.cli.who import user
from gameday.errors import ExitCode, GamedayError, UsageError
from gameday.typed import one_line

if TYPE_CHECKING:
    from collections.abc import Collection

    from gameday.cli.protocol import Emergency
    from gameday.clients.chaos_mesh import Census
    from gameday.clients.faults import PodName
    from gameday.clients.kubernetes import Cluster
    from gameday.safety.lever import Turn

# How long the stop waits for the lever, and for it afterwards, in real seconds.
_HEAD_START_S: Final = 3.0
_PATIENCE_S: Final = 15.0
_LOOK: Final = timedelta(seconds=10)

ByOption = Annotated[
    str | None, typer.Option("--by", metavar="NAME", help="Who does it; your user name without it.")
]


def halt(
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why: everybody will read it.")],
    by: ByOption = None,
    env: WhereOption = None,
    within: WithinOption = timedelta(seconds=60),
    force: ForceOption = False,
    restart: RestartOption = False,
    incident: IncidentOption = None,
    output: OutputOption = Format.TEXT,
    sandbox: SandboxOption = False,
) -> int:
    """Stop everything, and let nothing new start until `gameday resume`.

    Engages the safety lever first, then ends every chaos object in the cluster, whoever made it, as
    `gameday stop --all` does. Works with Prefect, Prometheus, Slack and the journal down: each that
    cannot be reached is one line. Calling it twice, or two people at once, does no harm.

    Afterwards it tells the environment's channel and incident management, and opens a post-incident
    review; `--no-incident` leaves the latter two out.

    Exit code 0 where the lever is engaged and everything is proved to be over, 2 for wrong usage, 6
    where something is not proved.
    """
    if not one_line(reason):
        raise UsageError("a halt needs a reason", hint='Say --reason "what is wrong".')
    with sandboxed(sandbox, environment=env):
        return asyncio.run(
            _halt(
                _Wanted(
                    one_line(reason),
                    one_line(by or "") or user(),
                    env,
                    within,
                    force,
                    restart,
                    incident is not False,
                ),
                output,
            )
        )


@dataclass(frozen=True)
class _Wanted:
    """What somebody wants to be halted, and how."""

    reason: str
    by: str
    env: str | None
    within: timedelta
    force: bool
    restart: bool
    incident: bool


async def _halt(wanted: _Wanted, output: Format) -> int:
    from gameday.cli.place import cluster_of, place  # noqa: PLC0415 - after --sandbox has set its variables
    from gameday.clients.kubernetes import Cluster  # noqa: PLC0415
    from gameday.run.ending import end_faults_in  # noqa: PLC0415
    from gameday.safety import lever, restart  # noqa: PLC0415
    from gameday.safety.called_off import Caller  # noqa: PLC0415
    from gameday.safety.stop_report import Scope  # noqa: PLC0415

    where, clock = place(wanted.env), clock_at_hand()
    if where.unread:
        note(f"Going on without the catalogue: {where.unread}", style="yellow")
    began = clock.now()
    async with Cluster.connect(where.context, clock=clock, check=False) as cluster:
        note(f"Halting everything in {cluster_of(where.context)}.")
        engaging = asyncio.create_task(
            lever.engage(
                cluster, where.namespace, by=wanted.by, reason=wanted.reason, source="command", clock=clock
            )
        )
        # Nothing new shall start while we stop; but a lever that cannot be engaged must not delay it.
        await asyncio.wait({engaging}, timeout=_HEAD_START_S)
        hit = await restart.pods_hit(cluster, Scope.everything()) if wanted.restart else None
        report = await end_faults_in(
            cluster,
            Scope.everything(),
            clock=clock,
            within=wanted.within,
            force=wanted.force,
            call_off=True,
            caller=Caller(wanted.by, wanted.reason),
            progress=progress,
        )
        await asyncio.wait({engaging}, timeout=_PATIENCE_S)
        turn, why = _outcome(engaging)
        if output is Format.TEXT:
            emit(None, output, lambda console: _say(console, [*_lever_lines(turn, why), *told(report)]))
        # Only now: it imports more than a stop needs.
        from gameday.cli import protocol  # noqa: PLC0415

        emergency = protocol.Emergency("gameday halt", wanted.by, wanted.reason, where, clock, began)
        emergency.report, emergency.lever = report, turn.state if turn else None
        if why:
            emergency.failed.append(why)
        await _follow(emergency, cluster, hit, wanted, turn)
    if output is not Format.TEXT:
        emit(_data(emergency, why), output, lambda console: None)
    well = report.clean and turn is not None and all(one.ok for one in emergency.restarted)
    return ExitCode.HELD if well else ExitCode.ERROR


def _outcome(engaging: asyncio.Task[Turn]) -> tuple[Turn | None, str]:
    """How the lever stands after the attempt, or why it is not known to be engaged."""
    hint = "New runs can start! Try again: gameday halt"
    if not engaging.done():
        engaging.cancel()
        return None, f"The safety lever is not engaged: the API server does not answer. {hint}"
    error = engaging.exception()
    if error is None:
        return engaging.result(), ""
    if not isinstance(error, GamedayError):
        return None, f"The safety lever is not engaged: unexpectedly, {error!r}. {hint}"
    return None, f"The safety lever is not engaged: {error.message} {error.hint} {hint}"


def _lever_lines(turn: Turn | None, why: str) -> list[str]:
    if turn is None:
        return [why]
    if turn.changed:
        return [f"Halted by {turn.state.by}: nothing new starts until `gameday resume`."]
    return [f"It was halted already: {turn.state}."]


def _say(console: Console, lines: list[str]) -> None:
    for line in lines:
        console.print(Text(line), soft_wrap=True)
    console.file.flush()


async def _follow(
    emergency: Emergency,
    cluster: Cluster,
    hit: Collection[PodName] | None,
    wanted: _Wanted,
    turn: Turn | None,
) -> None:
    """Everything that comes after the stop."""
    from gameday.cli import aftermath, protocol  # noqa: PLC0415 - as above
    from gameday.clients.slack import Message  # noqa: PLC0415
    from gameday.journal.audit import Action  # noqa: PLC0415

    report = emergency.report
    assert report is not None
    detail = {
        "reason": wanted.reason,
        "engaged": turn is not None,
        "changed": turn is not None and turn.changed,
        "where": emergency.place.name,
    }
    news = turn is None or turn.changed or bool(report.outcomes) or not report.clean
    message = Message(
        protocol.summary(emergency),
        title="HALTED: nothing new starts" if turn else "Everything was stopped; the lever is NOT engaged",
        fields={"By": wanted.by, "Reason": wanted.reason, "Release it": "gameday resume"},
    )
    await aftermath.follow(
        emergency,
        cluster,
        hit,
        acts=(protocol.Act(Action.HALT, detail), protocol.Act(Action.STOP, report.gist())),
        # Somebody who halts once more changes nothing: nobody needs to hear of it twice.
        message=message if news else None,
        incident=wanted.incident and news,
    )


def _data(emergency: Emergency, why: str) -> dict[str, Any]:
    from gameday.cli.protocol import lever_row  # noqa: PLC0415 - as above

    report, state = emergency.report, emergency.lever
    assert report is not None
    return {
        "lever": lever_row(state) if state is not None else None,
        "leverFailed": why or None,
        **report.as_dict(),
        "restarted": [one.as_dict() for one in emergency.restarted],
        "told": emergency.told,
        "failed": emergency.failed,
    }


def resume(
    reason: Annotated[
        str | None, typer.Option("--reason", "-r", help="Why it is safe again; asked for on a terminal.")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="NAME", help="Who says so; asked for on a terminal.")
    ] = None,
    env: WhereOption = None,
    output: OutputOption = Format.TEXT,
    sandbox: SandboxOption = False,
) -> int:
    """Release the safety lever, so that runs may start again; says what is still live.

    Asks for your name and a reason, which are kept and told. Nothing that was stopped starts again by
    itself.

    Exit code 0 where the lever is released, 2 without a name or a reason, 6 where it could not be.
    """
    who = _asked(by, "Who releases the safety lever", "--by")
    why = _asked(reason, "Why is it safe again", "--reason")
    with sandboxed(sandbox, environment=env):
        return asyncio.run(_resume(who, why, env, output))


def _asked(given: str | None, question: str, option: str) -> str:
    """What was given, or what a person answers on a terminal. Raises ``UsageError`` where neither says."""
    answer = one_line(given or "")
    if not answer and given is None and sys.stdin.isatty():
        answer = one_line(str(typer.prompt(question, default="", show_default=False, err=True)))
    if not answer:
        raise UsageError(
            f"the safety lever is released by somebody, for a reason: {option} is missing",
            hint='Say --by NAME --reason "why it is safe again".',
        )
    return answer


async def _resume(by: str, reason: str, env: str | None, output: Format) -> int:
    from gameday.cli import protocol  # noqa: PLC0415 - after --sandbox has set its variables
    from gameday.cli.place import place  # noqa: PLC0415
    from gameday.clients.chaos_mesh import ChaosMesh  # noqa: PLC0415
    from gameday.clients.kubernetes import Cluster  # noqa: PLC0415
    from gameday.clients.slack import Message  # noqa: PLC0415
    from gameday.journal.audit import Action  # noqa: PLC0415
    from gameday.safety import lever  # noqa: PLC0415

    where, clock = place(env), clock_at_hand()
    async with Cluster.connect(where.context, clock=clock) as cluster:
        turn = await lever.release(
            cluster, where.namespace, by=by, reason=reason, source="command", clock=clock
        )
        census = await ChaosMesh(cluster.api.within(timeout=_LOOK, attempts=1)).live()
    emergency = protocol.Emergency("gameday resume", by, reason, where, clock, clock.now())
    emergency.lever = turn.state
    if turn.changed:
        act = protocol.Act(Action.RESUME, {"reason": reason, "where": where.name})
        message = Message(
            "Runs may start again.",
            title="The safety lever is released",
            fields={"By": by, "Reason": reason, "Still live": _live_words(census)},
        )
        await protocol.each(
            emergency,
            audit=protocol.account(emergency, act),
            slack=protocol.tell_channels(emergency, message),
            prefect=protocol.show_in_prefect(emergency),
        )
    head = (
        f"Released by {by}: runs may start again." if turn.changed else "It was not engaged: nothing to do."
    )
    data = {
        "lever": protocol.lever_row(turn.state),
        "changed": turn.changed,
        "live": [str(one.ref) for one in census.objects],
        "notListed": {kind: error.message for kind, error in census.refused.items()},
        "told": emergency.told,
        "failed": emergency.failed,
    }
    emit(data, output, lambda console: _say(console, [head, f"Still live: {_live_words(census)}."]))
    return ExitCode.HELD


def _live_words(census: Census) -> str:
    unknown = f"; not known of {', '.join(sorted(census.refused))}" if census.refused else ""
    return (", ".join(str(one.ref) for one in census.objects) or "nothing") + unknown


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        "halt",
        epilog=examples(
            'gameday halt --reason "checkout is down"',
            'gameday halt --env production --reason "checkout is down" --restart',
        ),
    )(halt)
    app.command(
        "resume",
        epilog=examples(
            "gameday resume", 'gameday resume --by NAME --reason "checkout is back, see the review"'
        ),
    )(resume)
