"""Why: a stop must remember what it has seen, or it could not say what became of it.

Keeps the chaos objects within a scope, kind by kind, as one listing after the other shows them, and
the calls that failed. It talks to nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from gameday.clients.faults import ObjectMeta
from gameday.errors import GamedayError
from gameday.safety.stop_report import FailedCall, Scope
from gameday.spec.kinds import OF_SCHEDULE, OF_WORKFLOW, SCHEDULE, WORKFLOW

_CHILD_LABEL = {SCHEDULE: OF_SCHEDULE, WORKFLOW: OF_WORKFLOW}


@dataclass(slots=True)
class Seen:
    """One object that the stop has met. ``forced`` says what was done where we let it go ourselves."""

    meta: ObjectMeta
    gone_at: datetime | None = None
    forced: str = ""


class Inventory:
    """What is and was there within a scope."""

    def __init__(self, scope: Scope) -> None:
        """Know nothing yet."""
        self.scope = scope
        self.seen: dict[tuple[str, str, str, str], Seen] = {}
        self._live: dict[str, dict[tuple[str, str, str, str], Seen]] = {}
        # (label, namespace, name): what a Schedule or Workflow of the scope brings forth is labelled so.
        self.parents: set[tuple[str, str, str]] = set()

    def covers(self, meta: ObjectMeta) -> bool:
        """Whether the object carries the scope's own labels; never so where single objects are meant."""
        return not self.scope.objects and all(
            meta.labels.get(key) == value for key, value in self.scope.labels.items()
        )

    def belongs(self, meta: ObjectMeta) -> bool:
        """Whether the object is in the scope: by its labels, or as a child of one that is.

        A Schedule or a Workflow need not hand its labels on to its children.
        """
        if self.covers(meta) or meta.uid in self.scope.objects:
            return True
        namespace = meta.ref.namespace
        return any(
            (label, namespace, meta.labels.get(label, "")) in self.parents for label in _CHILD_LABEL.values()
        )

    def note(
        self, kind: str, listed: Iterable[ObjectMeta], now: datetime, *, namespaces: tuple[str, ...] = ()
    ) -> None:
        """Take in a listing of ``kind``: whatever it does not show any more is gone.

        ``namespaces`` are those that were listed; none means all.
        """
        before = self._live.get(kind, {})
        after: dict[tuple[str, str, str, str], Seen] = {}
        for meta in listed:
            if not self.belongs(meta):
                continue
            key = (kind, meta.ref.namespace, meta.ref.name, meta.uid)
            seen = self.seen.setdefault(key, Seen(meta))
            seen.meta, seen.gone_at = meta, None
            after[key] = seen
            if kind in _CHILD_LABEL:
                self.parents.add((_CHILD_LABEL[kind], meta.ref.namespace, meta.ref.name))
        for key, seen in before.items():
            if key in after:
                continue
            if namespaces and key[1] not in namespaces:
                after[key] = seen
            else:
                seen.gone_at = now
        self._live[kind] = after

    def live(self, kind: str) -> list[Seen]:
        """The objects of ``kind`` that the last listing showed."""
        return list(self._live.get(kind, {}).values())

    def all_live(self) -> list[Seen]:
        """The objects of all kinds that are still there."""
        return [seen for kind in self._live for seen in self.live(kind)]


class Calls:
    """The calls that failed, each once, however often it was repeated."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._failed: dict[str, FailedCall] = {}

    def failed(self, doing: str, error: GamedayError) -> None:
        """Remember that ``doing`` failed."""
        before = self._failed.get(doing)
        self._failed[doing] = FailedCall(
            doing, error.message, before.times + 1 if before else 1, overcome=False
        )

    def succeeded(self, doing: str) -> None:
        """Remember that ``doing`` succeeded after all."""
        if (before := self._failed.get(doing)) is not None:
            self._failed[doing] = FailedCall(doing, before.why, before.times, overcome=True)

    def why(self, about: str) -> str:
        """Why the call ``about`` something still fails; "" where it does not."""
        failed = self._failed.get(about)
        return failed.why if failed is not None and not failed.overcome else ""

    def all(self) -> tuple[FailedCall, ...]:
        """All of them, in the order in which they first failed."""
        return tuple(self._failed.values())
