"""A report draws every signal that somebody asked for, and says which others it does not draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from gameday.analysis.model import Analysis, Effect, SignalSeries
from gameday.journal.results import Results
from gameday.journal.store import Journal
from gameday.plan.model import Plan
from gameday.report.data import ReportData
from gameday.report.publish import publish_kept
from gameday.report.telling import Telling, telling
from gameday.run.asked import asked
from gameday.run.work_out import direction
from gameday.spec.catalogue import Catalogue
from tests.unit.test_report import RECORD, RUN, at, plan
from tests.unit.test_report_page import EFFECT, Page

WATCHED: Final = tuple(f"watched-{number}" for number in range(7))
MOVED: Final = tuple(f"moved-{number:02}" for number in range(14))
QUIET: Final = ("quiet-1", "quiet-2")
BREAKER: Final = {"name": "opens", "query": "max(breaker)", "reaches": ">= 2", "returns": "<= 0"}


def series(name: str, query: str = "") -> SignalSeries:
    return SignalSeries.model_validate(
        {"signal": name, "service": "redis", "query": query, "begin": at(0), "step": "5s", "values": [1, 2]}
    )


def stages(*of_each: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "name": f"stage-{number}",
            "title": "x",
            "starts": "0s",
            "duration": "60s",
            "settle": "0s",
            "faults": [],
            "mustShow": shown,
        }
        for number, shown in enumerate(of_each, start=1)
    ]


def made(*must_show: Sequence[Mapping[str, Any]], watched: Sequence[str] = WATCHED) -> Plan:
    watches = [{"name": name, "query": f"sum({name})", "tolerate": "<= 3"} for name in watched]
    return plan(watches=watches, stages=stages(*must_show))


def analysis(moved: Sequence[str]) -> Analysis:
    effects = [
        Effect.model_validate({**EFFECT, "signal": name, "shift": 1 + number / 2})
        for number, name in enumerate(moved)
    ]
    return Analysis(run=RUN, at=at(90), method="none", effects=tuple(effects))


def told(planned: Plan, kept: Sequence[SignalSeries], moved: Sequence[str] = MOVED) -> Telling:
    nothing: dict[str, Any] = dict.fromkeys(
        ("events", "faults", "baselines", "impacts", "comebacks", "unproved"), ()
    )
    data = ReportData(run=RECORD, plan=planned, recovery={}, analysis=analysis(moved), series=kept, **nothing)
    return telling(data)


def drawn(found: Telling) -> list[str]:
    return [one.title for one in found.charts]


ALL: Final = [
    *(series(name, f"sum({name})") for name in (*WATCHED, *MOVED, *QUIET)),
    series("breaker", "max(breaker)"),
]


def test_what_moved_takes_no_place_from_what_was_watched() -> None:
    found = told(made(), ALL)
    assert set(WATCHED) <= set(drawn(found))
    assert len(found.charts) == 12
    assert drawn(found)[7:] == ["moved-13", "moved-12", "moved-11", "moved-10", "moved-09"]


def test_however_many_were_watched_each_has_a_chart() -> None:
    found = told(made(watched=(*WATCHED, *MOVED)), ALL)
    assert set(drawn(found)) == {*WATCHED, *MOVED}


def test_what_a_stage_had_to_show_is_drawn_with_its_limits_although_it_did_not_move() -> None:
    own = {"name": "answers", "query": "sum(quiet-1)", "staysWithin": "<= 0.05"}
    found = told(made([BREAKER], [{**BREAKER, "query": "max( breaker)", "reaches": ">= 1"}, own]), ALL)
    assert {"breaker", "quiet-1"} <= set(drawn(found))
    (one,) = [chart for chart in found.charts if chart.title == "breaker"]
    assert {word: str(limit) for word, limit in one.limits.items()} == {
        "must reach": ">= 2",
        "then return": "<= 0",
    }


def test_limits_that_differ_from_stage_to_stage_are_all_drawn() -> None:
    found = told(made([BREAKER], [{**BREAKER, "reaches": ">= 1"}]), ALL)
    (one,) = [chart for chart in found.charts if chart.title == "breaker"]
    assert str(one.limits["must reach in stage-2"]) == ">= 1"


def test_what_is_left_out_is_named() -> None:
    found = told(made([BREAKER]), ALL)
    assert sorted(found.moved) == [f"moved-{number:02}" for number in range(10)]
    assert found.quiet == QUIET
    assert found.unseen == ()


def test_what_had_to_be_shown_and_was_not_kept_is_named_too() -> None:
    without = [one for one in ALL if one.signal not in {"breaker", "watched-3"}]
    assert told(made([BREAKER]), without).unseen == ("watched-3", "opens of stage-1")


def test_of_a_run_whose_series_do_not_say_what_was_asked_nothing_wrong_is_said() -> None:
    old = [one.model_copy(update={"query": ""}) for one in ALL]
    found = told(made([BREAKER]), old)
    assert found.unseen == ()
    assert set(WATCHED) <= set(drawn(found))


async def test_the_page_says_what_is_not_drawn_and_where_it_can_be_seen(tmp_path: Path) -> None:
    async with Journal.open(f"sqlite+aiosqlite:///{tmp_path / 'journal.db'}") as journal:
        planned = made(watched=("watched-1",))
        await journal.begin(replace(RECORD, plan=planned.model_dump(mode="json", by_alias=True)))
        kept = [series("watched-1"), series("quiet-1")]
        await Results(journal).keep_series(RUN, [one.model_dump(mode="json", by_alias=True) for one in kept])
        found = await publish_kept(journal, RUN, Catalogue(), tmp_path)
    page = Page(found.page.read_text(encoding="utf-8"))
    words = "Not drawn: quiet-1 (not watched, and did not move). In numbers: below ; every value: "
    assert f"{words}gameday export FILE --run {RUN}" in page.text


CATALOGUE: Final = Catalogue()


def test_a_query_that_only_a_stage_asks_becomes_a_signal_with_a_name_of_its_own() -> None:
    known = CATALOGUE.platform.prometheus.signals[0]
    shown = [
        {"name": "saved", "query": "last_save", "reaches": "<= 0", "returns": ">= 1"},
        {"name": "saved", "query": "last_save_of_all", "staysWithin": "<= 0.05"},
        {"name": "known", "query": known.query, "reaches": ">= 1"},
        {"name": known.name, "query": "something_else", "reaches": ">= 2"},
    ]
    found = asked(made(shown, shown), CATALOGUE.platform)
    assert {name: one.query for name, one in found.items()} == {
        "saved": "last_save",
        "saved-2": "last_save_of_all",
        f"{known.name}-2": "something_else",
    }


@pytest.mark.parametrize(
    ("shown", "worse"),
    [
        ({"reaches": "<= 0"}, "lower"),
        ({"reaches": ">= 2"}, "higher"),
        ({"staysWithin": "<= 0.05"}, "higher"),
        ({"staysWithin": ">= 1"}, "lower"),
    ],
)
def test_such_a_signal_is_worse_where_the_fault_takes_it(shown: dict[str, str], worse: str) -> None:
    planned = made([{"name": "own", "query": "own_metric", **shown}])
    assert direction(CATALOGUE.platform, planned)("own") == worse
