"""Why: faults are made, watched and ended as Chaos Mesh objects, and only here are they spelled.

Covers its 14 kinds of faults, Schedules and Workflows. In which order things end in anger is
``gameday.safety.emergency``'s to decide. It waits by reading again, never by a watch: a watch can be
dropped silently, and in a rehearsal time moves only while somebody sleeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from gameday.clients.faults import FaultState, ObjectMeta, Ref
from gameday.clients.selectors import Labels, selector
from gameday.clients.times import written
from gameday.clients.transport import Api, Json
from gameday.clock import Deadline
from gameday.errors import GamedayError, NotFoundError, OutsideError, UnreachableError
from gameday.spec.kinds import (
    ABORT,
    ALL_KINDS,
    API_VERSION,
    PAUSE,
    RECORDS_FINALIZER,
    RUN,
    plural,
)

_TOUCHED = "gameday/touched"
_POLL = timedelta(seconds=1)
# While somebody waits, a read that is slow is worth less than the next one.
_READ_TIMEOUT = timedelta(seconds=3)
_UNREAD_AT_MOST = timedelta(seconds=10)
# The API server itself deletes the objects of a collection one after another.
_COLLECTION_TIMEOUT = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Census:
    """What is live: the objects found, the kinds the cluster lacks, and those it would not list."""

    objects: tuple[FaultState, ...]
    missing: frozenset[str] = frozenset()
    refused: Mapping[str, GamedayError] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether nothing else can be live."""
        return not self.refused


