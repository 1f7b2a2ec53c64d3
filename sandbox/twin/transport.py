"""Why: between a caller and a callee lies a network, and it is what most faults are about."""

from __future__ import annotations

from sandbox.twin.chance import Chance
from sandbox.twin.kernel import REFUSED, Kernel
from sandbox.twin.network import leg, severed
from sandbox.twin.servers import LOST, Exchange, Server, Service


class Transport:
    """Carries exchanges to a pod of a service."""

    __slots__ = ("_chance", "_kernel")

    def __init__(self, kernel: Kernel, chance: Chance) -> None:
        self._kernel = kernel
        self._chance = chance.faults

    def send(self, caller: Server | None, service: Service, exchange: Exchange) -> None:
        """Send ``exchange`` to ``service``; ``caller`` None is somebody outside.

        What the network swallows is never answered: the caller's timeout must settle it.
        """
        server = service.pick()
        if server is None:
            exchange.resolve(REFUSED)
        elif server.rules or (caller is not None and caller.rules):
            self._send_through_faults(caller, server, exchange)
        else:
            server.accept(exchange)

    def _send_through_faults(self, caller: Server | None, server: Server, exchange: Exchange) -> None:
        key = None if caller is None else caller.key
        rules = [] if caller is None else caller.rules
        if severed(rules, server.key) or severed(server.rules, key):
            return
        now = self._kernel.env.now
        there = leg(rules, server.key, now, self._chance)
        back = leg(server.rules, key, now, self._chance)
        exchange.back = LOST if back is None else back
        if there is not None:
            self._kernel.later(there, lambda: server.accept(exchange))
