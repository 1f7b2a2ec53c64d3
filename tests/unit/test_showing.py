"""What a stage must show is judged over its whole window; no data shows nothing."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gameday.analysis.findings import Learned, findings
from gameday.clients.answers import RangeReading, Series, Unknown, Why
from gameday.clients.prometheus import Prometheus
from gameday.clock import SystemClock
from gameday.journal.kinds import EVENTS
from gameday.journal.store import Journal
from gameday.plan.model import PlannedStage
from gameday.run.context import Requested, Run, Session
from gameday.run.showing import Shown, Window, judge, judged
from gameday.spec.catalogue import Catalogue
from gameday.spec.showing import Showing
from tests.unit.test_report import NOT_NEEDED, RECORD, RUN, plan

BEGIN = datetime(2026, 11, 23, 10, tzinfo=UTC)
STEP = timedelta(seconds=10)
# Faults for a minute, then half a minute of settling: ten points.
WINDOW = Window(BEGIN, BEGIN + 6 * STEP, BEGIN + 9 * STEP)


def showing(**keys: Any) -> Showing:
    return Showing.model_validate({"name": "thing", "query": "up", **keys})


def answer(**values: Sequence[float]) -> RangeReading:
    """A series a service, a value every ten seconds."""
    return RangeReading("up", tuple(series(service, own) for service, own in values.items()))


def series(service: str, values: Sequence[float]) -> Series:
    points = tuple((BEGIN + index * STEP, value) for index, value in enumerate(values))
    return Series({"service": service}, points)


def found(wanted: Mapping[str, Any], **values: Sequence[float]) -> Shown:
    return judged("stage", showing(**wanted), answer(**values), WINDOW)


OPENS_AND_CLOSES = {"reaches": ">= 2", "returns": "<= 0"}


def test_a_breaker_that_opens_and_closes_again_is_shown() -> None:
    shown = found(OPENS_AND_CLOSES, auth=[0, 0, 2, 2, 1, 2, 2, 1, 0, 0])
    assert shown.held
    assert shown.evidence == "auth: 2 20s after the injection (>= 2), back at <= 0 20s after the end"


def test_one_that_is_open_at_the_end_or_never_opened_is_not() -> None:
    still = found(OPENS_AND_CLOSES, auth=[0, 0, 2, 0, 0, 0, 0, 0, 0, 2])
    assert still.held is False
    assert still.evidence.endswith("still 2 at the end, expected <= 0")
    never = found(OPENS_AND_CLOSES, auth=[0, 0, 1, 0])
    assert never.held is False
    assert never.evidence == "auth: at best 1 20s after the injection, expected >= 2"
    last = found(OPENS_AND_CLOSES, auth=[0, 0, 2])
    assert last.held is False
    assert "not seen again" in last.evidence


def test_within_counts_from_the_injection_or_where_it_returns_from_the_end_of_the_faults() -> None:
    late = {"reaches": "> 0", "within": "15s"}
    assert found(late, auth=[0, 1]).held
    too_late = found(late, auth=[0, 0, 1])
    assert too_late.held is False
    assert too_late.evidence == "auth: 1 20s after the injection (> 0), later than 15s"
    back = {**OPENS_AND_CLOSES, "within": "15s"}
    assert found(back, auth=[0, 2, 2, 2, 2, 2, 2, 0, 0, 0]).held
    assert found(back, auth=[0, 2, 2, 2, 2, 2, 2, 2, 0, 0]).held is False
    # That it is back before the faults end is early, not late.
    assert found(back, auth=[0, 2, 0, 0, 0, 0, 0, 0, 0, 0]).held


def test_what_stays_within_a_limit_does_so_at_every_moment_and_service() -> None:
    calm = found({"staysWithin": "<= 0.5", "unit": "requests/s"}, auth=[0, 0.1], platform=[0, 0.4])
    assert (calm.held, calm.evidence) == (True, "at most 0.4 requests/s (<= 0.5)")
    high = found({"staysWithin": "<= 0.5"}, auth=[0, 0.1], platform=[0, 0.7, 0.1])
    assert (high.held, high.evidence) == (False, "platform: 0.7 10s after the injection, expected <= 0.5")
    low = found({"staysWithin": ">= 0.5"}, auth=[1, 0.9])
    assert low.evidence == "at least 0.9 (>= 0.5)"


def test_a_value_beyond_every_bucket_is_outside_and_not_left_out() -> None:
    infinite = Series({"service": "auth"}, ((BEGIN, 0.1),), 1, ((BEGIN + STEP, float("inf")),))
    shown = judged("stage", showing(staysWithin="<= 1"), RangeReading("up", (infinite,)), WINDOW)
    assert (shown.held, shown.evidence) == (False, "auth: inf 10s after the injection, expected <= 1")


def test_services_that_are_named_must_all_show_it_else_one_is_enough() -> None:
    values = {"auth": [0.0, 3.0], "platform": [0.0, 0.0], "redis": [0.0, 9.0]}
    assert found({"reaches": "> 2"}, **values).held
    both = found({"reaches": "> 2", "services": ["auth", "platform"]}, **values)
    assert (both.held, both.evidence) == (False, "platform: at best 0 at the injection, expected > 2")
    assert found({"staysWithin": "<= 3", "services": ["auth", "platform"]}, **values).held


def test_no_data_shows_nothing_and_a_service_without_any_is_named() -> None:
    missing = found({"staysWithin": "<= 1", "services": ["auth", "redis"]}, auth=[0, 0])
    assert (missing.held, missing.evidence, missing.answered) == (None, "no data at redis", True)
    empty = RangeReading("up", failure=Unknown(Why.EMPTY, "Prometheus has no such series"))
    assert judged("stage", showing(reaches="> 1"), empty, WINDOW).evidence == "no data"


def test_a_prometheus_that_does_not_answer_says_nothing_about_the_platform() -> None:
    failed = RangeReading("up", failure=Unknown(Why.TIMEOUT, "no answer within 5 s"))
    shown = judged("stage", showing(reaches="> 1"), failed, WINDOW)
    assert (shown.held, shown.answered) == (None, False)
    assert "no answer within 5 s" in shown.evidence


def test_the_services_that_did_not_show_it_are_known() -> None:
    values = {"auth": [0.0, 3.0], "platform": [0.0, 0.0], "redis": [0.0, 9.0]}
    named = found({"reaches": "> 2", "services": ["auth", "platform"]}, **values)
    assert named.services == ("platform",)
    assert found({"staysWithin": "<= 1"}, **values).services == ("auth", "redis")
    assert found({"staysWithin": "<= 1", "services": ["auth", "gone"]}, **values).services == ("gone",)
    assert found({"staysWithin": "<= 9"}, **values).services == ()
    assert found({"reaches": "> 9"}, **values).services == (), "any of them would have been enough"
    assert found({"reaches": "> 9"}, redis=[0, 9]).services == ("redis",)


async def test_what_nobody_could_ask_is_written_down_so_and_breaks_no_hypothesis(tmp_path: Path) -> None:
    stage = PlannedStage.model_validate(
        {"name": "kill", "title": "t", "starts": "0s", "duration": "60s", "settle": "60s", "faults": ()}
        | {"mustShow": [{"name": "breaker-opens", "query": "up", "reaches": "> 1"}]}
    )
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and never listens
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        async with (
            Journal.open(f"sqlite+aiosqlite:///{tmp_path / 'journal.db'}") as journal,
            Prometheus(url, clock=SystemClock()) as prometheus,
        ):
            await journal.begin(RECORD)
            others: dict[str, Any] = dict.fromkeys(NOT_NEEDED)
            others |= {"catalogue": Catalogue(), "prometheus": prometheus}
            run = Run(
                plan(), Session(journal=journal, clock=SystemClock(), **others), Requested("Zoë", "why")
            )
            await judge(run, stage, run.now() - timedelta(minutes=2))
            (event,) = await journal.events(RUN)
    assert event.message.startswith("kill: breaker-opens: not known: Prometheus gave no answer")
    assert set(event.data) <= set(EVENTS["shown"].data)
    assert run.findings.missed == []
    (one,) = findings(Learned("trial", "platform-team", shown=[event.data]), Catalogue().platform)
    assert one.title == "Whether kill showed that breaker-opens is not known: Prometheus could not be asked"
    assert (one.severity, one.breaks_hypothesis, one.action) == ("low", False, "")
    assert "Prometheus gave no answer" in one.evidence[0]


def mistakes(directory: Path, *showings: str, stage: str = "") -> list[str]:
    catalogue = Catalogue()
    text = (catalogue.directory / "gradual-failure.yaml").read_text(encoding="utf-8")
    if not stage:
        text = text[: text.index("    gradual:")] + text[text.index("recovery:") :]
    listed = "".join(f"      - {one}\n" for one in showings)
    path = directory / "gradual-failure.yaml"
    path.write_text(text.replace("    faults:\n", f"    mustShow:\n{listed}    faults:\n"), encoding="utf-8")
    return [one.removeprefix(f"{path}:").split(" ", 1)[1] for one in catalogue.check(path)]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{name: a, reaches: '> 1'}", "mustShow[0]: give either a query or a signal of platform.yaml"),
        ("{name: a, signal: p95, query: up, reaches: '> 1'}", "mustShow[0]: give either a query or a signal"),
        ("{name: a, signal: p59, reaches: '> 1'}", "mustShow[0].signal: unknown signal 'p59'; did you mean"),
        ("{name: a, query: 'sum(', reaches: '> 1'}", "mustShow[0].query: not valid PromQL"),
        ("{name: a, signal: p95}", "mustShow[0]: give either reaches or staysWithin"),
        ("{name: a, signal: p95, reaches: '> 1', staysWithin: '< 2'}", "mustShow[0]: give either reaches or"),
        ("{name: a, signal: p95, staysWithin: '< 2', within: 5s}", "mustShow[0].within: goes with reaches"),
        (
            "{name: a, signal: p95, staysWithin: '< 2', returns: '< 2'}",
            "mustShow[0].returns: goes with",
        ),
        (
            "{name: a, signal: p95, reaches: often}",
            "mustShow[0].reaches: expected a comparison",
        ),
        ("{name: a, signal: p95, reaches: '> 1', within: 0s}", "mustShow[0].within: must be longer than 0s"),
        ("{name: a, signal: p95, reach: '> 1'}", "mustShow[0].reach: unknown key; did you mean 'reaches'?"),
        (
            "{name: a, signal: p95, reaches: '> 1', services: [rediss]}",
            "unknown service 'rediss'",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(written: str, expected: str, tmp_path: Path) -> None:
    told = mistakes(tmp_path, written)
    assert any(expected in one for one in told), told


def test_two_things_of_one_name_and_a_gradual_stage_are_refused(tmp_path: Path) -> None:
    thing = "{name: a, signal: p95, reaches: '> 1'}"
    (twice,) = mistakes(tmp_path, thing, thing)
    assert twice == "stages[0].mustShow[1].name: another thing to show is called 'a' already"
    (many,) = mistakes(tmp_path, thing, stage="gradual")
    assert many.startswith("stages[0].mustShow: a gradual stage is many")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"reaches": ">= 2", "returns": "<= 0"}, "reaches >= 2, then returns <= 0"),
        (
            {"reaches": ">= 2", "returns": "<= 0", "within": "30s"},
            "reaches >= 2, then returns <= 0 within 30s of the end of the faults",
        ),
        ({"reaches": ">= 50%", "within": "30s"}, "reaches >= 0.5 within 30s"),
        ({"staysWithin": "<= 0.5"}, "stays within <= 0.5"),
    ],
)
def test_people_read_it_as_a_sentence(keys: dict[str, str], words: str) -> None:
    assert str(showing(**keys)) == words
