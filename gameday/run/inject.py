"""Why: a fault counts as in, and as out again, only when Chaos Mesh's records prove it.

Creates the objects of a stage exactly as planned, and ends them in the ordinary way when the stage
is over. Ending in anger is ``gameday.safety.emergency``'s business.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from gameday.clients.chaos_mesh import ref_of
from gameday.clients.faults import FaultState, Ref
from gameday.errors import GamedayError, OutsideError, UnreachableError
from gameday.journal.store import FaultRecord
from gameday.plan.model import PlannedFault, PlannedStage
from gameday.run.context import Run
from gameday.safety.shield import shielded
from gameday.spec.kinds import APPROVED, FLOW_RUN, SUITE

# Chaos Mesh injects within a second or two; its daemon's own calls may take longer, but not this.
_INJECTION_TIMEOUT: Final = timedelta(seconds=30)
_ENDING_TIMEOUT: Final = timedelta(seconds=60)
_POLL: Final = timedelta(milliseconds=500)
# The emergency stop follows, and has more patience.
_CALL_TIMEOUT: Final = timedelta(seconds=3)
_CALL_ATTEMPTS: Final = 2


class InjectionError(GamedayError):
    """A fault could not be proved to be in: nothing can be learned from the stage."""


def _body(run: Run, fault: PlannedFault) -> dict[str, Any]:
    body: dict[str, Any] = fault.chaos_object
    meta = dict(body["metadata"])
    known = {FLOW_RUN: run.requested.flow_run, SUITE: run.requested.suite}
    meta["labels"] = {**meta["labels"], **{key: value for key, value in known.items() if value}}
    if run.approved_by:
        # The API server's own guardrails ask for it where a service is protected.
        meta["annotations"] = {**meta.get("annotations", {}), APPROVED: run.plan.digest}
    return {**body, "metadata": meta}


async def dry_run(run: Run) -> None:
    """Have the API server judge every object of the plan. Raises ``RejectedError`` with its words."""
    await asyncio.gather(*(run.session.chaos.dry_run(_body(run, fault)) for fault in run.plan.faults))
    count = len(run.plan.faults)
    await run.tell("check", f"The API server accepts all {count} objects of the plan (dry run)")


async def inject(run: Run, stage: PlannedStage) -> list[Ref]:
    """Create the stage's faults and wait until each is proved in.

    Raises ``RejectedError`` where the API server refuses one and ``InjectionError`` where Chaos Mesh
    does not get it in; whatever was created by then is left for the emergency stop.
    """
    bodies = [_body(run, fault) for fault in stage.faults]
    # Asked again although the whole plan was: webhooks and policies may have changed since.
    await asyncio.gather(*(run.session.chaos.dry_run(body) for body in bodies))
    refs = []
    for fault, body in zip(stage.faults, bodies, strict=True):
        record = FaultRecord(
            fault.name, fault.kind, run.plan.chaos_namespace, stage.name, run.now(), proof="requested"
        )
        # Before it exists, so that a crash in between leaves a trace of what may be there.
        await run.record_fault(record)
        # To its answer, whatever interrupts: a creation that is given up half-way may still happen.
        await shielded(_create(run, body))
        refs.append(ref_of(body))
    states = await run.session.chaos.wait(refs, _settled, within=_INJECTION_TIMEOUT, poll=_POLL)
    for fault, ref in zip(stage.faults, refs, strict=True):
        await _prove_injected(run, stage, fault, states[ref])
    return refs


async def _create(run: Run, body: dict[str, Any]) -> None:
    ref = ref_of(body)
    run.unanswered.add(ref)
    try:
        await run.session.chaos.create(body)
    except UnreachableError:
        raise  # no answer: it may be there, or still come
    except GamedayError:
        run.unanswered.discard(ref)
        raise
    run.unanswered.discard(ref)


def _settled(state: FaultState | None) -> bool:
    return state is None or state.injected


async def _prove_injected(
    run: Run, stage: PlannedStage, fault: PlannedFault, state: FaultState | None
) -> None:
    if state is None:
        raise InjectionError(f"{fault.name} was deleted by somebody else before it was in")
    if not state.injected:
        limit = f"{_INJECTION_TIMEOUT.total_seconds():.0f} s"
        raise InjectionError(
            f"{fault.kind} {fault.name} was not in within {limit}: {state.why_stuck or 'no reason recorded'}",
            hint="Events of the object and the log of Chaos Mesh's controller say more.",
        )
    pods = [str(pod) for pod in state.selected_pods]
    record = FaultRecord(
        fault.name,
        fault.kind,
        run.plan.chaos_namespace,
        stage.name,
        state.meta.created or run.now(),
        injected_at=run.now(),
        pods=pods,
        proof="records: injected",
    )
    await run.record_fault(record)
    where = ", ".join(pod.name for pod in state.selected_pods) or "its targets"
    await run.tell(
        "injected",
        f"{fault.kind} {fault.what} is in {where}",
        fault=fault.name,
        fault_kind=fault.kind,
        what=fault.what,
        stage=stage.name,
        pods=pods,
    )


def began(run: Run, stage: PlannedStage) -> datetime:
    """When the stage's last fault was created: Chaos Mesh counts its duration from there."""
    records = (run.known_fault(fault.name) for fault in stage.faults)
    return max((record.requested_at for record in records if record is not None), default=run.now())


