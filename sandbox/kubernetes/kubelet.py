"""Why: pods do not just exist: they are scheduled, start, become ready, die and restart, in their time.

``Kubelet`` plays scheduler and kubelet of every node, on virtual time, with delays drawn from a seed,
and tells the twin. Which pods there should be is left to ``workloads``, what they answer to the twin.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sandbox.kubernetes import pods
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.deletion import DeleteOptions, Deleter
from sandbox.kubernetes.errors import Obj
from sandbox.kubernetes.recorder import Recorder
from sandbox.kubernetes.resources import NODES, PODS
from sandbox.kubernetes.store import Change
from sandbox.wiring import Platform, PodRef

NOW: Final = DeleteOptions(grace=0)
_CALM_S: Final = 600.0
_BACKOFF_MAX_S: Final = 300.0

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the steps of a pod's life take, in virtual seconds, from and to."""

    schedule: Range = (0.05, 0.2)
    start: Range = (1.0, 4.0)
    ready: Range = (1.5, 4.0)
    end: Range = (0.3, 1.5)
    restart: Range = (0.5, 1.5)


@dataclass(slots=True)
class _Life:
    """What the kubelet knows of one pod."""

    ref: PodRef
    # Whether the twin has heard of it, whether its containers run what they should, whether it is ready.
    known: bool = False
    running: bool = False
    ready: bool = False
    ending: bool = False
    # Counted up whenever a step that was planned no longer holds.
    turn: int = 0
    # Who keeps the pod from becoming ready: pod-failure, or a lever.
    held: set[str] = field(default_factory=set)
    deaths: int = 0
    last_death: float = -math.inf


