"""Why: whoever may let a run happen says so from any terminal, about exactly what they saw.

Answers a run that waits, or a proposal, through the journal; the run notices it by itself. Whose
answer counts is ``gameday.safety.approval``'s.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from gameday.cli import complete
from gameday.cli.confirming import confirmed
from gameday.cli.named import run_of
from gameday.cli.options import OutputOption, examples
from gameday.cli.output import Format, emit, note
from gameday.cli.who import user
from gameday.clock import SystemClock
from gameday.errors import ExitCode, RefusedError, UsageError
from gameday.journal.approvals import Answer, Approvals, Closing, Decision, Dossier, Kind, Outcome
from gameday.journal.store import Journal
from gameday.run.asking import waiting_lines
from gameday.safety.approval import Given, ProposalState, Standing, proposal_state, record, standing
from gameday.settings import clock, load

# How long a run may take to notice that it may go on.
_NOTICES: Final = timedelta(seconds=10)
_POLL: Final = timedelta(milliseconds=200)

ByOption = Annotated[
    str | None, typer.Option("--by", metavar="NAME", help="Who answers; your user name without it.")
]
CommentOption = Annotated[str, typer.Option("--comment", "-c", help="Kept with the answer.")]
PlanOption = Annotated[
    str,
    typer.Option(
        "--plan", metavar="DIGEST", help="Answer only where this, or how it begins, is the plan's digest."
    ),
]
ConfirmOption = Annotated[
    bool,
    typer.Option("--confirm-checklist", help="All that a person must confirm is true: do not ask each."),
]


@dataclass(frozen=True)
class Said:
    """How somebody answered on the command line."""

    by: str | None
    comment: str
    decision: Decision
    digest: str = ""
    confirm: bool = False


def approve(
    name: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="The run that waits, or a proposal.", autocompletion=complete.runs
        ),
    ],
    by: ByOption = None,
    comment: CommentOption = "",
    reject: Annotated[bool, typer.Option("--reject", help="Say no: the run is refused at once.")] = False,
    plan: PlanOption = "",
    confirm_checklist: ConfirmOption = False,
    output: OutputOption = Format.TEXT,
) -> int:
    """Approve a run that waits for it, or a proposal; or reject it.

    Asks for what a person must confirm of the checklist. An approval is for exactly the plan that
    was shown: where other pods can be hit by the time it goes on, the run asks again.

    Exit code 0 where the answer counts, 2 where nothing waits, 3 where the answer does not count.
    """
    decision = Decision.REJECT if reject else Decision.APPROVE
    return asyncio.run(_approve(name, Said(by, comment, decision, plan, confirm_checklist), output))


async def _approve(name: str, said: Said, output: Format) -> int:
    async with Journal.open(load().database_url) as journal:
        dossier = await _waiting_run(journal, name) or await Approvals(journal).proposed(name)
        if dossier is None:
            raise UsageError(
                f"nothing that waits is called {name!r}",
                hint="`gameday status` shows runs that wait, `gameday proposals list` what is proposed.",
            )
        await answer(journal, dossier, said, output)
    return ExitCode.HELD


async def _waiting_run(journal: Journal, name: str) -> Dossier | None:
    if await journal.find(name) is None:
        return None
    record = await run_of(journal, name)
    dossier = await Approvals(journal).of_subject(record.run)
    if dossier is None or (dossier.closing is None and record.verdict is None):
        return dossier
    if record.verdict is not None:
        raise UsageError(f"run {record.run} has ended: {record.verdict.value}")
    raise UsageError(
        f"run {record.run} does not wait any more: {dossier.closing.outcome.value}"
        if dossier.closing
        else f"run {record.run} does not wait for anybody"
    )


async def answer(journal: Journal, dossier: Dossier, said: Said, output: Format) -> Dossier:
    """Give the answer and print what it led to. Raises ``RefusedError`` where it does not count."""
    request, approvals, now = dossier.request, Approvals(journal), clock(load()).now()
    if not request.digest.startswith(said.digest):
        raise RefusedError(
            "The plan is another one",
            (f"{request.subject} waits with plan {request.digest[:12]}, not {said.digest}",),
            hint=f"Look at it first: gameday monitor {request.subject} --no-follow",
        )
    _must_be_open(dossier, now)
    keys: tuple[str, ...] = ()
    if said.decision is Decision.APPROVE:
        for line in waiting_lines(request, standing(request, dossier.answers)):
            note(line)
        keys = confirmed(request.to_confirm, all_of_them=said.confirm)
    given = Given(said.by if said.by is not None else user(), said.decision, said.comment, "command", keys)
    kept = await record(approvals, dossier, given, now)
    if kept is None:
        raise RefusedError(f"{request.subject} was decided meanwhile: the answer came too late")
    if kept.objection:
        raise RefusedError("The answer does not count", (kept.objection,))
    after = await approvals.of(request.request) or dossier
    found = standing(request, after.answers)
    if request.kind is Kind.PROPOSAL and found.rejected is not None:
        closing = Closing(request.request, Outcome.REJECTED, kept.who, kept.comment, now)
        await approvals.close(closing)
    told = await _follow(approvals, after, found)
    data = _plain(request.subject, kept, found)
    emit(data, output, lambda console: console.print(Text(told), soft_wrap=True))
    return after


def _must_be_open(dossier: Dossier, now: Any) -> None:
    if dossier.request.kind is Kind.PROPOSAL:
        state = proposal_state(dossier, now)
        if state not in {ProposalState.PROPOSED, ProposalState.APPROVED}:
            raise UsageError(f"proposal {dossier.request.request} is {state.value}")


async def _follow(approvals: Approvals, dossier: Dossier, found: Standing) -> str:
    """What the answer led to, in words; waits a little for the run to notice it."""
    request = dossier.request
    if found.rejected is None and not found.enough:
        missing = found.needed - len(found.approved)
        return f"Kept. {missing} more must approve {request.subject}."
    word = "rejected" if found.rejected is not None else "approved"
    if request.kind is Kind.PROPOSAL:
        return f"Proposal {request.subject} is {word}."
    pace = SystemClock()
    until = pace.now() + _NOTICES
    while pace.now() < until:
        seen = await approvals.of(request.request)
        if seen is not None and seen.closing is not None:
            return f"Run {request.subject} is {word}" + (" and goes on." if found.enough else ".")
        await pace.sleep(_POLL)
    return (
        f"Kept: run {request.subject} is {word}, but it has not noticed yet. "
        "Does it still go on? `gameday status` tells."
    )


def _plain(subject: str, kept: Answer, found: Standing) -> dict[str, Any]:
    return {
        "subject": subject,
        "decision": kept.decision.value,
        "by": kept.who,
        "comment": kept.comment,
        "at": kept.at,
        "confirmed": list(kept.confirmed),
        "needed": found.needed,
        "approvedBy": [one.who for one in found.approved],
        "rejectedBy": found.rejected.who if found.rejected else None,
    }


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "approve",
        epilog=examples(
            "gameday approve 7f3a --by NAME",
            'gameday approve 7f3a --by NAME --comment "after the release" --confirm-checklist',
            'gameday approve 7f3a --reject --comment "there is an incident"',
        ),
    )(approve)
