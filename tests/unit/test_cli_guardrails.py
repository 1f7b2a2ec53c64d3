"""People render the limits for a cluster, and see which ones hold there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gameday.cli.main import run
from gameday.errors import ExitCode
from sandbox.process.launch import Sandbox

Capture = pytest.CaptureFixture[str]
KINDS = [
    "ConfigMap",
    "ConfigMap",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
]


def test_what_is_rendered_can_be_piped_to_kubectl(capsys: Capture) -> None:
    assert run(["guardrails", "render"]) == ExitCode.HELD
    assert [body["kind"] for body in yaml.safe_load_all(capsys.readouterr().out)] == KINDS


def test_it_is_written_to_a_file_on_demand(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "guardrails.yaml"
    assert run(["guardrails", "render", "--to", str(path)]) == ExitCode.HELD
    assert [body["kind"] for body in yaml.safe_load_all(path.read_text(encoding="utf-8"))] == KINDS
    assert capsys.readouterr().out == ""


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, capsys: Capture) -> None:
    assert run(["guardrails", "render", "--to", str(tmp_path)]) == ExitCode.USAGE
    assert "cannot be written" in capsys.readouterr().err


def test_the_limits_are_shown_as_the_api_server_reads_them(capsys: Capture) -> None:
    assert run(["guardrails", "show", "-o", "json"]) == ExitCode.HELD
    limits = json.loads(capsys.readouterr().out)["limits"]
    assert limits["maxFaultDuration"] == "30m"
    assert limits["memory"] == str(1024**3)


def test_a_cluster_without_the_limits_is_told_from_one_with_them(sandbox: Sandbox, capsys: Capture) -> None:
    assert run(["guardrails", "show", "--env", "staging", "-o", "json"]) == ExitCode.REFUSED
    assert "ConfigMap gameday-guardrails is not installed" in json.loads(capsys.readouterr().out)["drift"]
    assert run(["guardrails", "show", "--sandbox", "-o", "json"]) == ExitCode.HELD
    assert json.loads(capsys.readouterr().out)["drift"] == []


@pytest.mark.parametrize(
    ("option", "code"), [("--guardrails", ExitCode.HELD), ("--no-guardrails", ExitCode.REFUSED)]
)
def test_a_sandbox_enforces_the_limits_unless_told_otherwise(option: str, code: int, capsys: Capture) -> None:
    assert run(["sandbox", "up", "--rehearsal", "--history", "10s", option]) == ExitCode.HELD
    try:
        assert run(["guardrails", "show", "--sandbox", "-o", "json"]) == code
    finally:
        run(["sandbox", "down"])
    capsys.readouterr()


def test_the_limits_are_shown_without_loading_the_sandbox_or_prefect() -> None:
    script = "import sys; from gameday.cli.main import run; run(['guardrails', 'render'])"
    script += "; sys.exit(any(name in sys.modules for name in ('prefect', 'sandbox', 'cel_expr_python')))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode == 0
