"""Why: people and tools read what happened from Events, so the cluster's parts record them as a cluster does.

Repeated events are counted in one object, and all are forgotten after an hour, as in a cluster.
"""

from __future__ import annotations

import hashlib
from typing import Final, Literal

from sandbox.kubernetes.api import Api
from sandbox.kubernetes.errors import Obj
from sandbox.kubernetes.resources import EVENTS

_KEPT_S: Final = 3600.0


class Recorder:
    """Writes Events about objects."""

    def __init__(self, api: Api, component: str) -> None:
        """Write into ``api`` in the name of ``component``."""
        self._api = api
        self._component = component

    def record(
        self, about: Obj, reason: str, message: str, kind: Literal["Normal", "Warning"] = "Normal"
    ) -> None:
        """Record that something happened to the object ``about``."""
        if self._api.backdate:
            # What populated the sandbox is long forgotten.
            return
        metadata = about["metadata"]
        namespace = metadata.get("namespace") or "default"
        digest = hashlib.sha256(f"{metadata['uid']}/{self._component}/{reason}/{message}".encode())
        name = f"{metadata['name']}.{digest.hexdigest()[:16]}"
        now = self._api.now()
        store = self._api.store
        before = store.get(EVENTS, namespace, name)
        if before is not None:
            again = {
                **before,
                "metadata": {**before["metadata"]},
                "count": before["count"] + 1,
                "lastTimestamp": now,
            }
            store.put(EVENTS, again)
            return
        involved = {
            "kind": about["kind"],
            "namespace": metadata.get("namespace", ""),
            "name": metadata["name"],
            "uid": metadata["uid"],
            "apiVersion": about["apiVersion"],
            "resourceVersion": metadata["resourceVersion"],
        }
        event: Obj = {
            "kind": "Event",
            "apiVersion": "v1",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": self._api.uid(),
                "creationTimestamp": now,
            },
            "involvedObject": {key: value for key, value in involved.items() if value},
            "reason": reason,
            "message": message,
            "source": {"component": self._component},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "type": kind,
            "reportingComponent": self._component,
            "reportingInstance": "",
        }
        store.put(EVENTS, event)
        self._api.world.call_later(_KEPT_S, lambda: self._forget(namespace, name))

    def _forget(self, namespace: str, name: str) -> None:
        event = self._api.store.get(EVENTS, namespace, name)
        if event is not None and event["lastTimestamp"] == event["firstTimestamp"]:
            self._api.store.remove(EVENTS, namespace, name)
