"""What to try next follows from what was never tried, who needs it, and what was mended and never proved."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gameday.analysis.coverage import Coverage, Kind, brings
from gameday.analysis.improvements import improvements
from gameday.analysis.suggest import Known, suggest
from gameday.cli.main import run
from gameday.errors import ExitCode
from gameday.journal.actions import ActionItem
from gameday.journal.history import Hit, RunRow
from gameday.journal.store import Verdict
from gameday.spec.catalogue import Catalogue
from tests.kept_runs import AT, DAY, a_row

CATALOGUE = Catalogue()
KILL = Hit("api-gateway", "PodChaos", "pod-kill")
ITEM = ActionItem(
    "basic-pod-failure/kill/broken/availability/api-gateway",
    "basic-pod-failure",
    "availability at api-gateway reached 0.3",
    "Run more replicas",
    "api-gateway",
    "high",
    "platform-team",
    AT,
    item=1,
    runs=("run-a",),
)


def known(rows: list[RunRow], items: list[ActionItem] | None = None, **more: Any) -> Known:
    experiments = [CATALOGUE.experiment(name) for name in ("basic-pod-failure", "network-resilience")]
    values: dict[str, Any] = {"now": AT + 30 * DAY, **more}
    return Known(CATALOGUE.platform, experiments, rows, items or [], **values)


def of(rows: list[RunRow]) -> Coverage:
    return known(rows).coverage


def closed(at: datetime = AT + DAY) -> ActionItem:
    return replace(ITEM, closed_at=at, closed_by="on-call", outcome="4 replicas")


def test_coverage_tells_who_met_what_when_last_and_how_it_ended() -> None:
    rows = [
        a_row(AT, run="run-a", hits=(KILL,)),
        a_row(AT + DAY, Verdict.DISPROVED, run="run-b", hits=(KILL, Hit("redis", "JVMChaos", "latency"))),
        a_row(AT + 2 * DAY, None, run="run-c", hits=()),
    ]
    found = of(rows)
    cell = found.cell("api-gateway", Kind("PodChaos", "pod-kill"))
    assert cell is not None
    assert (cell.runs, cell.held, cell.last, cell.last_run, cell.last_verdict) == (
        2,
        1,
        AT + DAY,
        "run-b",
        Verdict.DISPROVED,
    )
    assert cell.experiments == ("basic-pod-failure",)
    assert len(found.met) == 2, "what nobody expected to be tried counts, too"
    never = {(one.service, str(one.fault)) for one in found.never}
    assert ("postgres", "PodChaos pod-kill") in never
    assert ("postgres", "HTTPChaos") not in never, "a database answers no HTTP"
    assert ("redis", "DNSChaos error") not in never, "it calls nobody"


def test_a_service_that_is_gone_from_the_platform_stays_in_what_was_met() -> None:
    found = of([a_row(hits=(Hit("billing", "PodChaos", "pod-kill"),))])
    assert found.services[-1] == "billing"
    assert [one.service for one in found.met] == ["billing"]


def test_an_experiment_brings_its_faults_to_services_and_to_all_that_its_labels_select() -> None:
    found = brings(CATALOGUE.experiment("network-resilience"), CATALOGUE.platform)
    assert ("auth-service", Kind("NetworkChaos", "partition")) in found
    backend = {service for service, kind in found if kind == Kind("NetworkChaos", "loss")}
    assert backend == {"api-gateway", "auth-service", "platform-services", "automation-services"}


def test_who_needs_a_service_is_found_along_the_call_graph() -> None:
    assert CATALOGUE.platform.dependents("redis") == (
        "api-gateway",
        "auth-service",
        "platform-services",
        "automation-services",
    )
    assert CATALOGUE.platform.dependents("auth-service") == ("api-gateway",)
    assert CATALOGUE.platform.dependents("api-gateway") == ()


def test_suggestions_are_sums_of_parts_with_reasons_and_always_the_same() -> None:
    found = suggest(known([a_row(hits=(KILL,))]))
    assert found == suggest(known([a_row(hits=(KILL,))]))
    assert [one.points for one in found] == sorted((one.points for one in found), reverse=True)
    for one in found:
        assert one.points == pytest.approx(sum(part.points for part in one.parts))
        assert all(part.why for part in one.parts)
    assert len(suggest(known([]), 3)) == 3
    names = [one.experiment for one in found if one.experiment]
    assert len(names) == len(set(names)), "each experiment once"


def test_what_was_never_tried_comes_before_what_was_just_tried() -> None:
    rows = [a_row(AT + 29 * DAY, hits=tuple(Hit(s, "PodChaos", "pod-kill") for s in ("redis", "postgres")))]
    (kill, loss) = (
        next(one for one in suggest(known(rows)) if (one.service, one.action) == ("redis", action))
        for action in ("pod-kill", "loss")
    )
    assert loss.points > kill.points
    assert "redis has never met NetworkChaos loss" in {part.why for part in loss.parts}
    assert "last met yesterday, in 1 run; the last ended as held" in {part.why for part in kill.parts}


def test_what_is_in_the_catalogue_is_run_and_what_is_not_is_made() -> None:
    found = {one.what: one for one in suggest(known([], environment="staging"))}
    assert found["PodChaos pod-kill at postgres"].command == (
        "gameday new postgres-pod-kill --target postgres --kind PodChaos --action pod-kill"
    )
    (ours,) = (one for one in found.values() if one.experiment == "basic-pod-failure")
    assert ours.command == "gameday run basic-pod-failure --env staging"
    assert len(ours.also) == 2, "its other two services come with it"
    assert not any(one.experiment for one in suggest(known([], environment="production")))


def test_every_command_brings_the_fault_that_is_suggested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = shutil.copytree(CATALOGUE.directory, tmp_path / "experiments")
    monkeypatch.setenv("GAMEDAY_EXPERIMENTS", str(directory))
    tried = (Hit("redis", "JVMChaos", "latency"), Hit("redis", "IOChaos", "mistake"))
    experiments = [CATALOGUE.experiment(name) for name in CATALOGUE.names]
    past = replace(known([a_row(hits=tried)]), experiments=experiments)
    found = {(one.kind, one.action, bool(one.experiment)): one for one in suggest(past)}
    assert len(found) > len(tried) + 6
    for one in found.values():
        program, *arguments = shlex.split(one.command) or [""]
        if not program:
            assert Hit(one.service, one.kind, one.action) in tried
            assert f"gameday new writes no {one.kind} {one.action}: " in one.by_hand
            continue
        assert (program, one.by_hand) == ("gameday", "")
        if arguments[0] == "new":
            assert run(arguments) == ExitCode.HELD
        experiment = Catalogue(directory).experiment(arguments[1])
        assert (one.service, Kind(one.kind, one.action)) in brings(experiment, CATALOGUE.platform)


def test_an_experiment_to_be_made_has_a_name_that_is_free() -> None:
    taken = CATALOGUE.experiment("basic-pod-failure").model_copy(
        update={"name": "postgres-pod-kill", "environments": ("dev",)}
    )
    past = replace(known([], environment="staging"), experiments=[taken])
    (kill,) = (one for one in suggest(past) if one.what == "PodChaos pod-kill at postgres")
    assert kill.command.startswith("gameday new postgres-pod-kill-2 ")


def test_what_is_gone_from_the_platform_is_not_suggested() -> None:
    found = suggest(known([a_row(hits=(Hit("billing", "PodChaos", "pod-kill"),))]))
    assert "billing" not in {one.service for one in found}


def test_what_was_mended_and_never_proved_comes_up_and_goes_once_it_was_run() -> None:
    rows = [a_row(AT, Verdict.DISPROVED, run="run-a", experiment="basic-pod-failure", hits=(KILL,))]
    first = suggest(known(rows, [closed()]))[0]
    assert first.experiment == "basic-pod-failure"
    assert "closed and never proved: action item 1" in {part.why for part in first.parts}
    again = [*rows, a_row(AT + 2 * DAY, run="run-b", experiment="basic-pod-failure", hits=(KILL,))]
    assert "to be proved" not in {p.what for one in suggest(known(again, [closed()])) for p in one.parts}


def test_what_is_known_to_be_broken_is_not_broken_again_first() -> None:
    rows = [a_row(AT, Verdict.DISPROVED, run="run-a", experiment="basic-pod-failure", hits=(KILL,))]
    cells = {one.what: one for one in suggest(known(rows, [ITEM]))}
    others = [one for one in cells.values() if one.experiment == "basic-pod-failure"]
    assert {part.what for one in others for part in one.parts}.isdisjoint({"known"}), (
        "another pod comes first"
    )
    assert "PodChaos pod-kill at api-gateway" in others[0].also


@pytest.mark.parametrize(
    ("later", "again", "proof", "words"),
    [
        ([], [], "not-run", "not proved: basic-pod-failure has not run since"),
        ([Verdict.HELD], [], "holds", "holds now: run-0"),
        ([Verdict.DISPROVED, Verdict.HELD], [], "holds", "holds now: run-1"),
        ([Verdict.DISPROVED], [], "not-held", "not found again, but run-0 ended as disproved"),
        ([Verdict.REFUSED, Verdict.STOPPED], [], "not-run", "not proved"),
        ([Verdict.DISPROVED], [2], "found-again", "found again: action item 2"),
    ],
)
def test_an_improvement_is_proved_by_a_later_run(
    later: list[Verdict], again: list[int], proof: str, words: str
) -> None:
    rows = [
        a_row(
            AT + 5 * DAY + number * timedelta(hours=2),
            one,
            run=f"run-{number}",
            experiment="basic-pod-failure",
        )
        for number, one in enumerate(later)
    ]
    items = [closed(), *(replace(ITEM, item=one, opened_at=AT + 5 * DAY) for one in again)]
    (found,) = improvements(items, rows, items)
    assert (found.proof, found.words[: len(words)]) == (proof, words)


def test_the_command_tells_what_to_try_and_knows_its_environments(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["suggest", "--env", "staging", "-n", "2"]) == ExitCode.HELD
    told = capsys.readouterr().out
    assert "0 of " in told
    assert "1. " in told
    assert "never tried: " in told
    assert "$ gameday " in told
    assert "3. " not in told
    assert run(["suggest", "-n", "3", "-o", "json"]) == ExitCode.HELD
    data = json.loads(capsys.readouterr().out)
    assert len(data) == 3
    assert {"service", "kind", "points", "parts", "command"} <= set(data[0])
    assert run(["suggest", "--env", "stagin"]) == ExitCode.USAGE
    assert "did you mean 'staging'" in capsys.readouterr().err
