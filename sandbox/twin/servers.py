"""Why: whatever answers, a service's pod or a store's, lives, breaks and is found in the same way.

``Service`` is who may be called now; ``Server`` one pod, with the faults that act on it. What it
does with a request is left to ``httppods`` and ``stores``, the way there to ``transport``.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from gameday.spec.twin import ServiceTwin
from sandbox.twin.chance import Chance
from sandbox.twin.effects import DiskFault, Effects, Fault, HttpFault, effects_of
from sandbox.twin.kernel import RESET, Kernel, Outcome, Reply
from sandbox.twin.network import PodKey, Rule
from sandbox.twin.routes import Command, RouteModel
from sandbox.wiring import Injection, PodRef

_MIB_PER_REQUEST = 0.25
_CORES_AT_REST = 0.004
_CPU_PERIOD_S = 0.1
LOST = -1.0


class Exchange(Reply):
    """A request under way, from the moment it is sent."""

    __slots__ = ("back", "since", "tampered", "wanted")

    def __init__(self, wanted: RouteModel | Command) -> None:
        super().__init__()
        self.wanted = wanted
        self.since = 0.0
        self.back = 0.0
        self.tampered: list[HttpFault] | None = None


class Service:
    """A service by its name: its declaration, and the pods that get its traffic."""

    __slots__ = ("chance", "endpoints", "name", "namespace", "port", "spec")

    def __init__(self, name: str, namespace: str, port: int, spec: ServiceTwin, chance: Chance) -> None:
        self.name = name
        self.namespace = namespace
        self.port = port
        self.spec = spec
        self.chance = chance.balance
        self.endpoints: list[Server] = []

    def pick(self) -> Server | None:
        """One of the pods in the endpoints, as kube-proxy would: by chance, a dead one included."""
        endpoints = self.endpoints
        if not endpoints:
            return None
        if len(endpoints) == 1:
            return endpoints[0]
        return endpoints[int(self.chance.random() * len(endpoints))]


class Server:
    """One pod's process, from its start to its end."""

    def __init__(self, ref: PodRef, service: Service, kernel: Kernel, chance: Chance) -> None:
        self.ref = ref
        self.key: PodKey = (ref.namespace, ref.name)
        self.service = service
        self.kernel = kernel
        self.env = kernel.env
        self.chance = chance
        self.started_at = kernel.env.now
        self.alive = True
        self.listening = False
        self.ready = False
        self.answering = True
        self.rules: list[Rule] = []
        self.pace = 1.0
        self.throttled = 0.0
        self.effects = Effects()
        self.faults: dict[str, Fault] = {}
        self.cpu_seconds = 0.0
        self._stressed_seconds = 0.0
        self._stressed_since = self.started_at

    def accept(self, exchange: Exchange) -> None:
        """Take ``exchange``, to be answered by ``respond`` some time."""
        raise NotImplementedError

    def abandon(self) -> Iterator[Exchange]:
        """Forget all work, and yield what was being answered."""
        raise NotImplementedError

    @property
    def in_flight(self) -> int:
        """How much is being answered now."""
        raise NotImplementedError

    def die(self) -> None:
        """End the process: whoever waits for an answer has its connection reset."""
        self.alive = self.answering = False
        for exchange in list(self.abandon()):
            if exchange.back != LOST:
                exchange.resolve(RESET)

    def respond(self, exchange: Exchange, outcome: Outcome) -> None:
        """Send ``outcome`` back the way ``exchange`` came."""
        delay = exchange.back
        for fault in exchange.tampered or ():
            if not fault.only_code or fault.only_code == outcome:
                delay += fault.delay
                outcome = RESET if fault.abort else fault.code or outcome
        if delay == 0.0:
            exchange.resolve(outcome)
        elif exchange.back != LOST:
            self.kernel.later(delay, lambda: exchange.resolve(outcome))

    def add_fault(self, injection: Injection, source: random.Random) -> None:
        """Let ``injection`` act."""
        self.faults[injection.id] = Fault(injection, source)
        self.reckon()

    def drop_fault(self, identity: str) -> Injection | None:
        """Let the injection end; answers it, if it acted here."""
        fault = self.faults.pop(identity, None)
        if fault is None:
            return None
        self.reckon()
        return fault.injection

    def reckon(self) -> None:
        """Work out anew what acts on this pod."""
        spec = self.service.spec
        self._stressed_seconds = self.stressed_seconds
        self._stressed_since = self.env.now
        effects = effects_of(
            self.faults.values(),
            port=self.service.port,
            disk=spec.disk,
            memory_limit_mib=spec.memory_limit_mib,
        )
        self.effects = effects
        self.answering = self.alive and effects.answering
        self.rules = effects.rules
        self.pace = effects.pace(spec.cpus)
        self.throttled = effects.throttled(spec.cpus)

    @property
    def stressed_seconds(self) -> float:
        """The CPU seconds that stress has taken so far."""
        cores = min(self.effects.stress_cores, self.service.spec.cpus)
        return self._stressed_seconds + cores * (self.env.now - self._stressed_since)

    @property
    def total_cpu_seconds(self) -> float:
        """The CPU seconds of the whole container."""
        rest = _CORES_AT_REST * (self.env.now - self.started_at)
        return self.cpu_seconds + self.stressed_seconds + rest

    @property
    def working_set_mib(self) -> float:
        """The memory of the whole container."""
        return self.service.spec.memory_mib + self.effects.stress_mib + _MIB_PER_REQUEST * self.in_flight

    @property
    def disk_mib(self) -> float:
        """What is full of its disk."""
        return float(self.service.spec.disk_mib)

    def reachable(self, within: float) -> bool:
        """Whether somebody outside, such as a probe, is answered ``within`` seconds."""
        if not self.answering:
            return False
        open_to_all = [rule for rule in self.rules if rule.peers is None]
        if any(rule.hopeless for rule in open_to_all):
            return False
        return sum(rule.typical_delay for rule in open_to_all) < within

    def stall(self) -> float:
        """The seconds that work waits for the next of the kernel's 100 ms periods, if it is throttled."""
        drawn = self.chance.faults.random()
        return drawn * _CPU_PERIOD_S if drawn < self.throttled else 0.0

    def touch_disk(self, *, write: bool) -> tuple[float, bool]:
        """The seconds that one access to the disk takes longer, and whether it fails."""
        delay, fails = 0.0, False
        for fault in self.effects.disk:
            if (fault.writes if write else fault.reads) and self.chance.faults.random() < fault.chance:
                delay += fault.delay
                fails = fails or fault.fails
        return delay, fails


def writes_fail(disk: list[DiskFault]) -> bool:
    """Whether writing a whole file must be expected to fail."""
    return any(fault.writes and fault.fails and fault.chance > 0 for fault in disk)
