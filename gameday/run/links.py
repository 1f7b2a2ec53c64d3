"""Why: whoever reads of a run elsewhere gets to it by the same address, in a report as on a dashboard."""

from __future__ import annotations

import os


def of_flow_run(flow_run: str | None) -> str:
    """Where people look at a flow run in Prefect; "" where there is none, or no server is named."""
    # Prefect's own variables: the engine knows nothing of Prefect but where people look at it.
    server = os.environ.get("PREFECT_UI_URL") or os.environ.get("PREFECT_API_URL", "").removesuffix("/api")
    return f"{server.rstrip('/')}/runs/flow-run/{flow_run}" if server and flow_run else ""
