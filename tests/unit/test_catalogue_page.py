"""The page about the catalogue says what the files say."""

from __future__ import annotations

import runpy
from pathlib import Path

from gameday.spec.catalogue import Catalogue

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


def test_the_page_is_what_the_files_say() -> None:
    made = runpy.run_path(str(REFERENCE / "make_catalogue.py"))["render"](Catalogue())
    found = (REFERENCE / "catalogue.md").read_text(encoding="utf-8")
    assert found == made, "it lags: run `python docs/reference/make_catalogue.py`"
