"""Why: a run that takes place by schedule, or when others sleep, is agreed upon ahead.

Proposes a run, and shows, approves, rejects and withdraws what is proposed. A run that does just what
was approved, in its time, uses the proposal up; that is ``gameday.run.approval``'s.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from gameday.cli.approve import (
    ByOption,
    CommentOption,
    ConfirmOption,
    PlanOption,
    Said,
    answer,
)
from gameday.cli.catalogue import open_catalogue
from gameday.cli.options import (
    EnvironmentOption,
    ExperimentArgument,
    ExperimentsOption,
    OutputOption,
    examples,
    moment,
)
from gameday.cli.output import Format, emit, local_date_time, note, table
from gameday.cli.plan import DurationOption
from gameday.cli.who import user
from gameday.clients.kubernetes import Cluster
from gameday.clients.slack import Message, Terminal, attempt, messenger
from gameday.errors import ExitCode, RefusedError, UsageError
from gameday.journal.approvals import (
    Approvals,
    Closing,
    Decision,
    Dossier,
    Kind,
    Outcome,
    Proposal,
    Request,
)
from gameday.journal.past import PastRuns
from gameday.journal.store import Journal
from gameday.plan.build import build
from gameday.plan.model import Plan
from gameday.run.approval import wanted
from gameday.run.asking import risk_lines, waiting_lines
from gameday.run.checklist import for_people
from gameday.safety.approval import ProposalState, proposal_state, same_person, standing
from gameday.settings import clock, load
from gameday.spec.base import format_duration
from gameday.spec.catalogue import Catalogue
from gameday.typed import one_line

_FARTHEST = timedelta(days=366)
_OPEN = (ProposalState.PROPOSED, ProposalState.APPROVED)


ProposalArgument = Annotated[
    str, typer.Argument(metavar="PROPOSAL", help="Its name, or how that begins or ends.")
]


def propose(
    name: ExperimentArgument,
    env: EnvironmentOption = "production",
    at: Annotated[
        datetime | None,
        typer.Option(
            "--at",
            parser=moment,
            metavar="TIME",
            help="When it is to take place, such as 2026-12-01T10:00Z; from now on without it.",
        ),
    ] = None,
    duration: DurationOption = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; whoever approves reads it.")] = "",
    by: Annotated[
        str | None, typer.Option("--by", metavar="NAME", help="Who proposes; your user name without it.")
    ] = None,
    output: OutputOption = Format.TEXT,
    experiments: ExperimentsOption = None,
) -> int:
    """Propose a run, to be approved ahead of its time.

    It is assessed as of that time. Once approved, one run that does just this, in its time, needs no
    further approval; a change of the experiment, the guardrails or the duration makes it worthless.

    Exit code 0 where it is proposed, 3 where such a run would be refused.
    """
    who, why = one_line(by or "") or user(), one_line(reason)
    return asyncio.run(_propose(name, env, at, duration, why, who, output, experiments))


async def _propose(
    name: str,
    env: str,
    at: datetime | None,
    duration: timedelta | None,
    reason: str,
    by: str,
    output: Format,
    experiments: Path | None,
) -> int:
    settings, catalogue = load(), open_catalogue(experiments)
    time = clock(settings)
    experiment, where = catalogue.experiment(name), catalogue.platform.environment(env)
    now = time.now()
    if at is not None and at < now:
        raise UsageError(f"{at.isoformat()} has passed already")
    if at is not None and at - now > _FARTHEST:
        raise UsageError(f"{at.isoformat()} is too far ahead", hint="Propose a run within a year.")
    async with (
        Journal.open(settings.database_url) as journal,
        Cluster.connect(where.context, clock=time, call_timeout=settings.kubernetes_timeout) as cluster,
    ):
        past = PastRuns(journal, sandbox=settings.on_sandbox)
        plan = await build(catalogue, experiment, where, cluster, now=at or now, duration=duration, past=past)
        dossier = _assessed(catalogue, plan, at or now, now, duration, reason or "no reason given", by)
        assert dossier.proposal is not None
        await Approvals(journal).ask(dossier.request, dossier.proposal)
    await _tell_channel(dossier, f"{by} proposes: {waiting_lines(dossier.request)[0]}")
    emit(_plain(dossier, now), output, lambda console: _show(console, dossier, now))
    return ExitCode.HELD


def _assessed(
    catalogue: Catalogue,
    plan: Plan,
    at: datetime,
    now: datetime,
    duration: timedelta | None,
    reason: str,
    by: str,
) -> Dossier:
    """The proposal of ``plan``. Raises ``RefusedError`` where no approval would help."""
    if plan.refusals:
        raise RefusedError("Such a run would be refused", plan.refusals)
    demand, needed = wanted(plan, catalogue.platform.environment(plan.environment))
    if demand == "nothing":
        raise UsageError(
            f"{plan.experiment} in {plan.environment} needs nobody's approval",
            hint=f"gameday run {plan.experiment} --env {plan.environment}",
        )
    called = f"p-{now:%Y%m%dt%H%M%S}-{plan.experiment}-{secrets.token_hex(2)}"
    until = at + catalogue.guardrails.approvals.proposal_valid
    request = Request(
        request=called,
        subject=called,
        kind=Kind.PROPOSAL,
        demand=demand,
        needed=needed,
        digest=plan.digest,
        requested_by=by,
        approvers=plan.approvers,
        checklist=for_people(plan, catalogue.platform),
        at=now,
        until=until,
        details={"risk": risk_lines(plan), "reason": reason},
    )
    proposal = Proposal(
        proposal=called,
        experiment=plan.experiment,
        environment=plan.environment,
        reason=reason,
        not_before=at,
        valid_until=until,
        duration=format_duration(duration) if duration else None,
        plan=plan.model_dump(mode="json", by_alias=True),
    )
    return Dossier(request, (), None, proposal)


def list_(output: OutputOption = Format.TEXT) -> int:
    """List what is proposed, the newest first."""

    async def listed() -> int:
        now = clock(load()).now()
        async with Journal.open(load().database_url) as journal:
            found = await Approvals(journal).proposals()
        data = [_plain(one, now) for one in found]
        emit(data, output, lambda console: _table(console, found, now))
        return ExitCode.HELD

    return asyncio.run(listed())


def show(name: ProposalArgument, output: OutputOption = Format.TEXT) -> int:
    """Show a proposal: what would be done and when, its risk, who has answered what."""

    async def shown(journal: Journal, dossier: Dossier) -> None:
        now = clock(load()).now()
        emit(_plain(dossier, now), output, lambda console: _show(console, dossier, now))

    return asyncio.run(_with(name, shown))


def approve(
    name: ProposalArgument,
    by: ByOption = None,
    comment: CommentOption = "",
    plan: PlanOption = "",
    confirm_checklist: ConfirmOption = False,
    output: OutputOption = Format.TEXT,
) -> int:
    """Approve a proposal. Whoever proposed it cannot."""
    said = Said(by, comment, Decision.APPROVE, plan, confirm_checklist)
    return asyncio.run(_with(name, _answering(said, output)))


def reject(
    name: ProposalArgument,
    by: ByOption = None,
    comment: CommentOption = "",
    output: OutputOption = Format.TEXT,
) -> int:
    """Reject a proposal, for good."""
    return asyncio.run(_with(name, _answering(Said(by, comment, Decision.REJECT), output)))


def withdraw(name: ProposalArgument, by: ByOption = None, comment: CommentOption = "") -> int:
    """Take a proposal of one's own back."""

    async def withdrawn(journal: Journal, dossier: Dossier) -> None:
        now, who, why = clock(load()).now(), one_line(by or "") or user(), one_line(comment)
        request = dossier.request
        if not same_person(who, request.requested_by):
            raise RefusedError(
                f"{request.requested_by} proposed it, and only they withdraw it",
                hint=f"gameday proposals reject {request.subject}",
            )
        state = proposal_state(dossier, now)
        closing = Closing(request.request, Outcome.WITHDRAWN, who, why, now)
        if state not in _OPEN or not await Approvals(journal).close(closing):
            raise UsageError(f"proposal {request.subject} is {state.value}")
        await _tell_channel(dossier, f"{who} withdraws it. {why}".rstrip())
        note(f"Proposal {request.subject} is withdrawn.")

    return asyncio.run(_with(name, withdrawn))


