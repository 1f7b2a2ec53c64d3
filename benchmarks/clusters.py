"""Why: many experiments at once need a cluster each, as the guardrails of one allow only a few.

Makes a catalogue whose platform has so many environments, all like staging, each with a sandbox as its
cluster, and one kubeconfig with a context for each. What is carried out there is the script's business.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks.surroundings import Box, sandbox
from gameday.spec.catalogue import GUARDRAILS_FILE, PLATFORM_FILE, default_directory

CATALOGUE: Final = "experiments"
KUBECONFIG: Final = "kubeconfig"


def environment(number: int) -> str:
    """The environment, and so the context, of the cluster ``number``."""
    return f"crowd-{number:03}"


def _as_in_staging(node: Any, others: Sequence[str]) -> Any:
    """The guardrails with ``others`` wherever they speak of staging."""
    if isinstance(node, list):
        more = others if "staging" in node else []
        return [*(_as_in_staging(one, others) for one in node), *more]
    if isinstance(node, dict):
        found = {key: _as_in_staging(value, others) for key, value in node.items()}
        return found | (dict.fromkeys(others, found["staging"]) if "staging" in found else {})
    return node


def _catalogue(
    directory: Path,
    many: int,
    experiment: Mapping[str, Any],
    requests_per_second: float | None,
    urls: Sequence[str] = (),
) -> None:
    """A catalogue of ``experiment`` alone, for ``many`` environments; ``urls`` are of their Prometheus."""
    directory.mkdir(exist_ok=True)
    shipped = default_directory()
    names = [environment(number) for number in range(many)]
    rules = yaml.safe_load((shipped / GUARDRAILS_FILE).read_text(encoding="utf-8"))
    platform: dict[str, Any] = yaml.safe_load((shipped / PLATFORM_FILE).read_text(encoding="utf-8"))
    if requests_per_second is not None:
        platform["twin"]["requestsPerSecond"] = requests_per_second
    for number, name in enumerate(names):
        own = {"name": name, "namespace": "pyairtable-staging", "channel": "#chaos", "context": name}
        if urls:
            own |= {"prometheusUrl": urls[number]}
        platform["environments"].append(own)
    files = {
        GUARDRAILS_FILE: _as_in_staging(rules, names),
        PLATFORM_FILE: platform,
        f"{experiment['name']}.yaml": {**experiment, "environments": names},
    }
    for file, content in files.items():
        (directory / file).write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML


def _kubeconfig(boxes: Sequence[Box]) -> dict[str, Any]:
    """One kubeconfig that has a context for each of ``boxes``, called as its environment."""
    whole: dict[str, Any] = {"apiVersion": "v1", "kind": "Config"}
    whole |= {"clusters": [], "users": [], "contexts": []}
    for number, box in enumerate(boxes):
        own = yaml.safe_load(box.sandbox.state.kubeconfig.read_text(encoding="utf-8"))
        name = environment(number)
        whole["clusters"].append({"name": name, "cluster": own["clusters"][0]["cluster"]})
        whole["users"].append({"name": name, "user": own["users"][0]["user"]})
        whole["contexts"].append({"name": name, "context": {"cluster": name, "user": name}})
    return whole


@contextmanager
def clusters(
    directory: Path,
    many: int,
    experiment: Mapping[str, Any],
    *,
    mode: str,
    history: timedelta,
    requests_per_second: float | None = None,
) -> Iterator[list[Box]]:
    """So many sandboxes, with ``CATALOGUE`` and ``KUBECONFIG`` in ``directory`` that know all of them.

    Their users are as many as platform.yaml says, or send ``requests_per_second``.
    """
    made = directory / CATALOGUE
    _catalogue(made, many, experiment, requests_per_second)
    with ExitStack() as stack:
        boxes = [
            stack.enter_context(
                sandbox(
                    mode=mode,
                    history=history,
                    platform=made / PLATFORM_FILE,
                    environment=environment(number),
                    seed=number,
                )
            )
            for number in range(many)
        ]
        (directory / KUBECONFIG).write_text(json.dumps(_kubeconfig(boxes)), encoding="utf-8")
        urls = [box.env["GAMEDAY_PROMETHEUS_URL"] for box in boxes]
        _catalogue(made, many, experiment, requests_per_second, urls)
        yield boxes
