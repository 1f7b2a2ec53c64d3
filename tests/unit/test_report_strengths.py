"""The report of a gradual stage shows how much was borne: each strength, what it did, and where it broke."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Final

import pytest

from gameday.journal.store import Event, Journal, Observation
from gameday.plan.model import Plan
from gameday.report.data import collect
from gameday.report.publish import publish_kept
from gameday.report.strengths import Worst
from gameday.run.gradual import Outcome, of_steps
from gameday.spec.catalogue import Catalogue
from tests.unit.test_report import RECORD, RUN, at, plan, tables
from tests.unit.test_report_page import Page

WATCHES: Final = [
    {"name": "p95", "query": "p", "unit": "s", "expect": "<= 1", "tolerate": "<= 1.5", "abortWhen": "> 10"},
    {"name": "availability", "query": "a", "expect": ">= 0.99", "tolerate": ">= 0.6"},
    {"name": "memory", "query": "m", "abortWhen": "> 0.9"},
]
STRENGTHS: Final = ("50ms", "100ms", "200ms", "400ms")
_SECONDS: Final = count(1)
HELD, BROKE, NOT_TRIED = Outcome.HELD, Outcome.BROKE, Outcome.NOT_TRIED


def gradual() -> Plan:
    """A plan of four steps, of which the first two must hold."""
    stages = [
        {
            "name": f"slower-{number}",
            "title": strength,
            "starts": "0s",
            "duration": "90s",
            "settle": "60s",
            "faults": [],
            "step": {
                "stage": "slower",
                "parameter": "delay.latency",
                "strength": strength,
                "number": number,
                "of": len(STRENGTHS),
                "mustHold": number <= 2,
            },
        }
        for number, strength in enumerate(STRENGTHS, start=1)
    ]
    return plan(watches=WATCHES, stages=stages)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with Journal.open(f"sqlite+aiosqlite:///{tmp_path / 'journal.db'}") as opened:
        await opened.begin(replace(RECORD, plan=gradual().model_dump(mode="json", by_alias=True)))
        yield opened


async def saw(journal: Journal, stage: str, state: str = "ok", **values: float | None) -> None:
    """A look at gateway and database: ``p95=0.2`` at the one, what is usual at the other."""
    moment = at(next(_SECONDS))
    usual = {"p95": 0.05, "availability": 1.0, "memory": 0.3}
    rows = [Observation(moment, stage, name, "postgres", value, None, "ok") for name, value in usual.items()]
    rows += [
        Observation(moment, stage, name, "api-gateway", value, None if value is not None else "empty", state)
        for name, value in values.items()
    ]
    await journal.observe(RUN, rows, Event(RUN, moment, "sample", stage))


async def ended(journal: Journal, outcomes: Sequence[Outcome], why: str = "") -> None:
    """The run writes its result down."""
    steps = [(stage.name, stage.step) for stage in gradual().stages if stage.step is not None]
    found = of_steps(steps, outcomes, why)
    data = {"result": found.model_dump(mode="json", by_alias=True)}
    await journal.append(Event(RUN, at(900), "gradual", str(found), data))
    await journal.amend(RUN, verdict="held", summary=str(found), ended_at=at(901))


async def broken(journal: Journal) -> None:
    """It held up to 100ms, wobbled there, and broke at 200ms in p95."""
    for stage, value in (("slower-1", 0.2), ("after slower-1", 0.3), ("slower-2", 1.6), ("slower-2", 0.9)):
        await saw(journal, stage, "breach" if value > 1.5 else "ok", p95=value)
    await saw(journal, "slower-3", p95=1.4, memory=0.5)
    await saw(journal, "slower-3", "broken", p95=1.9)
    await saw(journal, "recovery", "breach", p95=7.0)
    await saw(journal, "recovery", p95=0.1)
    await ended(journal, (HELD, HELD, BROKE, NOT_TRIED), "p95 1.9 s at api-gateway: outside <= 1.5 for 20s")


async def pages(journal: Journal, directory: Path) -> tuple[Page, str, list[list[list[str]]], bytes]:
    found = await publish_kept(journal, RUN, Catalogue(), directory)
    text = found.page.read_text(encoding="utf-8")
    assert found.picture is not None
    return Page(text), text, tables(found.markdown.read_text(encoding="utf-8")), found.picture.read_bytes()


def described(page: Page) -> list[str]:
    """What those are told of the plots of strengths who do not see them."""
    labels = [values["aria-label"] or "" for tag, values in page.tags if tag == "figure"]
    return [label for label in labels if label.startswith("Worst ")]


async def test_strength_is_plotted_against_the_signal_that_decided_with_its_limit(
    journal: Journal, tmp_path: Path
) -> None:
    await broken(journal)
    page, text, _, picture = await pages(journal, tmp_path)
    (described_as,) = described(page)
    assert described_as == (
        "Worst p95 (s) by delay.latency: 50ms held, 0.3 at api-gateway; 100ms held, 1.6 at api-gateway; "
        "200ms broke, 1.9 at api-gateway; 400ms not tried, no value"
    )
    for words in (
        "delay.latency held up to 100ms, broke at 200ms; the hypothesis speaks of up to 100ms.",
        "What ended it: p95 1.9 s at api-gateway: outside <= 1.5 for 20s.",
        "tolerate <= 1.5",
        "end of what must hold",
    ):
        assert words in page.text, words
    plot = re.search(r'<figure role="img" aria-label="Worst .*?</figure>', text, re.DOTALL)
    assert plot is not None
    for words in ("held", "broke", "not tried", "50ms", "400ms", "delay.latency"):
        assert f">{words}</text>" in plot[0], words
    assert picture.startswith(b"\x89PNG")


async def test_what_held_and_what_broke_differ_in_shape_and_not_only_in_colour(
    journal: Journal, tmp_path: Path
) -> None:
    await broken(journal)
    _, text, _, _ = await pages(journal, tmp_path)
    plot = text[text.index('aria-label="Worst p95') :]
    shapes = re.findall(r'<g id="PathCollection_\d+">\s*<defs>\s*<path id="\w+" d="([^"]+)"', plot)
    assert len(set(shapes[:2])) == 2


async def test_the_steps_are_a_table_with_the_worst_of_every_signal(journal: Journal, tmp_path: Path) -> None:
    await broken(journal)
    page, _, written, _ = await pages(journal, tmp_path)
    (steps,) = [rows for rows in written if rows[0][0] == "delay.latency"]
    assert steps == [
        ["delay.latency", "", "Must hold", "p95 (s)", "availability", "memory"],
        ["50ms", "held", "yes", "0.3 at api-gateway", "1 at postgres", "0.3 at postgres"],
        ["100ms", "held", "yes", "1.6 at api-gateway", "1 at postgres", "0.3 at postgres"],
        ["200ms", "broke", "no", "1.9 at api-gateway", "1 at postgres", "0.5 at api-gateway"],
        ["400ms", "not tried", "no", "-", "-", "-"],
    ]
    assert "200ms broke no 1.9 api-gateway 1 postgres 0.5 api-gateway" in page.text


async def test_where_nothing_broke_each_signal_of_the_steady_state_is_plotted(
    journal: Journal, tmp_path: Path
) -> None:
    for number in range(1, 5):
        await saw(journal, f"slower-{number}", p95=number / 10, availability=1 - number / 10)
    await ended(journal, (HELD,) * 4)
    page, _, _, _ = await pages(journal, tmp_path)
    drawn = [label.partition(" by ")[0] for label in described(page)]
    assert drawn == ["Worst p95 (s)", "Worst availability"]
    assert "400ms held, 0.6 at api-gateway" in described(page)[1], "the lowest is the worst"


async def test_where_every_service_reads_the_same_none_is_named(journal: Journal) -> None:
    await saw(journal, "slower-1", availability=1.0)
    await ended(journal, (HELD, NOT_TRIED, NOT_TRIED, NOT_TRIED))
    found = (await collect(journal, RUN)).strengths
    assert found is not None
    assert found.worst[0]["availability"] == Worst(1.0, "")


async def test_a_step_that_broke_by_not_coming_back_is_held_against_what_was_expected(
    journal: Journal,
) -> None:
    await saw(journal, "slower-1", p95=0.2)
    await saw(journal, "slower-2", p95=0.4)
    await saw(journal, "recovery", "breach", availability=0.5)
    await saw(journal, "recovery", "ok", availability=1.0)
    await saw(journal, "recovery", "breach", p95=1.2)
    await ended(journal, (HELD, BROKE, NOT_TRIED, NOT_TRIED), "p95 1.2 s at api-gateway: expected <= 1")
    found = (await collect(journal, RUN)).strengths
    assert found is not None
    (drawn,) = found.drawn
    assert (drawn.watch.name, str(drawn.limits["expect"])) == ("p95", "<= 1")
    assert [one and one.value for one in drawn.worst] == [0.2, 1.2, None, None]


async def test_what_goes_wrong_before_the_next_step_is_the_doing_of_the_one_before(journal: Journal) -> None:
    await saw(journal, "slower-1", p95=0.2)
    await saw(journal, "before slower-2", "over", p95=12.0)
    await ended(journal, (BROKE, NOT_TRIED, NOT_TRIED, NOT_TRIED))
    found = (await collect(journal, RUN)).strengths
    assert found is not None
    assert found.decided == ("p95",)
    assert found.worst[0]["p95"].value == 12.0


async def test_a_run_that_was_cut_off_tells_the_steps_it_came_to(journal: Journal, tmp_path: Path) -> None:
    await saw(journal, "slower-1", p95=0.2)
    await journal.append(Event(RUN, at(100), "gradual", "Step 1 of 4: held", {"stage": "slower-1"}))
    await saw(journal, "slower-2", p95=float("inf"), availability=None)
    page, _, written, _ = await pages(journal, tmp_path)
    (steps,) = [rows for rows in written if rows[0][0] == "delay.latency"]
    assert [row[1] for row in steps[1:]] == ["held", "unclear", "not tried", "not tried"]
    assert steps[2][3] == "+inf at api-gateway"
    assert "delay.latency held up to 50ms, not known at 100ms." in page.text


async def test_a_run_without_a_gradual_stage_has_no_such_part(tmp_path: Path) -> None:
    async with Journal.open(f"sqlite+aiosqlite:///{tmp_path / 'other.db'}") as opened:
        await opened.begin(RECORD)
        found = await publish_kept(opened, RUN, Catalogue(), tmp_path / "reports")
    assert "Strength by strength" not in found.page.read_text(encoding="utf-8")
    assert "Strength by strength" not in found.markdown.read_text(encoding="utf-8")
