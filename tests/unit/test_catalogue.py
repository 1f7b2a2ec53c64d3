"""Experiments, platform and guardrails are found, read, and held against each other."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from gameday.errors import DeclarationError, UsageError
from gameday.spec.base import Comparison
from gameday.spec.catalogue import Catalogue, default_directory

OWN = default_directory()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A copy of the catalogue to spoil."""
    for path in OWN.glob("*.yaml"):
        shutil.copy(path, tmp_path)
    return tmp_path


def spoil(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize("path", sorted(OWN.glob("*.yaml")), ids=lambda path: path.name)
def test_every_file_that_comes_along_is_without_mistakes(path: Path) -> None:
    assert Catalogue().check(path) == []


def test_the_experiments_of_the_guide_are_there_as_often_as_it_says_and_where() -> None:
    experiments = [Catalogue().experiment(name) for name in Catalogue().names]
    often = {"basic": "weekly", "advanced": "every-second-week", "disaster-recovery": "monthly"}
    for one in experiments:
        assert one.frequency == ("on-demand" if one.name == "gradual-failure" else often[one.category])
        assert "staging" in one.environments
        assert one.runbook is not None
        assert (OWN.parent / one.runbook).is_file()
    assert {one.name: one.category for one in experiments}.items() >= {
        "basic-pod-failure": "basic",
        "network-resilience": "basic",
        "resource-exhaustion": "basic",
        "resilience-testing": "advanced",
        "database-stress": "advanced",
        "cache-unavailability": "advanced",
        "disaster-recovery": "disaster-recovery",
        "gradual-failure": "advanced",
    }.items()


def test_every_stage_of_the_catalogue_shows_something_or_grows() -> None:
    for name in Catalogue().names:
        for stage in Catalogue().experiment(name).stages:
            assert stage.must_show or stage.gradual, f"{name}: {stage.name}"


def test_the_guides_thresholds_stand_in_the_guardrails() -> None:
    of_services = [one for one in Catalogue().guardrails.thresholds if one.scope == "service"]
    assert {one.signal: one.abort_when for one in of_services} == {
        "availability": Comparison("<", 0.6),
        "errors": Comparison(">", 10.0),
        "p95": Comparison(">", 10.0),
        "memory": Comparison(">", 0.9),
        "cpu": Comparison(">", 0.95),
    }
    at_once = {one.signal for one in of_services if one.breach_for == timedelta(0)}
    assert at_once == {"availability", "errors", "p95"}


def test_an_unknown_experiment_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        UsageError, match=r"unknown experiment 'basic-pod-failur'; did you mean 'basic-pod-failure'\?"
    ):
        Catalogue().experiment("basic-pod-failur")


@pytest.mark.parametrize("name", ["platform", "guardrails", "../experiments/basic-pod-failure", "zzz", ""])
def test_only_an_experiment_of_the_directory_is_one(name: str) -> None:
    with pytest.raises(UsageError, match="unknown experiment"):
        Catalogue().experiment(name)


def test_a_directory_that_is_none_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such directory of experiments") as caught:
        Catalogue(tmp_path / "none")
    assert "--experiments" in caught.value.hint


def test_an_experiment_without_a_platform_says_which_file_is_missing(tmp_path: Path) -> None:
    shutil.copy(OWN / "basic-pod-failure.yaml", tmp_path)
    with pytest.raises(DeclarationError, match=r"platform\.yaml: no such file"):
        Catalogue(tmp_path).experiment("basic-pod-failure")


def test_a_threshold_on_an_unknown_signal_is_told_with_its_line(directory: Path) -> None:
    spoil(directory / "guardrails.yaml", "signal: p95", "signal: p59")
    (mistake,) = Catalogue(directory).check(directory / "guardrails.yaml")
    assert mistake.endswith(
        "guardrails.yaml:11: thresholds[3].signal: unknown signal 'p59'; did you mean 'p95'?"
    )
    with pytest.raises(DeclarationError, match="1 mistake"):
        _ = Catalogue(directory).guardrails


