"""Why: what the code knows best is not written down a second time: the site is told by the code.

A line ``<!-- generated: NAME -->`` in a page is replaced by Markdown when the site is built; who reads
the page elsewhere sees nothing there. An unknown NAME fails the build, and so does a built page that
would load anything from outside.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from docs._ext import commands, declared, keys, places

MAKERS: Final[Mapping[str, Callable[[], str]]] = {
    "commands": commands.every_command,
    "keys of an experiment": keys.of_an_experiment,
    "keys of a suite": keys.of_a_suite,
    "keys of the guardrails": keys.of_the_guardrails,
    "keys of the platform": keys.of_the_platform,
    "settings": declared.settings,
    "metrics of the guard": declared.metrics,
    "errors": declared.errors,
    "events": declared.events,
    "signals": places.signals,
    "thresholds": places.thresholds,
    "alert rules": places.alert_rules,
    "contacts": places.contacts,
    "owners": places.owners,
}

_MARK: Final = re.compile(r"^<!-- generated: ([a-z -]+?) -->$", re.MULTILINE)
# What a browser would load by itself; a link that a person follows is none of it.
_OUTSIDE: Final = re.compile(
    r"""<(?:script|img|iframe)\b[^>]*\bsrc=["'](?:https?:)?//|<link\b[^>]*\bhref=["'](?:https?:)?//"""
)


def expanded(text: str) -> str:
    """``text`` with every mark replaced by what it stands for."""
    return _MARK.sub(lambda mark: _made(mark[1]), text)


def _made(name: str) -> str:
    if name not in MAKERS:
        raise ExtensionError(f"nothing generated is called {name!r}; there is: {', '.join(sorted(MAKERS))}")
    return MAKERS[name]().rstrip("\n")


def _expand(_app: Sphinx, _page: str, content: list[str]) -> None:
    content[0] = expanded(content[0])


def _stands_alone(app: Sphinx, failure: Exception | None) -> None:
    if failure is not None or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        if found := _OUTSIDE.search(page.read_text(encoding="utf-8")):
            raise ExtensionError(f"{page.name} would load something from outside: {found[0]}")


def setup(app: Sphinx) -> dict[str, Any]:
    """What Sphinx calls."""
    app.connect("source-read", _expand)
    app.connect("build-finished", _stands_alone)
    return {"version": "1", "parallel_read_safe": True}
