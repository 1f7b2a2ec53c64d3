"""Why: what a fault does to a pod is carried out here: through the API, the kubelet, or the twin.

One call applies or recovers one record and says in which phase it is then. A dead daemon, a pod
that is not running, or a lever make it fail, as the real daemon's calls do. When it is called is
left to ``controller``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sandbox.chaosmesh import records
from sandbox.chaosmesh.kinds import FAULT_KINDS, FaultKind
from sandbox.chaosmesh.levers import ChaosLevers
from sandbox.kubernetes import pods
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.deletion import DeleteOptions, Deleter
from sandbox.kubernetes.errors import Obj
from sandbox.kubernetes.kubelet import Kubelet
from sandbox.kubernetes.resources import NODES, PODS
from sandbox.wiring import Injection, Platform, PodRef

_DAEMON: Final = {"app.kubernetes.io/component": "chaos-daemon"}
_DAEMON_PORT: Final = 31767


class EffectError(Exception):
    """The daemon, or the API, did not do it; ``phase`` is where the record stands then."""

    def __init__(self, message: str, phase: str) -> None:
        """Say why."""
        super().__init__(message)
        self.phase = phase


class SilentError(EffectError):
    """A failure that the real controller swallows: no event, no retry."""


def place(record: Obj) -> tuple[str, str, str]:
    """Namespace, pod and container ("" where the record names a pod) of a record's id."""
    namespace, _, rest = record["id"].partition("/")
    name, _, container = rest.partition("/")
    return namespace, name, container


