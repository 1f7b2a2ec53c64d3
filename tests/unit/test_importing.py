"""What teams wrote for Chaos Mesh becomes an experiment, and what became of each part of it is said."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from ruamel.yaml import YAML

from gameday.cli.main import run
from gameday.errors import ExitCode
from gameday.spec.experiment import Experiment
from gameday.spec.kinds import FAULT_KINDS, member
from sandbox.chaosmesh.kinds import FAULT_KINDS as SERVED
from sandbox.chaosmesh.webhook import default_spec
from tests.unit.manifests import (
    AUTH,
    GATEWAY,
    NAMESPACE,
    an_object,
    empty_catalogue,
    experiment,
    kill,
    manifest,
    slow,
    template,
    workflow,
)
from tests.unit.test_spec_examples import DOCUMENTED

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue without experiments, in force."""
    where = empty_catalogue(tmp_path / "experiments")
    monkeypatch.setenv("GAMEDAY_EXPERIMENTS", str(where))
    return where


def in_short(found: Experiment) -> list[tuple[str, int, int, list[str]]]:
    """Of each stage its name, how long it lasts and settles in seconds, and the kinds of its faults."""
    return [
        (
            stage.name,
            round(stage.duration.total_seconds()),
            round(stage.settle.total_seconds()),
            [fault.kind for fault in stage.faults],
        )
        for stage in found.stages
    ]


# --- What is planned is what was written.


def planned(directory: Path, name: str, capsys: Capture) -> list[list[dict[str, Any]]]:
    """The specs of the objects that a plan would create, stage by stage."""
    capsys.readouterr()
    assert run(["plan", name, "-o", "json", "--experiments", str(directory)]) in {0, ExitCode.REFUSED}
    plan = json.loads(capsys.readouterr().out)
    return [[fault["chaosObject"]["spec"] for fault in stage["faults"]] for stage in plan["stages"]]


