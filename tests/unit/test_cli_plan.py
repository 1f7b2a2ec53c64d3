"""``gameday plan``: what is shown is whole, on every screen and for every program."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from ruamel.yaml import YAML

from gameday.cli.main import run
from gameday.cli.output import table
from gameday.errors import ExitCode
from gameday.spec.catalogue import Catalogue

Capture = pytest.CaptureFixture[str]


@pytest.mark.usefixtures("shared_sandbox")
def test_json_and_yaml_say_the_same_and_nothing_else_is_printed(capsys: Capture) -> None:
    assert run(["plan", "basic-pod-failure", "-o", "json"]) == ExitCode.HELD
    told = capsys.readouterr()
    assert told.err == ""
    as_json = json.loads(told.out)
    assert run(["plan", "basic-pod-failure", "-o", "yaml"]) == ExitCode.HELD
    as_yaml = YAML(typ="safe").load(io.StringIO(capsys.readouterr().out))
    assert set(as_json) == set(as_yaml)
    # The ids of the two runs differ, and the objects are named after them.
    assert as_json["digest"] == as_yaml["digest"]


def printed(width: int) -> list[str]:
    with io.StringIO() as screen:
        rows = table("STAGE", "HITS", "ONE OR MORE OF")
        rows.add_row("kill-platform-services (30s)", "1 of 3 platform-services", "pod-a, pod-b")
        rows.add_row("settle (30s)", "", "")
        Console(file=screen, width=width).print(rows)
        return screen.getvalue().splitlines()


def test_a_table_that_fits_is_a_table() -> None:
    assert len(printed(80)) == 3


def test_a_table_that_does_not_fit_becomes_blocks_and_loses_nothing() -> None:
    lines = printed(60)
    assert all(len(line) <= 60 for line in lines)
    assert [line.split("  ", 1)[0] for line in lines if line.strip()] == [
        "STAGE",
        "HITS",
        "ONE OR MORE OF",
        "STAGE",
    ]
    assert "1 of 3 platform-services" in lines[1]
    assert "pod-a, pod-b" in lines[2]


@pytest.mark.parametrize("command", ["list", "show", "validate", "plan", "health", "run", "monitor", "stop"])
def test_the_help_of_each_command_ends_with_what_people_type(command: str, capsys: Capture) -> None:
    assert run([command, "--help"]) == 0
    examples = capsys.readouterr().out.partition("Examples")[2]
    assert f"gameday {command}" in examples


@pytest.mark.usefixtures("shared_sandbox")
def test_a_plan_says_how_risky_it_is_and_what_it_needs(capsys: Capture) -> None:
    assert run(["plan", "network-resilience"]) == ExitCode.HELD
    told = capsys.readouterr().out
    assert "Risk: " in told
    assert "severity: the worst fault of 3 is NetworkChaos partition" in told
    assert run(["plan", "network-resilience", "-o", "json"]) == ExitCode.HELD
    plan = json.loads(capsys.readouterr().out)
    assert plan["needs"] == "nothing"
    assert plan["risk"]["points"] == sum(line["points"] for line in plan["risk"]["lines"])
    assert plan["violations"] == []


@pytest.mark.usefixtures("shared_sandbox")
def test_a_plan_names_the_rule_the_value_the_limit_and_who_may_approve(
    capsys: Capture, tmp_path: Path
) -> None:
    directory = tmp_path / "experiments"
    directory.mkdir()
    for path in Catalogue().directory.glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        if path.name == "guardrails.yaml":
            rule = "{service: auth-service, faults: [pod-kill, pod-failure, partition], environments: "
            assert f"{rule}[production]" in text
            text = text.replace(f"{rule}[production]", f"{rule}[staging]")
            text = text.replace("maxRunDuration: 60m", "maxRunDuration: 5m")
        (directory / path.name).write_text(text, encoding="utf-8")
    assert run(["plan", "basic-pod-failure", "--experiments", str(directory)]) == ExitCode.REFUSED
    told = capsys.readouterr().out
    assert "Risk: forbidden" in told
    assert "It needs: an approval, by platform-team or identity-team" in told
    assert "PodChaos kill-auth-service on auth-service: pod-kill; the limit is only with an approval" in told
    assert "(protected); platform-team or identity-team may approve it" in told
    assert "the execution takes: 6m; the limit is 5m (maxRunDuration)" in told
