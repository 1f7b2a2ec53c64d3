"""What a team reads afterwards comes from the journal alone, and says what was and was not proved."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from gameday.clock import SystemClock
from gameday.errors import UsageError
from gameday.journal.store import Event, FaultRecord, Journal, Observation, RunRecord, Verdict
from gameday.monitor.watch import watches
from gameday.plan.model import Plan
from gameday.report.data import ReportData, collect
from gameday.report.markdown import render, write
from gameday.report.templating import ReportError
from gameday.run.context import Requested, Run, Session
from gameday.spec.catalogue import Catalogue

START = datetime(2026, 11, 23, 10, 15, 30, tzinfo=UTC)
RUN = "20261123t101530-basic-pod-failure-7f3a"
CATALOGUE = Catalogue()
NASTY = "a|b\\|c <script>alert(1)</script>\n\n# not a heading\n| x | y |\r\n`tick` & <b>"


def plan(**changes: Any) -> Plan:
    experiment = CATALOGUE.experiment("basic-pod-failure")
    values: dict[str, Any] = {
        "run": RUN,
        "createdAt": START,
        "experiment": experiment.name,
        "title": experiment.title,
        "hypothesis": experiment.hypothesis,
        "category": experiment.category,
        "owner": experiment.owner,
        "environment": "staging",
        "namespace": "pyairtable-staging",
        "chaosNamespace": "chaos-engineering",
        "declared": "6m",
        "duration": "5m",
        "baseline": "5m",
        "recovery": experiment.recovery,
        "watches": watches(experiment, CATALOGUE.platform, CATALOGUE.guardrails),
        "stages": [],
        "refusals": [],
        "warnings": [],
    }
    return Plan.model_validate(values | changes)


NOT_NEEDED = ("catalogue", "environment", "cluster", "chaos", "prometheus", "messenger")

RECORD = RunRecord(
    run=RUN,
    experiment="basic-pod-failure",
    environment="staging",
    requested_by="Zoë",
    reason="game day",
    started_at=START,
    plan=plan().model_dump(mode="json", by_alias=True),
    digest=plan().digest,
)

BASELINE = {
    "signal": "p95",
    "service": "auth-service",
    "count": 60,
    "mean": 0.125,
    "p50": 0.12,
    "p95": 0.15,
    "p99": 0.16,
    "spread": 0.01,
}


def comeback(service: str, outcome: str, **more: Any) -> dict[str, Any]:
    known = {"stage": "kill", "service": service, "hitBy": [], "killed": False, "replacedS": None}
    return known | {"outcome": outcome, "since": "the kill", "tookS": None} | more


COMEBACKS = [
    comeback("auth-service", "back", hitBy=["PodChaos pod-kill"], killed=True, replacedS=7.0, tookS=9.4),
    comeback("postgres", "not-back"),
    comeback("redis", "unseen", hitBy=["NetworkChaos delay 1s"]),
]


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with Journal.open(f"sqlite+aiosqlite:///{tmp_path / 'journal.db'}") as opened:
        yield opened


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def seen(second: float, value: float | None, stage: str = "kill", signal: str = "p95") -> Observation:
    return Observation(at(second), stage, signal, "auth-service", value, None if value else "empty", "ok")


async def whole_run(journal: Journal) -> None:
    """A run that got to its end."""
    await journal.begin(RECORD)
    await journal.append(Event(RUN, at(1), "baseline", "Baseline over 5m", {"baselines": [BASELINE]}))
    await journal.append(Event(RUN, at(2), "phase", "Execution"))
    fault = FaultRecord(f"{RUN}-s1f1", "PodChaos", "chaos-engineering", "kill", at(2), proof="requested")
    await journal.put_fault(RUN, fault)
    proved = replace(
        fault, injected_at=at(3), ended_at=at(63), pods=["pyairtable-staging/auth-0"], proof="gone: recovered"
    )
    await journal.put_fault(RUN, proved)
    for second, value in ((5, 0.13), (10, 2.5), (15, None), (20, 0.2)):
        await journal.observe(RUN, [seen(second, value)], Event(RUN, at(second), "sample", "kill | left"))
    await journal.append(Event(RUN, at(65), "phase", "Post-experiment"))
    await journal.observe(RUN, [seen(70, 0.126, "recovery")], Event(RUN, at(70), "sample", "recovery"))
    await journal.append(Event(RUN, at(64), "recovered", "After kill: 9s", {"services": COMEBACKS}))
    data = {"in_time": True, "took_s": 12.4, "blind": False}
    await journal.append(Event(RUN, at(80), "recovery", "Steady state: back after 12s", data))
    await journal.append(Event(RUN, at(81), "verdict", "Held", {"verdict": "held", "reasons": []}))
    await journal.amend(RUN, verdict="held", summary="", ended_at=at(81))


def tables(text: str) -> list[list[list[str]]]:
    """Every table that a Markdown reader sees, row by row."""
    found: list[list[list[str]]] = []
    cell = False
    for token in MarkdownIt("gfm-like", {"linkify": False}).parse(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in {"td_open", "th_open"}:
            cell = True
        elif token.type == "inline" and cell:
            found[-1][-1].append("".join(_words(token)))
            cell = False
    return found


def _words(token: Token) -> list[str]:
    return [
        child.content
        for child in token.children or []
        if child.type in {"text", "code_inline", "text_special"}
    ]


async def report(journal: Journal) -> tuple[ReportData, str]:
    data = await collect(journal, RUN)
    return data, render(data)


async def test_the_report_of_a_whole_run_says_what_happened(journal: Journal) -> None:
    await whole_run(journal)
    _, text = await report(journal)
    assert text.startswith("# basic-pod-failure on staging: held\n")
    assert "every fault was proved in and out" in text
    facts, faults, baseline, signals, recovery, timeline = tables(text)
    assert ["Requested by", "Zoë"] in facts
    assert ["Started", "2026-11-23 10:15:30 UTC"] in facts
    assert ["Ended", "2026-11-23 10:16:51 UTC"] in facts
    assert ["Took", "1m21s in all, with checks, baseline, recovery and report"] in facts
    assert ["Stages", "took 1m3s; planned: 5m (declared: 6m)"] in facts
    assert ["Recovery", "took 12s; planned: 5m at most"] in facts
    assert baseline == [
        ["Signal", "Service", "Mean", "P50", "P95", "P99", "Spread", "Samples"],
        ["p95 (s)", "auth-service", "0.125", "0.12", "0.15", "0.16", "0.01", "60"],
    ]
    assert [
        "kill",
        "PodChaos",
        "pyairtable-staging/auth-0",
        "10:15:33",
        "10:16:33",
        "gone: recovered",
    ] in faults
    assert ["p95 (s)", "auth-service", "0.125", "2.5", "0.126", "unusual"] in signals
    assert recovery[1:] == [
        ["kill", "auth-service", "PodChaos pod-kill", "7s after the kill", "9s after the kill"],
        ["kill", "postgres", "nothing itself", "-", "not well again"],
        ["kill", "redis", "NetworkChaos delay 1s", "-", "could not be seen"],
    ]
    assert timeline[-1] == ["10:16:51", "verdict", "Held"]
    assert "Nothing: every step was proved." in text


async def test_what_is_infinite_is_kept_in_the_journal_and_shown(journal: Journal) -> None:
    await journal.begin(RECORD)
    told = {"signals": [{"value": math.inf}]}
    await journal.observe(RUN, [seen(5, math.inf)], Event(RUN, at(5), "sample", "kill", told))
    (event,) = await journal.events(RUN)
    assert event.data == {"signals": [{"value": "Infinity"}]}, "JSON itself has no such number"
    data, text = await report(journal)
    assert [one.worst for one in data.impacts] == [math.inf]
    assert ["p95 (s)", "auth-service", "-", "+inf", "-", ""] in tables(text)[1]


async def test_a_journal_that_tells_one_time_for_each_service_is_still_readable(journal: Journal) -> None:
    await journal.begin(RECORD)
    data = {"in_time": True, "took_s": 12.4, "of_service": {"auth-service": 12.4, "redis": None}}
    await journal.append(Event(RUN, at(80), "recovery", "Steady state: back after 12s", data))
    _, text = await report(journal)
    assert tables(text)[1] == [
        ["Service", "Well again after"],
        ["auth-service", "12s"],
        ["redis", "not in time"],
    ]


async def test_a_run_that_was_cut_off_has_a_readable_report(journal: Journal) -> None:
    await journal.begin(RECORD)
    fault = FaultRecord(f"{RUN}-s1f1", "PodChaos", "chaos-engineering", "kill", at(2), proof="requested")
    await journal.put_fault(RUN, fault)
    _, text = await report(journal)
    assert text.startswith("# basic-pod-failure on staging: cut off\n")
    assert "The run was cut off; what it wrote down until then follows." in text
    facts, faults, *_ = tables(text)
    assert ["Ended", "not known"] in facts
    assert ["kill", "PodChaos", "-", "not proved", "not proved", "requested"] in faults
    assert "Nothing was sampled." in text
    assert "It was not watched to its end." in text
    assert "None was measured." in text


async def test_a_run_that_was_refused_before_its_plan_has_a_report_too(journal: Journal) -> None:
    await journal.begin(replace(RECORD, plan=None, digest=None))
    await journal.amend(RUN, verdict="refused", summary="Prometheus has no data", ended_at=at(1))
    _, text = await report(journal)
    assert "**Refused.** Prometheus has no data" in text
    assert "None was injected." in text


async def test_what_could_not_be_proved_is_listed(journal: Journal) -> None:
    await whole_run(journal)
    await journal.append(Event(RUN, at(90), "warning", "PodChaos one is still there"))
    _, text = await report(journal)
    assert "- PodChaos one is still there\n" in text
    assert "every step was proved" not in text


async def test_signals_that_only_wobbled_are_not_called_unusual(journal: Journal) -> None:
    await whole_run(journal)
    wide = {**BASELINE, "mean": 1.0, "spread": 5.0}
    await journal.append(Event(RUN, at(91), "baseline", "Baseline over 5m", {"baselines": [wide]}))
    data, text = await report(journal)
    assert [one.unusual for one in data.impacts] == [False]
    assert "No signal moved beyond its usual noise" in text


async def test_the_worst_of_a_signal_that_should_be_high_is_its_lowest(journal: Journal) -> None:
    await journal.begin(RECORD)
    for second, value in ((5, 1.0), (10, 0.66), (15, 0.9)):
        await journal.observe(
            RUN, [seen(second, value, signal="availability")], Event(RUN, at(second), "sample", "")
        )
    data, _ = await report(journal)
    assert [(one.signal, one.worst, one.before) for one in data.impacts] == [("availability", 0.66, None)]


async def test_no_text_can_break_the_report(journal: Journal) -> None:
    record = replace(
        RECORD,
        requested_by=NASTY,
        reason=NASTY,
        plan=plan(hypothesis=NASTY).model_dump(mode="json", by_alias=True),
    )
    await journal.begin(record)
    await journal.put_fault(
        RUN, FaultRecord("f", "PodChaos", "ns", "kill", at(2), pods=[NASTY, "p"], proof=NASTY)
    )
    bad = replace(seen(5, 1.5), service=NASTY[:60])
    await journal.observe(RUN, [bad], Event(RUN, at(5), "sample", NASTY))
    await journal.append(
        Event(RUN, at(6), "recovery", NASTY, {"in_time": False, "took_s": None, "blind": True})
    )
    hit = comeback(NASTY, "back", stage=NASTY, hitBy=[NASTY], tookS=3.0)
    await journal.append(Event(RUN, at(6), "recovered", NASTY, {"services": [hit]}))
    await journal.append(
        Event(RUN, at(6), "baseline", NASTY, {"baselines": [{**BASELINE, "signal": NASTY, "service": NASTY}]})
    )
    await journal.append(Event(RUN, at(7), "warning", NASTY))
    await journal.amend(RUN, verdict="error", summary=NASTY, ended_at=at(8))
    _, text = await report(journal)
    found = tables(text)
    assert [len({len(row) for row in rows}) for rows in found] == [1] * 6
    assert [len(rows[0]) for rows in found] == [2, 6, 8, 6, 5, 3]
    flat = " ".join(NASTY.split())
    assert ["Reason", flat] in found[0]
    assert found[1][1][5] == flat
    assert found[4][1] == [flat, flat, flat, "-", "3s after the kill"]
    html = MarkdownIt("gfm-like", {"linkify": False}).render(text)
    assert "<script>" not in html
    assert "<b>" not in html
    assert "not a heading</h1>" not in html
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert len(headings) == 8


async def test_a_run_is_reported_by_a_part_of_its_id(journal: Journal) -> None:
    await whole_run(journal)
    assert (await collect(journal, "7f3a")).run.run == RUN


async def test_an_unknown_run_is_wrong_usage(journal: Journal) -> None:
    with pytest.raises(UsageError, match="unknown run 'nobody'") as caught:
        await collect(journal, "nobody")
    assert "gameday status" in caught.value.hint


async def test_the_report_is_written_beside_others_under_the_runs_name(
    journal: Journal, tmp_path: Path
) -> None:
    await whole_run(journal)
    data, text = await report(journal)
    path = write(data, tmp_path / "reports" / "deep")
    assert path == tmp_path / "reports" / "deep" / f"{RUN}.md"
    assert path.read_text(encoding="utf-8") == text


async def test_a_report_that_cannot_be_written_names_the_place(journal: Journal, tmp_path: Path) -> None:
    await whole_run(journal)
    data, _ = await report(journal)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ReportError, match=rf"{RUN}\.md: the report cannot be written") as caught:
        write(data, tmp_path / "file")
    assert "GAMEDAY_REPORTS_DIR" in caught.value.hint


async def test_a_plan_with_very_large_and_very_fine_limits_is_read_back_from_the_journal(
    journal: Journal,
) -> None:
    fine = plan().watches[0].model_dump(mode="json", by_alias=True)
    written = plan(watches=[fine | {"tolerate": ">= 0.99999999", "abortWhen": "> 25000000"}])
    await journal.begin(replace(RECORD, plan=written.model_dump(mode="json", by_alias=True)))
    data, _ = await report(journal)
    assert data.plan == written


@pytest.mark.parametrize("verdict", Verdict)
async def test_every_verdict_stands_at_the_top(verdict: Verdict, journal: Journal) -> None:
    await journal.begin(RECORD)
    await journal.amend(RUN, verdict=verdict.value, summary="because", ended_at=at(1))
    _, text = await report(journal)
    assert text.splitlines()[0].endswith(f": {verdict.value}")
    assert f"**{verdict.value.capitalize()}.** because" in text


async def test_what_is_told_at_the_same_time_is_written_once_and_in_order(journal: Journal) -> None:
    """The steps of a run and its messages are told from tasks of their own."""
    await journal.begin(RECORD)
    session = Session(journal=journal, clock=SystemClock(), **dict.fromkeys(NOT_NEEDED))  # type: ignore[arg-type] # telling needs no more
    telling = Run(plan(), session, Requested("Zoë", "game day"))
    words = [f"event {number}" for number in range(20)]
    await asyncio.gather(*(telling.tell("note", word) for word in words))
    assert [event.message for event in await journal.events(RUN)] == words
    assert telling.journal_lost == ""


async def test_a_display_that_breaks_ends_no_run(journal: Journal) -> None:
    await journal.begin(RECORD)
    session = Session(journal=journal, clock=SystemClock(), **dict.fromkeys(NOT_NEEDED))  # type: ignore[arg-type] # as above
    shown: list[str] = []

    def breaks(event: Event) -> None:
        raise KeyError(event.kind)

    telling = Run(
        plan(), session, Requested("Zoë", "game day"), [breaks, lambda event: shown.append(event.message)]
    )
    await telling.tell("note", "one")
    await telling.tell("note", "two")
    assert shown == ["one", "two"]
    kept = [event.message for event in await journal.events(RUN)]
    assert kept == ["one", "a display of the run failed and was taken off: KeyError: 'note'", "two"]


async def test_a_verdict_that_was_told_is_the_one_that_is_recorded_whoever_interrupts(
    journal: Journal,
) -> None:
    await journal.begin(RECORD)
    session = Session(journal=journal, clock=SystemClock(), **dict.fromkeys(NOT_NEEDED))  # type: ignore[arg-type] # as above
    concluding = Run(plan(), session, Requested("Zoë", "game day"))
    task = asyncio.create_task(concluding.conclude(Verdict.HELD, ()))
    while concluding.findings.verdict is None:  # noqa: ASYNC110 - the verdict offers no event
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    record = await journal.find(RUN)
    assert record is not None
    assert record.verdict is Verdict.HELD
    (event,) = await journal.events(RUN)
    assert event.message == ("Held: every signal stayed within its limits, every fault was proved in and out")
