"""Why: who is asked to approve reads what, until when, and how to answer, in the same words everywhere.

Only words: on the terminal, in Slack, in Prefect and in ``gameday status``.
"""

from __future__ import annotations

from datetime import timedelta

from gameday.errors import RefusedError
from gameday.journal.approvals import Answer, Kind, Request
from gameday.plan.model import Plan
from gameday.safety.approval import Standing
from gameday.spec.base import format_duration


def command(request: Request) -> str:
    """The command line by which somebody else answers."""
    return f"gameday approve {request.subject} --plan {request.digest[:12]} --by NAME"


def risk_lines(plan: Plan) -> list[str]:
    """The assessed risk of a plan, line by line."""
    return [f"Risk: {plan.risk.summary}", *(str(line) for line in plan.risk.lines)]


def may_answer(request: Request) -> str:
    """Who may answer, in words."""
    teams = f" of {' or '.join(request.approvers)}" if request.approvers else ""
    if request.demand == "checklist":
        return "whoever runs it"
    people = "one person" if request.needed == 1 else f"{request.needed} different people"
    return f"{people}{teams}, other than {request.requested_by}"


def waiting_lines(request: Request, found: Standing | None = None) -> tuple[str, ...]:
    """What a run waits for, who may give it and how; the first line is the gist."""
    what = "somebody to confirm its checklist" if request.demand == "checklist" else "approval"
    when = "%H:%M" if request.kind is Kind.RUN else "%Y-%m-%d %H:%M"
    until = f" until {request.until:{when}} UTC" if request.until else ""
    given = f" ({found})" if found is not None and found.approved else ""
    return (
        f"Waits for {what}{until}{given}: {may_answer(request)}",
        *request.details.get("risk", ()),
        *(f"To confirm: {item.text}{_quoted(item.found)}" for item in request.to_confirm),
        f"{'Confirm' if request.demand == 'checklist' else 'Approve'}: {command(request)}",
        f"Reject: gameday approve {request.subject} --reject --by NAME --comment WHY",
        *(("Or in the Prefect UI: Resume on the paused flow run",) if request.kind is Kind.RUN else ()),
    )


def approved(request: Request, found: Standing) -> str:
    """That it may go on, and by whom."""
    said = "The checklist is confirmed" if request.demand == "checklist" else "Approved"
    comments = "; ".join(answer.comment for answer in found.approved if answer.comment)
    return f"{said} by {found.by}{_quoted(comments)}"


def nobody_named() -> RefusedError:
    """That nobody can be told from whoever asks for the run."""
    return RefusedError(
        "Nobody is named who asks for the run",
        ("it needs the approval of somebody else than who asks for it, and nobody is named",),
        hint="Start it again with your name in the parameter requested_by.",
    )


def rejected(answer: Answer) -> RefusedError:
    """That somebody said no, and why."""
    why = _quoted(answer.comment or "no reason was given")
    return RefusedError(f"{answer.who} rejected the run", (f"rejected by {answer.who}{why}",))


def too_late(request: Request, found: Standing, waits: timedelta) -> RefusedError:
    """That nobody, or not everybody, said yes in time."""
    what = "confirmed the checklist" if request.demand == "checklist" else "approved"
    given = f"; {found}" if found.approved else ""
    return RefusedError(
        f"Not {what} in time",
        (f"not {what} within {format_duration(waits)}{given}; asked: {may_answer(request)}",),
        hint="Start it again when somebody is there, or have it approved ahead: `gameday propose --help`.",
    )


def _quoted(words: str) -> str:
    return f" ({words})" if words else ""
