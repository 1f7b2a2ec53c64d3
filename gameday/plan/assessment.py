"""Why: whoever reads a plan sees every rule that it breaks, how risky it is, and what it needs.

Puts a plan to the rules of ``gameday.safety``. What it does is decided before, and not changed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gameday.clients.kubernetes import Cluster
from gameday.plan import rules
from gameday.plan.model import PlannedPod, PlannedStage
from gameday.safety import occasion
from gameday.safety.blast import Hit, blast_radius
from gameday.safety.guardrails import Violation, approvers
from gameday.safety.lease import Target
from gameday.safety.risk import History, Risk, Subject, assess, demand
from gameday.spec.catalogue import Catalogue
from gameday.spec.experiment import Experiment
from gameday.spec.guardrails import Demand
from gameday.spec.load import Load
from gameday.spec.platform import Environment, Service


@dataclass(frozen=True)
class Setting:
    """A plan in the making, with all that the rules ask for; ``everything`` are the pods there are."""

    catalogue: Catalogue
    experiment: Experiment
    environment: Environment
    run: str
    stages: Sequence[PlannedStage]
    everything: Sequence[PlannedPod]
    begins: datetime

    @property
    def load(self) -> Load | None:
        """What the run itself would send: the experiment's own, or what every run there sends."""
        return self.experiment.load or self.environment.load

    @property
    def ends(self) -> datetime:
        """When the last settling is over."""
        return self.begins + takes(self.stages)

    @property
    def hits(self) -> list[Hit]:
        """What each stage can touch."""
        platform = self.catalogue.platform
        return [hit for stage in self.stages for hit in rules.hits(stage, self.everything, platform)]

    @property
    def services(self) -> list[Service]:
        """The services that any fault may hit."""
        names = {hit.service for hit in self.hits}
        return [service for service in self.catalogue.platform.services if service.name in names]


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the guardrails say of a plan."""

    violations: tuple[Violation, ...]
    risk: Risk
    needs: Demand
    approvers: tuple[str, ...]

    @property
    def refusals(self) -> tuple[str, ...]:
        """The violations that nobody may allow, in words."""
        return tuple(str(one) for one in self.violations if one.refuses)


def takes(stages: Sequence[PlannedStage]) -> timedelta:
    """How long the execution takes."""
    return sum((stage.duration + stage.settle for stage in stages), timedelta(0))


async def assessed(setting: Setting, cluster: Cluster, history: History) -> Assessment:
    """Every rule that the plan breaks, its risk, and what it needs to be carried out."""
    guardrails, environment = setting.catalogue.guardrails, setting.environment
    targets = [Target(environment.namespace, service.name) for service in setting.services]
    violations = (
        *_by_itself(setting),
        *await occasion.others(
            cluster,
            guardrails,
            environment=environment.name,
            run=setting.run,
            namespace=setting.catalogue.platform.chaos_namespace,
            targets=targets,
            now=setting.begins,
        ),
    )
    subject = Subject(
        environment=environment,
        faults=[fault.chaos_object for stage in setting.stages for fault in stage.faults],
        hits=setting.hits,
        services=setting.services,
        begins=setting.begins,
        ends=setting.ends,
        history=history,
        violations=violations,
    )
    risk = assess(subject, guardrails)
    needs = demand(risk, environment, guardrails, violations)
    who = approvers(guardrails, *setting.services) if needs in {"approval", "two-approvals"} else ()
    return Assessment(violations, risk, needs, who)


def _by_itself(setting: Setting) -> Iterator[Violation]:
    guardrails, environment = setting.catalogue.guardrails, setting.environment.name
    yield from rules.objects(setting.stages, setting.catalogue, environment)
    yield from rules.strangers(setting.stages)
    yield from blast_radius(setting.hits, guardrails, environment)
    yield from occasion.category(guardrails, environment, setting.experiment.category)
    yield from occasion.load(guardrails, setting.environment, setting.load)
    yield from occasion.durations(guardrails, takes(setting.stages))
    yield from occasion.moment(guardrails, environment, setting.begins, setting.ends)
    services = [service.name for service in setting.services]
    yield from rules.watched(setting.experiment, services, guardrails)
