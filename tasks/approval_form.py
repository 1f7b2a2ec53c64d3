"""Why: people who live in the Prefect UI answer there: the run is paused, with the checklist as its form.

One door of ``gameday.run.approval``. Pauses the run's own flow run without leaving the process, so
that answers which come by other ways are heard, too. Prefect records nobody who answers, so the form
asks for a name. A Prefect that is out of reach is tried again: there are other doors.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import Any, Final, Literal, TypeVar
from uuid import UUID, uuid4

import orjson
from httpx import HTTPError
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.client.schemas.responses import SetStateStatus
from prefect.exceptions import PrefectException
from prefect.input import RunInput, keyset_from_paused_state
from prefect.input.run_input import Keyset
from prefect.states import Paused, Running
from pydantic import Field, create_model

from gameday.errors import StoppedError
from gameday.journal.approvals import Decision, Request
from gameday.plan.model import Plan
from gameday.report.templating import cell
from gameday.run.asking import may_answer, risk_lines
from gameday.safety.approval import Given
from gameday.spec.base import format_duration

_logger = logging.getLogger(__name__)
_CALL_TIMEOUT_S: Final = 5.0
# Prefect's own limit must never be what ends the waiting: ours does, by the run's clock.
_PREFECT_WAITS_S: Final = 7 * 24 * 3600
_FAILURES: Final = (HTTPError, PrefectException, TimeoutError, OSError, ValueError)

T = TypeVar("T")


class ApprovalForm:
    """The form on one flow run."""

    def __init__(self, flow_run: str) -> None:
        """Ask on ``flow_run``; nothing is asked of Prefect before ``open``."""
        self._flow_run = UUID(flow_run)
        self._wanted: tuple[Request, Plan, str] | None = None
        self._keys: Keyset | None = None
        self._failed = False

    async def open(self, request: Request, plan: Plan, note: str = "") -> None:
        """Pause the flow run with the form."""
        self._wanted = (request, plan, note)
        await self._tried(self._pause())

    async def answers(self) -> Sequence[Given]:
        """What was filled in since. Raises ``StoppedError`` where the flow run was cancelled."""
        if self._wanted is None:
            return ()
        if self._keys is None:
            await self._tried(self._pause())
            return ()
        return await self._tried(self._look()) or ()

    async def close(self) -> None:
        """Let the flow run go on."""
        if self._keys is not None:
            await self._tried(self._go_on())
        self._wanted = self._keys = None

    async def _tried(self, call: Awaitable[T]) -> T | None:
        try:
            async with asyncio.timeout(_CALL_TIMEOUT_S):
                result = await call
        except _FAILURES as error:
            if not self._failed:
                _logger.warning("The form in Prefect cannot be used now: %r", error)
            self._failed = True
            return None
        self._failed = False
        return result

    async def _pause(self) -> None:
        assert self._wanted is not None
        request, plan, note = self._wanted
        state: State[Any] = Paused(timeout_seconds=_PREFECT_WAITS_S, reschedule=False, pause_key=uuid4().hex)
        keys = keyset_from_paused_state(state)
        state.state_details.run_input_keyset = {str(key): value for key, value in keys.items()}
        form = _form(request).with_initial_data(description=description(request, plan, note))
        await form.asave(keys, flow_run_id=self._flow_run)
        async with get_client() as client:
            result = await client.set_flow_run_state(self._flow_run, state)
        if result.status is not SetStateStatus.ACCEPT:
            raise ValueError(f"the flow run cannot be paused: {result.details}")
        self._keys = keys

    async def _look(self) -> Sequence[Given]:
        assert self._keys is not None
        async with get_client() as client:
            state = (await client.read_flow_run(self._flow_run)).state
            if state is None or state.is_paused():
                return ()
            if state.is_cancelling() or state.is_cancelled():
                self._keys = None
                raise StoppedError("The run was cancelled in Prefect while it waited")
            text = await client.read_flow_run_input(self._flow_run, self._keys["response"])
        self._keys = None
        filled = orjson.loads(text)
        if not isinstance(filled, dict):
            raise ValueError("the answer in Prefect is no filled-in form")  # noqa: TRY004 - as one that is no JSON
        return (_given(filled),)

    async def _go_on(self) -> None:
        async with get_client() as client:
            await client.set_flow_run_state(self._flow_run, Running(), force=True)


def _form(request: Request) -> type[RunInput]:
    fields: dict[str, Any] = {
        "name": (str, Field(title="Your name", min_length=1, description=may_answer(request))),
        "decision": (Literal["approve", "reject"], Field(title="Decision")),
        "comment": (str, Field("", title="Comment", description="Kept with the run.")),
    }
    for item in request.to_confirm:
        fields[item.key] = (bool, Field(False, title=item.text, description=item.found))
    return create_model("Approval", __base__=RunInput, **fields)


def _given(filled: dict[str, Any]) -> Given:
    confirmed = tuple(str(key) for key, value in filled.items() if value is True)
    return Given(
        str(filled.get("name", "")),
        Decision(filled.get("decision", Decision.REJECT)),
        str(filled.get("comment", "")),
        "prefect",
        confirmed,
    )


def description(request: Request, plan: Plan, note: str = "") -> str:
    """What the form says above its fields, in Markdown."""
    who, reason = cell(request.requested_by), cell(request.details.get("reason", ""))
    lines = [
        f"## {cell(plan.title)} ({plan.experiment}) on {plan.environment}",
        cell(plan.hypothesis),
        f"{_takes(plan)}. Plan {request.digest[:12]}. Asked for by {who}: {reason}",
        "\n".join(f"- {cell(line)}" for line in _stages(plan)),
        "### Risk",
        "\n".join(f"- {cell(line)}" for line in risk_lines(plan)),
        "### Checklist",
        "\n".join(
            f"- [{' ' if item.to_confirm else 'x'}] {item.text}"
            + (f" ({cell(item.found)})" if item.found else "")
            for item in request.checklist
        ),
    ]
    if note:
        lines.insert(0, f"**{cell(note)}**")
    return "\n\n".join(line for line in lines if line)


def _takes(plan: Plan) -> str:
    recovery = format_duration(plan.recovery.timeout)
    load = f", under a load of {cell(str(plan.load))}" if plan.load is not None else ""
    return f"Takes {format_duration(plan.duration)}, then recovery up to {recovery}{load}"


def _stages(plan: Plan) -> list[str]:
    return [
        f"{stage.name}, {format_duration(stage.duration)}: {fault.kind} {fault.what}, "
        + (", ".join(f"{share.hit} of {share.of} {share.service}" for share in fault.shares) or fault.mode)
        for stage in plan.stages
        for fault in stage.faults
    ]
