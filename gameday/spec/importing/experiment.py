"""Why: what a team has in manifests is worth keeping, as experiments that are watched and that end.

Reads manifests of Chaos Mesh and makes one experiment of them. What cannot be read off a manifest (what
people believe) is left for them to fill in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from ruamel.yaml.comments import CommentedMap

from gameday.errors import UsageError
from gameday.spec.base import format_duration
from gameday.spec.experiment import Frequency
from gameday.spec.importing.faults import Found, found
from gameday.spec.importing.places import Place, Remarks
from gameday.spec.importing.schedule import frequency
from gameday.spec.importing.stages import Draft, slug, stages
from gameday.spec.importing.targets import Targets, namespaces
from gameday.spec.importing.workflow import Span, Timed, Workflow, of_schedule, timed
from gameday.spec.kinds import API_VERSION, FAULT_KINDS, GROUP, PAUSE, SCHEDULE, WORKFLOW
from gameday.spec.loader import Document, read_all
from gameday.spec.platform import Environment, Measure, Platform

HYPOTHESIS: Final = (
    "Fill in what users can still do while this is broken, as a sentence that can turn out wrong."
)

# A starting point, as the experiments have it that came along.
_PROBES: Final[dict[Measure, dict[str, str]]] = {
    "availability": {"expect": ">= 0.99", "tolerate": ">= 0.6"},
    "errors": {"expect": "<= 0.5", "tolerate": "<= 2", "for": "20s"},
    "latency": {"expect": "<= 1", "tolerate": "<= 3", "for": "20s"},
}


@dataclass(frozen=True)
class Imported:
    """An experiment to be written, and what is to be said of it. ``content`` is empty without a fault."""

    name: str
    content: Mapping[str, Any]
    remarks: Remarks


def read_manifests(paths: Iterable[Path]) -> list[Document]:
    """Every object of the files, those of a ``List`` one by one. Raises ``DeclarationError``."""
    return [one for path in paths for document in read_all(path) for one in _items(document)]


def _items(document: Document) -> list[Document]:
    items = document.data.get("items")
    if document.data.get("kind") != "List" or not isinstance(items, list):
        return [document]
    return [Document(document.path, one, one.lc.line + 1) for one in items if isinstance(one, CommentedMap)]


def imported(
    documents: Sequence[Document],
    platform: Platform,
    environment: Environment | None,
    name: str,
    together: bool,
) -> Imported:
    """The experiment that the objects come to, one after another, or ``together`` in one stage.

    ``name`` is that of the experiment, else the first object's; ``environment`` is where it is to run,
    else the one whose namespace the selectors name. Raises ``UsageError`` where there is no fault.
    """
    reading = _Reading(together=together)
    for document in documents:
        reading.take(document)
    if not reading.faults and not reading.remarks.refused:
        raise UsageError("there is no fault of Chaos Mesh in these files")
    called = _called(name, reading.names)
    remarks = reading.remarks
    if not reading.faults:
        return Imported(called, {}, remarks)
    where = environment or _meant(platform, [one.fault for one in reading.faults], remarks)
    drafts = stages(reading.faults, reading.ends)
    return Imported(called, _content(called, drafts, platform, where, reading, documents), remarks)


def _called(wanted: str, objects: Sequence[str]) -> str:
    """What the experiment is called: as ``wanted``, or as the first of the ``objects``."""
    name = slug(wanted or next(iter(objects), ""), set())
    if wanted and name != wanted:
        raise UsageError(f"{wanted!r} cannot be the name of an experiment", hint=f"{name!r} could be.")
    return name


@dataclass
class _Reading:
    together: bool
    remarks: Remarks = field(default_factory=Remarks)
    faults: list[Timed] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    ends: timedelta = timedelta(0)
    often: Frequency = "on-demand"
    _singles: int = 0

    def take(self, document: Document) -> None:
        """Read one object."""
        place = Place(document, self.remarks)
        kind, version = str(document.data.get("kind", "")), str(document.data.get("apiVersion", ""))
        metadata = document.data.get("metadata")
        metadata = metadata if isinstance(metadata, Mapping) else {}
        name = str(metadata.get("name") or metadata.get("generateName") or kind or "object")
        called = f"{kind or 'object'} {name}"
        if version.partition("/")[0] != GROUP or kind not in (*FAULT_KINDS, SCHEDULE, WORKFLOW):
            place.below("kind").left_out(f"{called}: it is no fault, Schedule or Workflow of Chaos Mesh")
            return
        if version != API_VERSION:
            place.below("apiVersion").refuse(f"{called}: expected {API_VERSION}")
            return
        annotations = metadata.get("annotations")
        if isinstance(annotations, Mapping) and str(annotations.get(PAUSE)) == "true":
            place.below("metadata", "annotations", PAUSE).left_out(
                f"{called} is paused; an experiment runs when somebody starts it"
            )
        self.names.append(name)
        span = self._span(kind, name, str(metadata.get("namespace") or ""), place)
        self.faults += span.faults
        self.ends = max(self.ends, span.ends)

    def _span(self, kind: str, name: str, namespace: str, place: Place) -> Span:
        spec, at = place.document.data.get("spec"), place.below("spec")
        if kind == WORKFLOW:
            return Workflow.span(spec, namespace, at, self.ends)
        if kind == SCHEDULE:
            if isinstance(spec, Mapping):
                self.often = frequency(spec, at)
            return of_schedule(spec, name, namespace, at, self.ends)
        fault = found(kind, name, namespace, spec, at)
        starts = timedelta(0) if self.together else self.ends
        if fault is None:
            return Span((), starts)
        self._singles += 1
        if self._singles > 1 and not self.together:
            place.below("kind").changed(
                f"{kind} {name} follows what stands before it; applied together they would act at once, "
                "which --together keeps"
            )
        one = timed(fault, starts)
        return Span((one,), one.ends)


def _meant(platform: Platform, faults: Sequence[Found], remarks: Remarks) -> Environment:
    """The environment whose namespace the selectors name; else the first one, which is then said."""
    named = {name for one in faults for name in namespaces(one.selector, one.namespace)}
    for environment in platform.environments:
        if environment.namespace in named:
            return environment
    first, where = platform.environments[0], ", ".join(sorted(named)) or "no namespace"
    remarks.to_fill_in.append(
        f"environments: none of platform.yaml has what is selected ({where}); {first.name} was taken"
    )
    return first


def _content(
    name: str,
    drafts: Sequence[Draft],
    platform: Platform,
    environment: Environment,
    reading: _Reading,
    documents: Sequence[Document],
) -> dict[str, Any]:
    targets, remarks = Targets(platform, environment), reading.remarks
    made = [_stage(draft, targets) for draft in drafts]
    hit = [
        fault["target"] for stage in made for fault in stage["faults"] if isinstance(fault.get("target"), str)
    ]
    owner = platform.service(hit[0]).owner if hit else platform.teams[0].name
    files = ", ".join(dict.fromkeys(document.path.name for document in documents))
    remarks.to_fill_in += [
        "hypothesis: what users can still do while this is broken",
        "title, owner, category and runbook: what a manifest does not say",
        "steadyState: the limits are a starting point, not this platform's",
        "stages: what each must show (mustShow, expectAlerts)",
    ]
    return {
        "name": name,
        "title": f"Imported from {files}",
        "hypothesis": HYPOTHESIS,
        "category": "basic",
        "frequency": reading.often,
        "environments": [environment.name],
        "owner": owner,
        "steadyState": _steady_state(platform),
        "stages": made,
    }


def _stage(draft: Draft, targets: Targets) -> dict[str, Any]:
    stage: dict[str, Any] = {"name": draft.name, "duration": format_duration(draft.lasts)}
    if draft.settles:
        stage["settle"] = format_duration(draft.settles)
    return {**stage, "faults": [targets.fault(one) for one in draft.faults]}


def _steady_state(platform: Platform) -> list[dict[str, str]]:
    """What the platform is known by, as far as it has such signals. Raises ``UsageError`` without any."""
    found = [
        {"name": signal.name, "signal": signal.name, **_PROBES[signal.measures]}
        for measure in _PROBES
        for signal in platform.prometheus.signals
        if signal.measures == measure
    ]
    if not found:
        raise UsageError(
            "platform.yaml has no signal that measures availability, errors or latency",
            hint="An experiment must watch something: say `measures` of a signal.",
        )
    return found
