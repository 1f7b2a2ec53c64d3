"""Small experiments and suites of them, for tests that carry suites out."""

from __future__ import annotations

import shutil
from pathlib import Path
from textwrap import dedent

from gameday.spec.catalogue import default_directory

# Ten seconds are as short as a stage can be.
_SMALL = """
    name: {name}
    title: One pod is killed
    hypothesis: Nobody notices.
    category: basic
    environments: [staging]
    owner: platform-team
    baseline: 1m
    steadyState:
      - {{name: availability, signal: availability, expect: ">= 0.99", tolerate: ">= 0.3"}}
    stages:
      - name: kill
        duration: 10s
        faults:
          - {{target: {target}, kind: PodChaos, spec: {{action: pod-kill, mode: one}}}}
        expectAlerts: {alerts}
    recovery: {{timeout: 2m, stableFor: 10s}}
"""


def small_catalogue(directory: Path, *, on_failure: str = "stop", fails: bool = False) -> None:
    """A catalogue in ``directory``: the suite ``both`` of ``first``, which ``fails``, and ``second``."""
    for name in ("platform.yaml", "guardrails.yaml"):
        shutil.copy(default_directory() / name, directory)
    never = "[{alert: NobodyHasThisAlert, within: 5s, required: true}]"
    for name, target, alerts in (
        ("first", "api-gateway", never if fails else "[]"),
        ("second", "auth-service", "[]"),
    ):
        text = dedent(_SMALL).format(name=name, target=target, alerts=alerts)
        (directory / f"{name}.yaml").write_text(text, encoding="utf-8")
    suite = f"""
        name: both
        title: Two small ones
        category: basic
        environments: [staging]
        owner: platform-team
        onFailure: {on_failure}
        between: {{settle: 15s, timeout: 20s}}
        experiments:
          - experiment: first
          - experiment: second
    """
    (directory / "both.yaml").write_text(dedent(suite), encoding="utf-8")
