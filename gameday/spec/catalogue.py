"""Why: experiments, suites, platform and guardrails are used together, so they are checked together.

Finds the files, reads them, and holds them against each other: a service that platform.yaml does
not know, an owner without a team, an experiment of a suite that is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from gameday.errors import DeclarationError, UsageError
from gameday.spec.base import Mistake, nearest
from gameday.spec.experiment import Experiment
from gameday.spec.guardrails import Guardrails
from gameday.spec.loader import Document, parse, read
from gameday.spec.platform import Platform, unknown
from gameday.spec.suite import Part, Suite, takes

PLATFORM_FILE = "platform.yaml"
GUARDRAILS_FILE = "guardrails.yaml"

# Only a suite lists experiments. Told from the text: the file may have mistakes, and others are read, too.
_LISTS_EXPERIMENTS: Final = re.compile(r"^experiments\s*:", re.MULTILINE)


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

    def for_writing(self) -> Path:
        """The directory, for new files. Raises ``UsageError`` where an upgrade could take them away again."""
        own = default_directory()
        if self.directory.resolve() == own and not (own.parent / "pyproject.toml").exists():
            raise UsageError(
                f"{self.directory} is part of the installation: an upgrade may remove what is written there",
                hint="Copy it to a directory of your own, and name that with --experiments DIR or "
                "GAMEDAY_EXPERIMENTS.",
            )
        return self.directory

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
        return [path for path in self._declared if not _is_suite(path)]

    @property
    def suite_files(self) -> list[Path]:
        """The files of suites, by name."""
        return [path for path in self._declared if _is_suite(path)]

    @property
    def _declared(self) -> list[Path]:
        others = {PLATFORM_FILE, GUARDRAILS_FILE}
        return sorted(path for path in self.directory.glob("*.yaml") if path.name not in others)

    @property
    def names(self) -> list[str]:
        """The names of the experiments, as their files are called."""
        return [path.stem for path in self.files]

    @property
    def suites(self) -> list[str]:
        """The names of the suites, as their files are called."""
        return [path.stem for path in self.suite_files]

    def experiment(self, name: str) -> Experiment:
        """The experiment called ``name``. Raises ``UsageError`` or ``DeclarationError``."""
        path = self.directory / f"{name}.yaml"
        if path not in self.files:
            raise self._unknown("experiment", name)
        return self.load(path)

    def suite(self, name: str) -> Suite:
        """The suite called ``name``. Raises ``UsageError`` or ``DeclarationError``."""
        path = self.directory / f"{name}.yaml"
        if path not in self.suite_files:
            raise self._unknown("suite", name)
        return self.load_suite(path)

    def parts(self, suite: Suite, wanted: timedelta | None = None) -> tuple[Part, ...]:
        """The experiments of ``suite`` in order; with ``wanted`` their executions take that long in all.

        Raises ``UsageError`` or ``DeclarationError``.
        """
        found = tuple(Part(self.experiment(one.experiment), one.duration) for one in suite.experiments)
        if wanted is None:
            return found
        factor = wanted / takes(found)
        return tuple(
            replace(one, duration=timedelta(seconds=round((one.takes * factor).total_seconds())))
            for one in found
        )

    def _unknown(self, what: str, name: str) -> UsageError:
        known = sorted([*self.names, *self.suites])
        if name in known:
            other = "a suite" if name in self.suites else "an experiment"
            return UsageError(f"{name!r} is {other}, and this wants {_WITH_ARTICLE[what]}")
        hint = nearest(name, known) or f"; known: {', '.join(known) or 'none'}"
        return UsageError(f"unknown {what} {name!r}{hint}")

    def load(self, path: Path) -> Experiment:
        """The experiment in ``path``, held against the platform. Raises ``DeclarationError``."""
        return self.checked(read(path))

    def checked(self, document: Document) -> Experiment:
        """The same of a document, which may not be written yet."""
        return parse(document, Experiment, self._around(document))

    def load_suite(self, path: Path) -> Suite:
        """The suite in ``path``, held against the platform and the experiments that it lists.

        Raises ``DeclarationError``.
        """
        document = read(path)
        return parse(document, Suite, [*self._around(document), *self._members(document)])

    def _around(self, document: Document) -> list[Mistake]:
        mistakes = self._against_platform(document)
        stem = document.path.stem
        if document.data.get("name", stem) != stem:
            mistakes.append((("name",), f"expected {stem!r}, as the file is called"))
        return mistakes

    def _members(self, document: Document) -> Iterator[Mistake]:
        """The experiments of a suite that are not there, or not for its environments."""
        named = dict(_texts(document.data, ("experiments", "*", "experiment")))
        wanted = {where for _, where in _texts(document.data, ("environments", "*"))}
        for place, name in named.items():
            if name not in self.names:
                yield place, unknown("experiment", name, self.names)
                continue
            its_own = read(self.directory / f"{name}.yaml").data
            only = {where for _, where in _texts(its_own, ("environments", "*"))}
            if missing := sorted(wanted - only):
                yield place, f"{name} is not for {', '.join(missing)}: its environments do not say so"

    def check(self, path: Path) -> list[str]:
        """Every mistake in one file of any of the four sorts; empty where there is none."""
        try:
            if path.name == PLATFORM_FILE:
                parse(read(path), Platform)
            elif path.name == GUARDRAILS_FILE:
                document = read(path)
                parse(document, Guardrails, self._against_platform(document))
            elif _is_suite(path):
                self.load_suite(path)
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


_WITH_ARTICLE: Final = {"experiment": "an experiment", "suite": "a suite"}


def _is_suite(path: Path) -> bool:
    try:
        return bool(_LISTS_EXPERIMENTS.search(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError):
        return False  # whoever loads it tells why


_RULES_OF_ENVIRONMENTS: Final = (
    "gaps",
    "load",
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
