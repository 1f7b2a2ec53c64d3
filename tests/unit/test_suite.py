"""What a suite may say, what it makes of its runs, and when nothing more may begin."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from gameday.cli.main import run
from gameday.cli.output import Format
from gameday.cli.run import Following
from gameday.clients.kubernetes import Cluster
from gameday.clock import RemoteClock
from gameday.errors import ExitCode, StoppedError, UsageError
from gameday.health import Check
from gameday.journal.store import Event, Verdict
from gameday.report.suite import render
from gameday.run.ending import end_faults_in
from gameday.run.suite import Interval, Outcome, SuiteRun, goes_on, parts, pause
from gameday.safety import lever
from gameday.safety.called_off import Caller
from gameday.safety.lease import RunLeases
from gameday.safety.stop_report import Scope
from gameday.settings import load
from gameday.spec.catalogue import Catalogue
from tests.suites import small_catalogue

Capture = pytest.CaptureFixture[str]

NAMESPACE = "chaos-engineering"
AT = datetime(2026, 11, 23, 10, 15, 30, tzinfo=UTC)
HELD, DISPROVED, ABORTED = Verdict.HELD, Verdict.DISPROVED, Verdict.ABORTED
STOPPED, REFUSED, ERROR = Verdict.STOPPED, Verdict.REFUSED, Verdict.ERROR


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    """A catalogue with a suite of two; it is the one in force."""
    small_catalogue(tmp_path)
    monkeypatch.setenv("GAMEDAY_EXPERIMENTS", str(tmp_path))
    return Catalogue(tmp_path)


def going(catalogue: Catalogue, *verdicts: Verdict) -> SuiteRun:
    names = ("first", "second")
    outcomes = [
        Outcome(name, f"run-{name}", one, "" if one is HELD else "p95 was slow")
        for name, one in zip(names, verdicts, strict=False)
    ]
    return SuiteRun(
        "20261123t101530-both-7f3a", catalogue.suite("both"), "staging", "ann", "why", AT, outcomes
    )


# --- What it may say.


def test_suites_and_experiments_are_told_apart(catalogue: Catalogue) -> None:
    assert (catalogue.names, catalogue.suites) == (["first", "second"], ["both"])
    with pytest.raises(UsageError, match="'both' is a suite, and this wants an experiment"):
        catalogue.experiment("both")
    with pytest.raises(UsageError, match="unknown suite 'bth'; did you mean 'both'"):
        catalogue.suite("bth")


def test_the_suite_that_comes_along_runs_every_experiment_and_stops_at_the_first_that_fails() -> None:
    own = Catalogue()
    suite = own.suite("full-resilience-suite")
    there = [name for name in own.names if "staging" in own.experiment(name).environments]
    assert sorted(one.experiment.name for one in parts(suite, own)) == there
    assert suite.on_failure == "stop"


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("experiment: second", "experiment: secnd", "unknown experiment 'secnd'; did you mean 'second'?"),
        ("[staging]", "[staging, dev]", "second is not for dev: its environments do not say so"),
        ("onFailure: stop", "onFailure: halt", "onFailure: expected 'stop' or 'goOn'"),
        ("owner: platform-team", "owner: platform-tem", "unknown team 'platform-tem'"),
        ("name: both", "name: two", "expected 'both', as the file is called"),
        ("experiment: second", "experiment: second\n    duration: 0s", "must be longer than 0s"),
    ],
)
def test_a_mistake_in_a_suite_is_told_with_file_and_line(
    catalogue: Catalogue, before: str, after: str, told: str
) -> None:
    path = catalogue.directory / "both.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace(before, after), encoding="utf-8")
    mistakes = Catalogue(catalogue.directory).check(path)
    assert any(told in mistake and mistake.startswith(f"{path}:") for mistake in mistakes), mistakes


def test_a_duration_is_shared_out_among_the_experiments(catalogue: Catalogue) -> None:
    suite = catalogue.suite("both")
    assert [one.duration for one in parts(suite, catalogue, timedelta(minutes=3))] == [
        timedelta(seconds=90)
    ] * 2
    with pytest.raises(UsageError, match="first: 5s is too short"):
        parts(suite, catalogue, timedelta(seconds=10))


def test_the_pause_is_never_shorter_than_the_guardrails_gap(catalogue: Catalogue) -> None:
    suite = catalogue.suite("both")
    assert pause(suite, catalogue, "staging") == timedelta(seconds=15)
    assert pause(suite, catalogue, "production") == timedelta(minutes=30)


def test_a_suite_is_listed_shown_and_planned_by_its_name(catalogue: Catalogue, capsys: Capture) -> None:
    assert run(["list"]) == ExitCode.HELD
    assert "Two small ones (a suite of 2)" in capsys.readouterr().out
    assert run(["show", "both"]) == ExitCode.HELD
    shown = capsys.readouterr().out
    assert "settles 15s, then waits up to 20s for a platform that is well" in shown
    assert shown.index("first") < shown.index("second")
    assert run(["run", "bth"]) == ExitCode.USAGE
    assert "did you mean 'both'?" in capsys.readouterr().err


@pytest.mark.usefixtures("shared_sandbox")
def test_the_plan_of_a_suite_is_the_plan_of_each_experiment(catalogue: Catalogue, capsys: Capture) -> None:
    assert run(["plan", "both", "-o", "json"]) == ExitCode.HELD
    told = capsys.readouterr().out
    assert [told.count(f'"experiment": "{name}"') for name in ("first", "second")] == [1, 1]


# --- What it makes of its runs.


@pytest.mark.parametrize("verdict", [DISPROVED, ABORTED, REFUSED])
def test_one_that_fails_ends_the_suite_unless_it_goes_on(verdict: Verdict) -> None:
    assert not goes_on(verdict, "stop")
    assert goes_on(verdict, "goOn")


@pytest.mark.parametrize("verdict", [STOPPED, ERROR])
def test_what_a_person_ended_or_nobody_can_vouch_for_always_ends_it(verdict: Verdict) -> None:
    assert not goes_on(verdict, "goOn")


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [
        ((HELD, HELD), HELD),
        ((DISPROVED, HELD), DISPROVED),
        ((REFUSED, DISPROVED), DISPROVED),
        ((DISPROVED, ABORTED), ABORTED),
        ((ABORTED, STOPPED), STOPPED),
        ((ERROR,), ERROR),
        ((), ERROR),
    ],
)
def test_a_suite_held_only_if_all_held_and_else_the_gravest_verdict_is_its_own(
    catalogue: Catalogue, verdicts: Sequence[Verdict], whole: Verdict
) -> None:
    assert going(catalogue, *verdicts).verdict is whole


def test_a_suite_that_is_cut_short_between_two_says_why_and_what_was_not_tried(catalogue: Catalogue) -> None:
    cut = going(catalogue, HELD)
    cut.end(ABORTED, "the platform was not well")
    cut.end(STOPPED, "too late to be the reason")
    assert cut.verdict is ABORTED
    assert cut.reasons == ("the platform was not well", "not tried: second")


def test_what_people_typed_does_not_break_the_report(catalogue: Catalogue) -> None:
    odd = going(catalogue, HELD)
    odd.outcomes.append(Outcome("second", "run-second", DISPROVED, "a | b\n# c <script>"))
    odd.reason = "[click](http://example.com)"
    told = render(odd)
    assert "a \\| b # c &lt;script>" in told
    assert "| Reason | \\[click](http://example.com) |" in told


def test_the_command_ends_with_one_table_and_the_suites_own_verdict(
    catalogue: Catalogue, capsys: Capture
) -> None:
    following = Following(Console(file=StringIO()))
    data = {"verdict": "disproved", "reasons": ["second disproved"]}
    data |= going(catalogue, HELD, DISPROVED).as_data()
    for event in (
        Event("20261123t101530-both-7f3a", AT, "suite", "Suite"),
        Event("run-first", AT, "verdict", "Held", {"verdict": "held", "reasons": []}),
        Event("20261123t101530-both-7f3a", AT, "verdict", "Suite both disproved", data),
    ):
        following(event)
    following.result(Format.JSON)
    told = json.loads(capsys.readouterr().out)
    assert (told["suite"], told["run"], told["exitCode"]) == ("20261123t101530-both-7f3a", None, 1)
    assert [(one["run"], one["verdict"]) for one in told["experiments"]] == [
        ("run-first", "held"),
        ("run-second", "disproved"),
    ]


# --- When nothing more may begin.


async def interval(
    clock: RemoteClock, cluster: Cluster, leases: RunLeases, looks: list[list[Check]]
) -> Interval:
    async def look() -> list[Check]:
        return looks.pop(0) if len(looks) > 1 else looks[0]

    async def tell(words: str, bad: Sequence[str]) -> None:
        del words, bad

    return Interval(clock, cluster, NAMESPACE, look, leases.must_be_held, tell)


WELL, ILL = [Check("Prometheus", True, "answers")], [Check("Prometheus", False, "down")]
SETTLE, TIMEOUT = timedelta(seconds=30), timedelta(seconds=40)


@pytest.mark.usefixtures("sandbox")
async def test_between_two_runs_the_platform_has_time_and_a_person_the_last_word() -> None:
    clock = RemoteClock(str(load().clock_url))
    async with Cluster.connect(clock=clock) as cluster:
        leases = RunLeases(cluster, "20261123t101530-both-7f3a", (), namespace=NAMESPACE, clock=clock)
        await leases.announce("its runs")
        async with clock.every(timedelta(seconds=10), leases.keep):
            since = clock.now()
            waiting = await interval(clock, cluster, leases, [ILL, ILL, WELL])
            assert await waiting.until_well(SETTLE, TIMEOUT) == ()
            assert clock.now() - since >= SETTLE + timedelta(seconds=20)

            waiting = replace(waiting, look=lambda: asyncio.sleep(0, ILL))
            assert await waiting.until_well(SETTLE, TIMEOUT) == ("Prometheus: down",)

            await lever.engage(cluster, NAMESPACE, by="ann", reason="incident", source="command", clock=clock)
            with pytest.raises(StoppedError, match="ann"):
                await waiting.until_well(SETTLE, TIMEOUT)
            await lever.release(cluster, NAMESPACE, by="ann", reason="over", source="command", clock=clock)

            who = Caller("ann", "checkout is down")
            stopped = await end_faults_in(cluster, Scope.everything(), clock=clock, call_off=True, caller=who)
            assert stopped.notes == ("Called off: run 20261123t101530-both-7f3a",)
            with pytest.raises(StoppedError, match="Stopped by ann: checkout is down"):
                await waiting.until_well(SETTLE, TIMEOUT)
