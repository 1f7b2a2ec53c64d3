"""Why: a figure says little without another tool's beside it that does the same work.

Chaos Toolkit, with its Kubernetes extension, in a virtual environment of its own, kills the same
pods with the same pauses and asks the same questions of the same Prometheus. How it and ``gameday``
are measured is for ``bench_overhead``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from benchmarks.measuring import Finished, NotMeasuredError, run
from gameday.plan.build import scaled
from gameday.spec.experiment import Experiment
from gameday.spec.platform import Environment, Platform

_PACKAGES = ("chaostoolkit", "chaostoolkit-lib[jsonpath]", "chaostoolkit-kubernetes", "chaostoolkit-addons")
_LIMIT_S = 600
_KILL = "pod-kill"


@dataclass(frozen=True, slots=True)
class Toolkit:
    """An installed Chaos Toolkit."""

    command: Path
    versions: str


def install() -> Toolkit:
    """Chaos Toolkit from the package index, in the user's cache; nothing is done where it is there.

    ``GAMEDAY_BENCH_TOOLKIT`` names another directory for it. Raises ``NotMeasuredError`` where it
    cannot be installed.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    named = os.environ.get("GAMEDAY_BENCH_TOOLKIT")
    directory = Path(named) if named else user_cache_path("gameday-benchmarks") / f"chaostoolkit-py{version}"
    python, done = directory / "bin" / "python", directory / ".installed"
    if not done.exists() or done.read_text() != " ".join(_PACKAGES):
        _call([sys.executable, "-m", "venv", "--clear", str(directory)])
        _call([str(python), "-m", "pip", "install", "--quiet", *_PACKAGES])
        done.write_text(" ".join(_PACKAGES))
    names = (*(package.partition("[")[0] for package in _PACKAGES), "kubernetes")
    asking = f"from importlib.metadata import version\nfor name in {names}: print(name, version(name))"
    versions = ", ".join(_call([str(python), "-c", asking]).splitlines())
    return Toolkit(directory / "bin" / "chaos", versions)


def _call(command: Sequence[str]) -> str:
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LIMIT_S)
    if finished.returncode:
        raise NotMeasuredError(f"{' '.join(command[:4])} failed:\n{finished.stderr[-2000:]}")
    return finished.stdout


def same_experiment(
    experiment: Experiment,
    platform: Platform,
    environment: Environment,
    *,
    duration: timedelta,
    prometheus_url: str,
    tolerant: bool,
) -> tuple[dict[str, object], timedelta]:
    """``experiment`` as Chaos Toolkit would have it written, and the sum of its pauses.

    Each stage of pod kills becomes a ``terminate_pods`` followed by a pause of the stage's duration
    and settling; each probe, an HTTP probe of Prometheus whose tolerance is ``expect``, or
    ``tolerate`` where it is to be ``tolerant``: Chaos Toolkit knows one limit, not one for the time of
    the faults and another for before and after.
    """
    actions: list[dict[str, object]] = []
    paused = timedelta(0)
    for stage, parts in zip(experiment.stages, scaled(experiment, duration), strict=True):
        pause = sum(parts, timedelta(0))
        for fault in stage.faults:
            if fault.kind != "PodChaos" or fault.spec.action != _KILL or not isinstance(fault.target, str):
                raise NotMeasuredError(f"stage {stage.name}: only kills of a service's pods are compared")
            labels = platform.service(fault.target).labels
            actions.append(_kill(stage.name, labels, environment.namespace, pause))
        paused += pause
    probes = [
        _probe(
            probe.name,
            query=probe.query or platform.signal(probe.signal or "").query,
            limit=str(probe.tolerate if tolerant and probe.tolerate else probe.expect),
            prometheus_url=prometheus_url,
        )
        for probe in experiment.steady_state
    ]
    document: dict[str, object] = {
        "title": experiment.title,
        "description": experiment.hypothesis,
        "steady-state-hypothesis": {"title": experiment.hypothesis, "probes": probes},
        "method": actions,
    }
    return document, paused


