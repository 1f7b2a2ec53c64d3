"""Why: what a sandbox is started with and what it says once it is up, shared by both sides.

``SandboxOptions`` travels to the process as one JSON argument; ``SandboxState`` comes back in a
file that exists only while the sandbox does. How either is used is left to ``launch`` and ``server``.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Mode = Literal["rehearsal", "live"]

STATE_FILE = "sandbox.json"
LOG_FILE = "sandbox.log"
LOCK_FILE = "sandbox.lock"
KUBECONFIG_FILE = "kubeconfig"

# Where users of the platform come in.
FRONT = "/platform"

# Any token is as good as another, but a wrong one must be refused, as by Slack.
SLACK_TOKEN = "xoxb-sandbox-0001"  # noqa: S105 - opens nothing but the sandbox


class SandboxOptions(BaseModel):
    """What to start."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    directory: Path = Field(description="where the state file, kubeconfig, log and lock live")
    mode: Mode = "live"
    speed: float = Field(default=1.0, gt=0, le=1000, description="virtual seconds per real second, live only")
    seed: int = 1
    port: int = Field(default=0, ge=0, le=65535, description="0 takes a free one")
    history: timedelta = Field(
        default=timedelta(minutes=10),
        ge=timedelta(0),
        description="virtual time that has passed at the start",
    )
    idle: timedelta = Field(
        default=timedelta(minutes=60),
        gt=timedelta(0),
        description="real time without a request, then it ends",
    )
    linger: timedelta = Field(
        default=timedelta(seconds=60),
        ge=timedelta(0),
        description="real time without a request after its holder has gone, then it ends",
    )
    start: AwareDatetime | None = Field(default=None, description="virtual time at the start; None is now")
    platform: Path | None = Field(
        default=None, description="a platform.yaml; None is the one that travels along"
    )
    rules: Path | None = Field(
        default=None, description="alerting rules for Prometheus; None is the file that travels along"
    )
    environment: str = "staging"
    ephemeral: bool = Field(default=False, description="remove the directory at the end")


class SandboxState(BaseModel):
    """What a sandbox that is up says of itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pid: int
    port: int
    mode: Mode
    speed: float
    seed: int
    started: datetime
    url: str
    kubeconfig: Path
    environment: dict[str, str] = Field(description="the variables that point every client at this sandbox")
