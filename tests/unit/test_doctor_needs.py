"""The roles that are installed grant what the doctor says is needed, and it asks for nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gameday.doctor.needs import ANYWHERE, CHAOS, ROLES, TARGET, Need

DEPLOYMENTS = Path(__file__).parents[2] / "deployments"
BOUND_TO = {"runs": "gameday-runs", "guard": "gameday-guard", "stop": "gameday-stoppers"}
FILES = ("base/rbac.yaml", "target/rolebindings.yaml")


def documents() -> list[dict[str, Any]]:
    texts = [(DEPLOYMENTS / file).read_text(encoding="utf-8") for file in FILES]
    return [one for text in texts for one in yaml.safe_load_all(text) if one]


def where(binding: dict[str, Any]) -> str:
    """Where a binding grants its rights."""
    if binding["kind"] == "ClusterRoleBinding":
        return ANYWHERE
    return CHAOS if "namespace" in binding["metadata"] else TARGET


def granted(need: Need, subject: str) -> bool:
    found = documents()
    roles = {one["metadata"]["name"]: one for one in found if one["kind"] in {"Role", "ClusterRole"}}
    resource = f"{need.resource}/{need.subresource}" if need.subresource else need.resource
    for binding in found:
        subjects = {one["name"] for one in binding.get("subjects") or ()}
        if subject not in subjects or where(binding) not in {ANYWHERE, need.where}:
            continue
        for rule in roles[binding["roleRef"]["name"]]["rules"]:
            if (
                need.group in rule["apiGroups"]
                and resource in rule["resources"]
                and need.verb in rule["verbs"]
                and need.name in rule.get("resourceNames", [need.name])
            ):
                return True
    return False


@pytest.mark.parametrize("role", ROLES)
def test_every_right_that_is_asked_for_is_in_the_role(role: str) -> None:
    assert [str(need) for need in ROLES[role] if not granted(need, BOUND_TO[role])] == []


@pytest.mark.parametrize("role", ROLES)
def test_nobody_may_change_secrets_or_roles(role: str) -> None:
    for resource, group in (("secrets", ""), ("clusterroles", "rbac.authorization.k8s.io")):
        assert not granted(Need("update", resource, group, CHAOS), BOUND_TO[role])
