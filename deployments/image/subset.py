"""Print the part of requirements.lock that something needs, hashes included: ``python subset.py [NAME...]``.

Without names it is what the project itself needs to run. Called while an image is built, before
anything is installed: it imports nothing but Python's own library.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Pinned:
    """One entry of the lock: its name, who needs it, and its lines."""

    name: str
    needed_by: frozenset[str]
    text: str


def entries(lock: str) -> Iterator[Pinned]:
    """Each entry of ``lock``, in its order."""
    for text in re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE):
        if "==" not in text:
            continue  # what stands above the first entry
        _, _, via = text.partition("# via")
        yield Pinned(
            name(text), frozenset(name(line) for line in re.split(r"[\n#]+", via) if line.strip()), text
        )


def name(requirement: str) -> str:
    """The normal form of the name with which ``requirement`` begins."""
    found = _NAME.match(requirement.strip())
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""


def needed(lock: str, roots: Collection[str]) -> str:
    """The entries of ``lock`` that ``roots`` are, or need. Raises ``LookupError`` where one is not in it."""
    pinned = list(entries(lock))
    if missing := set(roots) - {one.name for one in pinned}:
        raise LookupError(f"not in requirements.lock: {', '.join(sorted(missing))}")
    wanted = set(roots)
    while more := {one.name for one in pinned if one.needed_by & wanted} - wanted:
        wanted |= more
    return "".join(one.text for one in pinned if one.name in wanted)


def project(pyproject: str) -> set[str]:
    """What the project itself needs."""
    return {name(one) for one in tomllib.loads(pyproject)["project"]["dependencies"]}


def main() -> None:
    """Print what the names given need, from the files in this directory."""
    lock = Path("requirements.lock").read_text(encoding="utf-8")
    roots = {name(one) for one in sys.argv[1:]} or project(Path("pyproject.toml").read_text(encoding="utf-8"))
    sys.stdout.write(needed(lock, roots))


if __name__ == "__main__":
    main()
