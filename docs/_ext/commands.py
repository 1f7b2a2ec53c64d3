"""Why: the page of the commands is their own help, so that none is missing and none is told otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from typer.main import get_group

from docs._ext.markdown import cell, code, plain, table
from gameday.cli.main import COMMANDS, app

_MARKUP: Final = re.compile(r"\[/?(?:bold|dim)?\]")
# "NAME <str>": what it is says the name.
_KIND_OF_ARGUMENT: Final = re.compile(r"^([A-Z_.]+) <.*>$")


def every_command() -> str:
    """Every command with its usage, arguments, options and examples, in the groups of the help."""
    group = get_group(app)
    parts = []
    for panel in dict.fromkeys(entry.panel for entry in COMMANDS.values()):
        parts.append(f"## {panel}\n")
        for name, entry in COMMANDS.items():
            if entry.panel == panel:
                placeholder: Any = group.commands[name]
                parts.extend(_of(placeholder.load(), f"gameday {name}", 3))
    return "\n".join(parts)


def _of(command: Any, path: str, depth: int) -> Iterator[str]:
    context = command.make_context(path, [], resilient_parsing=True)
    # Typer shows an argument as {NAME}; people read that as a placeholder of a template.
    usage = re.sub(r"\{([A-Z]+)\}", r"\1", command.get_usage(context).removeprefix("Usage: "))
    yield f"{'#' * depth} {path}\n"
    yield f"```text\n{usage}\n```\n"
    yield plain(_without_markup(command.help or "")) + "\n"
    below = getattr(command, "commands", {})
    records = [one.get_help_record(context) for one in command.params if not getattr(one, "hidden", False)]
    rows = [
        (code(_KIND_OF_ARGUMENT.sub(r"\1", head)), cell(plain(_without_markup(text))))
        for head, text in filter(None, records)
    ]
    if rows:
        yield table(("Argument or option", "What"), rows)
    yield from _examples(_without_markup(command.epilog or ""))
    for name, one in below.items():
        yield from _of(one, f"{path} {name}", depth + 1)


def _examples(epilog: str) -> Iterator[str]:
    lines = [line.strip() for line in epilog.splitlines() if line.strip().startswith(("gameday ", "eval "))]
    if lines:
        yield "```text\n" + "\n".join(lines) + "\n```\n"


def _without_markup(text: str) -> str:
    return _MARKUP.sub("", text).replace("\\[", "[")
