"""Why: one revision counter, every object's newest version, and a memory of changes for those who watch.

Objects are plain dictionaries that are never changed once stored: a new version is a new dictionary,
so that readers, watchers and the history may share them. What may be stored is left to ``api``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import orjson

from sandbox.kubernetes.errors import Obj, gone
from sandbox.kubernetes.resources import Resource

ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]
HISTORY: Final = 20_000


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one object; ``previous`` is what it was before."""

    type: ChangeType
    revision: int
    resource: Resource
    object: Obj
    previous: Obj | None


Listener = Callable[[Change], None]


def copy(obj: Obj) -> Obj:
    """A copy that may be changed, several times faster than ``copy.deepcopy``."""
    copied: Obj = orjson.loads(orjson.dumps(obj))
    return copied


class Store:
    """What exists, by resource, namespace and name."""

    def __init__(self) -> None:
        """Begin empty."""
        self.revision = 1
        self._objects: dict[Resource, dict[str, dict[str, Obj]]] = {}
        self._listeners: dict[Resource, list[Listener]] = {}
        self._everywhere: list[Listener] = []
        self._history: dict[Resource, deque[Change]] = {}
        self._forgotten: dict[Resource, int] = {}

    def get(self, resource: Resource, namespace: str, name: str) -> Obj | None:
        """The newest version, or None."""
        return self._objects.get(resource, {}).get(namespace, {}).get(name)

    def all(self, resource: Resource, namespace: str = "") -> Iterator[Obj]:
        """Every object of the resource, of one namespace or of all, in the order of creation."""
        spaces = self._objects.get(resource, {})
        if namespace:
            yield from tuple(spaces.get(namespace, {}).values())
            return
        for space in tuple(spaces.values()):
            yield from tuple(space.values())

    def count(self, resource: Resource) -> int:
        """How many objects of the resource exist."""
        return sum(map(len, self._objects.get(resource, {}).values()))

    def put(self, resource: Resource, obj: Obj) -> Obj:
        """Store ``obj``, which the caller gives away, under the next revision."""
        metadata = obj["metadata"]
        space = self._objects.setdefault(resource, {}).setdefault(metadata.get("namespace", ""), {})
        previous = space.get(metadata["name"])
        self.revision += 1
        metadata["resourceVersion"] = str(self.revision)
        space[metadata["name"]] = obj
        self._tell(Change("MODIFIED" if previous else "ADDED", self.revision, resource, obj, previous))
        return obj

    def remove(self, resource: Resource, namespace: str, name: str) -> Obj:
        """Remove what is there, under the next revision; the last version is returned."""
        previous = self._objects[resource][namespace].pop(name)
        self.revision += 1
        last = {**previous, "metadata": {**previous["metadata"], "resourceVersion": str(self.revision)}}
        self._tell(Change("DELETED", self.revision, resource, last, previous))
        return last

    def _tell(self, change: Change) -> None:
        history = self._history.get(change.resource)
        if history is None:
            history = self._history[change.resource] = deque()
        history.append(change)
        if len(history) > HISTORY:
            self._forgotten[change.resource] = history.popleft().revision
        for listener in tuple(self._listeners.get(change.resource, ())):
            listener(change)
        for listener in tuple(self._everywhere):
            listener(change)

    def listen(self, listener: Listener, *resources: Resource) -> Callable[[], None]:
        """Have ``listener`` called at once with every change, of some resources or of all.

        Returns the call that ends it.
        """
        lists = [self._listeners.setdefault(resource, []) for resource in resources] or [self._everywhere]
        for entries in lists:
            entries.append(listener)

        def stop() -> None:
            for entries in lists:
                if listener in entries:
                    entries.remove(listener)

        return stop

    def changes_since(self, resource: Resource, revision: int) -> list[Change]:
        """What happened after ``revision``. Raises 410 where that is no longer remembered."""
        oldest = self._forgotten.get(resource, 0)
        if revision < oldest:
            raise gone(f"too old resource version: {revision} ({oldest + 1})")
        return [change for change in self._history.get(resource, ()) if change.revision > revision]

    def compact(self) -> None:
        """Forget all history, as etcd does every five minutes: older watches get a 410."""
        self.revision += 1
        for resource in self._objects:
            self._forgotten[resource] = self.revision
        self._history.clear()
