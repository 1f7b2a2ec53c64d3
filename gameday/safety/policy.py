"""Why: an object made by hand, by another tool or by a Schedule is held to the same limits as a run.

Renders guardrails.yaml into what the API server enforces by itself: two ValidatingAdmissionPolicies
with their bindings, and the ConfigMap with the limits. ``policy_rules`` holds the rules in CEL. The
policies are the same for everybody: only the ConfigMap differs. What CEL cannot say is listed in
``docs/reference/admission-policy.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml

from gameday.safety import lever, policy_rules
from gameday.safety.guardrails import approvers
from gameday.spec.base import format_duration
from gameday.spec.guardrails import Guardrails, Strength
from gameday.spec.kinds import ALL_KINDS, API_VERSION, APPROVED, GROUP, plural
from gameday.spec.platform import Platform

GUARDRAILS: Final = "gameday-guardrails"
"""The name of the policy of the limits, of its binding and of its ConfigMap."""

LEVER: Final = "gameday-safety-lever"
"""The name of the policy of the safety lever, and of its binding."""

_REGISTRATION: Final = "admissionregistration.k8s.io/v1"
_LABELS: Final = {"app.kubernetes.io/name": "gameday", "app.kubernetes.io/component": "guardrails"}
_HEADER: Final = """\
# Rendered by `gameday guardrails render`: mend experiments/guardrails.yaml, and render it again.
# docs/reference/admission-policy.md says what each part is for.
"""
_LEVER_SAYS: Final = """\
'the safety lever is engaged since ' + params.data[?'since'].orValue('?')
+ ' by ' + params.data[?'by'].orValue('?')
+ ': ' + params.data[?'reason'].orValue('no reason').replace('\\n', ' ')
+ '; nothing new starts until it is released: gameday resume'"""
_APPROVER_SAYS: Final = f"""\
request.userInfo.username + ' may not set the annotation {APPROVED}:'
+ ' it takes the verb {policy_rules.APPROVE} on ' + request.resource.resource + '.{GROUP}'"""


def render(guardrails: Guardrails, platform: Platform) -> list[dict[str, Any]]:
    """Everything that is to be applied to a cluster, in the order in which it should be."""
    namespace = platform.chaos_namespace
    return [
        _config_map(GUARDRAILS, namespace, limits(guardrails, platform)),
        # Without data: applying it again must never release an engaged lever.
        _config_map(lever.NAME, namespace, None),
        _policy(
            GUARDRAILS,
            condition=("changed", policy_rules.CHANGED),
            variables=policy_rules.variables(),
            validations=[
                _validation(
                    "variables.broken.size() == 0",
                    "a guardrail is broken",
                    "variables.broken.join('; ')",
                ),
                _validation(
                    "!variables.annotated"
                    f" || authorizer.requestResource.check('{policy_rules.APPROVE}').allowed()",
                    f"the annotation {APPROVED} is not everybody's to set",
                    _APPROVER_SAYS,
                ),
            ],
        ),
        # Without its limits nobody can say what is allowed: nothing is.
        _binding(GUARDRAILS, GUARDRAILS, namespace, missing="Deny"),
        _policy(
            LEVER,
            condition=("starts", policy_rules.RESTARTED),
            variables={},
            validations=[
                _validation(
                    "!has(params.data) || params.data[?'halted'].orValue('') in ['', 'false']",
                    "the safety lever is engaged",
                    _LEVER_SAYS,
                )
            ],
        ),
        # A lever that was never made is not engaged, as everywhere else.
        _binding(LEVER, lever.NAME, namespace, missing="Allow"),
    ]


def as_yaml(objects: list[dict[str, Any]]) -> str:
    """The documents as one file that people can read and kubectl can apply."""
    documents = (
        yaml.dump(one, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120) for one in objects
    )
    return _HEADER + "---\n".join(documents)


def limits(guardrails: Guardrails, platform: Platform) -> dict[str, str]:
    """The limits as the policy reads them: text, lists with commas, rules a line each."""
    data = {
        "maxFaultDuration": format_duration(guardrails.max_fault_duration),
        "namespacesAllowed": ",".join(guardrails.namespaces.allowed),
        "namespacesForbidden": ",".join(guardrails.namespaces.forbidden),
        "runLabelIn": ",".join(guardrails.admission.run_label_in),
        **_strength(guardrails.strength),
        "protected": _protected(guardrails, platform),
        "destructive": _destructive(guardrails, platform),
    }
    return {key: value for key, value in data.items() if value}


def _strength(strength: Strength) -> dict[str, str]:
    written = strength.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {key: f"{value:g}" if isinstance(value, float) else str(value) for key, value in written.items()}


def _protected(guardrails: Guardrails, platform: Platform) -> str:
    lines = []
    for rule in guardrails.protected:
        service = next((one for one in platform.services if one.name == rule.service), None)
        if service is None:
            continue
        labels = ",".join(f"{key}={value}" for key, value in sorted(service.labels.items()))
        where, who = _where(platform, rule.environments), _who(approvers(guardrails, service))
        lines.append(" ".join((service.name, labels, ",".join(rule.faults), where, rule.unless, who)))
    return "\n".join(lines)


def _destructive(guardrails: Guardrails, platform: Platform) -> str:
    who = _who(approvers(guardrails))
    return "\n".join(
        f"{','.join(rule.faults)} {_where(platform, rule.environments)} {who}"
        for rule in guardrails.destructive
    )


def _where(platform: Platform, environments: tuple[str, ...]) -> str:
    """The namespaces in which a rule of some environments holds: a request knows of no environment."""
    named = [one.namespace for one in platform.environments if one.name in environments]
    return ",".join(dict.fromkeys(named)) if environments else "*"


def _who(teams: tuple[str, ...]) -> str:
    return ",".join(teams) or "nobody"


def _metadata(name: str, namespace: str = "") -> dict[str, Any]:
    place = {"namespace": namespace} if namespace else {}
    return {"name": name, **place, "labels": dict(_LABELS)}


def _config_map(name: str, namespace: str, data: Mapping[str, str] | None) -> dict[str, Any]:
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(name, namespace)}
    return body if data is None else {**body, "data": dict(data)}


def _policy(
    name: str,
    *,
    condition: tuple[str, str],
    variables: Mapping[str, str],
    validations: list[dict[str, str]],
) -> dict[str, Any]:
    group, _, version = API_VERSION.partition("/")
    rule = {
        "apiGroups": [group],
        "apiVersions": [version],
        # DELETE is never among them: nothing here may stand in the way of a stop.
        "operations": ["CREATE", "UPDATE"],
        "resources": [plural(kind) for kind in ALL_KINDS],
    }
    spec: dict[str, Any] = {
        "failurePolicy": "Fail",
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConstraints": {"resourceRules": [rule]},
        "matchConditions": [{"name": condition[0], "expression": condition[1]}],
    }
    if variables:
        spec["variables"] = [{"name": key, "expression": text} for key, text in variables.items()]
    spec["validations"] = validations
    return {
        "apiVersion": _REGISTRATION,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": _metadata(name),
        "spec": spec,
    }


def _validation(expression: str, message: str, telling: str) -> dict[str, str]:
    return {"expression": expression, "message": message, "messageExpression": telling}


def _binding(name: str, params: str, namespace: str, *, missing: str) -> dict[str, Any]:
    reference = {"name": params, "namespace": namespace, "parameterNotFoundAction": missing}
    return {
        "apiVersion": _REGISTRATION,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": _metadata(name),
        "spec": {"policyName": name, "paramRef": reference, "validationActions": ["Deny", "Audit"]},
    }


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as a block."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
