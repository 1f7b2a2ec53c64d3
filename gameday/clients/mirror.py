"""Why: whoever must notice at once keeps a copy of a collection, and a copy can silently grow old.

One ``Mirror`` lists a collection, then watches it: from its resourceVersion, with bookmarks. A watch
that ends goes on where it was, one that is too old (410 Gone) begins with a new list, and where
nothing works it is tried again with growing, jittered pauses. A watch that only seems to work is
found out by a list of names and versions every now and then. Watches live in real time, so pauses
are taken by ``pace``, never by a rehearsal's clock. What the objects mean is their reader's business.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from gameday.clients.failures import SYSTEM, from_answer
from gameday.clients.transport import Api, Json, selecting
from gameday.clock import Clock
from gameday.errors import ConflictError, GamedayError, NotFoundError, UnreachableError

T = TypeVar("T")

_log: Final = logging.getLogger(__name__)
_GRACE: Final = timedelta(seconds=10)
_AT_ONCE: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Timing:
    """How patient a mirror is, in real time.

    ``check`` is how often a list shows whether the watch has told everything, ``settle`` how long
    it may lag behind that list, ``absent`` how often a kind that the cluster lacks is looked for.
    """

    lasts: timedelta = timedelta(minutes=5)
    check: timedelta = timedelta(seconds=30)
    settle: timedelta = timedelta(seconds=2)
    longest_pause: timedelta = timedelta(seconds=10)
    absent: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Collection:
    """What is mirrored: ``path`` at the API server, and a ``name`` for people and metrics."""

    name: str
    path: str
    labels: str = ""
    fields: str = ""


@dataclass
class Mirror(Generic[T]):
    """A copy of ``collection``, by uid, as ``read`` makes it of each object.

    ``read`` gets the object and what was made of it before, and must not raise. ``changed`` is
    called with the old and the new (None: there was or is none) after every change.
    """

    api: Api
    collection: Collection
    read: Callable[[Json, T | None], T]
    pace: Clock
    changed: Callable[[T | None, T | None], None] = lambda before, after: None
    timing: Timing = Timing()
    items: dict[str, T] = field(default_factory=dict)
    # Since when what is held may not be the whole truth; None while it is.
    blind_since: datetime | None = None
    why_blind: str = "it has not been listed yet"
    absent: bool = False
    restarts: Counter[str] = field(default_factory=Counter)
    _versions: dict[str, str] = field(default_factory=dict)
    _version: str = ""
    _stale: asyncio.Event = field(default_factory=asyncio.Event)
    _reported: str = ""
    # Whether it is blind for no other reason than a check that failed.
    _doubted: bool = False

    def __post_init__(self) -> None:
        self.blind_since = self.pace.now()

    @property
    def synced(self) -> bool:
        """Whether it holds everything, as far as anybody can tell."""
        return self.blind_since is None

    async def run(self) -> None:
        """Keep the copy true until cancelled. Raises nothing that the API server does."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep(), name=f"watch {self.collection.name}")
            group.create_task(self._keep_checking(), name=f"check {self.collection.name}")

    async def _keep(self) -> None:
        while True:
            # A turn that ends well begins the next one, with its pauses, anew.
            retrying = AsyncRetrying(
                retry=retry_if_exception_type(GamedayError),
                wait=wait_random_exponential(multiplier=0.1, max=self.timing.longest_pause.total_seconds()),
                sleep=self._rest,
                before_sleep=self._note_failure,
            )
            await retrying(self._turn)

    async def _turn(self) -> None:
        """List where that is needed, then watch until the server ends it."""
        if not self._version and not await self._list():
            return
        self._stale.clear()
        watching = asyncio.create_task(self._watch(), name=f"stream {self.collection.name}")
        outdated = asyncio.create_task(self._stale.wait())
        try:
            await asyncio.wait({watching, outdated}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (watching, outdated):
                task.cancel()
            await asyncio.wait({watching, outdated})
        if not watching.cancelled():
            watching.result()

    async def _list(self) -> bool:
        """Take in everything anew. Answers whether the cluster has such a collection at all."""
        found: dict[str, tuple[T, str]] = {}

        def take(item: Json) -> None:
            uid, version = _identity(item)
            found[uid] = (self.read(item, self.items.get(uid)), version)

        where = self.collection
        try:
            _, version = await self.api.within(attempts=1).listing(
                where.path, take, doing=f"list {where.name}", labels=where.labels, fields=where.fields
            )
        except NotFoundError:
            self.absent = True
            self._replace({})
            self._see()
            await self.pace.sleep(self.timing.absent)
            return False
        self.absent = False
        self._replace(found)
        self._version = version
        self._see()
        return True

    def _replace(self, found: Mapping[str, tuple[T, str]]) -> None:
        for uid in self.items.keys() - found.keys():
            self._drop(uid)
        for uid, (item, version) in found.items():
            if self._versions.get(uid) != version:
                self._put(uid, version, item)

    def _put(self, uid: str, version: str, item: T) -> None:
        before = self.items.get(uid)
        self.items[uid] = item
        self._versions[uid] = version
        self.changed(before, item)

    def _drop(self, uid: str) -> None:
        self._versions.pop(uid, None)
        before = self.items.pop(uid, None)
        if before is not None:
            self.changed(before, None)

    async def _watch(self) -> None:
        where, lasts = self.collection, self.timing.lasts * random.uniform(1, 2)  # noqa: S311 - only spreads the load
        query = {
            "watch": "true",
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(round(lasts.total_seconds())),
        } | selecting(where.labels, where.fields)
        began, told = self.pace.now(), 0
        doing = f"watch {where.name}"
        async with self.api.stream(where.path, query=query, doing=doing, lasts=lasts + _GRACE) as lines:
            # Everything since the list is on its way now.
            self._see()
            async for line in lines:
                self._take(line, doing)
                told += 1
        self.restarts["closed"] += 1
        if not told and self.pace.now() - began < _AT_ONCE:
            raise UnreachableError(SYSTEM, f"could not {doing}: it ended as soon as it had begun.")

    def _take(self, line: bytes, doing: str) -> None:
        kind, item = _event(line, doing)
        if kind == "ERROR":
            raise from_answer(int(item.get("code") or 500), json.dumps(item).encode(), doing=doing)
        version = str(item["metadata"].get("resourceVersion", ""))
        if kind in {"ADDED", "MODIFIED"}:
            uid, version = _identity(item)
            self._put(uid, version, self.read(item, self.items.get(uid)))
        elif kind == "DELETED":
            self._drop(_identity(item)[0])
        self._version = version or self._version

    def _see(self) -> None:
        if self._reported:
            _log.warning("%s can be watched again", self.collection.name)
        self.blind_since, self.why_blind, self._reported, self._doubted = None, "", "", False

    def _fail(self, error: BaseException | None, reason: str) -> None:
        self.restarts[reason] += 1
        if self.blind_since is None:
            self.blind_since = self.pace.now()
        self.why_blind = error.message if isinstance(error, GamedayError) else str(error)
        if self._reported != self.why_blind:
            self._reported = self.why_blind
            _log.warning("%s cannot be watched: %s", self.collection.name, self.why_blind)

    def _note_failure(self, state: RetryCallState) -> None:
        self._doubted = False
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, ConflictError):
            self._version = ""
            self.restarts["gone"] += 1
            return
        self._fail(error, "failed")

    async def _rest(self, seconds: float) -> None:
        await self.pace.sleep(timedelta(seconds=seconds))

    # A connection can stay open and tell nothing any more: no error, no end, and nobody would know.

    async def _keep_checking(self) -> None:
        while True:
            await self.pace.sleep(self.timing.check)
            try:
                await self._check()
            except GamedayError as error:
                # The watch may be well all the same; what counts is that nobody can know.
                self._doubted = self._doubted or self.synced
                self._fail(error, "unchecked")
            else:
                if self._doubted:
                    self._see()

    async def _check(self) -> None:
        """Begin anew where the server shows something that the watch should have told long ago."""
        suspects = await self._differences()
        if not suspects:
            return
        await self.pace.sleep(self.timing.settle)
        again = await self._differences()
        if any(again.get(uid, "?") == held for uid, held in suspects.items()):
            self._fail(RuntimeError("the watch had told nothing for a while"), "stalled")
            self._version = ""
            self._stale.set()

    async def _differences(self) -> dict[str, str]:
        """By uid, the version that is held ("" for none) where the server's is another one."""
        where = self.collection
        if self.absent or not (self.synced or self._doubted):
            return {}
        listed, _ = await self.api.within(attempts=1).listing(
            where.path,
            _identity,
            doing=f"check {where.name}",
            labels=where.labels,
            fields=where.fields,
            metadata_only=True,
        )
        versions = dict(listed)
        uids = versions.keys() | self._versions.keys()
        return {
            uid: self._versions.get(uid, "") for uid in uids if versions.get(uid) != self._versions.get(uid)
        }


def _identity(item: Json) -> tuple[str, str]:
    metadata = item.get("metadata") or {}
    if "uid" not in metadata:
        raise UnreachableError(SYSTEM, "an object came without a uid: that is no API server.")
    return str(metadata["uid"]), str(metadata.get("resourceVersion", ""))


def _event(line: bytes, doing: str) -> tuple[str, dict[str, Any]]:
    try:
        event = json.loads(line)
        kind, item = event["type"], event["object"]
        if kind != "ERROR":
            item["metadata"]["resourceVersion"]
    except (ValueError, KeyError, TypeError):
        raise UnreachableError(SYSTEM, f"could not {doing}: what came was no event.") from None
    return kind, item
