"""Why: Chaos Mesh's CustomResourceDefinitions say which fields there are; the API server refuses the rest.

The fields are those of Chaos Mesh 2.8. Where its definition is a large free form (physical machines,
workflow templates), any member is taken here. Rules between fields are left to ``webhook``.
"""

from __future__ import annotations

from typing import Any, Final

from sandbox.chaosmesh.kinds import FAULT_KINDS, GROUP, OTHER_KINDS, VERSION
from sandbox.kubernetes.errors import Obj

Schema = dict[str, Any]

_TEXT: Final[Schema] = {"type": "string"}
_INTEGER: Final[Schema] = {"type": "integer"}
_FLAG: Final[Schema] = {"type": "boolean"}
_FREE: Final[Schema] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _map(value: Schema) -> Schema:
    return {"type": "object", "additionalProperties": value}


def _one_of(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def _fields(required: str = "", **properties: Schema) -> Schema:
    schema: Schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required.split()
    return schema


def _texts(names: str) -> dict[str, Schema]:
    return dict.fromkeys(names.split(), _TEXT)


_TEXTS: Final = _list(_TEXT)
_SELECTOR: Final = _fields(
    namespaces=_TEXTS,
    labelSelectors=_map(_TEXT),
    annotationSelectors=_map(_TEXT),
    fieldSelectors=_map(_TEXT),
    nodeSelectors=_map(_TEXT),
    nodes=_TEXTS,
    pods=_map(_TEXTS),
    podPhaseSelectors=_TEXTS,
    expressionSelectors=_list(_fields("key operator", key=_TEXT, operator=_TEXT, values=_TEXTS)),
)
_MODE: Final = _one_of("one", "all", "fixed", "fixed-percent", "random-max-percent")
_PODS: Final[dict[str, Schema]] = {
    "selector": _SELECTOR,
    "mode": _MODE,
    "value": _TEXT,
    "duration": _TEXT,
    "remoteCluster": _TEXT,
}
_CONTAINERS: Final[dict[str, Schema]] = {**_PODS, "containerNames": _TEXTS}
_REORDER: Final = _fields("gap reorder", reorder=_TEXT, gap=_INTEGER, correlation=_TEXT)
_DELAY: Final = _fields("latency", latency=_TEXT, jitter=_TEXT, correlation=_TEXT, reorder=_REORDER)

_SPECS: Final[dict[str, Schema]] = {
    "PodChaos": _fields(
        "action mode selector",
        **_CONTAINERS,
        action=_one_of("pod-kill", "pod-failure", "container-kill"),
        gracePeriod=_INTEGER,
    ),
    "NetworkChaos": _fields(
        "action mode selector",
        **_PODS,
        action=_one_of("netem", "delay", "loss", "duplicate", "corrupt", "partition", "bandwidth"),
        device=_TEXT,
        targetDevice=_TEXT,
        direction=_one_of("to", "from", "both"),
        externalTargets=_TEXTS,
        target=_fields("mode selector", selector=_SELECTOR, mode=_MODE, value=_TEXT),
        delay=_DELAY,
        loss=_fields("loss", loss=_TEXT, correlation=_TEXT),
        duplicate=_fields("duplicate", duplicate=_TEXT, correlation=_TEXT),
        corrupt=_fields("corrupt", corrupt=_TEXT, correlation=_TEXT),
        bandwidth=_fields(
            "buffer limit rate",
            rate=_TEXT,
            limit=_INTEGER,
            buffer=_INTEGER,
            peakrate=_INTEGER,
            minburst=_INTEGER,
        ),
        rate=_fields("rate", rate=_TEXT),
    ),
    "StressChaos": _fields(
        "mode selector",
        **_CONTAINERS,
        stressngStressors=_TEXT,
        stressors=_fields(
            cpu=_fields("workers", workers=_INTEGER, load=_INTEGER, options=_TEXTS),
            memory=_fields("workers", workers=_INTEGER, size=_TEXT, oomScoreAdj=_INTEGER, options=_TEXTS),
        ),
    ),
    "IOChaos": _fields(
        "action mode selector volumePath",
        **_CONTAINERS,
        action=_one_of("latency", "fault", "attrOverride", "mistake"),
        volumePath=_TEXT,
        path=_TEXT,
        methods=_TEXTS,
        percent=_INTEGER,
        delay=_TEXT,
        errno=_INTEGER,
        attr=_FREE,
        mistake=_fields(filling=_one_of("zero", "random"), maxLength=_INTEGER, maxOccurrences=_INTEGER),
    ),
    "TimeChaos": _fields("mode selector timeOffset", **_CONTAINERS, timeOffset=_TEXT, clockIds=_TEXTS),
    "HTTPChaos": _fields(
        "mode selector target",
        **_PODS,
        target=_one_of("Request", "Response"),
        port=_INTEGER,
        path=_TEXT,
        method=_TEXT,
        code=_INTEGER,
        abort=_FLAG,
        delay=_TEXT,
        request_headers=_map(_TEXT),
        response_headers=_map(_TEXT),
        replace=_fields(
            path=_TEXT, method=_TEXT, code=_INTEGER, body=_TEXT, queries=_map(_TEXT), headers=_map(_TEXT)
        ),
        patch=_fields(
            body=_fields("type value", type=_TEXT, value=_TEXT), queries=_list(_TEXTS), headers=_list(_TEXTS)
        ),
        tls=_FREE,
    ),
    "DNSChaos": _fields(
        "action mode selector", **_CONTAINERS, action=_one_of("error", "random"), patterns=_TEXTS
    ),
    "JVMChaos": _fields(
        "action mode selector",
        **_CONTAINERS,
        **_texts("class method exception memType name ruleData database table sqlType mysqlConnectorVersion"),
        **dict.fromkeys(("latency", "cpuCount", "port", "pid"), _INTEGER),
        action=_one_of("latency", "return", "exception", "stress", "gc", "ruleData", "mysql"),
    ),
    "KernelChaos": _fields("failKernRequest mode selector", **_CONTAINERS, failKernRequest=_FREE),
    "BlockChaos": _fields(
        "action mode selector volumeName",
        **_CONTAINERS,
        action=_one_of("delay"),
        volumeName=_TEXT,
        delay=_fields(latency=_TEXT, jitter=_TEXT, correlation=_TEXT),
    ),
    "AWSChaos": _fields(
        "action awsRegion ec2Instance",
        **_texts("awsRegion ec2Instance secretName deviceName volumeID endpoint"),
        action=_one_of("ec2-stop", "ec2-restart", "detach-volume"),
        duration=_TEXT,
        remoteCluster=_TEXT,
    ),
    "AzureChaos": _fields(
        "action resourceGroupName subscriptionID vmName",
        **_texts("subscriptionID resourceGroupName vmName secretName diskName"),
        action=_one_of("vm-stop", "vm-restart", "disk-detach"),
        lun=_INTEGER,
        duration=_TEXT,
        remoteCluster=_TEXT,
    ),
    "GCPChaos": _fields(
        "action instance project zone",
        **_texts("project zone instance secretName"),
        action=_one_of("node-stop", "node-reset", "disk-loss"),
        deviceNames=_TEXTS,
        duration=_TEXT,
        remoteCluster=_TEXT,
    ),
    "PhysicalMachineChaos": _FREE,
    "Schedule": _fields(
        "schedule type",
        schedule=_TEXT,
        type=_one_of(*FAULT_KINDS, "Workflow"),
        historyLimit=_INTEGER,
        concurrencyPolicy=_one_of("Forbid", "Allow"),
        startingDeadlineSeconds=_INTEGER,
        **{kind.member: _FREE for kind in FAULT_KINDS.values()},
        workflow=_FREE,
    ),
    "Workflow": _fields("entry templates", entry=_TEXT, templates=_list(_FREE)),
    "WorkflowNode": _FREE,
    "StatusCheck": _FREE,
}

_SHORT_NAMES: Final = {"Workflow": "wf", "WorkflowNode": "wfn"}
_AGE: Final = {"name": "age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
_DURATION: Final = {"name": "duration", "type": "string", "jsonPath": ".spec.duration"}
_ACTION: Final = {"name": "action", "type": "string", "jsonPath": ".spec.action"}
_PHASE: Final = {"name": "desired", "type": "string", "jsonPath": ".status.experiment.desiredPhase"}


def _columns(kind: str) -> list[Obj]:
    if kind == "Schedule":
        return [
            {"name": "type", "type": "string", "jsonPath": ".spec.type"},
            {"name": "schedule", "type": "string", "jsonPath": ".spec.schedule"},
            _AGE,
        ]
    if kind not in FAULT_KINDS:
        return [_AGE]
    has_action = "action" in _SPECS[kind].get("properties", {})
    return [*([_ACTION] if has_action else []), _DURATION, _PHASE, _AGE]


def definition(kind: str) -> Obj:
    """The CustomResourceDefinition of ``kind``."""
    plural = FAULT_KINDS[kind].plural if kind in FAULT_KINDS else OTHER_KINDS[kind]
    schema = {
        "type": "object",
        "required": ["spec"],
        "properties": {"spec": _SPECS[kind], "status": _FREE},
    }
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "additionalPrinterColumns": _columns(kind),
    }
    names: Obj = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    if kind in _SHORT_NAMES:
        names["shortNames"] = [_SHORT_NAMES[kind]]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {"group": GROUP, "names": names, "scope": "Namespaced", "versions": [version]},
    }


def definitions() -> list[Obj]:
    """All of Chaos Mesh's CustomResourceDefinitions that are served here."""
    return [definition(kind) for kind in (*FAULT_KINDS, *OTHER_KINDS)]
