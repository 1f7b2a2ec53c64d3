"""People look at what there is, and at whether it is written well, before anything runs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from gameday.cli import output
from gameday.cli.main import run
from gameday.errors import ExitCode
from gameday.spec.catalogue import default_directory

OWN = default_directory()
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _own_consoles() -> None:
    """Print to the streams of this test, not to those of the first one."""
    output.stdout.cache_clear()
    output.stderr.cache_clear()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A copy of the catalogue to spoil."""
    for path in OWN.glob("*.yaml"):
        shutil.copy(path, tmp_path)
    return tmp_path


def test_list_shows_every_experiment_on_a_line(capsys: Capture) -> None:
    assert run(["list"]) == ExitCode.HELD
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.startswith("basic-pod-failure ")]
    assert "6m" in line
    assert "dev, staging" in line
    assert "One pod of each backend service is killed" in line


def test_list_prints_the_same_for_programs(capsys: Capture) -> None:
    assert run(["list", "-o", "json"]) == ExitCode.HELD
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["network-resilience"]["duration"] == "8m"
    assert run(["list", "-o", "yaml"]) == ExitCode.HELD
    assert {row["name"]: row for row in YAML(typ="safe").load(capsys.readouterr().out)} == rows


def test_list_names_the_files_that_it_could_not_read(directory: Path, capsys: Capture) -> None:
    (directory / "broken.yaml").write_text("name: broken\n", encoding="utf-8")
    assert run(["list", "--experiments", str(directory)]) == ExitCode.USAGE
    shown = capsys.readouterr()
    assert "basic-pod-failure" in shown.out
    assert "broken.yaml" in shown.err


def test_show_tells_hypothesis_steady_state_and_stages(capsys: Capture) -> None:
    assert run(["show", "network-resilience"]) == ExitCode.HELD
    shown = capsys.readouterr().out
    assert "Users keep getting answers while the gateway is slow" in shown
    assert ">= 0.99" in shown
    assert "NetworkChaos delay 500ms ±100ms on api-gateway" in shown
    assert "NetworkChaos partition to platform-services on auth-service" in shown
    assert "NetworkChaos loss 15 % on tier=backend" in shown


def test_show_prints_the_file_for_programs(capsys: Capture) -> None:
    assert run(["show", "basic-pod-failure", "-o", "json"]) == ExitCode.HELD
    shown = json.loads(capsys.readouterr().out)
    assert shown["steadyState"][0] == {
        "name": "availability",
        "signal": "availability",
        "expect": ">= 0.99",
        "tolerate": ">= 0.6",
        "for": "10s",
        "services": [],
        "unit": "",
    }
    assert shown["stages"][0]["faults"][0]["spec"] == {"action": "pod-kill", "mode": "one"}


@pytest.mark.parametrize(
    ("kind", "spec", "words"),
    [
        (
            "StressChaos",
            "{mode: one, stressors: {cpu: {workers: 2, load: 80}}}",
            "StressChaos cpu 2 x 80 % on",
        ),
        (
            "HTTPChaos",
            "{mode: one, target: Request, port: 80, abort: true}",
            "HTTPChaos abort of requests on port 80 on",
        ),
        ("IOChaos", "{action: latency, mode: one, volumePath: /d, delay: 1s}", "IOChaos latency 1s on"),
        ("TimeChaos", "{mode: one, timeOffset: -10m}", "TimeChaos by -10m on"),
        ("DNSChaos", "{action: error, mode: all}", "DNSChaos error on"),
        ("KernelChaos", "{mode: one, failKernRequest: {}}", "KernelChaos as declared on"),
    ],
)
def test_show_says_of_each_kind_what_it_does(
    kind: str, spec: str, words: str, directory: Path, capsys: Capture
) -> None:
    path = directory / "basic-pod-failure.yaml"
    text = path.read_text(encoding="utf-8").replace("PodChaos", kind)
    path.write_text(text.replace("{action: pod-kill, mode: one}", spec), encoding="utf-8")
    assert run(["show", "basic-pod-failure", "--experiments", str(directory)]) == ExitCode.HELD
    assert words in " ".join(capsys.readouterr().out.split())


def test_show_answers_a_misspelt_name_with_the_nearest(capsys: Capture) -> None:
    assert run(["show", "network-resilence"]) == ExitCode.USAGE
    assert "did you mean 'network-resilience'?" in capsys.readouterr().err


