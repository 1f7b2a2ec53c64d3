"""Why: every check of the doctor reads the same, whoever made it."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from enum import StrEnum

from gameday.errors import GamedayError
from gameday.health import Check


class State(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was looked at; ``mend`` says what to do where it is not well."""

    area: str
    name: str
    state: State
    found: str
    mend: str = ""

    @classmethod
    def of(cls, area: str, check: Check) -> Line:
        """A check of the health examination."""
        return cls(area, check.name, State.OK if check.ok else State.FAIL, check.found, check.hint)


def judged(area: str, name: str, ok: bool, found: str, mend: str, *, otherwise: State = State.FAIL) -> Line:
    """A line that is well where ``ok`` and ``otherwise`` where not; what is well needs no advice."""
    return Line(area, name, State.OK if ok else otherwise, found, "" if ok else mend)


async def guarded(area: str, lines: Awaitable[list[Line]]) -> list[Line]:
    """The lines of an area; where the outside failed, one that says how."""
    try:
        return await lines
    except GamedayError as error:
        return [Line(area, area, State.FAIL, error.message.removeprefix(f"{area}: "), error.hint)]
