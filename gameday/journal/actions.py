"""Why: a finding that nobody mends was not worth the fault, so what is to be done has an owner and an end.

An action item is opened by a finding. The same finding in a later run is noted at the open item, or
opens a new one where the last was closed: then what was done did not help. Everything that is done to
an item stands in the audit trail.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Select, insert, select, update

from gameday.errors import UsageError
from gameday.journal.audit import Action, Audit
from gameday.journal.schema import action_items, action_runs, runs
from gameday.journal.store import Journal, to_its_end
from gameday.redaction import redacted


@dataclass(frozen=True, slots=True)
class ActionItem:
    """Something to be done, by ``owner``, a team, and where it is known by ``assignee``, a person."""

    key: str
    experiment: str
    title: str
    what: str
    service: str
    severity: str
    owner: str
    opened_at: datetime
    item: int = 0
    assignee: str = ""
    due: datetime | None = None
    closed_at: datetime | None = None
    closed_by: str | None = None
    outcome: str | None = None
    sandbox: bool = False
    runs: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        """Whether it is still to be done."""
        return self.closed_at is None

    def overdue(self, now: datetime) -> bool:
        """Whether it should have been done before ``now``."""
        return self.open and self.due is not None and self.due < now


_COLUMNS = [name for name in ActionItem.__dataclass_fields__ if name != "runs"]


class Actions:
    """The action items of a journal. All methods raise ``JournalError``."""

    def __init__(self, journal: Journal) -> None:
        """Keep them in ``journal``, which must be open."""
        self._journal = journal

    @to_its_end
    async def open_for(self, run: str, wanted: Iterable[ActionItem], *, by: str) -> list[ActionItem]:
        """Open an item for each of ``wanted``, or note ``run`` at the one that is open for its ``key``.

        An item of the sandbox is never one of a cluster: of which ``run`` is, its items are. Answers with
        all of them as they are now.
        """
        found = []
        for item in wanted:
            number, opened = await self._open(run, item)
            if opened:
                await self._account(item.opened_at, number, by, "command", "opened", run, item.title)
            found.append(await self.get(number))
        return found

    async def _open(self, run: str, item: ActionItem) -> tuple[int, bool]:
        values = {name: getattr(item, name) for name in _COLUMNS if name != "item"}
        values |= {"title": redacted(item.title), "what": redacted(item.what)}
        same = select(action_items.c.item).where(
            action_items.c.key == item.key, action_items.c.closed_at.is_(None)
        )
        async with self._journal.transaction() as connection:
            where = await connection.execute(select(runs.c.sandbox).where(runs.c.run == run))
            values["sandbox"] = bool(where.scalar())
            same = same.where(action_items.c.sandbox.is_(values["sandbox"]))
            number = (await connection.execute(same)).scalar()
            opened = number is None
            if number is None:
                result = await connection.execute(insert(action_items).values(**values))
                key = result.inserted_primary_key
                number = int(key[0]) if key else 0
            seen = select(action_runs.c.item).where(action_runs.c.item == number, action_runs.c.run == run)
            if (await connection.execute(seen)).first() is None:
                await connection.execute(insert(action_runs).values(item=number, run=run, at=item.opened_at))
        return number, opened

    @to_its_end
    async def get(self, item: int) -> ActionItem:
        """The item of this number. Raises ``UsageError`` where there is none."""
        found = await self._read(select(action_items).where(action_items.c.item == item))
        if not found:
            raise UsageError(
                f"there is no action item {item}", hint="`gameday actions list --all` lists them."
            )
        return found[0]

    @to_its_end
    async def items(
        self,
        *,
        closed: bool | None = None,
        owner: str = "",
        service: str = "",
        keys: Iterable[str] = (),
        run: str = "",
        sandbox: bool | None = None,
    ) -> list[ActionItem]:
        """The items that match, those that are due first on top.

        ``closed`` None: open or not; ``sandbox`` None: of clusters and of the sandbox.
        """
        query = select(action_items).order_by(
            action_items.c.due.is_(None), action_items.c.due, action_items.c.item
        )
        if closed is not None:
            ended = action_items.c.closed_at
            query = query.where(ended.is_not(None) if closed else ended.is_(None))
        if owner:
            query = query.where(action_items.c.owner == owner)
        if service:
            query = query.where(action_items.c.service == service)
        if sandbox is not None:
            query = query.where(action_items.c.sandbox.is_(sandbox))
        if wanted := list(keys):
            query = query.where(action_items.c.key.in_(wanted))
        if run:
            of_run = select(action_runs.c.item).where(action_runs.c.run == run)
            query = query.where(action_items.c.item.in_(of_run))
        return await self._read(query)

    async def _read(self, query: Select[Any]) -> list[ActionItem]:
        async with self._journal.transaction() as connection:
            rows = (await connection.execute(query)).mappings().all()
            numbers = [row["item"] for row in rows]
            of_items = select(action_runs).where(action_runs.c.item.in_(numbers)).order_by(action_runs.c.at)
            seen: dict[int, list[str]] = {}
            for one in await connection.execute(of_items):
                seen.setdefault(one.item, []).append(one.run)
        return [
            ActionItem(**{name: row[name] for name in _COLUMNS}, runs=tuple(seen.get(row["item"], ())))
            for row in rows
        ]

    @to_its_end
    async def assign(
        self,
        item: int,
        *,
        by: str,
        at: datetime,
        owner: str = "",
        assignee: str = "",
        due: datetime | None = None,
    ) -> ActionItem:
        """Say whose an open item is, and until when; what is left out stays. Raises ``UsageError``."""
        values: dict[str, Any] = {"owner": owner, "assignee": redacted(assignee), "due": due}
        changed = {name: value for name, value in values.items() if value}
        detail = ", ".join(f"{name}: {value}" for name, value in changed.items())
        await self._change(item, changed, at, by, "assigned", detail)
        return await self.get(item)

    @to_its_end
    async def close(self, item: int, *, by: str, at: datetime, outcome: str) -> ActionItem:
        """Say that an open item is done, and what was done. Raises ``UsageError``."""
        values = {"closed_at": at, "closed_by": redacted(by), "outcome": redacted(outcome)}
        await self._change(item, values, at, by, "closed", outcome)
        return await self.get(item)

    @to_its_end
    async def reopen(self, item: int, *, by: str, at: datetime, why: str) -> ActionItem:
        """Say that a closed item is not done after all. Raises ``UsageError``."""
        found = await self.get(item)
        if found.open:
            raise UsageError(f"action item {item} is open already")
        values = {"closed_at": None, "closed_by": None, "outcome": None}
        async with self._journal.transaction() as connection:
            await connection.execute(update(action_items).where(action_items.c.item == item).values(**values))
        await self._account(at, item, by, "command", "reopened", found.runs[-1] if found.runs else "", why)
        return replace(found, closed_at=None, closed_by=None, outcome=None)

    async def _change(
        self, item: int, values: dict[str, Any], at: datetime, by: str, what: str, detail: str
    ) -> None:
        before = await self.get(item)
        still_open = (action_items.c.item == item) & action_items.c.closed_at.is_(None)
        async with self._journal.transaction() as connection:
            changed = await connection.execute(update(action_items).where(still_open).values(**values))
        if not changed.rowcount:
            raise UsageError(
                f"action item {item} was closed by {before.closed_by} already",
                hint=f"`gameday actions reopen {item}` opens it again.",
            )
        await self._account(at, item, by, "command", what, before.runs[-1] if before.runs else "", detail)

    async def _account(
        self, at: datetime, item: int, by: str, source: str, what: str, run: str, detail: str
    ) -> None:
        await Audit(self._journal).record(
            Action.ITEM,
            by=by,
            source=source,
            at=at,
            run=run,
            detail={"item": item, "what": what, "detail": detail},
        )