def where(run: Run, stage: PlannedStage) -> dict[str, str]:
    """For people: what each fault of the stage does, and the pods that it was proved to be in."""
    found = {}
    for fault in stage.faults:
        record = run.known_fault(fault.name)
        pods = [pod.rpartition("/")[2] for pod in record.pods] if record is not None else []
        found[f"{fault.kind} {fault.what}"] = ", ".join(pods) or fault.mode
    return found


async def end(run: Run, stage: PlannedStage, refs: list[Ref]) -> list[str]:
    """Delete the stage's faults and wait until Chaos Mesh has let each go.

    Answers with those that hang or cannot be seen, and why; they are left to the emergency stop,
    which always follows, and which the stage's end must not keep waiting.
    """
    chaos = run.session.chaos.within(timeout=_CALL_TIMEOUT, attempts=_CALL_ATTEMPTS)
    asked = run.now()
    try:
        await asyncio.gather(*(chaos.delete(ref) for ref in refs))
        states = await chaos.wait(refs, lambda state: state is None, within=_ENDING_TIMEOUT, poll=_POLL)
    except OutsideError as error:
        why = f"whether its faults have ended is not proved: {error.message}"
        await run.tell("warning", f"Stage {stage.name}: {why}")
        return [why]
    took = run.now() - asked
    run.findings.faults_ended_at = run.now()
    for fault, ref in zip(stage.faults, refs, strict=True):
        await _tell_ended(run, fault, states[ref], took)
    return [
        f"{ref} did not end: {state.why_stuck or 'no reason recorded'}"
        for ref, state in states.items()
        if state is not None
    ]


async def _tell_ended(run: Run, fault: PlannedFault, state: FaultState | None, took: timedelta) -> None:
    record = run.known_fault(fault.name)
    seconds = f"{took.total_seconds():.1f} s"
    if state is None:
        proof = "gone: Chaos Mesh let the object go after recovering its targets"
        message = f"{fault.kind} {fault.what} has ended, proved after {seconds}"
        if record is not None:
            await run.record_fault(replace(record, ended_at=run.now(), proof=proof))
        await run.tell("ended", message, fault=fault.name, took_s=took.total_seconds())
        return
    why = state.why_stuck or "no reason recorded"
    if record is not None:
        await run.record_fault(replace(record, proof=f"still there after {seconds}: {why}"))
    await run.tell("warning", f"{fault.kind} {fault.name} is still there after {seconds}: {why}")