def _answering(said: Said, output: Format) -> Callable[[Journal, Dossier], Any]:
    async def answered(journal: Journal, dossier: Dossier) -> None:
        after = await answer(journal, dossier, said, output)
        last = after.answers[-1]
        await _tell_channel(after, f"{last.who}: {last.decision.value}. {last.comment}".rstrip())

    return answered


async def _with(name: str, act: Callable[[Journal, Dossier], Any]) -> int:
    async with Journal.open(load().database_url) as journal:
        dossier = await Approvals(journal).proposed(name)
        if dossier is None:
            raise UsageError(f"unknown proposal {name!r}", hint="`gameday proposals list` shows them.")
        await act(journal, dossier)
    return ExitCode.HELD


async def _tell_channel(dossier: Dossier, text: str) -> None:
    """Tell the environment's channel, where there is one to tell; that it could not be is a note."""
    settings, proposal = load(), dossier.proposal
    speaker = messenger(settings, note)
    if proposal is None or isinstance(speaker, Terminal):
        return
    channel = open_catalogue(None).platform.environment(proposal.environment).channel
    title = f"Proposal {proposal.proposal}: {proposal.experiment} on {proposal.environment}"
    fields = {"When": f"{proposal.not_before:%Y-%m-%d %H:%M} UTC", "Why": proposal.reason}
    delivery = await attempt(speaker.open_thread(channel, Message(text, title=title, fields=fields)))
    if not delivery.ok:
        note(f"{channel} could not be told: {delivery.why}", style="yellow")


