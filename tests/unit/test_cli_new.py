"""A new experiment is there in one step: it validates, it is planned, and nothing is written over."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from gameday.cli.main import run
from gameday.errors import ExitCode
from gameday.spec.catalogue import Catalogue, default_directory
from gameday.spec.faults import NetworkFault, PodFault
from gameday.spec.mild import SORTS
from gameday.spec.new import CATEGORIES, text_of
from sandbox.process.launch import Sandbox

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the catalogue to write into."""
    for path in default_directory().glob("*.yaml"):
        shutil.copy(path, tmp_path)
    monkeypatch.setenv("GAMEDAY_EXPERIMENTS", str(tmp_path))
    return tmp_path


def test_it_is_written_validates_and_says_what_to_do_next(directory: Path, capsys: Capture) -> None:
    assert run(["new", "slow-redis", "--target", "redis", "--kind", "NetworkChaos"]) == ExitCode.HELD
    told = capsys.readouterr().out
    assert f"Wrote {directory / 'slow-redis.yaml'}: no mistakes." in told
    assert "gameday run slow-redis --sandbox" in told
    experiment = Catalogue(directory).experiment("slow-redis")
    assert experiment.owner == "data-team"
    assert experiment.environments == ("dev", "staging")
    (stage,) = experiment.stages
    (fault,) = stage.faults
    assert isinstance(fault, NetworkFault)
    assert fault.target == "redis"
    assert [one.name for one in stage.must_show] == ["users-see-few"]
    text = (directory / "slow-redis.yaml").read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=./experiment.schema.json\n")
    assert "# What you believe" in text


def test_programs_are_told_where_it_is(directory: Path, capsys: Capture) -> None:
    assert run(["new", "one", "--owner", "platform-team", "--category", "advanced", "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["file"] == str(directory / "one.yaml")
    experiment = Catalogue(directory).experiment("one")
    assert (experiment.owner, experiment.category) == ("platform-team", "advanced")
    # Without a target it hits the service that users ask.
    (fault,) = experiment.stages[0].faults
    assert isinstance(fault, PodFault)
    assert fault.target == "api-gateway"


@pytest.mark.parametrize(("kind", "action"), SORTS)
def test_every_sort_is_one_that_chaos_mesh_and_the_guardrails_take(
    kind: str, action: str, directory: Path
) -> None:
    catalogue = Catalogue(directory)
    platform, guardrails, path = catalogue.platform, catalogue.guardrails, directory / "made.yaml"
    for service in platform.services:
        text = text_of("made", platform, guardrails, target=service.name, kind=kind, action=action)
        path.write_text(text, encoding="utf-8")
        (fault,) = catalogue.load(path).stages[0].faults
        assert (fault.kind, getattr(fault.spec, "action", "")) == (kind, action)


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_category_is_one_that_the_guardrails_take(category: str, directory: Path) -> None:
    catalogue, path = Catalogue(directory), directory / "made.yaml"
    path.write_text(
        text_of("made", catalogue.platform, catalogue.guardrails, category=category), encoding="utf-8"
    )
    assert catalogue.check(path) == []


def test_what_is_there_is_never_written_over(directory: Path, capsys: Capture) -> None:
    before = (directory / "basic-pod-failure.yaml").read_text(encoding="utf-8")
    for name in ("basic-pod-failure", "platform", "guardrails", "full-resilience-suite"):
        assert run(["new", name]) == ExitCode.USAGE
        assert f"{name}.yaml is there already" in capsys.readouterr().err
    assert (directory / "basic-pod-failure.yaml").read_text(encoding="utf-8") == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["Slow Redis"], "'Slow Redis' cannot be the name of an experiment"),
        (["../elsewhere"], "cannot be the name of an experiment"),
        (["x" * 41], "at most 40 characters"),
        (["one", "--target", "reddis"], "unknown service 'reddis'; did you mean 'redis'?"),
        (["one", "--kind", "PodChoas"], "unknown kind 'PodChoas'; did you mean 'PodChaos'?"),
        (["one", "--action", "pod-fail"], "action 'pod-fail' can be written; did you mean 'pod-failure'?"),
        (["one", "--kind", "IOChaos", "--action", "mistake"], "known here: latency, fault"),
        (["one", "--kind", "StressChaos", "--action", "loss"], "StressChaos has no actions"),
        (["one", "--owner", "data-taem"], "unknown team 'data-taem'; did you mean 'data-team'?"),
        (["one", "--category", "basics"], "unknown category 'basics'; did you mean 'basic'?"),
        (["one", "--experiments", "/nowhere"], "no such directory of experiments"),
    ],
)
def test_what_cannot_be_is_told_in_one_line_and_leaves_no_file(
    arguments: list[str], words: str, directory: Path, capsys: Capture
) -> None:
    before = sorted(directory.iterdir())
    assert run(["new", *arguments]) == ExitCode.USAGE
    assert words in " ".join(capsys.readouterr().err.split())
    assert sorted(directory.iterdir()) == before


def test_its_plan_is_not_refused(directory: Path, shared_sandbox: Sandbox, capsys: Capture) -> None:
    for number, (kind, action) in enumerate(SORTS):
        sort = ["--kind", kind, *(["--action", action] if action else [])]
        assert run(["new", f"made-{number}", *sort, "--target", "auth-service"]) == ExitCode.HELD
        assert run(["plan", f"made-{number}", "-o", "json"]) == ExitCode.HELD
    capsys.readouterr()
