"""Why: a Schedule goes on making faults until somebody stops it, so a stop must begin with Schedules.

It spawns children by cron or ``@every``, labels them ``managed-by``, passes its pause on to them
(not to Workflows) and clears old ones away. Source: Chaos Mesh's ``controllers/schedule``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from cronsim import CronSim

from sandbox.chaosmesh import records
from sandbox.chaosmesh.kinds import FAULT_KINDS, GROUP, PAUSE, is_one_shot, is_paused
from sandbox.chaosmesh.levers import ChaosLevers
from sandbox.chaosmesh.webhook import cron, seconds
from sandbox.kubernetes import pods
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.deletion import Deleter
from sandbox.kubernetes.errors import ApiError, Obj
from sandbox.kubernetes.recorder import Recorder
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.store import Change, copy

_REACTION_S = 0.05


class Schedules:
    """The controllers of Schedules."""

    def __init__(self, api: Api, deleter: Deleter, levers: ChaosLevers) -> None:
        """Look after the Schedules of ``api``."""
        self._api = api
        self._deleter = deleter
        self._levers = levers
        self._events = Recorder(api, "schedule-cron")
        resource = api.registry.of_kind(GROUP, "Schedule")
        assert resource is not None
        self._resource: Resource = resource
        api.store.listen(self._on_change, resource)

    def _on_change(self, change: Change) -> None:
        key, uid = pods.key_of(change.object), change.object["metadata"]["uid"]
        if change.type == "ADDED":
            self._plan(change.object)
        elif (
            change.type == "MODIFIED"
            and change.previous
            and is_paused(change.previous) != is_paused(change.object)
        ):
            self._api.world.call_later(_REACTION_S, lambda: self._pass_pause_on(key, uid))

    def _find(self, key: tuple[str, str], uid: str) -> Obj | None:
        schedule = self._api.store.get(self._resource, *key)
        if (
            schedule is None
            or schedule["metadata"]["uid"] != uid
            or "deletionTimestamp" in schedule["metadata"]
        ):
            return None
        return schedule

    def _plan(self, schedule: Obj) -> None:
        """Wait for the next time."""
        now = self._api.world.now()
        wait = (_next(schedule["spec"]["schedule"], now) - now).total_seconds()
        key, uid = pods.key_of(schedule), schedule["metadata"]["uid"]
        self._api.world.call_later(wait, lambda: self._fire(key, uid))

    def _fire(self, key: tuple[str, str], uid: str) -> None:
        schedule = self._find(key, uid)
        if schedule is None:
            return
        if not is_paused(schedule) and not self._levers.controller_down:
            self._clear(schedule)
            self._spawn(schedule)
        self._plan(schedule)

    def _children(self, schedule: Obj) -> Iterator[tuple[Resource, Obj]]:
        resource = self._api.registry.of_kind(GROUP, schedule["spec"]["type"])
        assert resource is not None
        for obj in self._api.store.all(resource, schedule["metadata"]["namespace"]):
            if pods.owner_of(obj) == schedule["metadata"]["uid"]:
                yield resource, obj

    def _is_finished(self, child: Obj) -> bool:
        if child["kind"] == "Workflow":
            return "endTime" in (child.get("status") or {})
        if is_one_shot(child):
            entries = records.of(child)
            return bool(entries) and all(record["phase"] == records.INJECTED for record in entries)
        duration = child["spec"].get("duration")
        if not duration:
            return False
        created = datetime.fromisoformat(child["metadata"]["creationTimestamp"])
        return created + timedelta(seconds=seconds(duration)) <= self._api.world.now()

    def _spawn(self, schedule: Obj) -> None:
        metadata, spec = schedule["metadata"], schedule["spec"]
        for _, child in self._children(schedule):
            if spec.get("concurrencyPolicy", "Forbid") == "Forbid" and not self._is_finished(child):
                told = f"Forbid spawning new job because: {child['metadata']['name']} is still running"
                self._events.record(schedule, "Forbid", told, "Warning")
                return
        kind = spec["type"]
        member = "workflow" if kind == "Workflow" else FAULT_KINDS[kind].member
        resource = self._api.registry.of_kind(GROUP, kind)
        assert resource is not None
        child = {
            "kind": kind,
            "apiVersion": resource.api_version,
            "metadata": {
                "name": f"{metadata['name'][:57]}-{self._api.suffix()}",
                "labels": {**(metadata.get("labels") or {}), "managed-by": metadata["name"]},
                "ownerReferences": pods.controlled_by(schedule),
            },
            "spec": copy(spec[member]),
        }
        try:
            made = self._api.create(resource, metadata["namespace"], child)
        except ApiError as error:
            self._events.record(
                schedule, "Failed", f"Failed to create new object: {error.message}", "Warning"
            )
            return
        self._events.record(schedule, "Spawned", f"Create new object: {made['metadata']['name']}")
        changed = copy(schedule)
        status = changed.setdefault("status", {})
        status["time"] = self._api.now()
        reference = {"apiVersion": made["apiVersion"], "kind": kind, "name": made["metadata"]["name"]}
        status["active"] = [*(status.get("active") or ()), {**reference, "namespace": metadata["namespace"]}][
            -10:
        ]
        self._api.update(self._resource, *pods.key_of(schedule), changed)

    def _clear(self, schedule: Obj) -> None:
        """Delete finished children beyond the history limit, the oldest first."""
        finished = [
            (resource, child)
            for resource, child in self._children(schedule)
            if self._is_finished(child) and "deletionTimestamp" not in child["metadata"]
        ]
        keep = schedule["spec"].get("historyLimit", 1)
        finished.sort(key=lambda entry: entry[1]["metadata"]["creationTimestamp"])
        for resource, child in finished[: max(0, len(finished) - keep)]:
            self._deleter.delete(resource, *pods.key_of(child))

    def _pass_pause_on(self, key: tuple[str, str], uid: str) -> None:
        schedule = self._find(key, uid)
        if schedule is None or self._levers.controller_down:
            return
        if schedule["spec"]["type"] == "Workflow":
            told = f"a workflow schedule {key[1]} cannot be paused"
            self._events.record(schedule, "Unsupported", told, "Warning")
            return
        for resource, child in list(self._children(schedule)):
            if is_paused(child) != is_paused(schedule):
                changed = copy(child)
                annotations = changed["metadata"].setdefault("annotations", {})
                annotations[PAUSE] = "true" if is_paused(schedule) else "false"
                self._api.update(resource, *pods.key_of(child), changed)


def _next(expression: str, now: datetime) -> datetime:
    if expression.startswith("@every "):
        return now + timedelta(seconds=seconds(expression.removeprefix("@every ").strip()))
    found: datetime = next(CronSim(cron(expression), now))
    return found