class ChaosMesh:
    """Chaos Mesh in one cluster. All methods raise an ``OutsideError`` where they fail."""

    def __init__(self, api: Api) -> None:
        """Speak through ``api``, such as ``cluster.api``."""
        self.api = api

    def within(self, *, timeout: timedelta, attempts: int) -> ChaosMesh:
        """The same, each call taking at most ``timeout`` and being tried ``attempts`` times."""
        return ChaosMesh(self.api.within(timeout=timeout, attempts=attempts))

    async def dry_run(self, body: Mapping[str, Any]) -> FaultState:
        """Have the server, its webhooks and policies judge an object without creating it.

        Raises ``RejectedError`` with their words.
        """
        ref = ref_of(body)
        answer = await self.api.ask(
            _path(ref.kind, ref.namespace), dict(body), query={"dryRun": "All"}, doing=f"dry-run {ref}"
        )
        return FaultState.read(ref.kind, answer)

    async def create(self, body: Mapping[str, Any]) -> FaultState:
        """Create an object with a fixed name. Asked for once: a fault that may exist is not made again.

        Where no answer comes, an object of that name and of the same run is taken for the one
        created. Raises ``UnreachableError`` where there is none: it may still come. Raises
        ``ConflictError`` where somebody else's has the name.
        """
        ref = ref_of(body)
        try:
            made = await self.api.post(_path(ref.kind, ref.namespace), dict(body), doing=f"create {ref}")
        except UnreachableError:
            if (own := await self._own(ref, body)) is None:
                raise
            return own
        return FaultState.read(ref.kind, made)

    async def _own(self, ref: Ref, body: Mapping[str, Any]) -> FaultState | None:
        """The object as it is there, where it is there and of the same run as ``body``."""
        try:
            there = await self.get(ref)
        except OutsideError:
            return None
        run = (body["metadata"].get("labels") or {}).get(RUN)
        return there if run and there.meta.run == run else None

    async def get(self, ref: Ref) -> FaultState:
        """One object. Raises ``NotFoundError``."""
        return FaultState.read(ref.kind, await self.api.get(path_of(ref), doing=f"read {ref}"))

    async def states(self, kind: str, namespace: str = "", labels: Labels = "") -> list[FaultState]:
        """The objects of ``kind`` in ``namespace`` ("": in all). Raises ``NotFoundError`` without its CRD."""
        items = await self._items(kind, namespace, labels, metadata_only=False)
        return [FaultState.read(kind, item) for item in items]

    async def metadata(self, kind: str, namespace: str = "", labels: Labels = "") -> list[ObjectMeta]:
        """As ``states``, but the metadata only, which is much less to send and to read."""
        items = await self._items(kind, namespace, labels, metadata_only=True)
        return [ObjectMeta.read(kind, item) for item in items]

    async def _items(self, kind: str, namespace: str, labels: Labels, *, metadata_only: bool) -> list[Json]:
        where = namespace or "all namespaces"
        return await self.api.items(
            _path(kind, namespace),
            labels=selector(labels),
            metadata_only=metadata_only,
            doing=f"list {plural(kind)} in {where}",
        )

    async def live(self, labels: Labels = "", kinds: Sequence[str] = ALL_KINDS) -> Census:
        """Everything of ``kinds`` in all namespaces, asked in parallel.

        Never raises an ``OutsideError``: a kind that could not be listed stands in ``refused``.
        """
        answers = await asyncio.gather(
            *(self.states(kind, labels=labels) for kind in kinds), return_exceptions=True
        )
        found: list[FaultState] = []
        missing: set[str] = set()
        refused: dict[str, GamedayError] = {}
        for kind, answer in zip(kinds, answers, strict=True):
            if isinstance(answer, NotFoundError):
                missing.add(kind)
            elif isinstance(answer, GamedayError):
                refused[kind] = answer
            elif isinstance(answer, BaseException):
                raise answer
            else:
                found.extend(answer)
        return Census(tuple(found), frozenset(missing), refused)

    async def delete(self, ref: Ref) -> bool:
        """Have one object recover and go. Answers whether it was still there."""
        try:
            await self.api.delete(path_of(ref), doing=f"delete {ref}")
        except NotFoundError:
            return False
        return True

    async def delete_collection(self, kind: str, namespace: str, labels: Labels = "") -> None:
        """Have all objects of ``kind`` in ``namespace`` recover and go; none there is no error."""
        chosen = selector(labels)
        query = {"propagationPolicy": "Background"} | ({"labelSelector": chosen} if chosen else {})
        api = self.api.within(timeout=max(self.api.limits.timeout, _COLLECTION_TIMEOUT))
        try:
            await api.delete(
                _path(kind, namespace), query=query, doing=f"delete all {plural(kind)} in {namespace}"
            )
        except NotFoundError:
            return

    async def pause(self, ref: Ref) -> None:
        """Have a fault or Schedule pause. Children of a Schedule that are Workflows go on."""
        await self._annotate(ref, {PAUSE: "true"}, doing=f"pause {ref}")

    async def resume(self, ref: Ref) -> None:
        """Take back ``pause``."""
        await self._annotate(ref, {PAUSE: None}, doing=f"resume {ref}")

    async def abort(self, ref: Ref) -> None:
        """Have a Workflow abort."""
        await self._annotate(ref, {ABORT: "true"}, doing=f"abort {ref}")

    async def touch(self, ref: Ref) -> None:
        """Change the metadata, so that the controller starts a new pass."""
        await self._annotate(ref, {_TOUCHED: written(self.api.clock.now())}, doing=f"touch {ref}")

    async def remove_finalizers(self, meta: ObjectMeta) -> None:
        """Let an object go without a recovery. Finalizers of anybody but Chaos Mesh stay."""
        left = [name for name in meta.finalizers if name != RECORDS_FINALIZER]
        await self._patch(meta.ref, {"finalizers": left or None}, doing=f"remove the finalizer of {meta.ref}")

    async def _annotate(self, ref: Ref, annotations: Mapping[str, str | None], *, doing: str) -> None:
        await self._patch(ref, {"annotations": dict(annotations)}, doing=doing)

    async def _patch(self, ref: Ref, metadata: Json, *, doing: str) -> None:
        try:
            await self.api.patch(path_of(ref), {"metadata": metadata}, doing=doing)
        except NotFoundError:
            return

    async def wait(
        self,
        refs: Collection[Ref],
        until: Callable[[FaultState | None], bool],
        *,
        within: timedelta,
        poll: timedelta = _POLL,
    ) -> dict[Ref, FaultState | None]:
        """Read ``refs`` every ``poll`` until ``until`` holds for each; None stands for an object gone.

        Answers with the last states at the latest after ``within``; whether they are what was
        waited for, the caller asks again. A read that fails is repeated, for 10 s at most in which
        none succeeds; then, or where the last one fails, its ``UnreachableError`` is raised.
        """
        clock = self.api.clock
        brisk = self.within(timeout=min(self.api.limits.timeout, _READ_TIMEOUT), attempts=1)
        deadline, unread = Deadline(clock, within), Deadline(clock, _UNREAD_AT_MOST)
        while True:
            failure: UnreachableError | None = None
            try:
                states = await brisk.read_all(refs)
            except UnreachableError as error:
                failure = error
            else:
                unread = Deadline(clock, _UNREAD_AT_MOST)
                if all(until(state) for state in states.values()):
                    return states
            if failure is not None and (unread.passed or deadline.passed):
                raise failure
            if deadline.passed:
                return states
            await deadline.rest(poll.total_seconds())

    async def read_all(self, refs: Iterable[Ref]) -> dict[Ref, FaultState | None]:
        """The states of ``refs``, read in parallel; None where the object is gone."""
        wanted = list(refs)
        answers = await asyncio.gather(*(self._get_or_none(ref) for ref in wanted))
        return dict(zip(wanted, answers, strict=True))

    async def _get_or_none(self, ref: Ref) -> FaultState | None:
        try:
            return await self.get(ref)
        except NotFoundError:
            return None


def ref_of(body: Mapping[str, Any]) -> Ref:
    """Which object a manifest describes."""
    return Ref(body["kind"], body["metadata"]["namespace"], body["metadata"]["name"])


def path_of(ref: Ref) -> str:
    """The path of an object at the API server."""
    return f"{_path(ref.kind, ref.namespace)}/{quote(ref.name)}"


def _path(kind: str, namespace: str) -> str:
    where = f"/namespaces/{quote(namespace)}" if namespace else ""
    return f"/apis/{API_VERSION}{where}/{plural(kind)}"
