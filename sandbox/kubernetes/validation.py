"""Why: the API server refuses names, labels and specs that break the rules, with 422 and the field.

The wording of the rules is Kubernetes' own (``k8s.io/apimachinery/pkg/util/validation``). Types and
unknown fields are left to ``schema``, the rules of chaos kinds to Chaos Mesh's webhook.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from sandbox.kubernetes.errors import Cause, Obj

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_1035: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED: Final = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_CONFIG_KEY: Final = re.compile(r"[-._a-zA-Z0-9]+")
_ANNOTATIONS_LIMIT: Final = 256 * 1024

_LABEL_WORDS: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start"
    " and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_WORDS: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must"
    " start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_1035_WORDS: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic"
    " character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for"
    " validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_QUALIFIED_WORDS: Final = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an"
    " alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is"
    " '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_VALUE_WORDS: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must"
    " start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used"
    " for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)

_NAME_RULES: Final = {
    "subdomain": (_SUBDOMAIN, 253, _SUBDOMAIN_WORDS),
    "label": (_LABEL, 63, _LABEL_WORDS),
    "label1035": (_LABEL_1035, 63, _LABEL_1035_WORDS),
}


def name_faults(name: str, rule: str) -> list[str]:
    """What is wrong with an object's name, by the rule of its kind."""
    pattern, limit, words = _NAME_RULES[rule]
    faults = [f"must be no more than {limit} characters"] if len(name) > limit else []
    return faults if pattern.fullmatch(name) else [*faults, words]


@lru_cache(maxsize=4096)
def label_key_faults(key: str) -> tuple[str, ...]:
    """What is wrong with the key of a label or an annotation."""
    prefix, slash, name = key.rpartition("/")
    faults: list[str] = []
    if slash and (not prefix or len(prefix) > 253 or not _SUBDOMAIN.fullmatch(prefix)):
        faults.append(f"prefix part {_SUBDOMAIN_WORDS}" if prefix else "prefix part must be non-empty")
    if not name:
        faults.append("name part must be non-empty")
    elif len(name) > 63:
        faults.append("name part must be no more than 63 characters")
    if not _QUALIFIED.fullmatch(name):
        faults.append(_QUALIFIED_WORDS)
    return tuple(faults)


@lru_cache(maxsize=4096)
def label_value_faults(value: str) -> tuple[str, ...]:
    """What is wrong with the value of a label."""
    if len(value) > 63:
        return ("must be no more than 63 characters",)
    return () if not value or _QUALIFIED.fullmatch(value) else (_VALUE_WORDS,)


def metadata_causes(metadata: Obj, rule: str) -> list[Cause]:
    """What is wrong with an object's metadata."""
    name = metadata.get("name", "")
    if not name:
        return [Cause.required("metadata.name", "name or generateName is required")]
    causes = [Cause.invalid("metadata.name", name, fault) for fault in name_faults(name, rule)]
    for key, value in (metadata.get("labels") or {}).items():
        causes += [Cause.invalid("metadata.labels", key, fault) for fault in label_key_faults(key)]
        causes += [Cause.invalid("metadata.labels", value, fault) for fault in label_value_faults(value)]
    size = 0
    for key, value in (metadata.get("annotations") or {}).items():
        size += len(key) + len(value)
        # Annotation keys are checked in lower case: https://github.com/kubernetes/kubernetes/issues/1297
        causes += [Cause.invalid("metadata.annotations", key, f) for f in label_key_faults(key.lower())]
    if size > _ANNOTATIONS_LIMIT:
        causes.append(
            Cause("metadata.annotations", "FieldValueTooLong", "Too long: may not be more than 262144 bytes")
        )
    for finalizer in metadata.get("finalizers") or ():
        causes += [
            Cause.invalid("metadata.finalizers", finalizer, fault) for fault in label_key_faults(finalizer)
        ]
    return causes


def _containers(spec: Obj, path: str) -> list[Cause]:
    containers = spec.get("containers") or []
    if not containers:
        return [Cause.required(f"{path}.containers")]
    causes: list[Cause] = []
    seen: set[str] = set()
    for index, container in enumerate(containers):
        at = f"{path}.containers[{index}]"
        name = container.get("name", "")
        if not name:
            causes.append(Cause.required(f"{at}.name"))
        elif not _LABEL.fullmatch(name) or len(name) > 63:
            causes.append(Cause.invalid(f"{at}.name", name, _LABEL_WORDS))
        elif name in seen:
            causes.append(Cause(f"{at}.name", "FieldValueDuplicate", f'Duplicate value: "{name}"'))
        seen.add(name)
        if not container.get("image"):
            causes.append(Cause.required(f"{at}.image"))
    policy = spec.get("restartPolicy", "Always")
    if policy not in ("Always", "OnFailure", "Never"):
        causes.append(Cause.unsupported(f"{path}.restartPolicy", policy, ("Always", "OnFailure", "Never")))
    return causes


