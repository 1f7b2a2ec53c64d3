"""Why: tests of the import speak of the same manifests, services and catalogue."""

from __future__ import annotations

import shutil
from pathlib import Path
from textwrap import dedent
from typing import Any

from ruamel.yaml import YAML

from gameday.cli.main import run
from gameday.errors import ExitCode
from gameday.spec.catalogue import Catalogue, default_directory
from gameday.spec.experiment import Experiment
from gameday.spec.kinds import member

NAMESPACE = "pyairtable-staging"
GATEWAY = {"namespaces": [NAMESPACE], "labelSelectors": {"app": "api-gateway", "tier": "backend"}}
AUTH = {"namespaces": [NAMESPACE], "labelSelectors": {"app": "auth-service", "tier": "backend"}}


def empty_catalogue(where: Path) -> Path:
    """A catalogue without experiments in ``where``; manifests lie beside it."""
    where.mkdir()
    for name in ("platform.yaml", "guardrails.yaml"):
        shutil.copy(default_directory() / name, where)
    return where


def manifest(directory: Path, *objects: Any, name: str = "chaos.yaml") -> Path:
    """A file of manifests: mappings, or text as it is."""
    path = directory.parent / name
    with path.open("w", encoding="utf-8") as file:
        for one in objects:
            if isinstance(one, str):
                file.write(dedent(one).lstrip())
            else:
                file.write("---\n")
                YAML(typ="safe").dump(one, file)
    return path


def an_object(kind: str, spec: Any, name: str = "trial", **metadata: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "chaos-engineering", **metadata}
    return {"apiVersion": "chaos-mesh.org/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def kill(selector: Any = GATEWAY, **more: Any) -> dict[str, Any]:
    return {"selector": selector, "mode": "one", "action": "pod-kill", **more}


def slow(selector: Any = AUTH, **more: Any) -> dict[str, Any]:
    return {"selector": selector, "mode": "all", "action": "delay", "delay": {"latency": "200ms"}, **more}


def template(name: str, kind: str, spec: Any = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "templateType": kind, **({member(kind): spec} if spec else {}), **more}


def workflow(*templates: dict[str, Any], name: str = "flow") -> dict[str, Any]:
    return an_object("Workflow", {"entry": templates[0]["name"], "templates": list(templates)}, name)


def experiment(directory: Path, *objects: Any, options: tuple[str, ...] = ()) -> Experiment:
    """The experiment that the command makes of the objects; it passes validation."""
    before = set(directory.iterdir())
    assert run(["import", str(manifest(directory, *objects)), *options]) == ExitCode.HELD
    (path,) = set(directory.iterdir()) - before
    catalogue = Catalogue(directory)
    assert catalogue.check(path) == []
    return catalogue.load(path)
