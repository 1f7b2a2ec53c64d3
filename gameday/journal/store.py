"""Why: what happened must outlive whoever made it happen.

Every call is a transaction of its own, committed before it returns. Readers (another terminal, a
report, the next look) and the writing run share one database. What an event means is for others.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar

from sqlalchemy import ColumnElement, insert, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random

from gameday.errors import GamedayError
from gameday.journal.engine import must_open, shared_engine, sqlite_file
from gameday.journal.migrate import bring_up_to_date
from gameday.journal.schema import events, faults, observations, runs
from gameday.redaction import redacted, redacted_data


class Verdict(StrEnum):
    """How a run ended."""

    HELD = "held"
    DISPROVED = "disproved"
    ABORTED = "aborted"
    STOPPED = "stopped"
    REFUSED = "refused"
    ERROR = "error"


class JournalError(GamedayError):
    """The journal cannot be read or written; nothing that was written before is lost."""


class _NoAnswerError(JournalError):
    """The database said nothing, neither yes nor no."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as the journal knows it; ``verdict`` is None while it runs, or where it was cut off."""

    run: str
    experiment: str
    environment: str
    requested_by: str
    reason: str
    started_at: datetime
    flow_run: str | None = None
    ended_at: datetime | None = None
    verdict: Verdict | None = None
    summary: str | None = None
    plan: Mapping[str, Any] | None = None
    digest: str | None = None
    report: str | None = None
    suite: str | None = None
    prediction: str | None = None
    sandbox: bool = False

    @property
    def where(self) -> str:
        """Where it was run, in words."""
        return place(self.environment, self.sandbox)


