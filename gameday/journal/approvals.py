"""Why: who let a run happen, and who did not, must be known as long as the run itself.

Requests, the answers to them and what became of each; proposals are requests that come ahead of
their run. Nothing is ever changed here, only added. Whose answer counts is ``gameday.safety.approval``'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Select, Table, exists, insert, literal, select
from sqlalchemy.exc import IntegrityError

from gameday.errors import UsageError
from gameday.journal.audit import Action, Audit
from gameday.journal.schema import approval_answers, approval_closings, approval_requests, proposals
from gameday.journal.store import Journal, JournalError, to_its_end


class Kind(StrEnum):
    """What a request is for."""

    RUN = "run"
    PROPOSAL = "proposal"


class Decision(StrEnum):
    """What somebody answered."""

    APPROVE = "approve"
    REJECT = "reject"


class Outcome(StrEnum):
    """What became of a request. The first outcome stands."""

    APPROVED = "approved"  # of a run: it went on
    USED = "used"  # of a proposal: a run took place by it
    REJECTED = "rejected"
    TIMED_OUT = "timed-out"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the pre-experiment checklist.

    ``ok``: it was looked at, and is well. ``bad``: it was looked at, and is not. ``open``: only a
    person can tell. ``found`` says what was seen, or what a person should think of.
    """

    key: str
    text: str
    state: str
    found: str = ""

    @property
    def to_confirm(self) -> bool:
        """Whether a person must confirm it."""
        return self.state != "ok"


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody is asked to approve exactly the plan with this ``digest``."""

    request: str
    subject: str
    kind: Kind
    demand: str
    needed: int
    digest: str
    requested_by: str
    approvers: Sequence[str]
    checklist: Sequence[Item]
    at: datetime
    until: datetime | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def to_confirm(self) -> tuple[Item, ...]:
        """What a person must confirm to approve."""
        return tuple(item for item in self.checklist if item.to_confirm)


@dataclass(frozen=True, slots=True)
class Answer:
    """What somebody answered, from where; ``objection`` says why it does not count, "" where it does."""

    request: str
    who: str
    decision: Decision
    comment: str
    at: datetime
    source: str
    confirmed: Sequence[str] = ()
    objection: str = ""


@dataclass(frozen=True, slots=True)
class Closing:
    """What became of a request, by whom and why; ``run`` is the run that a proposal was used for."""

    request: str
    outcome: Outcome
    by: str
    why: str
    at: datetime
    run: str | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A run that is to take place later: it has a request of the same name."""

    proposal: str
    experiment: str
    environment: str
    reason: str
    not_before: datetime
    valid_until: datetime
    duration: str | None = None
    plan: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dossier:
    """Everything that is known of one request."""

    request: Request
    answers: Sequence[Answer]
    closing: Closing | None
    proposal: Proposal | None = None


