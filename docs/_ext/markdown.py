"""Why: what is made from the code goes into tables of Markdown, in which some characters mean something."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def cell(text: str) -> str:
    """``text`` as it must stand in a table: on one line, and ending no cell."""
    return " ".join(text.split()).replace("|", "\\|")


def code(text: str) -> str:
    """``text`` as code, for a table as well."""
    # No backslash works inside a code span but before a bar in a table.
    fence = "``" if "`" in text else "`"
    return f"{fence}{cell(text)}{fence}" if text.strip() else ""


def plain(text: str) -> str:
    """Words from a docstring or a help text: double backticks are single ones here, ``<`` is no tag."""
    return text.replace("``", "`").replace("<", "&lt;")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are Markdown already."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"
