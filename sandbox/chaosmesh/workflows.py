"""Why: a Workflow makes faults of its own, in nodes that a stop must reach, so its lifecycle is real here.

Serial, Parallel, Suspend, Schedule and fault nodes run on virtual time; the annotation for aborting
ends them. A Task's container and a StatusCheck's request are not carried out: such a node is done
after a second. Source: Chaos Mesh's ``pkg/workflow/controllers``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sandbox.chaosmesh.kinds import ABORT, FAULT_KINDS, GROUP
from sandbox.chaosmesh.levers import ChaosLevers
from sandbox.chaosmesh.webhook import seconds
from sandbox.kubernetes import pods
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.deletion import Deleter
from sandbox.kubernetes.errors import ApiError, Obj
from sandbox.kubernetes.recorder import Recorder
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.store import Change, copy

_REACTION_S = 0.1
_TASK_S = 1.0
_WORKFLOW = "chaos-mesh.org/workflow"
_CONTROLLED_BY = "chaos-mesh.org/controlled-by"


@dataclass(slots=True)
class _Node:
    """One node of a running workflow."""

    workflow: Obj
    template: Obj
    parent: _Node | None
    key: tuple[str, str]
    waiting: list[str] = field(default_factory=list)
    children: list[_Node] = field(default_factory=list)
    child: tuple[Resource, tuple[str, str]] | None = None
    over: bool = False


class Workflows:
    """The controllers of Workflows and their nodes."""

    def __init__(self, api: Api, deleter: Deleter, levers: ChaosLevers) -> None:
        """Look after the Workflows of ``api``."""
        self._api = api
        self._deleter = deleter
        self._levers = levers
        self._events = Recorder(api, "workflow-entry-reconciler")
        self._roots: dict[str, _Node] = {}
        self._resource = self._served("Workflow")
        self._nodes = self._served("WorkflowNode")
        api.store.listen(self._on_change, self._resource)

    def _served(self, kind: str) -> Resource:
        resource = self._api.registry.of_kind(GROUP, kind)
        assert resource is not None
        return resource

    def _on_change(self, change: Change) -> None:
        uid, key = change.object["metadata"]["uid"], pods.key_of(change.object)
        if change.type == "DELETED":
            root = self._roots.pop(uid, None)
            if root is not None:
                _close(root)
        elif change.type == "ADDED":
            self._api.world.call_later(_REACTION_S, lambda: self._start(key))
        elif (change.object["metadata"].get("annotations") or {}).get(ABORT) == "true":
            self._api.world.call_later(_REACTION_S, lambda: self._abort(uid, key))

    def _start(self, key: tuple[str, str]) -> None:
        workflow = self._api.store.get(self._resource, *key)
        if workflow is None or self._levers.controller_down:
            return
        root = self._spawn(workflow, workflow["spec"]["entry"], None)
        self._roots[workflow["metadata"]["uid"]] = root
        self._set_status(key, {"entryNode": root.key[1], "startTime": self._api.now()}, done=False)

    def _set_status(self, key: tuple[str, str], more: Obj, *, done: bool) -> None:
        workflow = self._api.store.get(self._resource, *key)
        if workflow is None:
            return
        changed = copy(workflow)
        status = changed.setdefault("status", {})
        status.update(more)
        status["conditions"] = [
            {"type": "Scheduled", "status": "True", "reason": "EntryCreated"},
            {"type": "Accomplished", "status": "True" if done else "False", "reason": ""},
        ]
        self._api.update(self._resource, *key, changed)

    def _spawn(self, workflow: Obj, name: str, parent: _Node | None) -> _Node:
        template = next(entry for entry in workflow["spec"]["templates"] if entry["name"] == name)
        namespace = workflow["metadata"]["namespace"]
        node = _Node(workflow, template, parent, (namespace, f"{name}-{self._api.suffix()}"))
        owner = self._api.store.get(self._nodes, *parent.key) if parent else workflow
        spec = {
            "templateName": name,
            "workflowName": workflow["metadata"]["name"],
            "type": template["templateType"],
            "startTime": self._api.now(),
            **{key: template[key] for key in ("children", "deadline") if key in template},
        }
        self._api.create(
            self._nodes,
            namespace,
            {
                "kind": "WorkflowNode",
                "apiVersion": self._nodes.api_version,
                "metadata": {
                    "name": node.key[1],
                    "labels": self._labels(workflow, parent),
                    "ownerReferences": pods.controlled_by(owner or workflow),
                },
                "spec": spec,
            },
        )
        if template.get("deadline"):
            self._api.world.call_later(
                seconds(template["deadline"]), lambda: self._finish(node, "DeadlineExceed")
            )
        self._begin(node)
        return node

    def _labels(self, workflow: Obj, parent: _Node | None) -> dict[str, str]:
        name = workflow["metadata"]["name"]
        own = workflow["metadata"].get("labels") or {}
        return {**own, _WORKFLOW: name, _CONTROLLED_BY: parent.key[1] if parent else name}

    def _begin(self, node: _Node) -> None:
        kind, children = node.template["templateType"], node.template.get("children") or []
        if kind in FAULT_KINDS:
            self._make(node, kind, node.template[FAULT_KINDS[kind].member])
        elif kind == "Schedule":
            self._make(node, "Schedule", node.template["schedule"])
        elif kind == "Serial":
            node.waiting = list(children)
            self._next(node)
        elif kind == "Parallel":
            node.children = [self._spawn(node.workflow, child, node) for child in children]
            self._next(node)
        elif kind != "Suspend":
            self._api.world.call_later(_TASK_S, lambda: self._finish(node, "Accomplished"))

    def _make(self, node: _Node, kind: str, spec: Obj) -> None:
        resource = self._served(kind)
        owner = self._api.store.get(self._nodes, *node.key)
        assert owner is not None
        name = f"{node.key[1]}-{self._api.suffix()}"
        fault = {
            "kind": kind,
            "apiVersion": resource.api_version,
            "metadata": {
                "name": name,
                "labels": self._labels(node.workflow, node),
                "ownerReferences": pods.controlled_by(owner),
            },
            "spec": copy(spec),
        }
        try:
            self._api.create(resource, node.key[0], fault)
        except ApiError as error:
            self._events.record(owner, "Failed", f"Failed to create chaos: {error.message}", "Warning")
            return
        node.child = resource, (node.key[0], name)
        self._events.record(owner, "ChaosCRCreated", f"Chaos CR {name} created")

    def _next(self, node: _Node) -> None:
        """Go on with a node whose child is over."""
        if node.over or any(not child.over for child in node.children):
            return
        if node.waiting:
            node.children.append(self._spawn(node.workflow, node.waiting.pop(0), node))
            return
        self._api.world.call_later(_REACTION_S, lambda: self._finish(node, "Accomplished"))

    def _finish(self, node: _Node, condition: str) -> None:
        """Take a node to its end, with what is below it."""
        if node.over or self._api.store.get(self._nodes, *node.key) is None:
            return
        node.over = True
        for child in node.children:
            self._finish(child, condition if condition == "Aborted" else "DeadlineExceed")
        if node.child is not None and self._api.store.get(node.child[0], *node.child[1]) is not None:
            self._deleter.delete(node.child[0], *node.child[1])
        self._mark(node, condition)
        if node.parent is not None:
            self._next(node.parent)
        else:
            self._set_status(pods.key_of(node.workflow), {"endTime": self._api.now()}, done=True)

    def _mark(self, node: _Node, condition: str) -> None:
        obj = self._api.store.get(self._nodes, *node.key)
        if obj is None:
            return
        changed = copy(obj)
        reached = {condition, "Accomplished"} if condition != "Aborted" else {condition}
        changed["status"] = {
            "conditions": [
                {"type": kind, "status": "True" if kind in reached else "False", "reason": ""}
                for kind in ("Accomplished", "DeadlineExceed", "ChaosInjected", "Aborted")
            ]
        }
        self._api.update(self._nodes, *node.key, changed)

    def _abort(self, uid: str, key: tuple[str, str]) -> None:
        root = self._roots.get(uid)
        if root is not None and not self._levers.controller_down and not root.over:
            self._finish(root, "Aborted")


def _close(node: _Node) -> None:
    node.over = True
    for child in node.children:
        _close(child)
