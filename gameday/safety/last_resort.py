"""Why: a fault that cannot recover must not hold its object for ever, nor be called recovered.

Removes the finalizers and replaces the target pods, so that what was left inside goes with them.
That clears faults that live in a pod; not those of a kernel, a disk, a cloud or a physical machine,
and then it says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gameday.clients.chaos_mesh import ChaosMesh
from gameday.clients.faults import FaultState, PodName, Ref
from gameday.clients.kubernetes import Cluster
from gameday.errors import GamedayError, NotFoundError
from gameday.spec.kinds import POD_SCOPED_KINDS, RECORDS_FINALIZER

Call = Callable[[str, Callable[[], Awaitable[object]]], Awaitable[bool]]


class LastResort:
    """What is done to objects that would not end by themselves."""

    def __init__(self, chaos: ChaosMesh, call: Call) -> None:
        """Make changes through ``call``, which repeats nothing and remembers what failed."""
        self._chaos = chaos
        self._cluster = Cluster(chaos.api)
        self._call = call
        self._targets: dict[Ref, tuple[PodName, ...]] = {}
        self._lasting: dict[Ref, tuple[str, ...]] = {}
        # The uid of the pod when it was told to go, or why it was not told.
        self._told: dict[PodName, str] = {}
        self._kept: dict[PodName, str] = {}

    async def let_go(self, state: FaultState) -> bool:
        """Remove Chaos Mesh's finalizer. Answers whether that was done.

        An object that nobody asked to delete is not touched: it would only lose its protection.
        """
        if state.meta.deleting is None or RECORDS_FINALIZER not in state.meta.finalizers:
            return False
        if not await self._call(
            f"remove the finalizer of {state.ref}", lambda: self._chaos.remove_finalizers(state.meta)
        ):
            return False
        if state.one_shot:
            self._targets[state.ref] = ()
        elif state.ref.kind in POD_SCOPED_KINDS:
            self._targets[state.ref] = state.unrecovered_pods
        else:
            self._lasting[state.ref] = tuple(record.id for record in state.records if not record.recovered)
        return True

    async def replace_pods(self) -> None:
        """Delete the target pods, each once, unless nothing would bring them back."""
        pods = sorted({pod for pods in self._targets.values() for pod in pods})
        await asyncio.gather(*(self._replace(pod) for pod in pods))

    async def _replace(self, name: PodName) -> None:
        try:
            pod = await self._cluster.pod(name.namespace, name.name)
        except NotFoundError:
            return  # gone already, and the fault with it
        except GamedayError as error:
            self._kept[name] = f"could not be read: {error.message}"
            return
        if not pod.owner:
            self._kept[name] = "belongs to no controller, so nothing would bring it back"
            return
        done = await self._call(
            f"delete the pod {name}",
            lambda: self._cluster.delete_pod(name.namespace, name.name, uid=pod.uid),
        )
        if done:
            self._told[name] = pod.uid
        else:
            self._kept[name] = "could not be deleted"

    async def left_behind(self, ref: Ref) -> str:
        """For the report: what became of the targets of an object that was let go."""
        if ref in self._lasting:
            return f"; nothing undid it in {', '.join(self._lasting[ref]) or 'its targets'}"
        parts = []
        for name in self._targets.get(ref, ()):
            if name in self._kept:
                parts.append(f"the pod {name} {self._kept[name]}")
            elif await self._gone(name):
                parts.append(f"the pod {name} was replaced")
            else:
                parts.append(f"the pod {name} was told to go, but is still there")
        return "".join(f"; {part}" for part in parts)

    async def _gone(self, name: PodName) -> bool:
        try:
            pod = await self._cluster.pod(name.namespace, name.name)
        except NotFoundError:
            return True
        except GamedayError:
            return False
        return pod.uid != self._told.get(name)
