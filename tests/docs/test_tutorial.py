"""Whoever follows the tutorial sees what it promises: each of its commands, in one shell, in order.

A fenced block ``console`` has commands after ``$ ``, each followed by what must stand in its output.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "tutorial" / "first-game-day.md"
MARK = "-- end of command {} --"


class Step(NamedTuple):
    """A command that a reader types, and what the tutorial says that it prints."""

    command: str
    promised: list[str]


def steps(page: str) -> list[Step]:
    """The commands of a page, in order."""
    found: list[Step] = []
    for block in re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Step(line[2:], []))
            else:
                found[-1].promised.append(line)
    return found


@pytest.mark.prefect
def test_every_command_of_the_tutorial_prints_what_it_promises(tmp_path: Path) -> None:
    wanted = steps(TUTORIAL.read_text(encoding="utf-8"))
    assert len(wanted) > 10
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments")
    # A command that fails ends the script: what is meant to fail says what happens then.
    script = "set -e\n" + "".join(
        f"{step.command}\necho '{MARK.format(number)}'\n" for number, step in enumerate(wanted)
    )
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # Wide enough that no table breaks a promised line in two.
    environment = {**os.environ, "PATH": tools, "COLUMNS": "400", "PREFECT_HOME": str(tmp_path / "prefect")}
    try:
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    finally:
        subprocess.run(["gameday", "sandbox", "down"], env=environment, capture_output=True, check=False)
    rest = done.stdout
    for number, step in enumerate(wanted):
        printed, ended, rest = rest.partition(MARK.format(number))
        assert ended, f"$ {step.command}\nfailed:\n{printed[-3000:]}"
        for words in step.promised:
            assert words in printed, f"$ {step.command}\ndid not print {words!r}:\n{printed[-3000:]}"
    assert done.returncode == 0
    assert sorted(one.name for one in tmp_path.iterdir()) == ["experiments", "prefect"]