def _kill(name: str, labels: Mapping[str, str], namespace: str, pause: timedelta) -> dict[str, object]:
    return {
        "type": "action",
        "name": name,
        "provider": {
            "type": "python",
            "module": "chaosk8s.pod.actions",
            "func": "terminate_pods",
            "arguments": {
                "label_selector": ",".join(f"{key}={value}" for key, value in labels.items()),
                "ns": namespace,
                "rand": True,
                "qty": 1,
                # As Chaos Mesh's pod-kill does by default.
                "grace_period": 0,
            },
        },
        "pauses": {"after": pause.total_seconds()},
    }


def _probe(name: str, *, query: str, limit: str, prometheus_url: str) -> dict[str, object]:
    operator, number = limit.split()
    worst = "min" if operator in {">", ">="} else "max"
    return {
        "type": "probe",
        "name": name,
        # Its tolerances know no comparison within an answer, so Prometheus compares.
        "tolerance": {
            "type": "jsonpath",
            "target": "body",
            "path": "$.data.result[*].value[1]",
            "expect": ["1"],
        },
        "provider": {
            "type": "http",
            "url": f"{prometheus_url}/api/v1/query",
            "timeout": 5,
            "arguments": {"query": f"{worst}({query}) {operator} bool {number}"},
        },
    }


def guarded_fault(
    body: Mapping[str, Any], *, query: str, limit: str, every: timedelta, prometheus_url: str
) -> dict[str, object]:
    """An experiment that makes the chaos object ``body``, waits, and has a safeguard look meanwhile.

    The safeguard asks ``every`` so often whether the worst of ``query`` is within ``limit``; where it is
    not, Chaos Toolkit interrupts itself, and its rollback deletes the object.
    """
    group, _, version = str(body["apiVersion"]).partition("/")
    where = {
        "group": group,
        "version": version,
        "plural": str(body["kind"]).lower(),
        "ns": body["metadata"]["namespace"],
    }
    probe = _probe("safeguard", query=query, limit=limit, prometheus_url=prometheus_url)
    return {
        "title": "A fault under a safeguard",
        "description": "Interrupted where the platform suffers",
        "method": [
            _action("create_custom_object", {**where, "resource": dict(body)}, pause=timedelta(minutes=10))
        ],
        "rollbacks": [_action("delete_custom_object", {**where, "name": body["metadata"]["name"]})],
        "controls": [
            {
                "name": "safeguard",
                "provider": {
                    "type": "python",
                    "module": "chaosaddons.controls.safeguards",
                    "arguments": {"probes": [{**probe, "frequency": every.total_seconds()}]},
                },
            }
        ],
    }


def _action(name: str, arguments: Mapping[str, Any], *, pause: timedelta = timedelta(0)) -> dict[str, object]:
    provider = {
        "type": "python",
        "module": "chaosk8s.crd.actions",
        "func": name,
        "arguments": dict(arguments),
    }
    return {
        "type": "action",
        "name": name,
        "provider": provider,
        **({"pauses": {"after": pause.total_seconds()}} if pause else {}),
    }


def carry_out(
    toolkit: Toolkit,
    document: Mapping[str, object],
    *options: str,
    env: Mapping[str, str],
    directory: Path,
    limit_s: float,
) -> Finished:
    """Run the experiment. Raises ``NotMeasuredError`` unless it was completed and found no deviation."""
    source, journal = directory / "experiment.json", directory / "journal.json"
    source.write_text(json.dumps(document))
    journal.unlink(missing_ok=True)
    command: list[str | Path] = [
        toolkit.command,
        "--no-version-check",
        "--no-log-file",
        "run",
        *options,
        "--journal-path",
        journal,
        source,
    ]
    finished = run(command, env=env, directory=directory, limit_s=limit_s)
    written = json.loads(journal.read_text()) if journal.exists() else {}
    failed = [one for one in written.get("run", ()) if one["status"] != "succeeded"]
    if not written or failed:
        raise NotMeasuredError(f"Chaos Toolkit did not carry it out: {failed}\n{finished.err[-2000:]}")
    return finished


def outcome(directory: Path) -> str:
    """How the last experiment of ``directory`` ended, in Chaos Toolkit's words."""
    written = json.loads((directory / "journal.json").read_text())
    return f"{written['status']}, {'deviated' if written['deviated'] else 'not deviated'}"
