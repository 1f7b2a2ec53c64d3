"""A template is to be copied: each is an experiment that the catalogue would take as it is."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from gameday.spec.catalogue import Catalogue, default_directory

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "appendices" / "experiment-templates.md").read_text(encoding="utf-8")
TEMPLATES = {
    str(yaml.safe_load(text)["name"]): text
    for text in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
}


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_a_template_is_a_valid_experiment(name: str, tmp_path: Path) -> None:
    directory = tmp_path / "experiments"
    shutil.copytree(default_directory(), directory)
    file = directory / f"{name}.yaml"
    file.write_text(TEMPLATES[name], encoding="utf-8")
    assert Catalogue(directory).check(file) == []
    runbook = Catalogue(directory).experiment(name).runbook
    assert runbook is None or (DOCS.parent / runbook).is_file()