class Approvals:
    """The requests of a journal. Whatever is done to one stands in the audit trail, too."""

    def __init__(self, journal: Journal) -> None:
        """Keep them in ``journal``, which must be open."""
        self.journal = journal

    @to_its_end
    async def ask(self, request: Request, proposal: Proposal | None = None) -> None:
        """Write a request down, with the proposal that it is for. Raises ``JournalError``."""
        values = _values(request) | {
            "checklist": [_values(item) for item in request.checklist],
            "approvers": list(request.approvers),
        }
        async with self.journal.transaction() as connection:
            await connection.execute(insert(approval_requests).values(**values))
            if proposal is not None:
                await connection.execute(insert(proposals).values(**_values(proposal)))
        door = "flow" if proposal is None else "command"
        detail = {"demand": request.demand, "needed": request.needed, "digest": request.digest}
        await self._audit(request.request, "asked", request.requested_by, door, request.at, detail)

    @to_its_end
    async def answer(self, answer: Answer) -> bool:
        """Write an answer down. False where it came too late: the request is closed."""
        values = _values(answer) | {"confirmed": list(answer.confirmed)}
        async with self.journal.transaction() as connection:
            kept = bool((await connection.execute(_unless_closed(approval_answers, values))).rowcount)
        detail = {
            "comment": answer.comment,
            "confirmed": list(answer.confirmed),
            "objection": answer.objection if kept else "it came too late",
        }
        await self._audit(answer.request, answer.decision.value, answer.who, answer.source, answer.at, detail)
        return kept

    @to_its_end
    async def close(self, closing: Closing) -> bool:
        """Say what became of a request. False where that was said before: the first stands."""
        try:
            async with self.journal.transaction() as connection:
                written = await connection.execute(_unless_closed(approval_closings, _values(closing)))
        except JournalError as error:
            if isinstance(error.__cause__, IntegrityError):
                return False
            raise
        if written.rowcount:
            door, detail = "flow" if closing.run else "command", {"why": closing.why, "run": closing.run}
            await self._audit(closing.request, closing.outcome.value, closing.by, door, closing.at, detail)
        return bool(written.rowcount)

    async def _audit(
        self, request: str, what: str, by: str, door: str, at: datetime, detail: Mapping[str, Any]
    ) -> None:
        run, of_run, _ = request.rpartition("#")
        await Audit(self.journal).record(
            Action.APPROVAL if of_run else Action.PROPOSAL,
            by=by or "nobody",
            source=door,
            at=at,
            run=run,
            detail={"request": request, "what": what, **detail},
        )

    @to_its_end
    async def of(self, request: str) -> Dossier | None:
        """Everything that is known of a request, by its full name."""
        return await self._first(select(approval_requests).where(approval_requests.c.request == request))

    @to_its_end
    async def of_subject(self, subject: str) -> Dossier | None:
        """The newest request for a run or a proposal, by its full name."""
        return await self._first(
            select(approval_requests)
            .where(approval_requests.c.subject == subject)
            .order_by(approval_requests.c.at.desc(), approval_requests.c.request.desc())
        )

    @to_its_end
    async def proposed(self, name: str) -> Dossier | None:
        """The proposal with this name, or the only one whose name begins or ends so.

        Raises ``UsageError`` where there are several: nobody shall approve another one than they mean.
        """
        like = proposals.c.proposal.startswith(name, autoescape=True) | proposals.c.proposal.endswith(
            name, autoescape=True
        )
        if not name:
            return None
        found = [one] if (one := await self.of(name)) else await self._all(_proposals().where(like).limit(2))
        if len(found) > 1:
            raise UsageError(
                f"several proposals begin or end with {name!r}",
                hint="Say more of its name: `gameday proposals list` shows it.",
            )
        return found[0] if found else None

    @to_its_end
    async def proposals(self, limit: int = 50) -> list[Dossier]:
        """The newest proposals first."""
        return await self._all(_proposals().limit(limit))

    @to_its_end
    async def proposals_for(self, experiment: str, environment: str, now: datetime) -> list[Dossier]:
        """The proposals whose time is ``now``, the oldest first; used and closed ones, too."""
        wanted = (
            (proposals.c.experiment == experiment)
            & (proposals.c.environment == environment)
            & (proposals.c.not_before <= now)
            & (proposals.c.valid_until > now)
        )
        return (await self._all(_proposals().where(wanted)))[::-1]

    async def _first(self, query: Select[Any]) -> Dossier | None:
        found = await self._all(query.limit(1))
        return found[0] if found else None

    async def _all(self, query: Select[Any]) -> list[Dossier]:
        async with self.journal.transaction() as connection:
            requests = [_request(row) for row in (await connection.execute(query)).mappings()]
            names = [one.request for one in requests]

            async def rows(table: Table, key: str) -> list[dict[str, Any]]:
                asked = select(table).where(table.c[key].in_(names))
                ordered = asked.order_by(table.c.id) if "id" in table.c else asked
                return [dict(row) for row in (await connection.execute(ordered)).mappings()]

            answers = [_answer(row) for row in await rows(approval_answers, "request")]
            closings = {row["request"]: _closing(row) for row in await rows(approval_closings, "request")}
            proposed = {row["proposal"]: Proposal(**row) for row in await rows(proposals, "proposal")}
        return [
            Dossier(
                one,
                [answer for answer in answers if answer.request == one.request],
                closings.get(one.request),
                proposed.get(one.request),
            )
            for one in requests
        ]


def _proposals() -> Select[Any]:
    joined = approval_requests.join(proposals, proposals.c.proposal == approval_requests.c.request)
    return select(approval_requests).select_from(joined).order_by(approval_requests.c.at.desc())


def _unless_closed(table: Table, values: Mapping[str, Any]) -> Any:
    """An insert that inserts nothing where the request is closed already."""
    closed = exists().where(approval_closings.c.request == values["request"])
    row = select(*(literal(value, table.c[name].type) for name, value in values.items())).where(~closed)
    return insert(table).from_select(list(values), row)


def _values(record: Any) -> dict[str, Any]:
    return {one.name: getattr(record, one.name) for one in fields(record)}


def _request(row: Mapping[Any, Any]) -> Request:
    values = {one.name: row[one.name] for one in fields(Request)}
    items = tuple(Item(**item) for item in values["checklist"])
    return Request(**values | {"kind": Kind(values["kind"]), "checklist": items})


def _answer(row: Mapping[str, Any]) -> Answer:
    values = {one.name: row[one.name] for one in fields(Answer)}
    return Answer(**values | {"decision": Decision(values["decision"])})


def _closing(row: Mapping[str, Any]) -> Closing:
    return Closing(**{**row, "outcome": Outcome(row["outcome"])})
