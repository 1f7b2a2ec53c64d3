"""Whoever follows the pages on installing finds every command, option, target and file that they name."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs._ext.generated import expanded

ROOT = Path(__file__).resolve().parents[2]
HOW_TO = ROOT / "docs" / "how-to"
PAGES = ("install", "uninstall", "local-cluster", "record-signals")


def text(page: str) -> str:
    return (HOW_TO / f"{page}.md").read_text(encoding="utf-8")


def commands(page: str) -> Iterator[list[str]]:
    """The words of each command in an indented block, comments left out; what is continued is one."""
    joined = re.sub(r"\\\n\s*", "", text(page))
    for line in joined.splitlines():
        if re.match(r" {4,}\S", line):
            words = shlex.split(line, comments=True)
            if words:
                yield words


def test_a_command_has_every_option_that_is_given() -> None:
    reference = expanded((ROOT / "docs" / "reference" / "command.md").read_text(encoding="utf-8"))
    found = [words for page in PAGES for words in commands(page) if words[0] == "gameday"]
    assert found
    for words in found:
        _, heading, rest = reference.partition(f"\n### gameday {words[1]}\n")
        assert heading, words
        section = rest.partition("\n### ")[0]
        for option in (word for word in words if word.startswith("-")):
            assert re.search(rf"`[^`]*{option}\b", section), f"{' '.join(words)}: no {option}"


@pytest.mark.parametrize("page", PAGES)
def test_every_file_and_every_target_of_make_is_there(page: str) -> None:
    for named in re.findall(r"\bdeployments/[\w./*-]*\w", text(page)):
        assert list(ROOT.glob(named)), named
    for module in re.findall(r"python -m (deployments[\w.]*)", text(page)):
        path = ROOT / Path(*module.split("."))
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {words[1] for words in commands(page) if words[0] == "make"} <= set(targets)


def test_faults_are_ended_before_what_ends_them_is_taken_away() -> None:
    page = text("uninstall")
    order = ["--replicas 0", "gameday halt", "gameday status", "uninstall chaos-mesh", "kubectl delete -k"]
    places = [page.index(step) for step in order]
    assert places == sorted(places)
