"""Why: everything that decides whether a run may start is decided here, before anything is touched.

Binds an experiment to an environment and to the pods of this moment; ``assessment`` holds it to the
guardrails. Asking the API server's dry run, approvals and injection come later, and see this plan.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gameday.clients.kubernetes import Cluster
from gameday.clients.types import Pod
from gameday.errors import UsageError
from gameday.journal.past import PastRuns
from gameday.monitor.watch import watches
from gameday.plan.assessment import Setting, assessed, takes
from gameday.plan.model import Plan, PlannedFault, PlannedPod, PlannedStage
from gameday.plan.objects import chaos_object, in_words, resolved
from gameday.plan.selection import (
    at_most,
    matching,
    mode_words,
    namespaces_of,
    planned,
    shares,
    unresolved,
)
from gameday.safety.risk import last_time
from gameday.spec.base import format_duration
from gameday.spec.catalogue import Catalogue
from gameday.spec.experiment import Experiment, Stage
from gameday.spec.faults import Fault, NetworkFault, OutsideFault
from gameday.spec.kinds import ONE_SHOT_ACTIONS
from gameday.spec.platform import Environment
from gameday.spec.selecting import Selector
from gameday.spec.showing import Showing

# Shorter, and a fault would be over before it was seen twice.
_SHORTEST_STAGE = timedelta(seconds=10)


def new_run_id(experiment: str, now: datetime) -> str:
    """A sortable, readable id that fits a label value: ``20261123t101530-basic-pod-failure-7f3a``."""
    return f"{now:%Y%m%dt%H%M%S}-{experiment}-{secrets.token_hex(2)}"


def scaled(experiment: Experiment, duration: timedelta | None) -> list[tuple[timedelta, timedelta]]:
    """The duration and settling of each stage when the execution takes ``duration`` in all.

    All stages and settling times are stretched by the same factor, in whole seconds, so that every
    stage still happens. Raises ``UsageError`` where a stage would become too short to be seen.
    """
    if duration is None:
        return [(stage.duration, stage.settle) for stage, _ in experiment.unfolded]
    factor = duration / experiment.duration
    parts = [
        (_whole_seconds(stage.duration * factor), _whole_seconds(stage.settle * factor))
        for stage, _ in experiment.unfolded
    ]
    shortest = min(stage.duration for stage in experiment.stages)
    if shortest * factor < _SHORTEST_STAGE:
        # Rounded up to whole seconds.
        least = -(-experiment.duration * (_SHORTEST_STAGE // timedelta(seconds=1)) // shortest)
        raise UsageError(
            f"{experiment.name}: {format_duration(duration)} is too short for {len(parts)} stages",
            hint=f"It needs {format_duration(timedelta(seconds=least))} at least, so that each fault lasts "
            f"{format_duration(_SHORTEST_STAGE)}. Declared: {format_duration(experiment.duration)}.",
        )
    return parts


def _whole_seconds(length: timedelta) -> timedelta:
    return timedelta(seconds=round(length.total_seconds()))


@dataclass(frozen=True)
class _Builder:
    catalogue: Catalogue
    experiment: Experiment
    environment: Environment
    run: str
    pods: Sequence[Pod]

    def stages(self, duration: timedelta | None) -> tuple[PlannedStage, ...]:
        starts = timedelta(0)
        found = []
        parts = scaled(self.experiment, duration)
        for number, ((stage, step), (lasts, settles)) in enumerate(
            zip(self.experiment.unfolded, parts, strict=True), start=1
        ):
            faults = tuple(
                self.fault(stage, fault, f"{self.run}-s{number}f{index}", lasts)
                for index, fault in enumerate(stage.faults, start=1)
            )
            found.append(
                PlannedStage.model_validate(
                    {
                        "name": stage.name,
                        "title": stage.title or stage.name,
                        "starts": starts,
                        "duration": lasts,
                        "settle": settles,
                        "faults": faults,
                        "step": step,
                        "expectAlerts": stage.expect_alerts,
                        "mustShow": tuple(self.asked(one) for one in stage.must_show),
                    }
                )
            )
            starts += lasts + settles
        return tuple(found)

    def asked(self, wanted: Showing) -> Showing:
        """The same with the query behind its signal: a plan says exactly what will be asked."""
        if wanted.signal is None:
            return wanted
        signal = self.catalogue.platform.signal(wanted.signal)
        own = {"query": signal.query, "signal": None, "unit": wanted.unit or signal.unit}
        return wanted.model_copy(update=own)

    def fault(self, stage: Stage, fault: Fault, name: str, lasts: timedelta) -> PlannedFault:
        platform = self.catalogue.platform
        document = chaos_object(
            fault,
            name=name,
            run=self.run,
            experiment=self.experiment,
            stage=stage,
            duration=lasts,
            platform=platform,
            environment=self.environment,
        )
        hit: tuple[PlannedPod, ...] = ()
        peers: tuple[PlannedPod, ...] = ()
        most, mode = 0, "outside Kubernetes"
        if not isinstance(fault, OutsideFault):
            hit = planned(matching(self.selector(fault.target), self.pods), platform)
            most, mode = at_most(fault.spec, len(hit)), mode_words(fault.spec)
        if isinstance(fault, NetworkFault) and fault.spec.target is not None:
            peers = planned(matching(self.selector(fault.spec.target.selector), self.pods), platform)
        return PlannedFault.model_validate(
            {
                "name": name,
                "kind": fault.kind,
                "what": in_words(fault),
                "mode": mode,
                "oneShot": getattr(fault.spec, "action", "") in ONE_SHOT_ACTIONS,
                "atMost": most,
                "candidates": hit,
                "peers": peers,
                "shares": shares(hit, most, planned(self.pods, platform)),
                "chaosObject": document,
            }
        )

    def selector(self, target: str | Selector) -> Selector:
        return resolved(target, self.catalogue.platform, self.environment)

    def selectors(self) -> Iterator[tuple[Stage, Fault, Selector]]:
        for stage in self.experiment.stages:
            for fault in stage.faults:
                if isinstance(fault, OutsideFault):
                    continue
                yield stage, fault, self.selector(fault.target)
                if isinstance(fault, NetworkFault) and fault.spec.target is not None:
                    yield stage, fault, self.selector(fault.spec.target.selector)

    def setting(self, stages: Sequence[PlannedStage], now: datetime) -> Setting:
        """What the rules are asked about."""
        everything = planned(self.pods, self.catalogue.platform)
        return Setting(self.catalogue, self.experiment, self.environment, self.run, stages, everything, now)

    def refusals(self, stages: Sequence[PlannedStage], namespaces: Sequence[str]) -> Iterator[str]:
        experiment, environment, limits = self.experiment, self.environment, self.catalogue.guardrails
        if environment.name not in experiment.environments:
            allowed = ", ".join(experiment.environments)
            yield f"{experiment.name} may not run in {environment.name}; it allows: {allowed}"
        for namespace in namespaces:
            if namespace != environment.namespace and namespace not in limits.namespaces.forbidden:
                yield (
                    f"namespace {namespace} is not that of {environment.name} ({environment.namespace}); "
                    "leave namespaces out of the selector to mean the environment's"
                )
        yield from self._empty_handed(stages)

    def _empty_handed(self, stages: Sequence[PlannedStage]) -> Iterator[str]:
        for stage in stages:
            for fault in stage.faults:
                outside = fault.mode == "outside Kubernetes"
                if not fault.candidates and not outside:
                    yield f"stage {stage.name}: {fault.kind} selects no pod"
                if (
                    fault.kind == "NetworkChaos"
                    and "target" in fault.chaos_object["spec"]
                    and not fault.peers
                ):
                    yield f"stage {stage.name}: the target of {fault.kind} selects no pod"
                on_host = [
                    pod.name for pod in self.pods if pod.host_network and _is_in(pod, fault.candidates)
                ]
                if fault.kind == "NetworkChaos" and on_host:
                    yield (
                        f"stage {stage.name}: {', '.join(on_host)} use(s) the host's network; "
                        "Chaos Mesh refuses NetworkChaos there and the object would hang"
                    )

    def warnings(self, stages: Sequence[PlannedStage]) -> Iterator[str]:
        for stage, fault, selector in self.selectors():
            for part in unresolved(selector):
                yield f"stage {stage.name}: {part} of {fault.kind} is not resolved here; it may hit fewer"
        for planned_stage in stages:
            for planned_fault in planned_stage.faults:
                for share in planned_fault.shares:
                    if share.service and share.hit == share.of:
                        yield f"stage {planned_stage.name}: every pod of {share.service} can be hit at once"
                yield from self._silent(planned_stage, planned_fault)
            yield from self._too_short(planned_stage)
            yield from _too_soon_over(planned_stage)

    def _too_short(self, stage: PlannedStage) -> Iterator[str]:
        """Warn of a stage that is over before a breach in it can have lasted long enough to count."""
        lasts = stage.duration + stage.settle
        names = [
            f"{probe.name} ({format_duration(probe.breach_for)})"
            for probe in self.experiment.steady_state
            if probe.breach_for > lasts
        ]
        if names:
            yield (
                f"stage {stage.name} and its settling last {format_duration(lasts)}, shorter than `for` of "
                f"{', '.join(names)}: it cannot disprove the hypothesis by itself"
            )

    def _silent(self, stage: PlannedStage, fault: PlannedFault) -> Iterator[str]:
        """Warn of a network fault between services that have nothing to say to each other."""
        platform = self.catalogue.platform
        here = {pod.service for pod in fault.candidates if pod.service}
        there = {pod.service for pod in fault.peers if pod.service}
        talks = any(
            b in platform.service(a).calls or a in platform.service(b).calls for a in here for b in there
        )
        if here and there and not talks:
            yield (
                f"stage {stage.name}: by platform.yaml {', '.join(sorted(here))} and "
                f"{', '.join(sorted(there))} do not call each other; the fault may show nothing"
            )


def _too_soon_over(stage: PlannedStage) -> Iterator[str]:
    """Warn of what may come too late: the stage is over before."""
    lasts = stage.duration + stage.settle
    late = [f"{one} ({format_duration(one.within)})" for one in stage.expect_alerts if one.within > lasts]
    if late:
        yield (
            f"stage {stage.name} and its settling last {format_duration(lasts)}, shorter than `within` of "
            f"{', '.join(late)}: whether it fires may not be known"
        )
    for one in stage.must_show:
        ends = stage.settle if one.returns is not None else lasts
        if one.within is not None and one.within > ends:
            yield (
                f"stage {stage.name}: {one.name} has {format_duration(one.within)} to show, but it is over "
                f"after {format_duration(ends)}"
            )


def _is_in(pod: Pod, candidates: Sequence[PlannedPod]) -> bool:
    return any(pod.name == one.name and pod.namespace == one.namespace for one in candidates)


async def build(
    catalogue: Catalogue,
    experiment: Experiment,
    environment: Environment,
    cluster: Cluster,
    *,
    now: datetime,
    duration: timedelta | None = None,
    run: str | None = None,
    past: PastRuns | None = None,
) -> Plan:
    """The plan of ``experiment`` in ``environment``, with the pods that are there now.

    ``duration`` stretches or shrinks the whole execution; ``past`` tells what happened last time.
    A plan with refusals is still a plan: people read it to see why. Raises ``UsageError`` for a
    duration that cannot be, and ``OutsideError`` where the cluster does not answer.
    """
    run = run or new_run_id(experiment.name, now)
    builder = _Builder(catalogue, experiment, environment, run, ())
    wanted = {name for _, _, selector in builder.selectors() for name in namespaces_of(selector)}
    namespaces = sorted(wanted | {environment.namespace})
    pods = [pod for name in namespaces for pod in await cluster.pods(name) if pod.deleting is None]
    builder = _Builder(catalogue, experiment, environment, run, pods)
    stages = builder.stages(duration)
    history = await last_time(past, experiment.name, environment.name, run)
    setting = builder.setting(stages, now)
    found = await assessed(setting, cluster, history)
    return Plan.model_validate(
        {
            "run": run,
            "createdAt": now,
            "experiment": experiment.name,
            "title": experiment.title,
            "hypothesis": experiment.hypothesis,
            "category": experiment.category,
            "owner": experiment.owner,
            "environment": environment.name,
            "namespace": environment.namespace,
            "chaosNamespace": catalogue.platform.chaos_namespace,
            "declared": experiment.duration,
            "duration": takes(stages),
            "baseline": experiment.baseline,
            "recovery": experiment.recovery,
            "watches": watches(
                experiment, catalogue.platform, catalogue.guardrails, load=setting.load is not None
            ),
            "stages": stages,
            "expectAlerts": experiment.expect_alerts,
            "load": setting.load,
            "refusals": (*builder.refusals(stages, sorted(wanted)), *found.refusals),
            "warnings": tuple(builder.warnings(stages)),
            "violations": found.violations,
            "risk": found.risk,
            "needs": found.needs,
            "approvers": found.approvers,
        }
    )