def defaulted(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    """``spec`` as it stands in the cluster, once the webhook has filled in what it leaves out."""
    whole = copy.deepcopy(spec)
    default_spec(kind, whole, NAMESPACE)
    return whole


@pytest.mark.usefixtures("shared_sandbox")
def test_the_plan_of_an_imported_experiment_makes_the_same_objects(directory: Path, capsys: Capture) -> None:
    specs = {
        name: (kind, {**YAML(typ="safe").load(dedent(spec)), "selector": GATEWAY, "duration": "45s"})
        for name, (kind, spec) in DOCUMENTED.items()
        if "remoteCluster" not in spec
    }
    specs["partition"] = (
        "NetworkChaos",
        {
            "selector": AUTH,
            "mode": "all",
            "action": "partition",
            "direction": "both",
            "target": {"selector": GATEWAY, "mode": "one"},
            "duration": "1m30s",
        },
    )
    specs["no service"] = (
        "PodChaos",
        kill({**GATEWAY, "expressionSelectors": [{"key": "x", "operator": "Exists"}]}, duration="10s"),
    )
    objects = [an_object(kind, spec, name) for name, (kind, spec) in specs.items()]
    experiment(directory, *objects, options=("--name", "all-of-them"))
    made = planned(directory, "all-of-them", capsys)
    assert len(made) == len(specs)
    for (name, (kind, spec)), [found] in zip(specs.items(), made, strict=True):
        assert defaulted(kind, found) == defaulted(kind, spec), name


# --- Stages.


def test_a_workflow_becomes_stages_in_its_order_with_what_is_parallel_in_one(directory: Path) -> None:
    found = experiment(
        directory,
        workflow(
            template("entry", "Serial", children=["first", "pause", "both"]),
            template("first", "PodChaos", kill(), deadline="30s"),
            template("pause", "Suspend", deadline="45s"),
            template("both", "Parallel", children=["slow", "more"]),
            template("slow", "NetworkChaos", slow(), deadline="2m"),
            template("more", "PodChaos", kill(AUTH), deadline="2m"),
        ),
    )
    assert in_short(found) == [
        ("first", 30, 45, ["PodChaos"]),
        ("slow-and-more", 120, 0, ["NetworkChaos", "PodChaos"]),
    ]
    assert [fault.model_dump()["target"] for fault in found.stages[1].faults] == ["auth-service"] * 2


def test_faults_that_overlap_act_together_and_what_that_changes_is_said(
    directory: Path, capsys: Capture
) -> None:
    found = experiment(
        directory,
        workflow(
            template("entry", "Parallel", children=["long", "row"], deadline="90s"),
            template("long", "NetworkChaos", slow(), deadline="3m"),
            template("row", "Serial", children=["wait", "late"]),
            template("wait", "Suspend", deadline="1m"),
            template("late", "PodChaos", kill(), deadline="20s"),
        ),
    )
    assert in_short(found) == [("long-and-more", 90, 0, ["NetworkChaos", "PodChaos"])]
    told = capsys.readouterr().err
    assert (
        "late began 1m later and lasted 20s; the faults of a stage act together, this one for 1m30s" in told
    )


def test_single_faults_follow_each_other_unless_they_are_to_act_together(
    directory: Path, capsys: Capture
) -> None:
    objects = [an_object("PodChaos", kill(duration="20s"), "a"), an_object("NetworkChaos", slow(), "b")]
    found = experiment(directory, *objects)
    assert in_short(found) == [("a", 20, 0, ["PodChaos"]), ("b", 300, 0, ["NetworkChaos"])]
    told = capsys.readouterr().err
    assert "NetworkChaos b follows what stands before it" in told
    assert "it had no end: here every fault ends, this one after 5m" in told
    options = ("--name", "at-once", "--together")
    assert len(experiment(directory, *objects, options=options).stages) == 1


@pytest.mark.parametrize(
    ("times", "frequency"),
    [
        ("@every 12h", "weekly"),
        ("0 3 * * *", "weekly"),
        ("0 3 * * 1-5", "weekly"),
        ("@every 336h", "every-second-week"),
        ("@monthly", "monthly"),
        ("0 3 1 */3 *", "quarterly"),
        ("@yearly", "on-demand"),
    ],
)
def test_the_times_of_a_schedule_become_how_often_it_should_be_run(
    directory: Path, capsys: Capture, times: str, frequency: str
) -> None:
    spec = {"schedule": times, "type": "PodChaos", "podChaos": kill()}
    more = {"historyLimit": 2, "concurrencyPolicy": "Forbid"}
    paused = an_object("Schedule", spec | more, annotations={"experiment.chaos-mesh.org/pause": "true"})
    found = experiment(directory, paused)
    assert found.frequency == frequency
    told = capsys.readouterr().err
    for words in (
        f"{times!r} became frequency {frequency}",
        "historyLimit",
        "concurrencyPolicy",
        "is paused",
    ):
        assert words in told


def test_a_scheduled_workflow_and_what_cannot_be_carried_out_are_said(
    directory: Path, capsys: Capture
) -> None:
    inner = workflow(
        template("entry", "Serial", children=["look", "break"]),
        template("look", "Task", conditionalBranches=[{"target": "never", "expression": "exitCode == 0"}]),
        template("break", "PodChaos", kill(), deadline="20s"),
        template("never", "Suspend", deadline="1s"),
    )["spec"]
    found = experiment(
        directory,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}},
        an_object("Schedule", {"schedule": "@weekly", "type": "Workflow", "workflow": inner}),
    )
    assert in_short(found) == [("break", 20, 0, ["PodChaos"])]
    told = capsys.readouterr().err
    assert "ConfigMap settings: it is no fault, Schedule or Workflow of Chaos Mesh" in told
    assert "Task: a container is not run here" in told
    assert "what followed on a condition: never" in told
    assert "hypothesis: what users can still do while this is broken" in told


def test_a_selector_becomes_a_service_only_where_it_can_mean_nothing_else(
    directory: Path, capsys: Capture
) -> None:
    selectors: dict[str, Any] = {
        "whole": GATEWAY,
        "part": {"namespaces": [NAMESPACE], "labelSelectors": {"app": "api-gateway"}},
        "several": {"namespaces": [NAMESPACE], "labelSelectors": {"tier": "backend"}},
        "elsewhere": {"namespaces": ["other"], "labelSelectors": {"app": "api-gateway"}},
        "pods": {"pods": {NAMESPACE: ["api-gateway-1"]}},
        "own namespace": {"labelSelectors": {"tier": "backend"}},
    }
    found = experiment(
        directory,
        *(
            an_object("PodChaos", kill(selector), name, namespace=NAMESPACE)
            for name, selector in selectors.items()
        ),
        options=("--name", "mixed"),
    )
    targets = [stage.model_dump(mode="json", by_alias=True)["faults"][0]["target"] for stage in found.stages]
    assert targets[:2] == ["api-gateway", "api-gateway"]
    assert [target["namespaces"] for target in (targets[2], targets[3], targets[5])] == [
        [NAMESPACE],
        ["other"],
        [NAMESPACE],
    ]
    assert targets[4]["pods"] == {NAMESPACE: ["api-gateway-1"]}
    told = capsys.readouterr().err
    assert "became the service api-gateway, which is app=api-gateway, tier=backend" in told
    assert found.environments == ("staging",)
    assert [probe.signal for probe in found.steady_state] == ["availability", "errors", "p95"]


