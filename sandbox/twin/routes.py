"""Why: what a request does is declared; here the declaration becomes what the model runs on.

Compiled once: routes with their service times, and the commands that stores are sent. How a step
is carried out is left to ``steps``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gameday.spec.twin import Route
from sandbox.twin.kernel import Steps

if TYPE_CHECKING:
    from sandbox.twin.httppods import HttpPod

StepFunction = Callable[["HttpPod"], Steps]


class Command:
    """What a store is asked: a read or a write, or a look-up that hits with a chance."""

    __slots__ = ("cost", "hit_ratio", "write")

    def __init__(self, *, write: bool = False, hit_ratio: float = 1.0, cost: float = 1.0) -> None:
        self.write = write
        self.cost = cost
        self.hit_ratio = hit_ratio


class RouteModel:
    """One route of one service."""

    __slots__ = ("idempotent", "index", "method", "path", "steps", "work")

    def __init__(self, index: int, spec: Route, work: Callable[[], float]) -> None:
        """Know the route as number ``index`` of its service; its steps are added later."""
        self.index = index
        self.method = spec.method
        self.path = spec.path
        self.idempotent = spec.method in {"GET", "PUT", "DELETE"}
        self.work = work
        self.steps: tuple[StepFunction, ...] = ()
