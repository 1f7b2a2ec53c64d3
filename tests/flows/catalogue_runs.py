"""Why: whether an experiment of the catalogue tells a weak platform from a good one takes a whole run.

A copy of the catalogue whose twin can be changed, and one run of one experiment on it, from its first
look to its verdict.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from flows.run_experiment import run_experiment
from gameday.journal.actions import ActionItem, Actions
from gameday.journal.store import Event, Journal
from gameday.run.showing import KIND
from gameday.settings import load
from gameday.spec.catalogue import default_directory
from tests.conftest import StartSandbox

_YAML = YAML(typ="safe")


@dataclass(frozen=True)
class Ran:
    """What came of a run: its verdict, why, what each stage showed, what is to be done, and its report."""

    verdict: str
    why: str
    events: tuple[Event, ...]
    items: tuple[ActionItem, ...]
    report: Path

    @property
    def shown(self) -> dict[str, bool | None]:
        """Whether each thing was shown, as ``stage: name``, in order."""
        told = [event.data for event in self.events if event.kind == KIND]
        return {f"{one['stage']}: {one['name']}": one["held"] for one in told}

    @property
    def not_shown(self) -> list[str]:
        """What was not."""
        return [name for name, held in self.shown.items() if not held]


@dataclass(frozen=True)
class Ground:
    """A platform to run on, as it is shipped or weakened."""

    directory: Path
    start_sandbox: StartSandbox
    set_variable: Callable[[str, str], None]

    def weaken(self, service: str, *, replicas: int | None = None, **twin: Any) -> None:
        """Change the twin of ``service``; what is not named stays."""
        path = self.directory / "platform.yaml"
        platform = _YAML.load(path)
        (found,) = [one for one in platform["services"] if one["name"] == service]
        found["replicas"] = replicas or found["replicas"]
        _merge(found["twin"], twin)
        with path.open("w", encoding="utf-8") as file:
            _YAML.dump(platform, file)

    def without_fallbacks(self) -> None:
        """Have no route answer without what it calls."""
        path = self.directory / "platform.yaml"
        text = path.read_text(encoding="utf-8")
        assert "fallback: true" in text
        path.write_text(text.replace("fallback: true", "fallback: false"), encoding="utf-8")

    async def run(self, name: str, duration: str | None = None) -> Ran:
        """Run the experiment ``name`` to its end."""
        for variable, value in self.start_sandbox(platform=self.directory / "platform.yaml").env.items():
            self.set_variable(variable, value)
        state = await run_experiment(name, "staging", duration=duration, return_state=True)
        async with Journal.open(load().database_url) as journal:
            (record,) = await journal.latest()
            events = tuple(await journal.events(record.run))
            items = tuple(await Actions(journal).items(run=record.run))
        assert record.verdict is not None
        return Ran(record.verdict.value, state.message or "", events, items, Path(record.report or ""))


def _merge(into: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_sandbox: StartSandbox) -> Ground:
    """The platform as shipped, which the run and the sandbox both read; may be weakened before a run."""
    for path in default_directory().glob("*.yaml"):
        shutil.copy(path, tmp_path)
    monkeypatch.setenv("GAMEDAY_EXPERIMENTS", str(tmp_path))
    return Ground(tmp_path, start_sandbox, monkeypatch.setenv)
