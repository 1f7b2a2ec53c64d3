"""Editors complete and check the files from JSON Schemas that never lag behind the models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it has no types, and their stubs are not in the lock
import pytest
from ruamel.yaml import YAML

from gameday.spec.catalogue import default_directory
from gameday.spec.schema import SCHEMAS, render, write

OWN = default_directory()
FILES = sorted(OWN.glob("*.yaml"))


def schema_of(path: Path) -> dict[str, Any]:
    named = path.read_text(encoding="utf-8").splitlines()[0].partition("$schema=./")[2]
    schema: dict[str, Any] = json.loads((OWN / named).read_text(encoding="utf-8"))
    return schema


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schema_is_what_the_models_generate(name: str) -> None:
    found = (OWN / name).read_text(encoding="utf-8")
    assert found == render(SCHEMAS[name]), "it lags: run `python -m gameday.spec.schema`"


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schema_is_a_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(render(SCHEMAS[name])))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_of_the_catalogue_names_a_schema_and_fits_it(path: Path) -> None:
    data = YAML(typ="safe").load(path)
    errors = jsonschema.Draft202012Validator(schema_of(path)).iter_errors(data)
    assert [error.message for error in errors] == []


def test_the_schema_refuses_what_validation_refuses() -> None:
    path = OWN / "basic-pod-failure.yaml"
    validator = jsonschema.Draft202012Validator(schema_of(path))
    changes: list[dict[str, Any]] = [
        {"titel": "x"},
        {"name": "Not a name"},
        {"category": "simple"},
        {"stages": []},
        {"baseline": "5 minutes"},
        {"baseline": 5},
    ]
    for change in changes:
        assert list(validator.iter_errors(YAML(typ="safe").load(path) | change)), change


def test_the_schemas_can_be_written_anywhere(tmp_path: Path) -> None:
    write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(SCHEMAS)