def test_every_wrong_reference_in_the_platform_is_told(directory: Path) -> None:
    path = directory / "platform.yaml"
    spoil(path, "owner: identity-team", "owner: identity-taem")
    spoil(path, "calls: [postgres, redis]", "calls: [postgres, rediss]")
    spoil(path, "- name: production", "- name: staging")
    spoil(path, "- {name: data-team", "- {name: platform-team")
    told = "\n".join(Catalogue(directory).check(path))
    assert "services[1].owner: unknown team 'identity-taem'; did you mean 'identity-team'?" in told
    assert "services[1].calls[1]: unknown service 'rediss'; did you mean 'redis'?" in told
    assert "environments[2].name: another environment is called 'staging' already" in told
    assert "teams[3].name: another team is called 'platform-team' already" in told
    assert "services[4].owner: unknown team 'data-team'" in told


def test_a_mistake_in_the_platform_hides_none_in_an_experiment(directory: Path) -> None:
    spoil(directory / "platform.yaml", "name: pyairtable", "nam: pyairtable")
    experiment = directory / "basic-pod-failure.yaml"
    assert Catalogue(directory).check(experiment) == []
    spoil(experiment, "target: api-gateway", "target: api-gatway")
    (own,) = Catalogue(directory).check(experiment)
    assert "target: unknown service 'api-gatway'; did you mean 'api-gateway'?" in own


def test_a_platform_that_is_no_yaml_is_told_with_what_needs_it(directory: Path) -> None:
    (directory / "platform.yaml").write_text("name: {\n", encoding="utf-8")
    (mistake,) = Catalogue(directory).check(directory / "basic-pod-failure.yaml")
    assert "platform.yaml:2: " in mistake


def test_two_stages_or_probes_of_one_name_are_refused(directory: Path) -> None:
    path = directory / "basic-pod-failure.yaml"
    spoil(path, "name: kill-auth-service", "name: kill-api-gateway")
    spoil(path, "  - name: p95", "  - name: errors")
    first, second = Catalogue(directory).check(path)
    assert "steadyState[2].name: another probe is called 'errors' already" in first
    assert "stages[1].name: another stage is called 'kill-api-gateway' already" in second


def test_no_other_mistake_hides_a_name_that_is_given_twice(directory: Path) -> None:
    path = directory / "basic-pod-failure.yaml"
    spoil(path, "name: kill-auth-service", "name: kill-api-gateway")
    spoil(path, "  - name: p95", "  - name: errors")
    spoil(path, "spec: {action: pod-kill, mode: one}", "spec: {action: pod-kill, mode: fixed}")
    spoil(path, "stableFor: 30s", "stableFor: soon")
    told = [mistake.partition(": ")[2] for mistake in Catalogue(directory).check(path)]
    assert [one.partition(":")[0] for one in told] == [
        "steadyState[2].name",
        "stages[0].faults[0].spec",
        "stages[1].name",
        "recovery.stableFor",
    ]
    platform = directory / "platform.yaml"
    spoil(platform, "- name: production", "- name: staging")
    spoil(platform, "port: 8000", "port: none")
    told = Catalogue(directory).check(platform)
    assert any("another environment is called 'staging' already" in mistake for mistake in told)
    assert len(told) == 2


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("    signal: errors\n", "", "give either a query or a signal of platform.yaml"),
        ("signal: errors", "signal: errors\n    query: up", "give either a query or a signal"),
        ("duration: 60s", "duration: 0s", "stages[0].duration: must be longer than 0s"),
        ("stableFor: 30s", "stableFor: 6m", "recovery.stableFor: stableFor must not be longer than timeout"),
        ("environments: [dev, staging]", "environments: []", "environments: "),
    ],
)
def test_an_experiment_that_could_not_be_run_is_refused(
    old: str, new: str, expected: str, directory: Path
) -> None:
    path = directory / "basic-pod-failure.yaml"
    spoil(path, old, new)
    (mistake,) = Catalogue(directory).check(path)
    assert expected in mistake


def test_names_are_looked_up_with_the_nearest_suggested() -> None:
    platform = Catalogue().platform
    assert platform.service("redis").port == 6379
    assert platform.signal("p95").unit == "s"
    team = platform.team("data-team")
    assert team is not None
    assert team.slack == "#data-team"
    assert platform.team("nobody") is None
    with pytest.raises(UsageError, match=r"unknown service 'reddis'; did you mean 'redis'\?"):
        platform.service("reddis")
    with pytest.raises(UsageError, match=r"unknown environment 'stagging'; did you mean 'staging'\?"):
        platform.environment("stagging")
    with pytest.raises(UsageError, match=r"unknown signal 'q'; known: availability, breaker, cache-misses"):
        platform.signal("q")