def place(environment: str, sandbox: bool) -> str:
    """An environment, or the sandbox that stands for it, in words."""
    return f"{environment} (sandbox)" if sandbox else environment


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a run, in words and as data."""

    run: str
    at: datetime
    kind: str
    message: str
    data: Mapping[str, Any] = field(default_factory=dict)
    id: int = 0


@dataclass(frozen=True, slots=True)
class Observation:
    """One signal of one service at one moment: a value, or why there is none, and how it was judged."""

    at: datetime
    stage: str
    signal: str
    service: str
    value: float | None
    unknown: str | None
    state: str


@dataclass(frozen=True, slots=True)
class FaultRecord:
    """One chaos object: asked for, proved injected, proved ended."""

    name: str
    kind: str
    namespace: str
    stage: str
    requested_at: datetime
    injected_at: datetime | None = None
    ended_at: datetime | None = None
    pods: Sequence[str] = ()
    proof: str = ""


P = ParamSpec("P")
T = TypeVar("T")
Owner = TypeVar("Owner")


async def _opened(file: Path) -> None:
    try:
        await asyncio.to_thread(must_open, file)
    except sqlite3.Error as error:
        raise _failed(file.as_posix(), error) from error


_HINT: Final = "Is the disk full, or the database down? GAMEDAY_DATABASE_URL names another one."


def _failed(where: str, cause: object) -> JournalError:
    return JournalError(f"The journal at {where} failed: {cause}", hint=_HINT)


def to_its_end(
    method: Callable[Concatenate[Owner, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Owner, P], Coroutine[Any, Any, T]]:
    """Let a call come to its end although the caller is cancelled meanwhile; then cancel the caller.

    A transaction that is given up half-way keeps SQLite's lock, and whoever writes next waits for it.
    """

    @wraps(method)
    async def whole(self: Owner, /, *args: P.args, **kwargs: P.kwargs) -> T:
        task = asyncio.ensure_future(method(self, *args, **kwargs))
        interruption: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError as error:
                if task.cancelled():
                    raise
                interruption = error
            except JournalError:
                break
        if interruption is not None:
            raise interruption
        return task.result()

    return whole


class Journal:
    """The database of all runs. A call that was begun comes to its end, whatever is cancelled."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Use ``engine``; ``Journal.open`` makes one."""
        self._engine = engine

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Self]:
        """Open the journal at ``url``, with its tables made where they are missing.

        Raises ``UsageError`` for a bad URL and ``JournalError`` where the database does not answer.
        """
        async with AsyncExitStack() as stack:
            try:
                journal = cls(await stack.enter_async_context(shared_engine(url)))
            except OSError as error:
                raise JournalError(
                    f"{error.filename}: the journal's directory cannot be made ({error})"
                ) from None
            if (file := sqlite_file(url)) is not None:
                await _opened(file)
            await journal._make_ready()
            yield journal

    # A loop that is busy with many runs that begin at once may miss the first answer.
    @retry(
        retry=retry_if_exception_type(_NoAnswerError),
        wait=wait_random(0.1, 1),
        stop=stop_after_attempt(2),
        reraise=True,
    )
    async def _make_ready(self) -> None:
        async with self.transaction() as connection:
            await connection.run_sync(bring_up_to_date)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """All or nothing: what is executed meanwhile is committed at the end.

        For what else is kept in the journal (approvals, the audit trail); a method that uses it is
        to be ``to_its_end``. Raises ``JournalError``.
        """
        try:
            async with self._engine.begin() as connection:
                yield connection
        except (SQLAlchemyError, OSError) as error:
            cause = getattr(error, "orig", None) or error
            where = self._engine.url.render_as_string(hide_password=True)
            if isinstance(cause, TimeoutError | PoolTimeoutError):
                raise _NoAnswerError(f"The journal at {where} did not answer in time", hint=_HINT) from error
            raise _failed(where, cause) from error

    @to_its_end
    async def begin(self, record: RunRecord) -> None:
        """Write a run down for the first time."""
        values = redacted_data({name: getattr(record, name) for name in RunRecord.__dataclass_fields__})
        async with self.transaction() as connection:
            await connection.execute(insert(runs).values(**values))

    @to_its_end
    async def amend(self, /, run: str, **values: Any) -> None:
        """Change columns of a run: its plan, its verdict, its end."""
        async with self.transaction() as connection:
            await connection.execute(update(runs).where(runs.c.run == run).values(**redacted_data(values)))

    @to_its_end
    async def conclude(
        self, run: str, verdict: Verdict, why: str, at: datetime, story: Sequence[Event] = ()
    ) -> bool:
        """Give a run its verdict and its end, with the events that tell of it: all of it or nothing.

        Answers False, and changes nothing, where it had a verdict already: several may want to close
        the record of a run that died, and the first of them does.
        """
        open_run = (runs.c.run == run) & runs.c.verdict.is_(None)
        values = {"verdict": verdict.value, "summary": redacted(why), "ended_at": at}
        async with self.transaction() as connection:
            closed = await connection.execute(update(runs).where(open_run).values(**values))
            if closed.rowcount and story:
                await connection.execute(
                    insert(events),
                    [
                        {"run": run, "at": one.at, "kind": one.kind}
                        | {"message": redacted(one.message), "data": redacted_data(one.data)}
                        for one in story
                    ],
                )
        return bool(closed.rowcount)

    @to_its_end
    async def append(self, entry: Event) -> int:
        """Write an event down; returns its number, which only grows."""
        values = {"run": entry.run, "at": entry.at, "kind": entry.kind}
        async with self.transaction() as connection:
            result = await connection.execute(
                insert(events).values(
                    **values, message=redacted(entry.message), data=redacted_data(entry.data)
                )
            )
        key = result.inserted_primary_key
        return int(key[0]) if key else 0

    @to_its_end
    async def observe(self, run: str, seen: Sequence[Observation], sample: Event) -> int:
        """Write one sample down: every signal and service of one moment, and its event."""
        rows = [
            {"run": run, **{name: getattr(one, name) for name in Observation.__dataclass_fields__}}
            | {"unknown": redacted(one.unknown) if one.unknown else one.unknown}
            for one in seen
        ]
        async with self.transaction() as connection:
            if rows:
                await connection.execute(insert(observations), rows)
            values = {"run": run, "at": sample.at, "kind": sample.kind}
            result = await connection.execute(
                insert(events).values(
                    **values, message=redacted(sample.message), data=redacted_data(sample.data)
                )
            )
        key = result.inserted_primary_key
        return int(key[0]) if key else 0

    @to_its_end
    async def put_fault(self, run: str, fault: FaultRecord) -> None:
        """Write a fault down, or what became of it."""
        values = {name: getattr(fault, name) for name in FaultRecord.__dataclass_fields__}
        values |= {"pods": list(fault.pods), "proof": redacted(fault.proof)}
        same = (faults.c.run == run) & (faults.c.name == fault.name)
        async with self.transaction() as connection:
            changed = await connection.execute(update(faults).where(same).values(**values))
            if not changed.rowcount:
                await connection.execute(insert(faults).values(run=run, **values))

    @to_its_end
    async def find(self, run: str) -> RunRecord | None:
        """The run with this id, or the newest whose id begins or ends so."""
        async with self.transaction() as connection:
            query = select(runs).where(runs.c.run == run)
            row = (await connection.execute(query)).mappings().first()
            if row is None and run:
                query = select(runs).where(_named(run)).order_by(runs.c.started_at.desc()).limit(1)
                row = (await connection.execute(query)).mappings().first()
        return _run(row) if row is not None else None

    @to_its_end
    async def matching(self, run: str) -> list[str]:
        """The ids that begin or end with ``run``, the newest first; it alone where it is one itself."""
        if not run:
            return []
        query = select(runs.c.run).where(_named(run)).order_by(runs.c.started_at.desc())
        async with self.transaction() as connection:
            found = list((await connection.execute(query)).scalars())
        return [run] if run in found else found

    @to_its_end
    async def of_flow_run(self, flow_run: str) -> RunRecord | None:
        """The run that this Prefect flow run carried out, if it got so far."""
        async with self.transaction() as connection:
            query = select(runs).where(runs.c.flow_run == flow_run).limit(1)
            row = (await connection.execute(query)).mappings().first()
        return _run(row) if row is not None else None

    @to_its_end
    async def latest(self, limit: int = 20) -> list[RunRecord]:
        """The newest runs first."""
        async with self.transaction() as connection:
            query = select(runs).order_by(runs.c.started_at.desc()).limit(limit)
            rows = (await connection.execute(query)).mappings().all()
        return [_run(row) for row in rows]

    @to_its_end
    async def events(self, run: str, after: int = 0) -> list[Event]:
        """The events of a run with numbers above ``after``, in order."""
        async with self.transaction() as connection:
            query = select(events).where(events.c.run == run, events.c.id > after).order_by(events.c.id)
            rows = (await connection.execute(query)).mappings().all()
        return [Event(**row) for row in rows]

    @to_its_end
    async def faults(self, run: str) -> list[FaultRecord]:
        """The faults of a run, in the order in which they were asked for."""
        async with self.transaction() as connection:
            query = select(faults).where(faults.c.run == run).order_by(faults.c.requested_at, faults.c.name)
            rows = (await connection.execute(query)).mappings().all()
        return [FaultRecord(**{key: row[key] for key in FaultRecord.__dataclass_fields__}) for row in rows]

    @to_its_end
    async def observations(
        self, run: str, *, signals: Collection[str] | None = None, states: Collection[str] | None = None
    ) -> list[Observation]:
        """What was sampled in a run, in order: everything, or only these signals, judged so."""
        query = select(observations).where(observations.c.run == run).order_by(observations.c.id)
        for column, wanted in ((observations.c.signal, signals), (observations.c.state, states)):
            if wanted is not None:
                query = query.where(column.in_(wanted))
        async with self.transaction() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [Observation(**{key: row[key] for key in Observation.__dataclass_fields__}) for row in rows]


def _named(run: str) -> ColumnElement[bool]:
    """Whether an id begins or ends with ``run``."""
    return runs.c.run.startswith(run, autoescape=True) | runs.c.run.endswith(run, autoescape=True)


def _run(row: Mapping[Any, Any]) -> RunRecord:
    values = {name: row[name] for name in RunRecord.__dataclass_fields__}
    values["verdict"] = Verdict(values["verdict"]) if values["verdict"] else None
    return RunRecord(**values)
