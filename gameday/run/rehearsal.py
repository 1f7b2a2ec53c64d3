"""Why: a rehearsal foretells something only if what it rehearses on is like the real thing.

Reads from a cluster how many replicas and which limits each service has, makes the catalogue of a
rehearsal from that, and a prediction from the rehearsal's record. Only reads; where the twin comes from is
the command's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from kubernetes.utils.quantity import parse_quantity
from ruamel.yaml import YAML

from gameday.analysis.model import Analysis
from gameday.analysis.prediction import Prediction, breaches_of, patterns_of, signals_of
from gameday.clients.kubernetes import Cluster
from gameday.clients.types import Pod
from gameday.journal.history import History
from gameday.journal.results import PredictionRecord, Results
from gameday.journal.store import Journal, Verdict
from gameday.spec.catalogue import GUARDRAILS_FILE, PLATFORM_FILE, Catalogue
from gameday.spec.platform import Platform, Service

_MIB: Final = 1024**2
_OVER: Final = frozenset({"Succeeded", "Failed"})
# Rules of the moment: a rehearsal at night is for a run by day.
_OF_THE_MOMENT: Final = ("hours", "freezes", "gaps")
# Where the twin must not ask although the environment says so.
_ADDRESSES: Final = ("prometheusUrl", "url")


@dataclass(frozen=True, slots=True)
class Size:
    """What a service has in a cluster: replicas, and the limits of its own container in each."""

    replicas: int
    cpus: float | None = None
    memory_mib: int | None = None


async def sizes(cluster: Cluster, platform: Platform, namespace: str) -> dict[str, Size]:
    """What each service of ``platform`` has in ``namespace``; none where it has no pod there."""
    found: dict[str, list[Pod]] = {}
    for pod in await cluster.pods(namespace):
        if pod.deleting is None and pod.phase not in _OVER:
            found.setdefault(platform.service_with(pod.labels), []).append(pod)
    return {name: _size(name, pods) for name, pods in sorted(found.items()) if name}


def _size(service: str, pods: Sequence[Pod]) -> Size:
    containers = pods[0].limits
    limits = containers[service] if service in containers else next(iter(containers.values()), {})
    memory = _quantity(limits.get("memory"))
    mib = None if memory is None else math.floor(memory / _MIB)
    return Size(len(pods), _quantity(limits.get("cpu")), mib)


def _quantity(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(parse_quantity(text)) or None  # type: ignore[no-untyped-call]  # the SDK's is untyped
    except ValueError:
        return None


def prepare(
    catalogue: Catalogue, environment: str, found: Mapping[str, Size], directory: Path
) -> tuple[str, ...]:
    """Write the catalogue of a rehearsal into ``directory``; answers with what it took over, in words.

    The limits stay those of the guardrails, but for rules about hours, freezes and gaps between runs.
    """
    directory.mkdir(parents=True)
    yaml = YAML(typ="safe")
    platform, words = _platform(
        yaml.load(catalogue.directory / PLATFORM_FILE), catalogue.platform, environment, found
    )
    guardrails = yaml.load(catalogue.directory / GUARDRAILS_FILE)
    for rule in _OF_THE_MOMENT:
        guardrails.pop(rule, None)
    for name, content in ((PLATFORM_FILE, platform), (GUARDRAILS_FILE, guardrails)):
        with (directory / name).open("w", encoding="utf-8") as file:
            yaml.dump(content, file)
    for path in catalogue.files:
        (directory / path.name).write_bytes(path.read_bytes())
    # Read at once: what cannot be rehearsed is told before anything is started.
    _ = Catalogue(directory).platform, Catalogue(directory).guardrails
    return words


def _platform(
    content: Any, platform: Platform, environment: str, found: Mapping[str, Size]
) -> tuple[Any, tuple[str, ...]]:
    for where in content["environments"]:
        if where["name"] == environment:
            for key in _ADDRESSES:
                where.pop(key, None)
    words = []
    for written in content["services"]:
        service = platform.service(written["name"])
        size = found.get(service.name)
        words.append(_take_over(written, service, size))
    return content, tuple(words)


def _take_over(written: dict[str, Any], service: Service, size: Size | None) -> str:
    if size is None:
        return f"{service.name}: {_replicas(service.replicas)}, as platform.yaml says"
    written["replicas"] = size.replicas
    told = [_replicas(size.replicas)]
    twin = dict(written.get("twin") or {})
    if size.cpus is not None:
        twin["cpus"] = size.cpus
        told.append(f"{size.cpus:g} CPUs")
    if size.memory_mib is not None and size.memory_mib > service.twin.memory_mib:
        twin["memoryLimitMib"] = size.memory_mib
        told.append(f"{size.memory_mib} MiB")
    written["twin"] = twin
    return f"{service.name}: {', '.join(told)}, as the cluster has"


def _replicas(count: int) -> str:
    return f"{count} replica{'s' * (count != 1)}"


async def foretold(
    journal: Journal, *, environment: str, at: datetime, seed: int, twin: Sequence[str]
) -> Prediction | None:
    """What the one run in ``journal``, a rehearsal, foretells; None where it foretells nothing."""
    rows = await History(journal).newest(limit=1)
    row = rows[0] if rows else None
    body = await Results(journal).analysis(row.run) if row is not None else None
    if row is None or body is None or row.verdict not in {Verdict.HELD, Verdict.DISPROVED, Verdict.ABORTED}:
        return None
    analysis = Analysis.model_validate(body)
    return Prediction.model_validate(
        {
            "experiment": row.experiment,
            "environment": environment,
            "digest": row.digest or "",
            "at": at,
            "seed": seed,
            "twin": tuple(twin),
            "verdict": row.verdict,
            "why": row.summary,
            "breaches": breaches_of(analysis),
            "signals": signals_of(analysis.effects),
            "patterns": patterns_of(analysis),
            "recoveredS": row.recovered_s,
            "missing": analysis.missing,
        }
    )


async def keep(journal: Journal, prediction: Prediction) -> str:
    """Keep it for the next run of its experiment; answers with its id."""
    name = f"{prediction.at:%Y%m%dt%H%M%S}-{prediction.experiment}"
    await Results(journal).keep_prediction(
        PredictionRecord(
            name,
            prediction.experiment,
            prediction.environment,
            prediction.digest,
            prediction.at,
            prediction.model_dump(mode="json", by_alias=True),
        )
    )
    return name
