"""Why: the words in which a pod tells of itself: phase, conditions, container states.

Pure functions from a pod to its next version. When they are called is left to ``kubelet``.
"""

from __future__ import annotations

from typing import Any, Final

from sandbox.kubernetes.errors import Obj

CONDITIONS: Final = ("PodScheduled", "Initialized", "ContainersReady", "Ready")


def key_of(pod: Obj) -> tuple[str, str]:
    """Namespace and name."""
    return pod["metadata"]["namespace"], pod["metadata"]["name"]


def is_ready(pod: Obj) -> bool:
    """Whether the pod gets traffic: ready, and not being deleted."""
    if "deletionTimestamp" in pod["metadata"]:
        return False
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)


def is_active(pod: Obj) -> bool:
    """Whether the pod counts as a replica."""
    phase = (pod.get("status") or {}).get("phase")
    return "deletionTimestamp" not in pod["metadata"] and phase not in ("Succeeded", "Failed")


def owner_of(obj: Obj) -> str:
    """The uid of the controller that owns the object, or ""."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            uid: str = reference["uid"]
            return uid
    return ""


def controlled_by(owner: Obj) -> list[Obj]:
    """The ownerReferences of what ``owner`` creates."""
    return [
        {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def restarts(pod: Obj, container: str) -> int:
    """How often the container was restarted."""
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        if status["name"] == container:
            return int(status.get("restartCount", 0))
    return 0


def last_end(pod: Obj, container: str) -> str:
    """Why the container ended the last time; "" where it never did."""
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        if status["name"] == container:
            return str(((status.get("lastState") or {}).get("terminated") or {}).get("reason", ""))
    return ""


def with_status(pod: Obj, status: Obj) -> Obj:
    """A new version of the pod with ``status``."""
    return {**pod, "metadata": {**pod["metadata"]}, "status": status}


def scheduled(pod: Obj, node: str) -> Obj:
    """The pod, bound to ``node``."""
    return {**pod, "metadata": {**pod["metadata"]}, "spec": {**pod["spec"], "nodeName": node}}


def conditions(pod: Obj, now: str, **states: bool) -> list[Obj]:
    """The pod's conditions with those of ``states`` set, their times kept where nothing changed."""
    known = {entry["type"]: entry for entry in (pod.get("status") or {}).get("conditions") or ()}
    result = []
    for name in CONDITIONS:
        before: Obj = known.get(name) or {"type": name, "status": "False", "lastTransitionTime": now}
        wanted = before["status"] if name not in states else ("True" if states[name] else "False")
        entry = (
            before if before["status"] == wanted else {**before, "status": wanted, "lastTransitionTime": now}
        )
        entry = {key: value for key, value in entry.items() if key not in ("reason", "message")}
        if wanted == "False" and name in ("ContainersReady", "Ready"):
            names = ", ".join(container["name"] for container in pod["spec"]["containers"])
            entry |= {"reason": "ContainersNotReady", "message": f"containers with unready status: [{names}]"}
        result.append(entry)
    return result


def pending(pod: Obj, now: str) -> Obj:
    """Bound to a node, its containers not yet started."""
    statuses = [
        _container(container, ready=False, count=0, state={"waiting": {"reason": "ContainerCreating"}})
        for container in pod["spec"]["containers"]
    ]
    status = {
        **(pod.get("status") or {}),
        "phase": "Pending",
        "startTime": now,
        "containerStatuses": statuses,
    }
    return with_status(
        pod, {**status, "conditions": conditions(pod, now, PodScheduled=True, Initialized=True)}
    )


def started(pod: Obj, now: str, address: str, host: str) -> Obj:
    """Its containers run, and it is not yet ready."""
    statuses = [
        _container(
            container,
            ready=False,
            count=restarts(pod, container["name"]),
            state={"running": {"startedAt": now}},
        )
        for container in pod["spec"]["containers"]
    ]
    status = {
        **(pod.get("status") or {}),
        "phase": "Running",
        "hostIP": host,
        "podIP": address,
        "podIPs": [{"ip": address}],
        "containerStatuses": statuses,
    }
    return with_status(
        pod, {**status, "conditions": conditions(pod, now, ContainersReady=False, Ready=False)}
    )


def readied(pod: Obj, now: str, *, ready: bool) -> Obj:
    """Ready, or no longer."""
    statuses = [
        {**status, "ready": ready and "running" in (status.get("state") or {})}
        for status in pod["status"].get("containerStatuses") or ()
    ]
    status = {**pod["status"], "containerStatuses": statuses}
    return with_status(
        pod, {**status, "conditions": conditions(pod, now, ContainersReady=ready, Ready=ready)}
    )


def died(pod: Obj, now: str, names: frozenset[str], reason: str, exit_code: int) -> Obj:
    """The containers ``names`` have ended and wait for their restart."""
    statuses = []
    for status in pod["status"].get("containerStatuses") or ():
        if status["name"] in names:
            since = ((status.get("state") or {}).get("running") or {}).get("startedAt", now)
            ended = {"exitCode": exit_code, "reason": reason, "startedAt": since, "finishedAt": now}
            statuses.append({**status, "ready": False, "started": False, "state": {"terminated": ended}})
        else:
            statuses.append(status)
    changed = {**pod["status"], "containerStatuses": statuses}
    return with_status(
        pod, {**changed, "conditions": conditions(pod, now, ContainersReady=False, Ready=False)}
    )


def restarted(pod: Obj, now: str) -> Obj:
    """The containers that had ended run again, their restarts counted."""
    statuses = []
    for status in pod["status"].get("containerStatuses") or ():
        ended: dict[str, Any] | None = (status.get("state") or {}).get("terminated")
        if ended is None:
            statuses.append(status)
            continue
        statuses.append(
            {
                **status,
                "restartCount": status["restartCount"] + 1,
                "started": True,
                "lastState": {"terminated": ended},
                "state": {"running": {"startedAt": now}},
            }
        )
    return with_status(pod, {**pod["status"], "containerStatuses": statuses})


def _container(container: Obj, *, ready: bool, count: int, state: Obj) -> Obj:
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": ready,
        "started": "running" in state,
        "restartCount": count,
        "state": state,
    }
