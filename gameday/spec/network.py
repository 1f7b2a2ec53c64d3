"""Why: networks break in the most ways, so ``NetworkChaos`` has a place of its own.

The field names and the rules are those of the ``chaos-mesh.org/v1alpha1`` custom resource and its
admission webhook (Chaos Mesh 2.8). The other kinds are in ``faults``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from gameday.spec.base import GoDuration, Mistake, Model
from gameday.spec.selecting import ChaosSpec, ModeSpec, Target, must_be_text


def _percent(value: object) -> object:
    must_be_text(value)
    try:
        number = float(str(value))
    except ValueError:
        raise ValueError('expected a percentage as text, such as "15"') from None
    if not 0 <= number <= 100:
        raise ValueError("expected a percentage between 0 and 100")
    return value


Percent = Annotated[str, BeforeValidator(_percent)]


class Reorder(Model):
    """Packets out of order, in percent as text."""

    reorder: Percent
    correlation: Percent | None = None
    gap: int


class Delay(Model):
    """Latency on every packet."""

    latency: GoDuration
    jitter: GoDuration | None = None
    correlation: Percent | None = None
    reorder: Reorder | None = None


class Loss(Model):
    """Share of packets lost, in percent as text."""

    loss: Percent
    correlation: Percent | None = None


class Duplicate(Model):
    """Share of packets sent twice, in percent as text."""

    duplicate: Percent
    correlation: Percent | None = None


class Corrupt(Model):
    """Share of packets corrupted, in percent as text."""

    corrupt: Percent
    correlation: Percent | None = None


# The webhook's own units: bits are not among them.
BytesPerSecond = Annotated[
    str,
    Field(pattern=r"^\s*[0-9]+\s*([tgmkTGMK]?[bB][pP][sS])\s*$", description="bytes a second, such as 1mbps"),
]


class Rate(Model):
    """A rate limit such as ``1mbps``."""

    rate: BytesPerSecond


class Bandwidth(Model):
    """A token bucket: rate such as ``1mbps``, sizes in bytes."""

    rate: BytesPerSecond
    limit: Annotated[int, Field(ge=1)]
    buffer: Annotated[int, Field(ge=1)]
    peakrate: int | None = None
    minburst: int | None = None


class NetworkPeer(ModeSpec):
    """The other side of a network fault."""

    selector: Target


class NetworkChaosSpec(ChaosSpec):
    """Slow, lossy, narrow or split networks."""

    action: Literal["netem", "delay", "loss", "duplicate", "corrupt", "partition", "bandwidth"]
    device: str | None = None
    delay: Delay | None = None
    loss: Loss | None = None
    duplicate: Duplicate | None = None
    corrupt: Corrupt | None = None
    rate: Rate | None = None
    bandwidth: Bandwidth | None = None
    direction: Literal["to", "from", "both"] = "to"
    target: NetworkPeer | None = None
    target_device: str | None = None
    external_targets: tuple[str, ...] | None = None

    def mistakes(self) -> Iterator[Mistake]:
        """The action must be filled in, and the direction must have an end."""
        yield from super().mistakes()
        needed = self.action if self.action not in {"partition", "netem"} else None
        if needed and getattr(self, needed) is None:
            yield ("action",), f"action {self.action} needs the key {needed}"
        effects = (self.delay, self.loss, self.duplicate, self.corrupt, self.rate)
        if self.action == "netem" and not any(effects):
            yield ("action",), "action netem needs one of delay, loss, duplicate, corrupt, rate"
        if self.action != "partition" and self.direction != "to":
            if self.target is None:
                yield ("direction",), f"direction {self.direction} needs a target"
            if self.external_targets is not None:
                words = f"only action partition can have them with direction {self.direction}"
                yield ("externalTargets",), words
