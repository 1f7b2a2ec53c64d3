"""Why: experiments, platform and guardrails are used together, so they are checked together.

Finds the files, reads them, and holds them against each other: a service that platform.yaml does
not know, an owner without a team, a runbook that is not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from gameday.errors import DeclarationError, UsageError
from gameday.spec.base import Mistake, nearest
from gameday.spec.experiment import Experiment
from gameday.spec.guardrails import Guardrails
from gameday.spec.loader import Document, parse, read
from gameday.spec.platform import Platform, unknown

PLATFORM_FILE = "platform.yaml"
GUARDRAILS_FILE = "guardrails.yaml"


def default_directory() -> Path:
    """The catalogue that came with this installation: beside the package, in a clone and in a wheel."""
    return Path(__file__).resolve().parents[2] / "experiments"


class Catalogue:
    """A directory of experiments with its platform and its guardrails, read when asked for."""

    def __init__(self, directory: Path | None = None) -> None:
        """Look into ``directory``. Raises ``UsageError`` where it is none."""
        self.directory = directory or default_directory()
        if not self.directory.is_dir():
            raise UsageError(
                f"{self.directory}: no such directory of experiments",
                hint="Name one with --experiments DIR or GAMEDAY_EXPERIMENTS.",
            )

    @cached_property
    def platform(self) -> Platform:
        """What platform.yaml says."""
        return parse(self._platform_document, Platform)

    @cached_property
    def _platform_document(self) -> Document:
        return read(self.directory / PLATFORM_FILE)

    @cached_property
    def guardrails(self) -> Guardrails:
        """What guardrails.yaml says, its signals checked against platform.yaml."""
        document = read(self.directory / GUARDRAILS_FILE)
        return parse(document, Guardrails, self._against_platform(document))

    @property
    def files(self) -> list[Path]:
        """The experiment files, by name."""
        others = {PLATFORM_FILE, GUARDRAILS_FILE}
        return sorted(path for path in self.directory.glob("*.yaml") if path.name not in others)

    @property
    def names(self) -> list[str]:
        """The names of the experiments, as their files are called."""
        return [path.stem for path in self.files]

    def experiment(self, name: str) -> Experiment:
        """The experiment called ``name``. Raises ``UsageError`` or ``DeclarationError``."""
        path = self.directory / f"{name}.yaml"
        if path.name in {PLATFORM_FILE, GUARDRAILS_FILE} or path not in self.files:
            hint = nearest(name, self.names) or f"; known: {', '.join(self.names) or 'none'}"
            raise UsageError(f"unknown experiment {name!r}{hint}")
        return self.load(path)

    def load(self, path: Path) -> Experiment:
        """The experiment in ``path``, held against the platform. Raises ``DeclarationError``."""
        document = read(path)
        mistakes = self._against_platform(document)
        if document.data.get("name", path.stem) != path.stem:
            mistakes.append((("name",), f"expected {path.stem!r}, as the file is called"))
        return parse(document, Experiment, mistakes)

    def check(self, path: Path) -> list[str]:
        """Every mistake in one file of any of the three sorts; empty where there is none."""
        try:
            if path.name == PLATFORM_FILE:
                parse(read(path), Platform)
            elif path.name == GUARDRAILS_FILE:
                document = read(path)
                parse(document, Guardrails, self._against_platform(document))
            else:
                self.load(path)
        except DeclarationError as error:
            return list(error.problems) or [error.message]
        return []

    def _against_platform(self, document: Document) -> list[Mistake]:
        """The names in ``document`` that platform.yaml does not have.

        Both are looked at as they were read, so that this is told together with the mistakes in them.
        """
        platform = self._platform_document.data
        found = []
        for what, names, places in _REFERENCES:
            known = [name for _, name in _texts(platform, names)]
            for place in places:
                named = _texts(document.data, place)
                found += [(where, unknown(what, name, known)) for where, name in named if name not in known]
        return found


_RULES_OF_ENVIRONMENTS: Final = (
    "gaps",
    "blastRadius",
    "protected",
    "destructive",
    "categories",
    "hours",
    "freezes",
)
# What it is, where platform.yaml names them, and where others refer to one.
_REFERENCES: Final = (
    ("team", ("teams", "*", "name"), (("owner",), ("approvals", "approvers", "*"))),
    (
        "environment",
        ("environments", "*", "name"),
        (
            ("environments", "*"),
            *((rule, "*", "environments", "*") for rule in _RULES_OF_ENVIRONMENTS),
            ("approvals", "demands", "keys"),
        ),
    ),
    (
        "signal",
        ("prometheus", "signals", "*", "name"),
        (
            ("steadyState", "*", "signal"),
            ("stages", "*", "mustShow", "*", "signal"),
            ("thresholds", "*", "signal"),
        ),
    ),
    (
        "service",
        ("services", "*", "name"),
        (
            ("steadyState", "*", "services", "*"),
            ("steadyState", "*", "http", "service"),
            ("expectAlerts", "*", "services", "*"),
            ("stages", "*", "expectAlerts", "*", "services", "*"),
            ("stages", "*", "mustShow", "*", "services", "*"),
            ("stages", "*", "faults", "*", "target"),
            ("stages", "*", "faults", "*", "spec", "target", "selector"),
            ("protected", "*", "service"),
        ),
    ),
)


def _texts(node: Any, pattern: tuple[str, ...], above: tuple[str | int, ...] = ()) -> Iterator[Mistake]:
    """Every text that stands at ``pattern``, with its place: ``*`` is each item, ``keys`` each key."""
    if not pattern:
        if isinstance(node, str):
            yield above, node
        return
    step, rest = pattern[0], pattern[1:]
    found: Iterable[tuple[str | int, Any]] = ()
    if step == "*" and isinstance(node, list):
        found = enumerate(node)
    elif step == "keys" and isinstance(node, dict):
        found = [(key, key) for key in node if isinstance(key, str)]
    elif step != "*" and isinstance(node, dict) and step in node:
        found = [(step, node[step])]
    for key, value in found:
        yield from _texts(value, rest, (*above, key))
