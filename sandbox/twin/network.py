"""Why: a slow, lossy or split network must show where it shows in a cluster: at whoever waits.

One ``Rule`` is what the Chaos Mesh daemon sets up in one pod's network namespace: netem on what the
pod sends (to all, or to some peers), or packets dropped. Direction ``to`` puts netem on the pods of
the selector, ``from`` on those of the target, ``both`` on both; a partition in any direction breaks
TCP in both. A lost or corrupted packet is sent again by TCP after 200 ms, 400 ms, and so on, which
is how loss becomes latency; duplicates and reordering cost TCP nothing that could be seen here.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from sandbox.twin.quantities import bytes_per_second, seconds, share
from sandbox.wiring import Injection

PodKey = tuple[str, str]

RETRANSMIT_S = 0.2
_TRIES = 6
_MESSAGE_BYTES = 8192.0


class Rule:
    """What is done to what one pod sends."""

    __slots__ = (
        "_correlation",
        "_delay",
        "_free_at",
        "_jitter",
        "_last",
        "_loss",
        "_rate",
        "_room",
        "cut",
        "peers",
    )

    def __init__(
        self, spec: Mapping[str, Any], peers: frozenset[PodKey] | None, source: random.Random
    ) -> None:
        """Read NetworkChaos's ``spec``; ``peers`` are the other sides concerned, None for all."""
        self.peers = peers
        self.cut = spec.get("action") == "partition"
        delay = spec.get("delay") or {}
        self._delay = seconds(delay.get("latency"))
        self._jitter = seconds(delay.get("jitter"))
        self._correlation = share(delay.get("correlation"))
        self._last = source.random()
        lost = share((spec.get("loss") or {}).get("loss"))
        corrupt = share((spec.get("corrupt") or {}).get("corrupt"))
        self._loss = 1.0 - (1.0 - lost) * (1.0 - corrupt)
        bandwidth = spec.get("bandwidth") or {}
        rate = spec.get("rate") or {}
        self._rate = bytes_per_second(bandwidth.get("rate") or rate.get("rate"))
        self._room = float(bandwidth.get("limit") or 0) + _MESSAGE_BYTES
        self._free_at = 0.0

    def concerns(self, other: PodKey | None) -> bool:
        """Whether it acts on what goes to ``other``; None is somebody outside."""
        return self.peers is None or (other is not None and other in self.peers)

    @property
    def typical_delay(self) -> float:
        """The seconds that it adds to a packet, jitter left out."""
        return self._delay

    @property
    def hopeless(self) -> bool:
        """Whether nothing gets through."""
        return self.cut or self._loss >= 1.0

    def pass_on(self, now: float, source: random.Random) -> float | None:
        """The seconds that one message takes longer; None where it never arrives."""
        if self.hopeless:
            return None
        took = self._delay
        if self._jitter:
            drawn = source.random() * (1.0 - self._correlation) + self._last * self._correlation
            self._last = drawn
            took = max(0.0, took + (2.0 * drawn - 1.0) * self._jitter)
        wait = RETRANSMIT_S
        tries = 0
        while self._loss and source.random() < self._loss:
            tries += 1
            if tries >= _TRIES:
                return None
            took += wait
            wait *= 2.0
        if self._rate:
            took += self._transmit(now)
        return took

    def _transmit(self, now: float) -> float:
        backlog = max(0.0, self._free_at - now)
        if backlog * self._rate > self._room:
            return backlog + RETRANSMIT_S
        self._free_at = now + backlog + _MESSAGE_BYTES / self._rate
        return self._free_at - now


def rule_of(injection: Injection, source: random.Random) -> Rule | None:
    """The rule that ``injection`` sets on its pod; None where the other side carries it."""
    spec = injection.spec
    peers = None
    if injection.peers is not None:
        peers = frozenset((peer.namespace, peer.name) for peer in injection.peers)
    direction = spec.get("direction") or "to"
    carried_by = {"to": ".", "from": ".Target"}.get(direction, injection.side)
    if spec.get("action") != "partition" and peers is not None and injection.side != carried_by:
        return None
    return Rule(spec, peers, source)


def leg(rules: list[Rule] | None, other: PodKey | None, now: float, source: random.Random) -> float | None:
    """The seconds that a message to ``other`` takes longer under ``rules``; None: it never arrives."""
    took = 0.0
    for rule in rules or ():
        if rule.concerns(other):
            added = rule.pass_on(now, source)
            if added is None:
                return None
            took += added
    return took


def severed(rules: list[Rule] | None, other: PodKey | None) -> bool:
    """Whether ``rules`` drop everything between their pod and ``other``, either way."""
    return any(rule.cut and rule.concerns(other) for rule in rules or ())
