"""What in a manifest Chaos Mesh would refuse is refused with its line, and nothing in one is a traceback."""

from __future__ import annotations

import copy
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from gameday.cli.main import run
from gameday.errors import ExitCode, UsageError
from gameday.spec.catalogue import Catalogue
from gameday.spec.experiment import Experiment
from gameday.spec.importing.experiment import imported, read_manifests
from sandbox.chaosmesh.webhook import spec_faults
from tests.unit.manifests import (
    AUTH,
    GATEWAY,
    NAMESPACE,
    an_object,
    empty_catalogue,
    kill,
    manifest,
    slow,
    template,
    workflow,
)
from tests.unit.test_fuzz_declarations import VALUES, places

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue without experiments, in force."""
    where = empty_catalogue(tmp_path / "experiments")
    monkeypatch.setenv("GAMEDAY_EXPERIMENTS", str(where))
    return where


SENSELESS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("TimeChaos", {"mode": "fixed", "value": "0", "timeOffset": "1m"}),
    ("TimeChaos", {"mode": "fixed-percent", "value": "101", "timeOffset": "1m"}),
    ("TimeChaos", {"mode": "random-max-percent", "timeOffset": "1m"}),
    ("TimeChaos", {"mode": "one", "timeOffset": "soon"}),
    ("PodChaos", {"mode": "one", "action": "pod-failure", "duration": "soon"}),
    ("PodChaos", {"mode": "one", "action": "container-kill"}),
    ("PodChaos", {"mode": "one", "action": "pod-kill", "gracePeriod": -1}),
    ("NetworkChaos", slow(direction="from")),
    ("NetworkChaos", {"mode": "all", "action": "loss", "loss": {"loss": "much"}}),
    ("NetworkChaos", slow(target={"selector": AUTH, "mode": "fixed", "value": "0"})),
    ("StressChaos", {"mode": "one"}),
    ("StressChaos", {"mode": "one", "stressors": {"cpu": {"workers": 0}}}),
    ("StressChaos", {"mode": "one", "stressors": {"cpu": {"workers": 1, "load": 101}}}),
    ("IOChaos", {"mode": "one", "action": "fault", "volumePath": "/data"}),
    ("HTTPChaos", {"mode": "one", "target": "Request", "abort": True, "port": -1}),
)


@pytest.mark.parametrize(("kind", "spec"), SENSELESS)
def test_what_chaos_meshs_webhook_denies_is_refused_with_its_line(
    directory: Path, capsys: Capture, kind: str, spec: dict[str, Any]
) -> None:
    body = {"selector": GATEWAY, **spec}
    assert spec_faults(kind, body), "the webhook takes it"
    path = manifest(directory, an_object(kind, body))
    assert run(["import", str(path)]) == ExitCode.REFUSED
    told = capsys.readouterr().err
    assert f"Refused:\n  {path}:" in told
    assert "Nothing was written." in told
    assert not (directory / "trial.yaml").exists()


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (an_object("PodChaos", {"mode": "one", "action": "pod-kill"}), "the key 'selector' is missing"),
        (an_object("PodChaos", None), "the spec of the PodChaos is missing"),
        (
            an_object("PodChaos", kill(remoteCluster="other")),
            "spec.remoteCluster: it acts in another cluster",
        ),
        (an_object("PodChaos", kill(mod="one")), "unknown key; did you mean 'mode'?"),
        (an_object("PodChaos", kill(mode="fixed", value=2)), "Chaos Mesh wants text here"),
        (an_object("PodChaos", kill({"namespaces": [NAMESPACE]})), "selects every pod"),
        (
            an_object("Schedule", {"schedule": "at noon", "type": "PodChaos", "podChaos": kill()}),
            "spec.schedule: not a time of cron",
        ),
        (
            an_object("Schedule", {"schedule": "@daily", "type": "PodChaos"}),
            "the spec of the PodChaos is missing",
        ),
        (
            workflow(template("a", "PodChaos", kill(duration="1m"))),
            "spec.templates[0].podChaos.duration: a fault in a Workflow takes the template's deadline",
        ),
        (workflow(template("a", "Serial", children=["b"])), "there is no template 'b'"),
        (workflow(template("a", "Serial", children=["a"])), "the template 'a' is part of itself"),
        (workflow(template("a", "Seril", children=[])), "did you mean 'Serial'?"),
        (an_object("Workflow", {"entry": "a"}), "a Workflow needs entry and templates"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(
    directory: Path, capsys: Capture, one: dict[str, Any], told: str
) -> None:
    assert run(["import", str(manifest(directory, one))]) == ExitCode.REFUSED
    assert told in capsys.readouterr().err


def test_what_is_left_beside_something_refused_is_written_only_if_that_is_wanted(
    directory: Path, capsys: Capture
) -> None:
    path = manifest(directory, an_object("PodChaos", {}, "bad"), an_object("PodChaos", kill(), "good"))
    assert run(["import", str(path), "--name", "rest"]) == ExitCode.REFUSED
    assert not (directory / "rest.yaml").exists()
    assert run(["import", str(path), "--name", "rest", "--leave-out-refused"]) == ExitCode.HELD
    assert [stage.name for stage in Catalogue(directory).experiment("rest").stages] == ["good"]
    assert "Refused:" in capsys.readouterr().err


SOUND = [
    an_object("Schedule", {"schedule": "@weekly", "type": "PodChaos", "podChaos": kill()}),
    workflow(
        template("entry", "Parallel", children=["slow", "pause"], deadline="5m"),
        template("slow", "NetworkChaos", slow(), deadline="2m"),
        template("pause", "Suspend", deadline="45s"),
    ),
]


@st.composite
def spoilt(draw: st.DrawFn) -> list[Any]:
    """Manifests in which up to three things were changed or removed."""
    objects = copy.deepcopy(SOUND)
    for _ in range(draw(st.integers(1, 3))):
        standing = list(places(objects))
        if not standing:
            break
        place = draw(st.sampled_from(standing))
        parent: Any = objects
        for step in place[:-1]:
            parent = parent[step]
        if draw(st.booleans()):
            parent[place[-1]] = draw(VALUES)
        else:
            del parent[place[-1]]
    return objects


def test_whatever_stands_in_a_manifest_it_is_taken_or_told_and_never_a_traceback() -> None:
    platform = Catalogue().platform

    @settings(derandomize=True, deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))
    @given(objects=spoilt())
    def check(objects: list[Any]) -> None:
        with tempfile.TemporaryDirectory() as where:
            path = Path(where) / "chaos.yaml"
            with path.open("w", encoding="utf-8") as file:
                YAML(typ="safe").dump_all(objects, file)
            with suppress(UsageError):
                made = imported(read_manifests([path]), platform, None, "spoilt", together=False)
                if not made.remarks.refused:
                    Experiment.model_validate(made.content)

    check()