class Kubelet:
    """Scheduler and kubelet of all nodes."""

    def __init__(
        self, api: Api, deleter: Deleter, twin: Platform, service_of: Callable[[Obj], str], timing: Timing
    ) -> None:
        """Look after the pods of ``api``, telling ``twin``; ``service_of`` names a pod's service."""
        self._api = api
        self._world = api.world
        self._deleter = deleter
        self._twin = twin
        self._service_of = service_of
        self._timing = timing
        self._chance = api.world.random("kubelet")
        self._scheduler = Recorder(api, "default-scheduler")
        self._events = Recorder(api, "kubelet")
        self._lives: dict[str, _Life] = {}
        self._addresses = 0
        self._turn = 0
        api.store.listen(self._on_change, PODS)
        twin.on_container_death(self._on_death)

    def _on_death(self, ref: PodRef, reason: str) -> None:
        self.kill(ref.namespace, ref.name, ref.container, reason)

    def _delay(self, span: Range) -> float:
        return self._api.delay(self._chance.uniform(*span))

    def ref(self, pod: Obj) -> PodRef | None:
        """The pod as the twin knows it; None where it has no address yet."""
        life = self._lives.get(pod["metadata"]["uid"])
        return life.ref if life is not None and life.ref.ip else None

    def _on_change(self, change: Change) -> None:
        uid = change.object["metadata"]["uid"]
        life = self._lives.get(uid)
        if change.type == "DELETED":
            if life is not None:
                life.turn += 1
                self._stop(life)
                del self._lives[uid]
            return
        if life is None:
            namespace, name = pods.key_of(change.object)
            container = change.object["spec"]["containers"][0]["name"]
            service = self._service_of(change.object)
            life = self._lives[uid] = _Life(PodRef(namespace, name, service, container))
            self._plan(uid, life, self._timing.schedule, self._schedule)
        if "deletionTimestamp" in change.object["metadata"] and not life.ending:
            life.ending = True
            self._plan(uid, life, (0.0, 0.0), self._terminate)

    def _plan(self, uid: str, life: _Life, span: Range, step: Callable[[Obj, _Life], None]) -> None:
        """Take ``step`` after a time of ``span``, unless something else comes between."""
        life.turn += 1
        turn = life.turn

        def take() -> None:
            pod = self._api.store.get(PODS, life.ref.namespace, life.ref.name)
            if life.turn == turn and pod is not None and pod["metadata"]["uid"] == uid:
                step(pod, life)

        self._world.call_later(self._delay(span), take)

    def _schedule(self, pod: Obj, life: _Life) -> None:
        node = pod["spec"].get("nodeName")
        if not node and pod["spec"].get("schedulerName") != "default-scheduler":
            return
        node = node or self._pick_node()
        if not node:
            self._scheduler.record(pod, "FailedScheduling", "0/0 nodes are available", "Warning")
            self._plan(pod["metadata"]["uid"], life, (5.0, 5.0), self._schedule)
            return
        if "nodeName" not in pod["spec"]:
            message = f"Successfully assigned {life.ref.namespace}/{life.ref.name} to {node}"
            self._scheduler.record(pod, "Scheduled", message)
        pod = self._api.store.put(PODS, pods.pending(pods.scheduled(pod, node), self._api.now()))
        self._plan(pod["metadata"]["uid"], life, self._timing.start, self._start)

    def _pick_node(self) -> str:
        nodes = [
            node["metadata"]["name"]
            for node in self._api.store.all(NODES)
            if not (node.get("spec") or {}).get("unschedulable")
        ]
        self._turn += 1
        return nodes[self._turn % len(nodes)] if nodes else ""

    def _start(self, pod: Obj, life: _Life) -> None:
        self._addresses += 1
        address = f"10.244.{self._addresses // 250}.{self._addresses % 250 + 2}"
        host = _address_of(self._api.store.get(NODES, "", pod["spec"]["nodeName"]))
        life.ref = PodRef(life.ref.namespace, life.ref.name, life.ref.service, life.ref.container, address)
        pod = self._api.store.put(PODS, pods.started(pod, self._api.now(), address, host))
        for container in pod["spec"]["containers"]:
            told = f'Container image "{container["image"]}" already present on machine'
            self._events.record(pod, "Pulled", told)
            self._events.record(pod, "Created", f"Created container: {container['name']}")
            self._events.record(pod, "Started", f"Started container {container['name']}")
        self._run(pod, life)

    def _run(self, pod: Obj, life: _Life) -> None:
        if life.held:
            return
        life.known = life.running = True
        self._twin.pod_started(life.ref)
        self._plan(pod["metadata"]["uid"], life, self._timing.ready, self._become_ready)

    def _become_ready(self, pod: Obj, life: _Life) -> None:
        life.ready = True
        self._api.store.put(PODS, pods.readied(pod, self._api.now(), ready=True))
        self._twin.pod_ready(life.ref)

    def _stop(self, life: _Life) -> None:
        """The pod is no more; the twin hears of it once."""
        life.running = life.ready = False
        if life.known:
            life.known = False
            self._twin.pod_gone(life.ref)

    def _crash(self, life: _Life) -> None:
        """The containers run no more; the pod stays, and they will come back."""
        life.running = life.ready = False
        self._twin.pod_crashed(life.ref)

    def _terminate(self, pod: Obj, life: _Life) -> None:
        for container in pod["spec"]["containers"]:
            self._events.record(pod, "Killing", f"Stopping container {container['name']}")
        if life.ready:
            life.ready = False
            self._twin.pod_unready(life.ref)
        most = float(pod["metadata"].get("deletionGracePeriodSeconds", 30))
        span = (min(self._timing.end[0], most), min(self._timing.end[1], most))
        self._plan(pod["metadata"]["uid"], life, span, self._end)

    def _end(self, pod: Obj, life: _Life) -> None:
        self._stop(life)
        self._deleter.delete(PODS, *pods.key_of(pod), NOW)

    def kill(self, namespace: str, name: str, container: str, reason: str, *, exit_code: int = 137) -> bool:
        """Kill a container; it comes back by itself. False where there is none that runs."""
        pod = self._api.store.get(PODS, namespace, name)
        life = self._lives.get(pod["metadata"]["uid"]) if pod is not None else None
        known = [entry["name"] for entry in pod["spec"]["containers"]] if pod is not None else []
        if pod is None or life is None or not life.running or (container or known[0]) not in known:
            return False
        self._die(pod, life, frozenset({container or known[0]}), reason, exit_code)
        return True

    def _die(self, pod: Obj, life: _Life, names: frozenset[str], reason: str, exit_code: int) -> None:
        self._crash(life)
        pod = self._api.store.put(PODS, pods.died(pod, self._api.now(), names, reason, exit_code))
        elapsed = self._world.elapsed
        life.deaths = 0 if elapsed - life.last_death > _CALM_S else life.deaths + 1
        life.last_death = elapsed
        # The first restart is at once, then 10 s, 20 s, 40 s ... (Kubernetes, "Pod lifecycle").
        pause = min(10.0 * 2 ** (life.deaths - 1), _BACKOFF_MAX_S) if life.deaths else 0.0
        if pause:
            told = f"Back-off restarting failed container in pod {life.ref.name}_{life.ref.namespace}"
            self._events.record(pod, "BackOff", told, "Warning")
        low, high = self._timing.restart
        self._plan(pod["metadata"]["uid"], life, (low + pause, high + pause), self._restart)

    def _restart(self, pod: Obj, life: _Life) -> None:
        pod = self._api.store.put(PODS, pods.restarted(pod, self._api.now()))
        for container in pod["spec"]["containers"]:
            self._events.record(pod, "Started", f"Started container {container['name']}")
        self._run(pod, life)

    def hold(self, namespace: str, name: str, by: str, *, replaced: bool) -> bool:
        """Keep a pod from being ready, for ``by``; False where it is not there.

        ``replaced``: its containers are exchanged for ones that do nothing, as pod-failure does it.
        """
        pod = self._api.store.get(PODS, namespace, name)
        life = self._lives.get(pod["metadata"]["uid"]) if pod is not None else None
        if pod is None or life is None or life.ending:
            return False
        first = not life.held
        life.held.add(by)
        if replaced and first and life.running:
            names = frozenset(entry["name"] for entry in pod["spec"]["containers"])
            self._crash(life)
            pod = self._api.store.put(PODS, pods.died(pod, self._api.now(), names, "Error", 137))
            self._plan(pod["metadata"]["uid"], life, self._timing.restart, self._restart)
        elif life.ready:
            life.ready = False
            self._api.store.put(PODS, pods.readied(pod, self._api.now(), ready=False))
            self._twin.pod_unready(life.ref)
        return True

    def let_go(self, namespace: str, name: str, by: str, *, replaced: bool) -> None:
        """Undo ``hold``; the pod becomes ready in its own time."""
        pod = self._api.store.get(PODS, namespace, name)
        life = self._lives.get(pod["metadata"]["uid"]) if pod is not None else None
        if pod is None or life is None or by not in life.held:
            return
        life.held.discard(by)
        if life.held or life.ending:
            return
        if life.running:
            self._plan(pod["metadata"]["uid"], life, self._timing.ready, self._become_ready)
        elif replaced or not pods.is_ready(pod):
            names = frozenset(entry["name"] for entry in pod["spec"]["containers"])
            pod = self._api.store.put(PODS, pods.died(pod, self._api.now(), names, "Error", 137))
            self._plan(pod["metadata"]["uid"], life, self._timing.restart, self._restart)


def _address_of(node: Obj | None) -> str:
    addresses = ((node or {}).get("status") or {}).get("addresses") or ()
    return next((entry["address"] for entry in addresses if entry["type"] == "InternalIP"), "")