class Effects:
    """Carries faults out."""

    def __init__(
        self,
        api: Api,
        deleter: Deleter,
        kubelet: Kubelet,
        twin: Platform,
        levers: ChaosLevers,
        *,
        namespace: str,
    ) -> None:
        """Act on the pods of ``api``; the daemons run in ``namespace``."""
        self._api = api
        self._deleter = deleter
        self._kubelet = kubelet
        self._twin = twin
        self._levers = levers
        self._namespace = namespace

    def apply(self, obj: Obj, record: Obj) -> str:
        """Inject the fault into the target of ``record``: the phase then. Raises ``EffectError``."""
        kind = FAULT_KINDS[obj["kind"]]
        phase: str = record["phase"]
        if message := self._levers.injection_fault(obj):
            raise EffectError(message, phase)
        if kind.target == "outside":
            return records.INJECTED
        pod = self._pod(record)
        if pod is None:
            if phase == records.APPLY_WAITS:
                return records.NOT_INJECTED
            raise EffectError(f'Pod "{place(record)[1]}" not found', phase)
        if kind.kind == "NetworkChaos" and pod["spec"].get("hostNetwork"):
            # From here on it is "Not Injected/Wait", which even a deletion tries to bring to its end.
            raise EffectError(
                "It's dangerous to inject network chaos on a pod with host network", records.APPLY_WAITS
            )
        self._check_daemon(kind, pod, phase)
        if kind.waits and phase == records.NOT_INJECTED:
            return records.APPLY_WAITS
        if kind.kind == "PodChaos":
            self._break_pod(obj, record, pod)
        else:
            self._inject(obj, record, pod)
        return records.INJECTED

    def _break_pod(self, obj: Obj, record: Obj, pod: Obj) -> None:
        namespace, name, container = place(record)
        match obj["spec"]["action"]:
            case "pod-kill":
                options = DeleteOptions(grace=obj["spec"].get("gracePeriod", 0))
                self._deleter.delete(PODS, namespace, name, options)
            case "container-kill":
                self._check_daemon(FAULT_KINDS["StressChaos"], pod, record["phase"])
                if not self._kubelet.kill(namespace, name, container, "Error"):
                    raise EffectError(
                        f"container {container} of pod {namespace}/{name} is not running", record["phase"]
                    )
            case _:
                held = self._kubelet.hold(namespace, name, obj["metadata"]["uid"], replaced=True)
                if not held:
                    raise EffectError(f"pod {namespace}/{name} is being deleted", record["phase"])

    def _inject(self, obj: Obj, record: Obj, pod: Obj) -> None:
        ref = self._kubelet.ref(pod)
        if ref is None:
            raise EffectError(f"pod {pod['metadata']['name']} has no running container", record["phase"])
        container = place(record)[2]
        injection = Injection(
            id=identifier(obj, record),
            kind=obj["kind"],
            spec=obj["spec"],
            pod=replace(ref, container=container) if container else ref,
            side=record["selectorKey"],
            peers=self._peers(obj, record),
        )
        try:
            self._twin.inject(injection)
        except ValueError as error:
            raise EffectError(str(error), record["phase"]) from error

    def _peers(self, obj: Obj, record: Obj) -> tuple[PodRef, ...] | None:
        if obj["kind"] != "NetworkChaos":
            return None
        if not obj["spec"].get("target"):
            # Only what goes to addresses outside is meant: no pod of the cluster.
            return () if obj["spec"].get("externalTargets") else None
        others = [entry for entry in records.of(obj) if entry["selectorKey"] != record["selectorKey"]]
        found = (self._pod(entry) for entry in others)
        refs = (self._kubelet.ref(pod) for pod in found if pod is not None)
        return tuple(ref for ref in refs if ref is not None)

    def recover(self, obj: Obj, record: Obj) -> str:
        """End the fault in the target of ``record``: the phase then. Raises ``EffectError``."""
        kind = FAULT_KINDS[obj["kind"]]
        phase: str = record["phase"]
        if self._levers.hangs(obj):
            raise self._stuck(kind, record, "10.0.0.1")
        pod = None if kind.target == "outside" else self._pod(record)
        if pod is not None:
            try:
                self._check_daemon(kind, pod, phase)
            except EffectError as error:
                raise (SilentError(str(error), phase) if kind.kind == "StressChaos" else error) from error
            if kind.waits and phase == records.INJECTED:
                return records.RECOVER_WAITS
        # A target that is gone counts as recovered.
        if kind.kind == "PodChaos":
            namespace, name, _ = place(record)
            self._kubelet.let_go(namespace, name, obj["metadata"]["uid"], replaced=True)
        elif kind.target != "outside":
            self._twin.recover(identifier(obj, record))
        return records.NOT_INJECTED

    def _stuck(self, kind: FaultKind, record: Obj, address: str) -> EffectError:
        message = (
            'rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing:'
            f' dial tcp {address}:{_DAEMON_PORT}: connect: connection refused"'
        )
        error = SilentError if kind.kind == "StressChaos" else EffectError
        return error(message, record["phase"])

    def _pod(self, record: Obj) -> Obj | None:
        namespace, name, _ = place(record)
        return self._api.store.get(PODS, namespace, name)

    def _check_daemon(self, kind: FaultKind, pod: Obj, phase: str) -> None:
        if not kind.needs_daemon:
            return
        node = pod["spec"].get("nodeName", "")
        if node in self._levers.daemons_down or not self._daemon_answers(node):
            address = _address(self._api.store.get(NODES, "", node))
            raise EffectError(
                f'rpc error: code = Unavailable desc = connection error: desc = "transport: Error while'
                f' dialing: dial tcp {address}:{_DAEMON_PORT}: connect: connection refused"',
                phase,
            )

    def _daemon_answers(self, node: str) -> bool:
        return any(
            pods.is_ready(pod)
            for pod in self._api.store.all(PODS, self._namespace)
            if pod["spec"].get("nodeName") == node
            and _DAEMON.items() <= (pod["metadata"].get("labels") or {}).items()
        )


def identifier(obj: Obj, record: Obj) -> str:
    """The id of the injection that a record stands for."""
    return f"{obj['metadata']['uid']}{record['selectorKey']}{record['id']}"


def _address(node: Obj | None) -> str:
    addresses = ((node or {}).get("status") or {}).get("addresses") or ()
    return next((entry["address"] for entry in addresses if entry["type"] == "InternalIP"), "")
