"""Why: how much of a service may fall is a rule about pods, whoever counts them.

Judges counts against ``blastRadius`` of guardrails.yaml: the plan counts what a stage can hit at
worst, the monitor what is hit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gameday.safety.guardrails import Violation
from gameday.spec.guardrails import BlastRadius, Guardrails


@dataclass(frozen=True, slots=True)
class Hit:
    """What the faults of a stage together can touch of one service, at worst.

    ``hit`` of its ``of`` pods; ``untouched_ready`` that are ready are surely not among them.
    ``declared`` is how many platform.yaml says there are, ``services`` how many services the stage can
    hit at once.
    """

    stage: str
    service: str
    hit: int
    of: int
    untouched_ready: int
    declared: int = 1
    services: int = 1

    @property
    def alone(self) -> bool:
        """Whether the service never has another replica."""
        return self.of <= 1 and self.declared <= 1


def blast_radius(hits: Iterable[Hit], guardrails: Guardrails, environment: str) -> Iterator[Violation]:
    """Every service of which more is hit than may be."""
    rules = [rule for rule in guardrails.blast_radius if _holds(rule, environment)]
    for hit in hits:
        for rule in rules:
            if hit.hit:
                yield from _share(hit, rule)
                yield from untouched(hit, rule)


def _holds(rule: BlastRadius, environment: str) -> bool:
    return not rule.environments or environment in rule.environments


def _share(hit: Hit, rule: BlastRadius) -> Iterator[Violation]:
    allowed = math.ceil(hit.of * rule.share / 100)
    if hit.hit > allowed:
        what = f"stage {hit.stage}, pods of {hit.service} that can be hit at once"
        limit = f"{rule.share:g} %, {allowed} of {hit.of}"
        yield Violation("blastRadius.share", what, f"{hit.hit} of {hit.of}", limit)


def untouched(hit: Hit, rule: BlastRadius) -> Iterator[Violation]:
    """Whether too few ready replicas stay out of the faults' reach."""
    if hit.untouched_ready < rule.untouched_ready and not hit.alone:
        what = f"stage {hit.stage}, ready pods of {hit.service} that no fault touches"
        limit = f"{rule.untouched_ready} at least"
        yield Violation("blastRadius.untouchedReady", what, str(hit.untouched_ready), limit)


def untouched_ready(hits: Iterable[Hit], guardrails: Guardrails, environment: str) -> Iterator[Violation]:
    """As ``blast_radius``, but only what can change while faults are in: the replicas that remain."""
    for hit in hits:
        for rule in guardrails.blast_radius:
            if _holds(rule, environment):
                yield from untouched(hit, rule)
