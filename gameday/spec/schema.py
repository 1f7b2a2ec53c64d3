"""Why: editors complete and check the YAML files from JSON Schemas, which follow from the models.

``python -m gameday.spec.schema`` writes them beside the experiments; a test fails where they lag.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from gameday.spec.base import Model
from gameday.spec.catalogue import default_directory
from gameday.spec.experiment import Experiment
from gameday.spec.guardrails import Guardrails
from gameday.spec.platform import Platform
from gameday.spec.suite import Suite

SCHEMAS: Final[dict[str, type[Model]]] = {
    "experiment.schema.json": Experiment,
    "suite.schema.json": Suite,
    "platform.schema.json": Platform,
    "guardrails.schema.json": Guardrails,
}


def render(model: type[Model]) -> str:
    """The JSON Schema of ``model`` as the text of a file."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write(directory: Path) -> None:
    """Write every schema into ``directory``."""
    for name, model in SCHEMAS.items():
        (directory / name).write_text(render(model), encoding="utf-8")


if __name__ == "__main__":
    write(default_directory())
