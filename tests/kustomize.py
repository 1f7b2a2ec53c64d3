"""Why: what kustomize renders is looked at by several tests, and Debian's kubectl is too old to render it."""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

DEPLOYMENTS: Final = Path(__file__).resolve().parents[1] / "deployments"
# The first whose kustomize knows components.
_OLDEST: Final = 21


@cache
def why_not() -> str:
    """What keeps kubectl from rendering, "" where nothing does."""
    if shutil.which("kubectl") is None:
        return "kubectl is not on the PATH"
    asked = subprocess.run(
        ["kubectl", "version", "--client", "-o", "json"], capture_output=True, text=True, check=False
    )
    try:
        minor = int(json.loads(asked.stdout)["clientVersion"]["minor"].strip("+"))
    except (ValueError, KeyError):
        return f"kubectl does not say its version: {asked.stdout}{asked.stderr}"
    return (
        "" if minor >= _OLDEST else f"kubectl 1.{minor} is too old: kustomize knows components from 1.21 on"
    )


@cache
def render(path: str) -> tuple[dict[str, Any], ...]:
    """The objects of a directory below ``deployments/``, as ``kubectl apply -k`` would send them."""
    done = subprocess.run(
        ["kubectl", "kustomize", str(DEPLOYMENTS / path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    # The loader in C: a dashboard has two thousand lines.
    return tuple(body for body in yaml.load_all(done.stdout, yaml.CSafeLoader) if body)
