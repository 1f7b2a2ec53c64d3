"""Why: behind every service stand a database and a cache, and when they stall, everything does.

Both are modelled as so many slots served first come, first served; a query's end is known when it
arrives, so it costs one event. Connections are the clients' business (``clients.ConnectionPool``).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from typing import Any

import simpy
from simpy.events import NORMAL

from sandbox.twin.chance import Chance, lognormal
from sandbox.twin.kernel import REFUSED, Kernel, Outcome
from sandbox.twin.routes import Command
from sandbox.twin.servers import Exchange, Server, Service, writes_fail
from sandbox.wiring import PodRef

MAX_CONNECTIONS = 200
HIT, MISS = 200, 404

# How many fills make a cold cache warm (to 63 %), and how quickly one decays that takes no writes.
_FILLS = 300.0
_DECAY_S = 120.0
_NEW_DATABASE_MIB = 7.5


class _Completion(simpy.Event):
    """The end of one query."""

    __slots__ = ("exchange", "outcome", "store")

    def __init__(self, store: Store, exchange: Exchange, outcome: Outcome) -> None:
        self._ok = True
        self.callbacks = _COMPLETE
        self.store = store
        self.exchange = exchange
        self.outcome = outcome


def _complete(event: _Completion) -> None:
    event.store.complete(event.exchange, event.outcome)


_COMPLETE: list[Callable[[Any], None]] = [_complete]


class Store(Server):
    """A pod of the database or the cache."""

    def __init__(self, ref: PodRef, service: Service, kernel: Kernel, chance: Chance) -> None:
        super().__init__(ref, service, kernel, chance)
        self._work = lognormal(service.spec.work, chance.work)
        self._slots = [0.0] * service.spec.workers
        self._disk_reads = service.spec.disk_reads
        self._pending: dict[Exchange, None] = {}
        self.commands = 0
        self.failed = 0
        self.empty = False  # it began without the data that its queries ask for

    @property
    def in_flight(self) -> int:
        """Queries that run or wait for a slot."""
        return len(self._pending)

    def accept(self, exchange: Exchange) -> None:
        """Take a query; it ends when a slot has served it."""
        command = exchange.wanted
        assert isinstance(command, Command)
        if not self.answering or len(self._pending) >= MAX_CONNECTIONS:
            exchange.resolve(REFUSED)
            return
        work = self._work() * command.cost
        self.cpu_seconds += work
        took = work * self.pace
        if self.throttled:
            took += self.stall()
        fails = False
        if self.effects.disk:
            took, fails = self._through_disk(took, command)
        now = self.env.now
        end = max(now, self._slots[0]) + took
        heapq.heapreplace(self._slots, end)
        self._pending[exchange] = None
        outcome = 500 if fails else self._answer(command)
        self.kernel.schedule(_Completion(self, exchange, outcome), NORMAL, end - now)

    def _through_disk(self, took: float, command: Command) -> tuple[float, bool]:
        if not self._touches_disk(command):
            return took, False
        delay, fails = self.touch_disk(write=command.write)
        return took + delay, fails

    def _touches_disk(self, command: Command) -> bool:
        return command.write or self.chance.faults.random() < self._disk_reads

    @property
    def disk_mib(self) -> float:
        """What is full of its disk; a database without its data has only its own tables."""
        return _NEW_DATABASE_MIB if self.empty else super().disk_mib

    def _answer(self, command: Command) -> Outcome:
        return 500 if self.empty else 200

    def complete(self, exchange: Exchange, outcome: Outcome) -> None:
        """A query's time has come; one that was lost with the process is no longer known."""
        if self._pending.pop(exchange, exchange) is None:
            self.commands += 1
            self.failed += outcome >= 500
            self.respond(exchange, outcome)

    def abandon(self) -> Iterator[Exchange]:
        """Forget every query, and yield them."""
        pending, self._pending = self._pending, {}
        yield from pending


class Cache(Store):
    """The cache: it hits as far as it is warm, and after a loss it is cold.

    Commands are served from memory: a fault of the disk reaches only the dump, and through it the writes.
    """

    def __init__(self, ref: PodRef, service: Service, kernel: Kernel, chance: Chance) -> None:
        super().__init__(ref, service, kernel, chance)
        self.hits = self.misses = 0
        self._warmth = 0.0
        self._refusing_since = math.inf

    @property
    def saves_fail(self) -> bool:
        """Whether the dump cannot be written: the cache then takes no writes (Redis's MISCONF)."""
        return writes_fail(self.effects.disk)

    @property
    def warmth(self) -> float:
        """How full it is, from 0 to 1; what expires is not replaced while saves fail."""
        aged = max(0.0, self.env.now - self._refusing_since)
        return self._warmth * math.exp(-aged / _DECAY_S)

    def warm_up(self) -> None:
        """Be warm from the start: the platform was running before anybody looked."""
        self._warmth = 1.0

    def fill(self) -> None:
        """Somebody put in what was missing."""
        if not self.saves_fail:
            self._warmth += (1.0 - self._warmth) / _FILLS

    def reckon(self) -> None:
        """Work out anew what acts on this pod, and keep the warmth that is left."""
        warmth = self.warmth
        super().reckon()
        self._warmth = warmth
        self._refusing_since = self.env.now if self.saves_fail else math.inf

    def _touches_disk(self, command: Command) -> bool:
        return False

    def _answer(self, command: Command) -> Outcome:
        if self.chance.cache.random() < command.hit_ratio * self.warmth:
            self.hits += 1
            return HIT
        self.misses += 1
        return MISS
