"""Why: a first experiment of any sort begins with a mild fault, well within the guardrails that come along.

Says which sorts of faults can be written so, and how each is written for a service. What stands around
it in the file is ``new``'s.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from gameday.errors import UsageError
from gameday.spec.base import nearest
from gameday.spec.platform import Service, unknown

Written = tuple[str, str]
"""The spec, and what it does to the service whose name takes the place of ``{}``."""


def _volume(service: Service) -> str:
    return json.dumps(service.twin.disk or "/tmp")  # noqa: S108 - a container's


def _somebody(service: Service) -> str:
    """A name that the service looks up, as a pattern."""
    return json.dumps(f"{service.calls[0]}.*" if service.calls else "*")


# By kind and action ("" for kinds that have none). The first action of a kind is written where none is named.
_MILD: Final[Mapping[str, Mapping[str, Callable[[Service], Written]]]] = MappingProxyType(
    {
        "PodChaos": {
            "pod-kill": lambda _: ("{action: pod-kill, mode: one}", "One pod of {} is killed"),
            "pod-failure": lambda _: ("{action: pod-failure, mode: one}", "One pod of {} does not run"),
            "container-kill": lambda service: (
                f"{{action: container-kill, mode: one, containerNames: [{json.dumps(service.name)}]}}",
                "The container of one pod of {} is killed",
            ),
        },
        "NetworkChaos": {
            "delay": lambda _: (
                "{action: delay, mode: one, delay: {latency: 200ms, jitter: 20ms}}",
                "One pod of {} answers 200 ms later",
            ),
            "loss": lambda _: (
                '{action: loss, mode: one, loss: {loss: "10"}}',
                "One pod of {} loses a tenth of its packets",
            ),
            "partition": lambda _: ("{action: partition, mode: one}", "One pod of {} is cut off"),
            "duplicate": lambda _: (
                '{action: duplicate, mode: one, duplicate: {duplicate: "10"}}',
                "One pod of {} sends a tenth of its packets twice",
            ),
            "corrupt": lambda _: (
                '{action: corrupt, mode: one, corrupt: {corrupt: "5"}}',
                "One pod of {} spoils a twentieth of its packets",
            ),
            "bandwidth": lambda _: (
                "{action: bandwidth, mode: one, bandwidth: {rate: 1mbps, limit: 20971520, buffer: 10000}}",
                "One pod of {} sends 1 MB a second at most",
            ),
        },
        "StressChaos": {
            "": lambda _: ("{mode: one, stressors: {cpu: {workers: 1, load: 80}}}", "One pod of {} is busy")
        },
        "IOChaos": {
            "latency": lambda service: (
                f"{{action: latency, mode: one, volumePath: {_volume(service)}, delay: 100ms, percent: 50}}",
                "Half of the file operations of one pod of {} take 100 ms longer",
            ),
            "fault": lambda service: (
                f"{{action: fault, mode: one, volumePath: {_volume(service)}, errno: 5, percent: 10}}",
                "A tenth of the file operations of one pod of {} fail",
            ),
        },
        "TimeChaos": {
            "": lambda _: ("{mode: one, timeOffset: -30s}", "The clock of one pod of {} is 30 s late")
        },
        "HTTPChaos": {
            "": lambda service: (
                f'{{mode: one, target: Request, port: {service.port}, path: "*", delay: 200ms}}',
                "Requests to one pod of {} take 200 ms longer",
            )
        },
        "DNSChaos": {
            "error": lambda service: (
                f"{{action: error, mode: one, patterns: [{_somebody(service)}]}}",
                "One pod of {} finds nobody by name",
            ),
            "random": lambda service: (
                f"{{action: random, mode: one, patterns: [{_somebody(service)}]}}",
                "One pod of {} finds strangers by name",
            ),
        },
    }
)

SORTS: Final = tuple((kind, action) for kind, actions in _MILD.items() for action in actions)
"""Every kind with every action that can be written; "" for kinds that have no action."""
KINDS: Final = tuple(_MILD)
ACTIONS: Final = tuple(action for _, action in SORTS if action)


def mild_fault(kind: str, action: str, service: Service) -> Written:
    """A mild fault of this sort; of the kind's usual action where ``action`` is "".

    Raises ``UsageError`` with the nearest name for a sort that is not among ``SORTS``.
    """
    if kind not in _MILD:
        raise UsageError(unknown("kind", kind, KINDS))
    actions = _MILD[kind]
    chosen = action or next(iter(actions))
    if chosen in actions:
        return actions[chosen](service)
    if "" in actions:
        raise UsageError(f"{kind} has no actions, and this asks for {action!r}")
    near = nearest(action, actions) or f"; known here: {', '.join(actions)}"
    raise UsageError(f"no {kind} with the action {action!r} can be written{near}")
