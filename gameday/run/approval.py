"""Why: what only people can decide is decided before anything is broken, by somebody else than who asks.

Holds a run until its plan has the answers that it needs, from wherever they come: a *door* is one way
for them to come, such as a form or a prompt; the journal, by which ``gameday approve`` answers, is
always open. Nothing is injected while anybody is waited for. Whose answer counts is
``gameday.safety.approval``'s.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol

from gameday.clock import for_people, is_rehearsal
from gameday.journal.approvals import (
    Answer,
    Approvals,
    Closing,
    Decision,
    Dossier,
    Item,
    Kind,
    Outcome,
    Proposal,
    Request,
)
from gameday.plan.model import Plan
from gameday.run import asking
from gameday.run.context import Run
from gameday.run.notices import Announcer
from gameday.safety.approval import (
    PEOPLE,
    Given,
    ProposalState,
    Standing,
    proposal_state,
    record,
    standing,
)
from gameday.safety.shield import shielded
from gameday.spec.platform import Environment

_POLL: Final = timedelta(seconds=1)
# A renewed Lease shows that the run lives; one that is gone means that the run was called off.
_RENEW_EVERY: Final = 3
REHEARSED: Final = "rehearsal"


def wanted(plan: Plan, environment: Environment) -> tuple[str, int]:
    """What ``plan`` demands in ``environment``, and how many people must answer."""
    needed = max(PEOPLE[plan.needs], environment.approvals)
    if environment.approvals and PEOPLE[plan.needs] < 2:
        return ("approval" if needed == 1 else "two-approvals"), needed
    return plan.needs, needed


def exactly(plan: Plan) -> str:
    """SHA-256 of what somebody approves: what the plan does, to which pods, and what it demands."""
    pods = [
        [[(pod.namespace, pod.name) for pod in pods] for pods in (fault.candidates, fault.peers)]
        for fault in plan.faults
    ]
    return hashlib.sha256(json.dumps([plan.digest, plan.needs, pods]).encode()).hexdigest()


class Door(Protocol):
    """One way for answers to come."""

    async def open(self, request: Request, plan: Plan, note: str = "") -> None:
        """Let people answer ``request``. ``note`` says why they are asked once more."""
        ...

    async def answers(self) -> Sequence[Given]:
        """What came since. Raises ``StoppedError`` where the run was called off by this way."""
        ...

    async def close(self) -> None:
        """Nobody is asked any more."""
        ...


@dataclass
class Gate:
    """Where one run waits."""

    run: Run
    announcer: Announcer
    doors: Sequence[Door]
    attended: bool
    asked: int = 0

    @property
    def _approvals(self) -> Approvals:
        return Approvals(self.run.session.journal)

    async def passed(self, items: Sequence[Item]) -> bool:
        """Return when the run may go on; answers whether anybody was waited for.

        Raises ``RefusedError`` where somebody rejects the run or nobody answers in time, and
        ``StoppedError`` where it is called off meanwhile.
        """
        run = self.run
        demand, needed = wanted(run.plan, run.session.environment)
        if demand == "nothing":
            return False
        bad = [item for item in items if item.state == "bad"]
        if not bad and (by := await self._use_proposal(needed)):
            await run.tell("approval", by, checklist=_plain(items))
            return False
        if demand == "checklist" and not bad:
            unconfirmed = [item for item in items if item.to_confirm]
            if not unconfirmed or not self.attended:
                await run.tell("approval", _by_itself(unconfirmed), checklist=_plain(items))
                return False
        if demand != "checklist" and self.attended and not run.requested.named:
            raise asking.nobody_named()
        await self._wait(self._request(demand, needed, items))
        return True

    async def _use_proposal(self, needed: int) -> str:
        """Take an approved proposal of just this run, if there is one; none is ever used twice."""
        run, now = self.run, self.run.now()
        for dossier in await self._approvals.proposals_for(run.plan.experiment, run.plan.environment, now):
            request = dossier.request
            fits = request.digest == run.plan.digest and request.needed >= needed
            fits = fits and _foreseen(run.plan, dossier.proposal)
            if not fits or proposal_state(dossier, now) is not ProposalState.APPROVED:
                continue
            by = standing(request, dossier.answers).by
            used = Closing(request.request, Outcome.USED, run.requested.by, "a run took place", now, run.id)
            if await self._approvals.close(used):
                run.approved_by = standing(request, dossier.answers).by
                return f"Approved ahead, by {by}: proposal {request.request}"
        return ""

    def _request(self, demand: str, needed: int, items: Sequence[Item]) -> Request:
        run = self.run
        self.asked += 1
        return Request(
            request=f"{run.id}#{self.asked:02}",
            subject=run.id,
            kind=Kind.RUN,
            demand=demand,
            needed=needed,
            digest=exactly(run.plan),
            requested_by=run.requested.by,
            approvers=run.plan.approvers,
            checklist=tuple(items),
            at=run.now(),
            until=for_people(run.session.clock).now() + self._patience,
            details={"risk": asking.risk_lines(run.plan), "reason": run.requested.reason},
        )

    async def _wait(self, request: Request) -> None:
        await self._approvals.ask(request)
        await self._tell(request)
        try:
            for door in self.doors:
                await door.open(request, self.run.plan)
            found = await self._answered(request)
            for door in self.doors:
                await door.close()
        except BaseException as error:
            why = str(error) or "the run ended while it waited"
            await shielded(self._close(request, Outcome.WITHDRAWN, request.requested_by, why))
            raise
        if found.rejected is not None:
            await self._close(request, Outcome.REJECTED, found.rejected.who, found.rejected.comment)
            raise asking.rejected(found.rejected)
        if not found.enough:
            refusal = asking.too_late(request, found, self._patience)
            await self._close(request, Outcome.TIMED_OUT, "", refusal.message)
            raise refusal
        if request.demand != "checklist":
            self.run.approved_by = found.by
        said = asking.approved(request, found)
        await self._close(request, Outcome.APPROVED, found.by, said)
        await self.run.tell("approval", said)
        self.announcer.say(said)

    async def _close(self, request: Request, outcome: Outcome, by: str, why: str) -> None:
        await self._approvals.close(Closing(request.request, outcome, by, why, self.run.now(), self.run.id))

    @property
    def _patience(self) -> timedelta:
        return self.run.session.catalogue.guardrails.approvals.waits

    async def _tell(self, request: Request) -> None:
        waiting = asking.waiting_lines(request)
        await self.run.tell(
            "approval",
            waiting[0],
            lines=list(waiting[1:]),
            request=request.request,
            checklist=_plain(request.checklist),
        )
        await self.announcer.wait(waiting[0], "\n".join(waiting[1:]))

    async def _answered(self, request: Request) -> Standing:
        """Look for answers until they are enough, somebody rejects, or the time is up."""
        pace = for_people(self.run.session.clock)
        known, looks = 0, 0
        while True:
            await self._take_from_doors(request)
            dossier = await self._dossier(request)
            found = standing(request, dossier.answers)
            for count, answer in enumerate(dossier.answers[known:], known + 1):
                await self._tell_of(answer, standing(request, dossier.answers[:count]))
            known = len(dossier.answers)
            if found.rejected is not None or found.enough:
                return found
            if request.until is not None and pace.now() >= request.until:
                return found
            await pace.sleep(_POLL)
            looks += 1
            await self._still_wanted(renew=looks % _RENEW_EVERY == 0)

    async def _tell_of(self, answer: Answer, after: Standing) -> None:
        """Put ``answer`` into the record. What makes it enough is told as the approval itself."""
        if answer.objection:
            words = f"The answer of {answer.who or 'nobody'} does not count: {answer.objection}"
            await self.run.tell("approval", words)
        elif not after.enough:
            await self.run.tell("approval", f"{answer.who}: {answer.decision.value}; {after}")

    async def _still_wanted(self, *, renew: bool) -> None:
        leases = self.run.leases
        if leases is None:
            return
        if renew:
            await leases.renew()
        leases.must_be_held()

    async def _take_from_doors(self, request: Request) -> None:
        for door in self.doors:
            for given in await door.answers():
                if given.source == REHEARSED and not is_rehearsal(self.run.session.clock):
                    continue
                answer = await record(self._approvals, await self._dossier(request), given, self.run.now())
                if answer is not None and answer.decision is Decision.APPROVE:
                    await self._once_more(door, request, answer.objection)

    async def _once_more(self, door: Door, request: Request, objection: str) -> None:
        found = standing(request, (await self._dossier(request)).answers)
        if not found.enough:
            note = f"The last answer does not count: {objection}" if objection else str(found)
            await door.open(request, self.run.plan, note)

    async def _dossier(self, request: Request) -> Dossier:
        found = await self._approvals.of(request.request)
        return found or Dossier(request, (), None)


def _foreseen(plan: Plan, proposal: Proposal | None) -> bool:
    """Whether whoever approved ``proposal`` saw every rule that ``plan`` breaks: rules come later, too."""
    told = proposal.plan.get("violations", ()) if proposal is not None else ()
    seen = {(one.get("rule"), one.get("what"), one.get("value")) for one in told}
    return {(one.rule, one.what, one.value) for one in plan.violations if not one.refuses} <= seen


def changes(before: Plan, after: Plan) -> str:
    """What of a plan is not as it was, in words; "" where nothing that is approved has changed."""
    if exactly(before) == exactly(after):
        return ""
    if before.digest != after.digest:
        return "what it does is not the same"
    if before.needs != after.needs:
        return f"it needs {after.needs} now, not {before.needs}"
    old, new = (
        {pod.name for fault in plan.faults for pod in (*fault.candidates, *fault.peers)}
        for plan in (before, after)
    )
    gone, come = ", ".join(sorted(old - new)), ", ".join(sorted(new - old))
    parts = [f"gone: {gone}" if gone else "", f"new: {come}" if come else ""]
    return f"other pods can be hit; {'; '.join(part for part in parts if part) or 'in another order'}"


def _by_itself(unconfirmed: Sequence[Item]) -> str:
    if not unconfirmed:
        return "The checklist is complete"
    left = ", ".join(item.key for item in unconfirmed)
    return f"The checklist is complete as far as nobody is needed; this run is unattended: {left}"


def _plain(items: Sequence[Item]) -> list[dict[str, Any]]:
    return [{"key": one.key, "text": one.text, "state": one.state, "found": one.found} for one in items]
