"""Why: whoever looks at a dashboard while something is broken must see that it is being broken, and by whom.

Marks each fault of a run in Grafana, from when it was proved in until it was proved out, with the way
to the run. It is told of faults and writes from a queue of its own: a Grafana that is slow, away or
refuses delays nothing, and costs a run one warning.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape
from typing import Final

from gameday.background import background
from gameday.clients.grafana import CHAOS, SYSTEM, Access, Annotation, Grafana
from gameday.errors import NotAllowedError, OutsideError, UnreachableError
from gameday.journal.store import FaultRecord
from gameday.plan.model import PlannedFault
from gameday.redaction import redacted
from gameday.run import links
from gameday.run.context import Run
from gameday.run.marks import ending, of_fault, of_run, wanted
from gameday.settings import Settings

# How long a run that somebody interrupts waits for what is still on its way.
_HURRIED_S: Final = 1.0
_MOST_PODS: Final = 20


class Annotator:
    """Marks the faults of one run, in the background."""

    def __init__(self, run: Run, where: Access) -> None:
        """Mark those of ``run``; ``Annotator.kept`` is the way in."""
        self._run = run
        self._where = where
        self._queue: asyncio.Queue[FaultRecord | None] = asyncio.Queue()
        self._ids: dict[str, int] = {}
        # Asked for and not answered: Grafana may have it all the same.
        self._unsure: set[str] = set()
        self._undone: dict[str, FaultRecord] = {}
        self._warned = False

    @classmethod
    @asynccontextmanager
    async def kept(cls, run: Run, settings: Settings) -> AsyncIterator[None]:
        """Mark what goes in and out meanwhile, and wait a little at the end for the last of it."""
        where = wanted(settings, run.session.catalogue.platform)
        if where is None or run.dry:
            yield
            return
        annotator = cls(run, where)
        run.fault_listeners.append(annotator.hear)
        worker = background(annotator._work(), name="annotations")
        patience_s = where.timeout.total_seconds()
        try:
            yield
        except BaseException:
            # Somebody wants it to end, now.
            patience_s = min(patience_s, _HURRIED_S)
            raise
        finally:
            await annotator._close(worker, patience_s)

    def hear(self, fault: FaultRecord) -> None:
        """What is known of ``fault`` now. Returns at once."""
        if fault.injected_at is not None:
            self._queue.put_nowait(fault)

    async def _close(self, worker: asyncio.Task[None], patience_s: float) -> None:
        self._queue.put_nowait(None)
        try:
            done, _ = await asyncio.wait({worker}, timeout=patience_s)
        finally:
            worker.cancel()
        if not done:
            await self._warn(UnreachableError(SYSTEM, f"no answer within {patience_s:g} s of the end"))

    async def _work(self) -> None:
        try:
            async with Grafana.connect(self._where) as grafana:
                while (fault := await self._queue.get()) is not None:
                    await self._mark(grafana, fault)
                # It may have been away for a moment only.
                for fault in list(self._undone.values()):
                    await self._mark(grafana, fault)
        except OutsideError as error:  # no address, or it refuses: that does not change during a run
            await self._warn(error)

    async def _mark(self, grafana: Grafana, fault: FaultRecord) -> None:
        self._undone[fault.name] = fault
        try:
            await self._write(grafana, fault)
        except NotAllowedError:
            raise
        except OutsideError as error:
            await self._warn(error)
        else:
            del self._undone[fault.name]

    async def _write(self, grafana: Grafana, fault: FaultRecord) -> None:
        annotation = self._annotation(fault)
        if fault.name in self._unsure:
            for one in await grafana.annotations(of_run(self._run.id), of_fault(fault.name)):
                self._ids[fault.name] = one.id
        if fault.name not in self._ids:
            self._unsure.add(fault.name)
            self._ids[fault.name] = await grafana.annotate(annotation)
        elif annotation.end is not None:
            await grafana.end_annotation(self._ids[fault.name], annotation.end)
        self._unsure.discard(fault.name)

    def _annotation(self, fault: FaultRecord) -> Annotation:
        plan = self._run.plan
        planned = next(one for one in plan.faults if one.name == fault.name)
        tags = [CHAOS, of_run(plan.run), of_fault(fault.name), f"experiment:{plan.experiment}"]
        tags += [f"stage:{fault.stage}", f"environment:{plan.environment}"]
        tags += ["sandbox"] if self._run.session.sandbox else []
        tags += [f"service:{service}" for service in _services(planned, fault)]
        begin = fault.injected_at or fault.requested_at
        end = ending(begin, fault.ended_at) if fault.ended_at is not None else None
        return Annotation(begin, _text(self._run, planned, fault), tuple(tags), end)

    async def _warn(self, error: OutsideError) -> None:
        if not self._warned:
            self._warned = True
            told = f"Grafana may not show every fault of this run, or not its end. {error.message}"
            await self._run.tell("warning", f"{told}. {error.hint}" if error.hint else told)


def _services(planned: PlannedFault, fault: FaultRecord) -> list[str]:
    """Those that it is in, or could be in where pods are none of the plan's."""
    known = {f"{pod.namespace}/{pod.name}": pod.service for pod in planned.candidates}
    if fault.pods and known.keys() >= set(fault.pods):
        return sorted({known[pod] for pod in fault.pods} - {""})
    return sorted({share.service for share in planned.shares} - {""})


def _text(run: Run, planned: PlannedFault, fault: FaultRecord) -> str:
    pods = [pod.rpartition("/")[2] for pod in fault.pods]
    more = f" and {len(pods) - _MOST_PODS} more" if len(pods) > _MOST_PODS else ""
    lines = [
        f"{planned.kind} {planned.what} in {', '.join(pods[:_MOST_PODS]) or 'its targets'}{more}",
        f"Stage {fault.stage} of {run.plan.experiment} on {run.plan.environment}",
    ]
    address = links.of_flow_run(run.requested.flow_run)
    way = f'<a href="{escape(redacted(address))}">{escape(run.id)}</a>' if address else escape(run.id)
    return "<br>".join([*(escape(redacted(line)) for line in lines), f"Run {way}"])