def _plain(dossier: Dossier, now: datetime) -> dict[str, Any]:
    request, proposal = dossier.request, dossier.proposal
    assert proposal is not None
    return {
        "proposal": proposal.proposal,
        "state": proposal_state(dossier, now).value,
        "experiment": proposal.experiment,
        "environment": proposal.environment,
        "duration": proposal.duration,
        "reason": proposal.reason,
        "proposedBy": request.requested_by,
        "proposedAt": request.at,
        "notBefore": proposal.not_before,
        "validUntil": proposal.valid_until,
        "digest": request.digest,
        "needs": request.demand,
        "needed": request.needed,
        "approvers": list(request.approvers),
        "risk": list(request.details.get("risk", ())),
        "toConfirm": [{"key": item.key, "text": item.text} for item in request.to_confirm],
        "answers": [
            {
                "by": one.who,
                "decision": one.decision.value,
                "comment": one.comment,
                "at": one.at,
                "counts": not one.objection,
                "objection": one.objection or None,
            }
            for one in dossier.answers
        ],
        "run": dossier.closing.run if dossier.closing else None,
        "closedBecause": dossier.closing.why if dossier.closing else None,
    }


def _table(console: Console, found: list[Dossier], now: datetime) -> None:
    if not found:
        console.print("Nothing is proposed.")
        return
    columns = table("PROPOSAL", "STATE", "FROM", "UNTIL", "BY", "WHY")
    for one in found:
        proposal = one.proposal
        assert proposal is not None
        columns.add_row(
            proposal.proposal,
            proposal_state(one, now).value,
            local_date_time(proposal.not_before),
            local_date_time(proposal.valid_until),
            one.request.requested_by,
            proposal.reason,
        )
    console.print(columns)


def _show(console: Console, dossier: Dossier, now: datetime) -> None:
    request, proposal = dossier.request, dossier.proposal
    assert proposal is not None
    state, found = proposal_state(dossier, now), standing(request, dossier.answers)
    head = f"{proposal.proposal}: {proposal.experiment} on {proposal.environment}, {state.value}"
    console.print(Text(head, style="bold"))
    facts = table("", "")
    facts.show_header = False
    when = f"{local_date_time(proposal.not_before)} to {local_date_time(proposal.valid_until)}"
    facts.add_row("May run", when)
    if proposal.duration:
        facts.add_row("Duration", proposal.duration)
    facts.add_row("Proposed by", f"{request.requested_by} ({proposal.reason})")
    facts.add_row("Digest", request.digest[:16])
    for line in request.details.get("risk", ()):
        facts.add_row("Risk", line.removeprefix("Risk: "))
    for one in dossier.answers:
        why = f"does not count: {one.objection}" if one.objection else one.comment
        facts.add_row(one.decision.value, f"{one.who}{f' ({why})' if why else ''}")
    if dossier.closing is not None and dossier.closing.run:
        facts.add_row("Run", dossier.closing.run)
    console.print(facts)
    if state is ProposalState.PROPOSED:
        for line in waiting_lines(request, found):
            if line not in request.details.get("risk", ()):
                console.print(Text(line), soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        "propose",
        epilog=examples(
            'gameday propose basic-pod-failure --env production --at 2026-12-01T10:00Z --reason "monthly"',
            "gameday propose basic-pod-failure -e production -d 5m -o json",
        ),
    )(propose)
    group = typer.Typer(
        name="proposals",
        no_args_is_help=True,
        rich_markup_mode="rich",
        help="List, show and decide on runs that are proposed ahead of their time.",
    )
    group.command("list", epilog=examples("gameday proposals list", "gameday proposals list -o json"))(list_)
    group.command(epilog=examples("gameday proposals show 7f3a"))(show)
    group.command(epilog=examples('gameday proposals approve 7f3a --by NAME --comment "monday is fine"'))(
        approve
    )
    group.command(epilog=examples('gameday proposals reject 7f3a --by NAME --comment "not that week"'))(
        reject
    )
    group.command(epilog=examples("gameday proposals withdraw 7f3a"))(withdraw)
    app.add_typer(group)
