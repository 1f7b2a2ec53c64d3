"""Why: what can be made to go wrong with Chaos Mesh: the controller, its daemons, an injection, a recovery.

The controller and its webhook ask here. The levers are pulled by routes under
``/control/kubernetes``, whose meaning stands with their models.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from pydantic import BaseModel, ConfigDict, Field

from sandbox.kubernetes.errors import Obj


class _Lever(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Matching(_Lever):
    """Which objects: shell patterns of kind, namespace and name; all where none is given."""

    kind: str = "*"
    namespace: str = "*"
    name: str = "*"

    def matches(self, obj: Obj) -> bool:
        """Whether ``obj`` is meant."""
        metadata = obj["metadata"]
        return (
            fnmatchcase(obj["kind"], self.kind)
            and fnmatchcase(metadata.get("namespace", ""), self.namespace)
            and fnmatchcase(metadata["name"], self.name)
        )


class HangRule(_Matching):
    """Let recoveries err as with a dead daemon, so that objects hang on their finalizer.

    ``release`` takes every rule back that is equal but for it.
    """

    release: bool = False


class BrokenInjection(_Matching):
    """Let injections fail with ``message``; ``release`` takes every such rule back."""

    message: str = "the sandbox was told to fail this injection"
    release: bool = False


class ControllerDown(_Lever):
    """The controller and its webhook are away."""

    down: bool = True


class DaemonDown(_Lever):
    """The chaos daemon of a node does not answer."""

    node: str
    down: bool = True


class Pace(_Lever):
    """How slow the daemons are: what one call takes, in virtual seconds; null for the usual."""

    call_seconds: float | None = Field(default=None, ge=0)


@dataclass
class ChaosLevers:
    """How the levers of Chaos Mesh stand."""

    hanging: list[HangRule] = field(default_factory=list)
    broken: list[BrokenInjection] = field(default_factory=list)
    controller_down: bool = False
    daemons_down: set[str] = field(default_factory=set)
    call_seconds: float | None = None

    def hangs(self, obj: Obj) -> bool:
        """Whether the recovery of ``obj`` must err."""
        return any(rule.matches(obj) for rule in self.hanging)

    def injection_fault(self, obj: Obj) -> str:
        """With which message the injection of ``obj`` must fail; "" where it need not."""
        return next((rule.message for rule in self.broken if rule.matches(obj)), "")

    def hang(self, rule: HangRule) -> None:
        """Add ``rule``, or take its like back."""
        self.hanging = [kept for kept in self.hanging if not (rule.release and _same(kept, rule))]
        if not rule.release:
            self.hanging.append(rule)

    def break_injection(self, rule: BrokenInjection) -> None:
        """Add ``rule``, or take its like back."""
        self.broken = [kept for kept in self.broken if not (rule.release and _same(kept, rule))]
        if not rule.release:
            self.broken.append(rule)

    def set_daemon(self, daemon: DaemonDown) -> None:
        """Let the daemon of a node answer, or not."""
        if daemon.down:
            self.daemons_down.add(daemon.node)
        else:
            self.daemons_down.discard(daemon.node)

    def state(self) -> Obj:
        """How they stand, as JSON."""
        return {
            "hanging": [rule.model_dump() for rule in self.hanging],
            "brokenInjections": [rule.model_dump() for rule in self.broken],
            "controllerDown": self.controller_down,
            "daemonsDown": sorted(self.daemons_down),
            "daemonCallSeconds": self.call_seconds,
        }


def _same(kept: _Matching, rule: _Matching) -> bool:
    return (kept.kind, kept.namespace, kept.name) == (rule.kind, rule.namespace, rule.name)
