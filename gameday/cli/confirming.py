"""Why: whoever sits at the terminal confirms the checklist there, as others do in a form.

Doors of ``gameday.run.approval`` for ``gameday run``, and the questions of ``gameday approve``. Whose
answer counts is not decided here.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

import typer

from gameday.cli.output import HARMLESS, note
from gameday.errors import UsageError
from gameday.journal.approvals import Decision, Item, Request
from gameday.plan.model import Plan
from gameday.run.approval import REHEARSED
from gameday.safety.approval import Given

_LONGEST_LINE = 4096


def question(item: Item) -> str:
    """What a person is asked about ``item``."""
    return f"{item.text}{f' ({item.found})' if item.found else ''}?".translate(HARMLESS)


def confirmed(items: Sequence[Item], *, all_of_them: bool) -> tuple[str, ...]:
    """The keys of ``items`` once a person has confirmed each.

    Asks on a terminal. Raises ``UsageError`` where one is not confirmed, or nobody can be asked.
    """
    if all_of_them or not items:
        return tuple(item.key for item in items)
    if not sys.stdin.isatty():
        raise UsageError(
            f"to be confirmed: {'; '.join(question(item) for item in items)}",
            hint="Answer on a terminal, or say --confirm-checklist where all of it is true.",
        )
    for item in items:
        if not typer.confirm(question(item), err=True):
            raise UsageError(f"not confirmed: {item.text}", hint="Nothing was answered.")
    return tuple(item.key for item in items)


class Confirmed:
    """``--confirm-checklist``: whoever starts the run confirms all of its checklist."""

    def __init__(self, who: str) -> None:
        """Answer as ``who``."""
        self._who = who
        self._given: list[Given] = []

    async def open(self, request: Request, plan: Plan, note: str = "") -> None:
        """Confirm, where no more than the checklist is asked for."""
        if request.demand == "checklist" and not note:
            keys = tuple(item.key for item in request.to_confirm)
            self._given = [Given(self._who, Decision.APPROVE, "--confirm-checklist", "terminal", keys)]

    async def answers(self) -> Sequence[Given]:
        """The confirmation, once."""
        given, self._given = self._given, []
        return given

    async def close(self) -> None:
        """Nothing is open."""


class Rehearsed:
    """``--rehearse-approval``: answers that are only worth something in a rehearsal."""

    def __init__(self, names: Sequence[str]) -> None:
        """Answer as each of ``names``."""
        self._names = names
        self._given: list[Given] = []

    async def open(self, request: Request, plan: Plan, note: str = "") -> None:
        """Answer the plan as it is now."""
        if not note:
            keys = tuple(item.key for item in request.to_confirm)
            self._given = [
                Given(name, Decision.APPROVE, "rehearsed", REHEARSED, keys) for name in self._names
            ]

    async def answers(self) -> Sequence[Given]:
        """The answers, once."""
        given, self._given = self._given, []
        return given

    async def close(self) -> None:
        """Nothing is open."""


class Prompt:
    """Asks whoever started the run on a terminal, one question after the other, while all else goes on."""

    def __init__(self, who: str) -> None:
        """Answer as ``who``."""
        self._who = who
        self._items: list[Item] = []
        self._asked: list[Item] = []
        self._given: list[Given] = []
        self._reading = False

    async def open(self, request: Request, plan: Plan, note: str = "") -> None:
        """Begin to ask, where no more than the checklist is asked for."""
        await self.close()
        if request.demand != "checklist":
            return
        self._items, self._asked = list(request.to_confirm), []
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._read)
        self._reading = True
        self._next()

    async def answers(self) -> Sequence[Given]:
        """What was answered, once all questions are."""
        given, self._given = self._given, []
        return given

    async def close(self) -> None:
        """Ask no more."""
        if self._reading:
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            self._reading = False

    def _next(self) -> None:
        left = self._items[len(self._asked) :]
        if left:
            note(f"{question(left[0])} [y/n]", style="bold")
        else:
            self._answer(Decision.APPROVE, "")

    def _read(self) -> None:
        line = os.read(sys.stdin.fileno(), _LONGEST_LINE).decode(errors="replace")
        word = line.strip().casefold()
        if not line:
            note("Nobody answers here any more; others still can: see above.")
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            self._reading = False
        elif word in {"y", "yes"}:
            self._asked.append(self._items[len(self._asked)])
            self._next()
        elif word in {"n", "no"}:
            self._answer(Decision.REJECT, f"not confirmed: {self._items[len(self._asked)].text}")
        else:
            note("Please answer y or n.")

    def _answer(self, decision: Decision, comment: str) -> None:
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        self._reading = False
        keys = tuple(item.key for item in self._asked)
        self._given = [Given(self._who, decision, comment, "terminal", keys)]
