"""Whose yes counts, what becomes of a request, and how a person at a terminal is asked."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gameday.cli.confirming import Prompt
from gameday.errors import ExitCode, UsageError
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
from gameday.journal.audit import Audit
from gameday.journal.store import Journal, RunRecord
from gameday.safety.approval import Given, proposal_state, record, same_person, standing

AT = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)
ITEMS = (
    Item("services", "All services are healthy", "ok", "26 checks are well"),
    Item("procedures", "The emergency procedures are reviewed", "open"),
    Item("alerts", "No alert is firing", "bad", "HighErrorRate"),
)
BOTH = ("procedures", "alerts")


def request(demand: str = "approval", needed: int = 1, **values: Any) -> Request:
    """A run that waits."""
    whole = {
        "request": "20261123t101530-basic-pod-failure-7f3a#01",
        "subject": "20261123t101530-basic-pod-failure-7f3a",
        "kind": Kind.RUN,
        "demand": demand,
        "needed": needed,
        "digest": "d1" * 32,
        "requested_by": "Platform Team",
        "approvers": ("platform-team",),
        "checklist": ITEMS,
        "at": AT,
        "details": {"risk": ["Risk: low (3 points)"], "reason": "weekly"},
    }
    return Request(**{**whole, **values})


@pytest.fixture
async def approvals(database: str) -> Any:
    """The approvals of a journal of this test's own, in SQLite and in PostgreSQL."""
    async with Journal.open(database) as journal:
        yield Approvals(journal)


async def given(approvals: Approvals, asked: Request, who: str, *, no: bool = False, **more: Any) -> str:
    """Answer; returns why it does not count, or ``late``."""
    decision = Decision.REJECT if no else Decision.APPROVE
    found = await approvals.of(asked.request)
    assert found is not None
    kept = await record(approvals, found, Given(who, decision, **{"confirmed": BOTH, **more}), AT)
    return "late" if kept is None else kept.objection


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Platform Team", "platformteam", True),
        (" platform\tteam\n", "PLATFORM TEAM", True),
        ("platform\N{ZERO WIDTH SPACE}team", "platform team", True),
        ("platform\N{HANGUL FILLER}team", "platform team", True),
        ("platform\N{COMBINING GRAPHEME JOINER}team\N{VARIATION SELECTOR-16}", "platform team", True),
        ("platform\N{BRAILLE PATTERN BLANK}team\x07", "platform team", True),
        ("platform-team.", "platform team", True),
        ("platform-team", "data-team", False),
        ("team 1", "team 2", False),
    ],
)
def test_one_person_is_one_person_however_the_name_is_written(one: str, other: str, same: bool) -> None:
    assert same_person(one, other) is same


async def test_an_answer_counts_only_where_everything_about_it_is_right(approvals: Approvals) -> None:
    asked = request("two-approvals", 2)
    await approvals.ask(asked)
    assert "somebody else must approve" in await given(approvals, asked, "platform TEAM")
    assert await given(approvals, asked, " \t") == "it has no name"
    assert await given(approvals, asked, "\N{HANGUL FILLER}.") == "it has no name"
    alike = "pl\N{CYRILLIC SMALL LETTER A}tform team"
    assert await given(approvals, asked, alike) == "its name mixes letters of scripts that look alike"
    assert "No alert is firing" in await given(approvals, asked, "data-team", confirmed=("procedures",))
    assert await given(approvals, asked, "data-team") == ""
    assert "has approved already: 2 different people" in await given(approvals, asked, "Data-team")
    found = await approvals.of(asked.request)
    assert found is not None
    assert str(standing(asked, found.answers)) == "1 of 2 given, by data-team"
    assert await given(approvals, asked, "identity-team") == ""
    found = await approvals.of(asked.request)
    assert found is not None
    assert standing(asked, found.answers).enough
    # Whoever has said yes may think again, and whoever asks may call it off.
    assert await given(approvals, asked, "identity-team", no=True) == ""
    found = await approvals.of(asked.request)
    assert found is not None
    assert str(standing(asked, found.answers)) == "rejected by identity-team"


async def test_nobody_can_be_told_from_a_requester_without_a_name(approvals: Approvals) -> None:
    asked = request(requested_by=" ")
    await approvals.ask(asked)
    assert "nobody is named" in await given(approvals, asked, "data-team")


async def test_a_checklist_may_be_confirmed_by_whoever_asks(approvals: Approvals) -> None:
    asked = request("checklist")
    await approvals.ask(asked)
    assert await given(approvals, asked, "Platform Team") == ""


async def test_the_first_outcome_stands_and_no_answer_comes_after_it(approvals: Approvals) -> None:
    asked = request()
    await approvals.ask(asked)
    closing = Closing(asked.request, Outcome.TIMED_OUT, "", "nobody answered", AT)
    first, second = await asyncio.gather(
        approvals.close(closing), approvals.close(replace(closing, outcome=Outcome.APPROVED))
    )
    assert [first, second].count(True) == 1
    assert await given(approvals, asked, "data-team") == "late"


