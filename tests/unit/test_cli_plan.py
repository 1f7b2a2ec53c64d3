"""``gameday plan``: what is shown is whole, on every screen and for every program."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console
from ruamel.yaml import YAML

from gameday.cli.main import run
from gameday.cli.output import table
from gameday.errors import ExitCode

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