# --- The command.


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: [1,\nc: 2\n", "chaos.yaml:"),
        ("a: 1\n---\n- a list\n", ":3: expected keys and values"),
        ("kind: ConfigMap\n", "there is no fault of Chaos Mesh in these files"),
        ("", "there is no fault of Chaos Mesh in these files"),
        ("\x00", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_manifest_is_one_message(
    directory: Path, capsys: Capture, text: str, told: str
) -> None:
    assert run(["import", str(manifest(directory, text))]) == ExitCode.USAGE
    assert told in capsys.readouterr().err


def test_no_file_is_overwritten_and_a_dry_run_writes_none(directory: Path, capsys: Capture) -> None:
    path = str(manifest(directory, an_object("PodChaos", kill())))
    assert run(["import", path, "--dry-run"]) == ExitCode.HELD
    printed = capsys.readouterr().out
    assert not (directory / "trial.yaml").exists()
    assert run(["import", path]) == ExitCode.HELD
    assert (directory / "trial.yaml").read_text(encoding="utf-8") == printed
    assert printed.startswith("# yaml-language-server: $schema=./experiment.schema.json\n")
    assert run(["import", path]) == ExitCode.USAGE
    assert "is there already, and is not overwritten" in capsys.readouterr().err
    elsewhere = directory.parent / "elsewhere"
    assert run(["import", path, "--to", str(elsewhere), "--name", "other"]) == ExitCode.HELD
    assert (elsewhere / "other.yaml").is_file()
    assert run(["import", path, "--name", "Not a name"]) == ExitCode.USAGE
    assert "'not-a-name' could be" in capsys.readouterr().err


def test_programs_read_what_became_of_a_manifest(directory: Path, capsys: Capture) -> None:
    path = str(manifest(directory, an_object("PodChaos", kill())))
    refused = str(manifest(directory, an_object("PodChaos", kill(mode="fixed")), name="refused.yaml"))
    assert run(["import", path, "--dry-run", "-o", "json"]) == ExitCode.HELD
    dry = json.loads(capsys.readouterr().out)
    assert run(["import", path, "-o", "json"]) == ExitCode.HELD
    told = json.loads(capsys.readouterr().out)
    assert told["file"] == str(directory / "trial.yaml")
    assert told == dry | {"file": told["file"]}
    assert dry["file"] is None
    assert run(["show", "trial", "-o", "json"]) == ExitCode.HELD
    assert told["experiment"] == json.loads(capsys.readouterr().out)
    assert any("hypothesis" in line for line in told["toFillIn"])
    assert run(["import", refused, "--name", "other", "-o", "json"]) == ExitCode.REFUSED
    told = json.loads(capsys.readouterr().out)
    assert (told["file"], told["experiment"]) == (None, None)
    assert "mode fixed needs a whole number" in told["refused"][0]


def test_a_list_of_objects_is_read_one_by_one(directory: Path) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": [an_object("PodChaos", kill(), "Of.A List")]}
    assert experiment(directory, listed).name == "of-a-list"


def test_every_kind_stands_where_chaos_mesh_looks_for_it() -> None:
    assert {kind: member(kind) for kind in FAULT_KINDS} == {
        kind: served.member for kind, served in SERVED.items()
    }


def test_templates_that_multiply_do_not_go_on_for_ever(directory: Path, capsys: Capture) -> None:
    levels = [template(f"t{n}", "Parallel", children=[f"t{n + 1}"] * 9) for n in range(20)]
    path = manifest(directory, workflow(*levels, template("t20", "Suspend", deadline="1s")))
    assert run(["import", str(path)]) == ExitCode.USAGE
    assert "too large, or nested too deep" in capsys.readouterr().err
