"""Why: a command that fails must leave the file that was there before as it was.

Where the exports of runs and of the audit trail are written. What stands in them is theirs.
"""

from __future__ import annotations

import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from gameday.errors import UsageError


@contextmanager
def rewritten(file: Path | None) -> Iterator[TextIO]:
    """A stream whose text takes the place of ``file`` once all of it is there; stdout without a file.

    Where anything is raised meanwhile, ``file`` stays as it was. What is no ordinary file, such as a
    pipe, is written to as it comes. Raises ``UsageError`` where it cannot be written.
    """
    if file is None:
        yield sys.stdout
        return
    try:
        if file.exists() and not file.is_file():
            with file.open("w", encoding="utf-8") as stream:
                yield stream
        else:
            # A link goes on leading to the same place.
            yield from _beside(file.resolve())
    except OSError as error:
        raise UsageError(f"{file}: cannot be written ({error})") from None


def _beside(place: Path) -> Iterator[TextIO]:
    part = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    if place.exists():
        # Whoever has protected it would find it replaced all the same.
        place.open("a", encoding="utf-8").close()
    try:
        with part.open("x", encoding="utf-8") as stream:
            yield stream
        if place.exists():
            shutil.copymode(place, part)
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)