def _pod(obj: Obj) -> list[Cause]:
    return _containers(obj.get("spec") or {}, "spec")


def _workload(obj: Obj) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes: list[Cause] = []
    selector = spec.get("selector") or {}
    wanted = selector.get("matchLabels") or {}
    template = spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    if not selector:
        causes.append(Cause.required("spec.selector"))
    elif not wanted and not selector.get("matchExpressions"):
        causes.append(Cause.invalid("spec.selector", "{}", "empty selector is invalid for deployment"))
    if any(labels.get(key) != value for key, value in wanted.items()):
        causes.append(
            Cause(
                "spec.template.metadata.labels",
                "FieldValueInvalid",
                f"Invalid value: {labels}: `selector` does not match template `labels`",
            )
        )
    if (replicas := spec.get("replicas", 1)) < 0:
        causes.append(Cause.invalid("spec.replicas", replicas, "must be greater than or equal to 0"))
    return causes + _containers(template.get("spec") or {}, "spec.template.spec")


def _service(obj: Obj) -> list[Cause]:
    spec = obj.get("spec") or {}
    ports = spec.get("ports") or []
    if not ports and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        return [Cause.required("spec.ports")]
    causes: list[Cause] = []
    for index, port in enumerate(ports):
        number = port.get("port", 0)
        if not 0 < number < 65536:
            causes.append(
                Cause.invalid(f"spec.ports[{index}].port", number, "must be between 1 and 65535, inclusive")
            )
        if len(ports) > 1 and not port.get("name"):
            causes.append(Cause.required(f"spec.ports[{index}].name"))
    return causes


def _lease(obj: Obj) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes: list[Cause] = []
    if (seconds := spec.get("leaseDurationSeconds")) is not None and seconds <= 0:
        causes.append(Cause.invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
    if (transitions := spec.get("leaseTransitions")) is not None and transitions < 0:
        causes.append(
            Cause.invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0")
        )
    return causes


def _config_map(obj: Obj) -> list[Cause]:
    return [
        Cause.invalid(
            f"data[{key}]",
            key,
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
        )
        for key in (*(obj.get("data") or {}), *(obj.get("binaryData") or {}))
        if not _CONFIG_KEY.fullmatch(key) or len(key) > 253
    ]


def _event(obj: Obj) -> list[Cause]:
    involved = (obj.get("involvedObject") or {}).get("namespace", "")
    namespace = obj["metadata"].get("namespace", "")
    if involved and involved != namespace:
        return [Cause.invalid("involvedObject.namespace", involved, "does not match event.namespace")]
    return []


_RULES: Final[dict[str, Callable[[Obj], list[Cause]]]] = {
    "Pod": _pod,
    "Deployment": _workload,
    "ReplicaSet": _workload,
    "StatefulSet": _workload,
    "DaemonSet": _workload,
    "Service": _service,
    "Lease": _lease,
    "ConfigMap": _config_map,
    "Secret": _config_map,
    "Event": _event,
}


def object_causes(kind: str, obj: Obj) -> list[Cause]:
    """What is wrong with a built-in object beyond types and metadata."""
    rule = _RULES.get(kind)
    return rule(obj) if rule else []


_FIXED: Final = {
    "Deployment": ("selector",),
    "ReplicaSet": ("selector",),
    "DaemonSet": ("selector",),
    "StatefulSet": ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates"),
}
_POD_WORDS: Final = (
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to"
    " existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was"
    " previously negative)"
)


def _without_images(spec: Obj) -> Obj:
    fixed = {key: value for key, value in spec.items() if key not in ("tolerations", "activeDeadlineSeconds")}
    for field in ("containers", "initContainers"):
        if field in fixed:
            fixed[field] = [{**container, "image": ""} for container in fixed[field]]
    return fixed


def change_causes(kind: str, old: Obj, new: Obj) -> list[Cause]:
    """What must not change from ``old`` to ``new`` and did."""
    before, after = old.get("spec") or {}, new.get("spec") or {}
    if kind == "Pod" and _without_images(before) != _without_images(after):
        return [Cause.forbidden("spec", _POD_WORDS)]
    if kind in ("ConfigMap", "Secret") and old.get("immutable"):
        fields = ("data", "binaryData", "immutable")
        return [
            Cause.forbidden(field, "field is immutable when `immutable` is set")
            for field in fields
            if old.get(field) != new.get(field)
        ]
    causes = [
        Cause.invalid(f"spec.{field}", after.get(field), "field is immutable")
        for field in _FIXED.get(kind, ())
        if before.get(field) != after.get(field)
    ]
    address = before.get("clusterIP")
    if kind == "Service" and address and after.get("clusterIP") != address:
        causes.append(Cause.invalid("spec.clusterIPs[0]", after.get("clusterIP"), "field is immutable"))
    return causes
