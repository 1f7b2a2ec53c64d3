"""The program works from a wheel in an empty folder: catalogue, templates and sandbox travel with it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gameday.errors import ExitCode

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
    done = started(installed, folder, *arguments)
    done.check_returncode()
    return done.stdout


def started(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, check=False, capture_output=True, encoding="utf-8"
    )


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


def test_nothing_is_written_where_an_upgrade_would_remove_it(installed: Path, tmp_path: Path) -> None:
    fault = {"selector": {"labelSelectors": {"app": "redis"}}, "mode": "one", "action": "pod-kill"}
    manifest = tmp_path / "chaos.json"
    manifest.write_text(
        json.dumps(
            {
                "apiVersion": "chaos-mesh.org/v1alpha1",
                "kind": "PodChaos",
                "metadata": {"name": "trial", "namespace": "chaos-engineering"},
                "spec": fault,
            }
        ),
        encoding="utf-8",
    )
    before = sorted((installed / "experiments").iterdir())
    for arguments in (["new", "trial"], ["import", str(manifest)]):
        done = started(installed, tmp_path, "-m", "gameday.cli.main", *arguments)
        assert done.returncode == ExitCode.USAGE
        told = " ".join(done.stderr.split())
        assert "is part of the installation: an upgrade may remove" in told
        assert "--experiments DIR or GAMEDAY_EXPERIMENTS" in told
    assert sorted((installed / "experiments").iterdir()) == before
    gameday(installed, tmp_path, "import", str(manifest), "--to", "ours")
    own = tmp_path / "ours"
    for name in ("platform.yaml", "guardrails.yaml"):
        shutil.copy(installed / "experiments" / name, own)
    gameday(installed, tmp_path, "new", "another", "--experiments", str(own))
    assert {path.name for path in own.iterdir()} >= {"trial.yaml", "another.yaml"}


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
