"""Why: a yes is worth something only from somebody else, to what they saw, and once.

The rules by which answers count. Where answers come from, and what follows, is for others. Who
somebody is, nobody here can prove: a name is as good as what the place where it was given
authenticates (``docs/reference/approvals.md``).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from gameday.journal.approvals import Answer, Approvals, Decision, Dossier, Outcome, Request
from gameday.typed import one_line

PEOPLE: Final[Mapping[str, int]] = {"nothing": 0, "checklist": 1, "approval": 1, "two-approvals": 2}
"""How many people must answer, by what a plan demands."""


# Letters and marks by Unicode's classes, and yet nothing to be seen.
_BLANK: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
# Scripts with letters that cannot be told from Latin ones.
_ALIKE: Final = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC"})


def _key(name: str) -> str:
    """What is left of a name without case, spaces, punctuation and what cannot be seen."""
    plain = unicodedata.normalize("NFKC", _BLANK.sub("", unicodedata.normalize("NFKC", name))).casefold()
    return "".join(letter for letter in plain if unicodedata.category(letter)[0] in "LMN")


def _deceives(name: str) -> bool:
    """Whether a word of the name mixes scripts that look alike: nobody is called so."""
    return any(
        len(_ALIKE & {unicodedata.name(letter, "").partition(" ")[0] for letter in word}) > 1
        for word in unicodedata.normalize("NFKC", name).split()
    )


def same_person(one: str, other: str) -> bool:
    """Whether two names are meant to be one person, as far as names tell."""
    return _key(one) == _key(other)


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a request is."""

    needed: int
    approved: tuple[Answer, ...]
    rejected: Answer | None

    @property
    def enough(self) -> bool:
        """Whether it may go on."""
        return self.rejected is None and len(self.approved) >= self.needed

    @property
    def by(self) -> str:
        """Who approved."""
        return " and ".join(answer.who for answer in self.approved)

    def __str__(self) -> str:
        if self.rejected is not None:
            return f"rejected by {self.rejected.who}"
        given = f"{len(self.approved)} of {self.needed} given"
        return f"{given}, by {self.by}" if self.approved else given


def standing(request: Request, answers: Sequence[Answer]) -> Standing:
    """How far ``request`` is with ``answers``: those that count, one a person, the last word counts."""
    last: dict[str, Answer] = {}
    for answer in answers:
        if not answer.objection:
            last[_key(answer.who)] = answer
    rejected = next((one for one in last.values() if one.decision is Decision.REJECT), None)
    approved = tuple(one for one in last.values() if one.decision is Decision.APPROVE)
    return Standing(request.needed, approved, rejected)


def objection(request: Request, answers: Sequence[Answer], answer: Answer) -> str:
    """Why ``answer`` would not count, "" where it would."""
    if not _key(answer.who):
        return "it has no name"
    if answer.decision is Decision.REJECT:
        return ""
    if _deceives(answer.who):
        return "its name mixes letters of scripts that look alike"
    if request.demand != "checklist" and (why := _same_people(request, answers, answer.who)):
        return why
    unconfirmed = [item.text for item in request.to_confirm if item.key not in answer.confirmed]
    return f"not confirmed: {'; '.join(unconfirmed)}" if unconfirmed else ""


def _same_people(request: Request, answers: Sequence[Answer], who: str) -> str:
    if not _key(request.requested_by):
        return "nobody is named who asks for it, so that nobody can be told from them"
    if same_person(request.requested_by, who):
        return f"{who} asked for it: somebody else must approve"
    if any(same_person(one.who, who) for one in standing(request, answers).approved):
        return f"{who} has approved already: {request.needed} different people must"
    return ""


class ProposalState(StrEnum):
    """What a proposal is worth."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    USED = "used"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


def proposal_state(dossier: Dossier, now: datetime) -> ProposalState:
    """What a proposal is worth at ``now``."""
    if dossier.closing is not None and dossier.closing.outcome is not Outcome.TIMED_OUT:
        return ProposalState(dossier.closing.outcome.value)
    if dossier.proposal is None or now >= dossier.proposal.valid_until:
        return ProposalState.EXPIRED
    found = standing(dossier.request, dossier.answers)
    if found.rejected is not None:
        return ProposalState.REJECTED
    return ProposalState.APPROVED if found.enough else ProposalState.PROPOSED


@dataclass(frozen=True, slots=True)
class Given:
    """An answer as it was given: not yet judged, not yet kept."""

    who: str
    decision: Decision
    comment: str = ""
    source: str = "command"
    confirmed: tuple[str, ...] = ()


async def record(approvals: Approvals, dossier: Dossier, given: Given, at: datetime) -> Answer | None:
    """Judge an answer and keep it, whether it counts or not. None where it came too late."""
    request = dossier.request
    answer = Answer(
        request.request,
        one_line(given.who),
        given.decision,
        one_line(given.comment),
        at,
        given.source,
        given.confirmed,
    )
    answer = replace(answer, objection=objection(request, dossier.answers, answer))
    return answer if await approvals.answer(answer) else None
