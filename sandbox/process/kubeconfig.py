"""Why: kubectl and the official client find a cluster by a kubeconfig, the sandbox's too."""

from __future__ import annotations

import os
from pathlib import Path

from ruamel.yaml import YAML

# Opens nothing but the sandbox. No word that people use: whoever keeps secrets out of messages hides it.
_TOKEN = "sandbox-administrator-0001"  # noqa: S105


def write(path: Path, *, server: str, context: str, namespace: str) -> None:
    """Write a kubeconfig with one ``context``, which is the current one, for the API at ``server``."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sandbox", "cluster": {"server": server}}],
        "users": [{"name": "sandbox", "user": {"token": _TOKEN}}],
        "contexts": [
            {"name": context, "context": {"cluster": "sandbox", "user": "sandbox", "namespace": namespace}}
        ],
        "current-context": context,
    }
    # kubectl warns of a kubeconfig that others may read.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        YAML(typ="safe").dump(document, file)