def test_validate_finds_nothing_wrong_with_what_comes_along(capsys: Capture) -> None:
    assert run(["validate"]) == ExitCode.HELD
    assert f"{len(list(OWN.glob('*.yaml')))} files checked, no mistakes" in capsys.readouterr().err


def test_validate_tells_every_mistake_of_every_file_at_once(directory: Path, capsys: Capture) -> None:
    changes = {
        "basic-pod-failure.yaml": {
            "action: pod-kill": "action: pod-kil",
            "owner: platform": "owner: platfrom",
        },
        "network-resilience.yaml": {'loss: "15"': "loss: 15", "selector: platform-services": "selector: x"},
        "guardrails.yaml": {"noDataGrace: 30s": "noDataGrace: 30"},
        "platform.yaml": {"    tier: cache": "    teir: cache"},
    }
    for name, pairs in changes.items():
        path = directory / name
        text = path.read_text(encoding="utf-8")
        for old, new in pairs.items():
            assert old in text
            text = text.replace(old, new, 1)
        path.write_text(text, encoding="utf-8")
    (directory / "tabs.yaml").write_text("name:\n\t- a\n", encoding="utf-8")
    assert run(["validate", str(directory)]) == ExitCode.USAGE
    shown = capsys.readouterr()
    told = shown.out.splitlines()
    expected = {
        "basic-pod-failure.yaml:owner": "unknown team 'platfrom-team'; did you mean 'platform-team'?",
        "basic-pod-failure.yaml:stages[0].faults[0].spec.action": "did you mean 'pod-kill'?",
        "network-resilience.yaml:stages[1].faults[0].spec.target.selector": "unknown service 'x'; known",
        "network-resilience.yaml:stages[2].faults[0].spec.loss.loss": 'write it in quotes, "15"',
        "guardrails.yaml:noDataGrace": "expected a duration with its unit",
        "tabs.yaml:": "found character '\\t' that cannot start any token",
    }
    for place, words in expected.items():
        file, _, key = place.partition(":")
        (line,) = [
            line for line in told if re.match(rf"{directory}/{file}:\d+: {re.escape(key.strip())}", line)
        ]
        assert words in line
    rest = [line for line in told if line.startswith(f"{directory}/platform.yaml:")]
    assert len(told) == len(expected) + len(rest)
    missing, misspelt = rest
    assert missing.endswith("services[5]: the key 'tier' is missing")
    assert misspelt.endswith("services[5].teir: unknown key; did you mean 'tier'?")
    assert f"{len(list(directory.glob('*.yaml')))} files checked" in shown.err


def test_validate_checks_a_single_file_against_the_platform_beside_it(
    directory: Path, capsys: Capture
) -> None:
    path = directory / "platform.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("api-gateway", "gateway"), encoding="utf-8")
    assert run(["validate", str(directory / "basic-pod-failure.yaml")]) == ExitCode.USAGE
    assert "unknown service 'api-gateway'; did you mean 'gateway'?" in capsys.readouterr().out


def test_validate_checks_a_file_on_its_own_against_the_catalogue_that_comes_along(
    tmp_path: Path, capsys: Capture
) -> None:
    path = Path(shutil.copy(OWN / "basic-pod-failure.yaml", tmp_path))
    assert run(["validate", str(path)]) == ExitCode.HELD
    assert "1 file checked, no mistakes" in capsys.readouterr().err


def test_validate_answers_a_path_that_is_not_there_with_the_nearest(directory: Path, capsys: Capture) -> None:
    assert run(["validate", str(directory / "basic-pod-failures.yaml")]) == ExitCode.USAGE
    shown = capsys.readouterr().err
    assert "no such file or directory" in shown
    assert "basic-pod-failure.yaml?" in shown


def test_validate_does_not_call_an_empty_directory_right(tmp_path: Path, capsys: Capture) -> None:
    assert run(["validate", str(tmp_path)]) == ExitCode.USAGE
    assert "no *.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["list"], ["show", "basic-pod-failure"], ["validate"]])
def test_a_directory_of_experiments_that_is_none_is_wrong_usage(
    command: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    monkeypatch.setenv("GAMEDAY_EXPERIMENTS", str(tmp_path / "none"))
    assert run(command) == ExitCode.USAGE
    assert "no such directory of experiments" in capsys.readouterr().err
