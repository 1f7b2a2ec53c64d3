"""The risk of a plan is explained line by line, and what it asks for follows from guardrails.yaml."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gameday.journal.past import PastRuns
from gameday.journal.store import Journal, RunRecord, Verdict
from gameday.safety.blast import Hit
from gameday.safety.guardrails import Violation
from gameday.safety.risk import History, Risk, Subject, assess, demand, last_time
from gameday.spec.catalogue import Catalogue

CATALOGUE = Catalogue()
GUARDRAILS, PLATFORM = CATALOGUE.guardrails, CATALOGUE.platform
MONDAY_MORNING = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
KILL: dict[str, Any] = {"kind": "PodChaos", "spec": {"action": "pod-kill"}}
SPLIT: dict[str, Any] = {"kind": "NetworkChaos", "spec": {"action": "partition"}}
HELD = History(Verdict.HELD, MONDAY_MORNING - timedelta(days=7))
APPROVABLE = Violation(
    "protected", "PodChaos kill on postgres", "pod-kill", "only with an approval", ("data-team",)
)
FORBIDDEN = Violation("freezes", "when", "now", "never")


def subject(environment: str = "staging", **changes: Any) -> Subject:
    calm = Subject(
        environment=PLATFORM.environment(environment),
        faults=[KILL],
        hits=[Hit("kill", "api-gateway", 1, 3, 2, 3)],
        services=[PLATFORM.service("api-gateway")],
        begins=MONDAY_MORNING,
        ends=MONDAY_MORNING + timedelta(minutes=6),
        history=HELD,
    )
    return replace(calm, **changes)


def risk(environment: str = "staging", **changes: Any) -> Risk:
    return assess(subject(environment, **changes), GUARDRAILS)


def line(found: Risk, factor: str) -> str:
    return next(str(one) for one in found.lines if one.factor == factor)


def test_a_small_fault_on_a_good_day_is_a_low_risk() -> None:
    found = risk()
    assert found.summary == "low (2 points)"
    assert [str(one) for one in found.lines] == [
        "+0 blast radius: up to 1 of 3 pods of api-gateway",
        "+2 severity: the worst fault is PodChaos pod-kill",
        "+0 protection: no service that is hit is protected",
        "+0 environment: staging is there to be broken",
        "+0 hour: Monday 10:00 UTC, within working hours",
        "+0 last time: held on 2026-11-16",
    ]


def test_the_points_are_the_sum_of_the_lines() -> None:
    found = risk("production", history=History(), faults=[KILL, SPLIT], violations=[APPROVABLE])
    assert found.points == sum(one.points for one in found.lines)


GRAVER: dict[str, tuple[str, dict[str, Any]]] = {
    "more of a service": ("blast radius", {"hits": [Hit("kill", "api-gateway", 2, 3, 1, 3)]}),
    "all of a service": ("blast radius", {"hits": [Hit("kill", "redis", 1, 1, 0)]}),
    "several services at once": ("blast radius", {"hits": [Hit("kill", "api-gateway", 1, 3, 2, 3, 2)]}),
    "nobody knows what": ("blast radius", {"hits": []}),
    "a graver fault": ("severity", {"faults": [KILL, SPLIT]}),
    "a fault that a new pod does not end": ("severity", {"faults": [{"kind": "KernelChaos", "spec": {}}]}),
    "a protected service": ("protection", {"violations": [APPROVABLE]}),
    "a service that keeps data": ("protection", {"services": [PLATFORM.service("postgres")]}),
    "at night": ("hour", {"begins": MONDAY_MORNING - timedelta(hours=9)}),
    "on a Sunday": (
        "hour",
        {"begins": MONDAY_MORNING - timedelta(days=1), "ends": MONDAY_MORNING - timedelta(hours=23)},
    ),
    "into the evening": ("hour", {"ends": MONDAY_MORNING + timedelta(hours=8)}),
    "for the first time": ("last time", {"history": History()}),
    "after it was disproved": ("last time", {"history": History(Verdict.DISPROVED)}),
    "after it was aborted": ("last time", {"history": History(Verdict.ABORTED)}),
    "after nobody knows what": ("last time", {"history": History(unknown="no journal")}),
}


@pytest.mark.parametrize("what", GRAVER)
def test_the_risk_grows_with(what: str) -> None:
    factor, changes = GRAVER[what]
    before, after = risk(), risk(**changes)
    assert after.points > before.points
    assert line(after, factor) != line(before, factor)


def test_production_is_riskier_than_staging() -> None:
    assert (
        line(risk("production"), "environment")
        == "+2 environment: production asks for an approval of every run"
    )


def test_what_nobody_may_allow_is_forbidden() -> None:
    assert risk(violations=[FORBIDDEN]).level == "forbidden"
    assert risk(violations=[APPROVABLE]).level != "forbidden"


def needed(environment: str, found: Risk, *violations: Violation) -> str:
    return demand(found, PLATFORM.environment(environment), GUARDRAILS, violations)


def test_staging_asks_for_nothing_whatever_the_risk() -> None:
    for level in ("low", "medium", "high"):
        assert needed("staging", replace(risk(), level=level)) == "nothing"


def test_production_asks_for_more_the_riskier_it_is() -> None:
    asked = [needed("production", replace(risk(), level=level)) for level in ("low", "medium", "high")]
    assert asked == ["approval", "approval", "two-approvals"]


def test_a_rule_that_asks_for_an_approval_does_so_everywhere() -> None:
    assert needed("staging", risk(), APPROVABLE) == "approval"


def test_the_number_that_the_environment_names_is_the_least() -> None:
    staging = PLATFORM.environment("staging").model_copy(update={"approvals": 2})
    assert demand(risk(), staging, GUARDRAILS, ()) == "two-approvals"


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with Journal.open(f"sqlite+aiosqlite:///{tmp_path}/journal.db") as opened:
        yield opened


async def test_the_last_time_is_the_last_run_here_that_started(journal: Journal) -> None:
    past = PastRuns(journal)
    assert await last_time(past, "mine", "staging", "now") == History()
    for number, (name, environment, verdict) in enumerate(
        [
            ("mine", "staging", Verdict.DISPROVED),
            ("mine", "staging", Verdict.REFUSED),
            ("mine", "production", Verdict.ABORTED),
            ("other", "staging", Verdict.ABORTED),
            ("mine", "staging", None),
        ]
    ):
        run = "now" if verdict is None else f"r{number}"
        at = MONDAY_MORNING + timedelta(hours=number)
        await journal.begin(RunRecord(run, name, environment, "me", "", at, ended_at=at, verdict=verdict))
    assert await last_time(past, "mine", "staging", "now") == History(Verdict.DISPROVED, MONDAY_MORNING)
    assert "no verdict" in (await last_time(past, "mine", "staging", "later")).unknown


async def test_what_the_sandbox_did_last_time_says_nothing_of_a_cluster(journal: Journal) -> None:
    for run, sandbox, verdict in (("cluster", False, Verdict.HELD), ("twin", True, Verdict.ABORTED)):
        at = MONDAY_MORNING
        await journal.begin(
            RunRecord(run, "mine", "staging", "me", "", at, ended_at=at, verdict=verdict, sandbox=sandbox)
        )
    for sandbox, verdict in ((False, Verdict.HELD), (True, Verdict.ABORTED)):
        past = PastRuns(journal, sandbox=sandbox)
        assert (await last_time(past, "mine", "staging", "now")).verdict is verdict


async def test_without_a_journal_the_last_time_is_not_known() -> None:
    assert (await last_time(None, "mine", "staging", "now")).unknown