async def test_nobody_approves_another_proposal_or_run_than_they_mean(approvals: Approvals) -> None:
    names = ("p-20261123t101530-basic-pod-failure-7f3a", "p-20261124t101530-basic-pod-failure-9c1e")
    for name in names:
        proposal = Proposal(name, "basic-pod-failure", "staging", "weekly", AT, AT + timedelta(days=7))
        await approvals.ask(request(request=name, subject=name, kind=Kind.PROPOSAL), proposal)
    for said in ("p-2026112", "p-"):
        with pytest.raises(UsageError, match="several proposals begin or end with"):
            await approvals.proposed(said)
    for said in ("7f3a", "p-20261123", names[0]):
        found = await approvals.proposed(said)
        assert found is not None
        assert found.request.request == names[0]
    for name in names:
        run = RunRecord(name, "basic-pod-failure", "staging", "Platform Team", "weekly", AT)
        await approvals.journal.begin(run)
    meant = [len(await approvals.journal.matching(said)) for said in ("p-2026112", "7f3a", names[0], "x", "")]
    assert meant == [2, 1, 1, 0, 0]


async def test_everything_that_is_done_stands_in_the_audit_trail(approvals: Approvals) -> None:
    asked = request()
    await approvals.ask(asked)
    await given(approvals, asked, "Platform Team", comment="mine")
    await given(approvals, asked, "data-team")
    await approvals.close(Closing(asked.request, Outcome.APPROVED, "data-team", "", AT, asked.subject))
    trail = Audit(approvals.journal)
    kept = [(one.by, one.detail["what"], one.run) async for one in trail.entries()]
    assert kept == [
        (by, what, asked.subject)
        for by, what in (
            ("Platform Team", "asked"),
            ("Platform Team", "approve"),
            ("data-team", "approve"),
            ("data-team", "approved"),
        )
    ]
    assert (await trail.verify()).whole


def test_a_proposal_is_worth_something_until_it_is_used_or_its_time_is_over() -> None:
    asked = request(kind=Kind.PROPOSAL)
    proposal = Proposal("p", "basic-pod-failure", "production", "monthly", AT, AT + timedelta(days=7))
    yes = Answer(asked.request, "data-team", Decision.APPROVE, "", AT, "command", BOTH)
    fresh = Dossier(asked, (), None, proposal)
    approved = replace(fresh, answers=(yes,))
    used = replace(approved, closing=Closing(asked.request, Outcome.USED, "x", "", AT, "run"))
    assert [proposal_state(one, AT).value for one in (fresh, approved, used)] == [
        "proposed",
        "approved",
        "used",
    ]
    assert proposal_state(approved, AT + timedelta(days=7)).value == "expired"
    assert proposal_state(used, AT + timedelta(days=7)).value == "used"


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A terminal as standard input; write to it what a person types."""
    person, terminal = pty.openpty()
    with os.fdopen(terminal, "r") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield person
    os.close(person)


@pytest.mark.parametrize(
    ("typed", "decision", "confirmed"),
    [
        ("y\nmaybe\nYES\n", Decision.APPROVE, BOTH),
        ("y\nn\n", Decision.REJECT, BOTH[:1]),
    ],
)
async def test_a_person_at_the_terminal_is_asked_one_question_after_the_other(
    keyboard: int, typed: str, decision: Decision, confirmed: tuple[str, ...]
) -> None:
    prompt = Prompt("platform-team")
    await prompt.open(request("checklist"), None)  # type: ignore[arg-type]
    os.write(keyboard, typed.encode())
    answers: Any = ()
    while not answers:
        await asyncio.sleep(0)
        answers = await prompt.answers()
    assert [(one.decision, one.confirmed) for one in answers] == [(decision, confirmed)]
    await prompt.close()


async def test_nobody_is_asked_at_the_terminal_for_what_others_must_approve(keyboard: int) -> None:
    prompt = Prompt("platform-team")
    await prompt.open(request("approval"), None)  # type: ignore[arg-type]
    os.write(keyboard, b"y\ny\n")
    assert await prompt.answers() == []


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["approve", "7f3a"], ExitCode.USAGE, "nothing that waits is called '7f3a'"),
        (["proposals", "show", "7f3a"], ExitCode.USAGE, "unknown proposal '7f3a'"),
        (["propose", "basic-pod-failure", "--at", "tomorrow"], ExitCode.USAGE, "expected a time such as"),
        (["propose", "basic-pod-failure", "--at", "2026-12-01T10:00"], ExitCode.USAGE, "expected its zone"),
        (["propose", "basic-pod-failure", "--at", "9999-12-31T23:59Z"], ExitCode.USAGE, "too far ahead"),
        (["proposals", "list"], ExitCode.HELD, "Nothing is proposed."),
        (["run", "basic-pod-failure", "--rehearse-approval", "x"], ExitCode.USAGE, "Prometheus"),
    ],
)
def test_a_wrong_word_is_told(
    words: list[str], code: ExitCode, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from gameday.cli.main import run

    assert run(words) == code
    out, err = capsys.readouterr()
    assert told in out + err
