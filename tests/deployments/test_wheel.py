"""The program works from a wheel in an empty folder: catalogue, templates and sandbox travel with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheel of this checkout is installed, apart from it."""
    dist = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(dist), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = dist.glob("*.whl")
    site = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(site), str(wheel)], check=True, capture_output=True)
    return site


def gameday(installed: Path, folder: Path, *arguments: str) -> str:
    """What the installed command prints, in a folder with nothing of ours."""
    return python(installed, folder, "-m", "gameday.cli.main", *arguments)


def python(installed: Path, folder: Path, *arguments: str) -> str:
    """What Python prints where only the wheel is installed."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True, encoding="utf-8"
    )
    return done.stdout


def test_the_catalogue_travels_with_the_wheel(installed: Path, tmp_path: Path) -> None:
    where = "from gameday.spec.catalogue import default_directory; print(default_directory())"
    assert python(installed, tmp_path, "-c", where).strip() == str(installed / "experiments")
    names = [row["name"] for row in json.loads(gameday(installed, tmp_path, "list", "-o", "json"))]
    assert sorted(names) == sorted(path.stem for path in (installed / "experiments").glob("*-*.yaml"))
    assert "basic-pod-failure" in names


def test_a_plan_is_made_on_the_sandbox_of_the_wheel(installed: Path, tmp_path: Path) -> None:
    plan = json.loads(gameday(installed, tmp_path, "plan", "basic-pod-failure", "--sandbox", "-o", "json"))
    assert plan["refusals"] == []
    assert len(plan["stages"]) == 3


def test_another_catalogue_can_be_named(installed: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for name in ("platform.yaml", "guardrails.yaml"):
        (own / name).write_text(
            (installed / "experiments" / name).read_text(encoding="utf-8"), encoding="utf-8"
        )
    text = (installed / "experiments" / "basic-pod-failure.yaml").read_text(encoding="utf-8")
    (own / "ours.yaml").write_text(text.replace("name: basic-pod-failure", "name: ours"), encoding="utf-8")
    rows = json.loads(gameday(installed, tmp_path, "list", "-o", "json", "--experiments", str(own)))
    assert [row["name"] for row in rows] == ["ours"]
