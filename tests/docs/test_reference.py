"""The reference leaves nothing out: commands, settings, metrics, keys and exit codes are all in it."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from sphinx.errors import ExtensionError
from typer.main import get_group

from docs._ext.generated import MAKERS, expanded
from docs.images.draw_architecture import PICTURES
from gameday.cli.main import COMMANDS, app
from gameday.errors import ExitCode
from gameday.guard.metrics import Metrics
from gameday.journal.kinds import EVENTS, EventKind
from gameday.settings import Settings
from gameday.spec.catalogue import Catalogue, default_directory
from gameday.spec.schema import SCHEMAS

DOCS = Path(__file__).resolve().parents[2] / "docs"


def page(name: str) -> str:
    """A page as a reader of the site sees it, still as Markdown."""
    return expanded((DOCS / name).read_text(encoding="utf-8"))


def test_every_command_is_in_the_reference_with_its_options() -> None:
    text = page("reference/command.md")
    assert set(get_group(app).commands) == set(COMMANDS)
    for name in COMMANDS:
        assert f"\n### gameday {name}\n" in text
    assert "\n#### gameday sandbox break\n" in text
    assert "`-d, --duration DURATION`" in text


def test_every_setting_is_documented_in_words() -> None:
    text = page("reference/settings.md")
    for name, field in Settings.model_fields.items():
        assert field.description, f"{name} has no description"
        assert f"| `GAMEDAY_{name.upper()}` | {field.description}" in text


def test_every_metric_of_the_guard_is_documented() -> None:
    text = page("reference/guard-metrics.md")
    for family in Metrics().registry.collect():
        assert f"| `{family.name}" in text


def test_every_kind_of_event_is_documented() -> None:
    assert set(EVENTS) == set(get_args(EventKind))
    text = page("reference/events.md")
    for kind in get_args(EventKind):
        assert f"| `{kind}` | " in text


def test_every_exit_code_is_documented() -> None:
    text = page("reference/exit-codes.md")
    for code in ExitCode:
        assert f"| {code.value} | {code.name.lower()} |" in text


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        ("experiment.schema.json", "experiment-file"),
        ("suite.schema.json", "suite-file"),
        ("guardrails.schema.json", "guardrails"),
        ("platform.schema.json", "platform-file"),
    ],
)
def test_every_key_of_a_file_is_documented(schema: str, name: str) -> None:
    text = page(f"reference/{name}.md")
    written = SCHEMAS[schema].model_json_schema()
    for part in (written, *written["$defs"].values()):
        for key in part.get("properties", {}):
            assert f"| `{key}` |" in text, f"{key} of {part['title']}"


def test_queries_and_contacts_are_those_of_the_platform() -> None:
    platform = Catalogue(default_directory()).platform
    queries = page("appendices/monitoring-queries.md")
    contacts = page("appendices/emergency-contacts.md")
    assert all(f"`{one.query}`" in queries for one in platform.prometheus.signals)
    assert all(f"`{one.slack}`" in contacts for one in platform.teams)


def test_everything_that_can_be_generated_stands_on_a_page() -> None:
    pages = "".join(one.read_text(encoding="utf-8") for one in DOCS.rglob("*.md"))
    assert [name for name in MAKERS if f"<!-- generated: {name} -->" not in pages] == []


def test_a_mark_that_nothing_stands_behind_fails_the_build() -> None:
    with pytest.raises(ExtensionError, match="nothing generated is called 'setings'"):
        expanded("<!-- generated: setings -->")


def test_the_pictures_of_the_architecture_are_those_that_the_script_draws() -> None:
    for name, draw in PICTURES.items():
        drawn = (DOCS / "images" / name).read_text(encoding="utf-8")
        assert drawn == draw(), f"{name} lags: python docs/images/draw_architecture.py"
