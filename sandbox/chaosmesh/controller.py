"""Why: a chaos object lives by passes of a controller, and each pass does five things in a fixed order.

Set the finalizer, decide the desired phase, write the conditions, work on the records, let go: that
is Chaos Mesh's ``controllers/common/pipeline``. Each kind has one worker, so recovery is serial
within a kind and parallel across kinds. What a record's step does is left to ``effects``.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sandbox.chaosmesh import records
from sandbox.chaosmesh.effects import EffectError, Effects, SilentError
from sandbox.chaosmesh.kinds import CLEAN, FAULT_KINDS, FINALIZER, FaultKind, is_one_shot, is_paused
from sandbox.chaosmesh.levers import ChaosLevers
from sandbox.chaosmesh.selection import NothingSelectedError, candidates, choose, ids
from sandbox.chaosmesh.webhook import seconds
from sandbox.kubernetes import pods
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.errors import Obj
from sandbox.kubernetes.queue import WorkQueue
from sandbox.kubernetes.recorder import Recorder
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.store import Change, copy

Key = tuple[str, str]
Range = tuple[float, float]
_RETRY_FIRST_S: Final = 0.005
_RETRY_MOST_S: Final = 1000.0
_ECHO_S: Final = 0.005


@dataclass(frozen=True, slots=True)
class Speed:
    """How long the controller takes, in virtual seconds, from and to.

    ``inject`` and ``recover`` pass before a new or a changed object is looked at, in parallel for all
    objects; ``call`` occupies the kind's only worker, once for each record that is worked on.
    """

    inject: Range = (0.1, 0.5)
    recover: Range = (0.05, 0.3)
    call: Range = (0.002, 0.005)


class Controller:
    """The reconciler of one kind of fault."""

    def __init__(
        self,
        api: Api,
        resource: Resource,
        effects: Effects,
        levers: ChaosLevers,
        speed: Speed,
        *,
        filter_namespaces: bool,
    ) -> None:
        """Look after the objects of ``resource``."""
        self._api = api
        self._resource = resource
        self._kind: FaultKind = FAULT_KINDS[resource.kind]
        self._effects = effects
        self._levers = levers
        self._speed = speed
        self._filter_namespaces = filter_namespaces
        self._chance: random.Random = api.world.random(f"chaos mesh {resource.kind}")
        self._events = Recorder(api, f"{resource.singular}-controller")
        self._arrivals: WorkQueue[Key] = WorkQueue(api, self._arrived, delay=_ECHO_S)
        self._line: deque[Key] = deque()
        self._busy = False
        self._failures: dict[Key, int] = {}
        api.store.listen(self._on_change, resource)

    def _on_change(self, change: Change) -> None:
        key = pods.key_of(change.object)
        if change.type == "DELETED":
            self._failures.pop(key, None)
            return
        if change.previous is None:
            delay = self._chance.uniform(*self._speed.inject)
        elif _told(change.previous) != _told(change.object):
            delay = self._chance.uniform(*self._speed.recover)
        else:
            delay = _ECHO_S
        self._arrivals.add(key, after=delay)

    def _arrived(self, key: Key) -> None:
        if key not in self._line:
            self._line.append(key)
        self.work()

    def work(self) -> None:
        """Take the next object up, where the worker is free and the controller is up."""
        if self._busy or not self._line or self._levers.controller_down:
            return
        key = self._line.popleft()
        self._busy = True
        self._api.world.call_later(self._cost(key), lambda: self._finish(key))

    def _cost(self, key: Key) -> float:
        obj = self._api.store.get(self._resource, *key)
        if obj is None:
            return 0.0
        phase = self._phase(obj)
        calls = sum(records.wanted(record, phase) is not None for record in records.of(obj))
        if self._levers.call_seconds is not None:
            return calls * self._levers.call_seconds
        return sum(self._chance.uniform(*self._speed.call) for _ in range(calls))

    def _finish(self, key: Key) -> None:
        self._busy = False
        if self._levers.controller_down:
            self._line.appendleft(key)
            return
        if self._pass(key):
            self._failures.pop(key, None)
        elif self._api.store.get(self._resource, *key) is not None:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            delay = min(_RETRY_FIRST_S * 2 ** min(failures, 20), _RETRY_MOST_S)
            # The echo of this pass's own writes must not cut the wait short, nor be waited for twice.
            self._arrivals.postpone(key, delay)
        self.work()

    def _pass(self, key: Key) -> bool:
        """One pass over an object; False where it must be tried again."""
        for step in (self._add_finalizer, self._set_phase, self._set_conditions):
            obj = self._api.store.get(self._resource, *key)
            if obj is None:
                return True
            step(obj)
        obj = self._api.store.get(self._resource, *key)
        if obj is None:
            return True
        done = self._work_on_records(obj)
        obj = self._api.store.get(self._resource, *key)
        if done and obj is not None:
            self._clean(obj)
        return done

    def _write(self, obj: Obj, change: Callable[[Obj], None], field: str) -> Obj:
        changed = copy(obj)
        change(changed)
        stored = self._api.update(self._resource, *pods.key_of(obj), changed)
        self._events.record(obj, "Updated", f"Successfully update {field} of resource")
        return stored

    def _add_finalizer(self, obj: Obj) -> None:
        metadata = obj["metadata"]
        if "deletionTimestamp" in metadata or FINALIZER in (metadata.get("finalizers") or ()):
            return
        self._events.record(obj, "FinalizerInited", "Finalizer has been inited")
        self._write(
            obj, lambda new: new["metadata"].setdefault("finalizers", []).append(FINALIZER), "finalizer"
        )

    def _phase(self, obj: Obj) -> str:
        if "deletionTimestamp" in obj["metadata"]:
            return records.STOP
        if is_one_shot(obj):
            return records.RUN
        left = self._time_left(obj)
        return records.STOP if is_paused(obj) or (left is not None and left <= 0) else records.RUN

    def _time_left(self, obj: Obj) -> float | None:
        """Seconds until the duration is over, counted from the object's creation; None: it never is."""
        duration = obj["spec"].get("duration")
        if not duration:
            return None
        try:
            length = seconds(duration)
        except ValueError:
            return None
        created = datetime.fromisoformat(obj["metadata"]["creationTimestamp"])
        return self._api.world.at(created) + length - self._api.world.elapsed

    def _set_phase(self, obj: Obj) -> None:
        wanted = self._phase(obj)
        left = self._time_left(obj)
        if left is not None and left > 0 and not is_one_shot(obj):
            self._arrivals.wake(pods.key_of(obj), left)
        if records.desired(obj) == wanted:
            return
        if "deletionTimestamp" in obj["metadata"]:
            self._events.record(obj, "Deleted", "Experiment has been deleted")
        elif wanted == records.RUN:
            self._events.record(obj, "Started", "Experiment has started")
        elif left is not None and left <= 0:
            self._events.record(obj, "TimeUp", "Time up according to the duration")
        else:
            self._events.record(obj, "Paused", "Experiment has been paused")
        self._write(obj, lambda new: _experiment(new).update(desiredPhase=wanted), "desiredPhase")

    def _set_conditions(self, obj: Obj) -> None:
        wanted = records.conditions(obj, self._chance)
        if wanted is not ((obj.get("status") or {}).get("conditions")):
            changed = copy(obj)
            changed.setdefault("status", {})["conditions"] = wanted
            self._api.update(self._resource, *pods.key_of(obj), changed)

    def _work_on_records(self, obj: Obj) -> bool:
        entries = copy({"records": records.of(obj)})["records"]
        changed = False
        if not entries:
            try:
                entries = self._select(obj)
            except NothingSelectedError as error:
                self._events.record(obj, "Failed", f"Failed to select targets: {error}", "Warning")
                return True
            changed = True
        # What a step needs to know of the other records it reads from the object.
        obj = {**obj, "status": {**(obj.get("status") or {})}}
        obj["status"]["experiment"] = {**(obj["status"].get("experiment") or {}), "containerRecords": entries}
        retry = False
        for record in entries:
            outcome = self._work_on(obj, record)
            changed |= outcome is not None
            retry |= outcome is False
        if changed:
            self._write(obj, lambda new: _experiment(new).update(containerRecords=entries), "records")
        return not retry

    def _select(self, obj: Obj) -> list[Obj]:
        spec = obj["spec"]
        if self._kind.target == "outside":
            names = spec.get("address") or [
                next((str(spec[key]) for key in _OUTSIDE if key in spec), "target")
            ]
            return [records.new(name, ".") for name in names]
        sides = {".": spec}
        if self._kind.kind == "NetworkChaos" and spec.get("target"):
            sides[".Target"] = spec["target"]
        found: list[Obj] = []
        for side, declared in sides.items():
            chosen = choose(
                candidates(
                    self._api,
                    declared["selector"],
                    obj["metadata"]["namespace"],
                    filter_namespaces=self._filter_namespaces,
                ),
                declared["mode"],
                declared.get("value", ""),
                self._chance,
            )
            targets = [records.new(name, side) for pod in chosen for name in ids(self._kind, spec, pod)]
            if not targets:
                raise NothingSelectedError("no target has been selected")
            found += targets
        return found

    def _work_on(self, obj: Obj, record: Obj) -> bool | None:
        """Do what is due to one record: True where it changed, False where it failed, None for nothing."""
        operation = records.wanted(record, records.desired(obj))
        if operation is None:
            return None
        before, now = record["phase"], self._api.now()
        try:
            step = self._effects.apply if operation == "Apply" else self._effects.recover
            record["phase"] = step(obj, record)
        except SilentError:
            return None
        except EffectError as error:
            record["phase"] = error.phase
            records.note(record, "Failed", operation, str(error), now)
            self._events.record(obj, "Failed", f"Failed to {operation.lower()} chaos: {error}", "Warning")
            return False
        if operation == "Apply" and record["phase"] == records.INJECTED:
            record["injectedCount"] += 1
            self._events.record(obj, "Applied", f"Successfully apply chaos for {record['id']}")
        elif operation == "Recover" and record["phase"] == records.NOT_INJECTED:
            record["recoveredCount"] += 1
            self._events.record(obj, "Recovered", f"Successfully recover chaos for {record['id']}")
        if record["phase"] in (records.INJECTED, records.NOT_INJECTED) and record["phase"] != before:
            records.note(record, "Succeeded", operation, "", now)
        return True

    def _clean(self, obj: Obj) -> None:
        metadata = obj["metadata"]
        if "deletionTimestamp" not in metadata or FINALIZER not in (metadata.get("finalizers") or ()):
            return
        forced = (metadata.get("annotations") or {}).get(CLEAN) == "forced"
        if forced or all(record["phase"] == records.NOT_INJECTED for record in records.of(obj)):
            self._events.record(obj, "FinalizerRemoved", "Finalizer has been removed")
            changed = copy(obj)
            changed["metadata"]["finalizers"].remove(FINALIZER)
            self._api.update(self._resource, *pods.key_of(obj), changed)


_OUTSIDE: Final = ("ec2Instance", "vmName", "instance")


def _experiment(obj: Obj) -> Obj:
    experiment: Obj = obj.setdefault("status", {}).setdefault("experiment", {})
    return experiment


def _told(obj: Obj) -> tuple[object, object]:
    """What a person can say to an object: that it be deleted, and its annotations."""
    return obj["metadata"].get("deletionTimestamp"), obj["metadata"].get("annotations")
