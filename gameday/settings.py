"""Why: what differs between machines comes from the environment, ``GAMEDAY_*``, and only from there.

It names where things are and how patient we are. What is broken where, and within which limits, is
declared in ``experiments/``. The kubeconfig is Kubernetes's own business: ``KUBECONFIG``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

import durationpy
from platformdirs import user_state_path
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from gameday.clock import Clock, RemoteClock, SystemClock
from gameday.errors import UnreachableError, UsageError
from gameday.redaction import redact_logs, secret

_PREFIX = "GAMEDAY_"


def _web_address(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("expected an address that begins with http:// or https://")
    return value.rstrip("/")


def _secret_web_address(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("http://", "https://")):
        raise ValueError("expected an address that begins with http:// or https://")
    return value


def _duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return durationpy.from_str(value)
    except durationpy.DurationError:
        raise ValueError("expected a duration such as 5s or 2m") from None


WebAddress = Annotated[str, AfterValidator(_web_address)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
Patience = Annotated[Duration, Field(gt=timedelta(0), le=timedelta(minutes=1))]


class Settings(BaseSettings):
    """Everything that the environment says; an empty variable counts as unset."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_ignore_empty=True, frozen=True, hide_input_in_errors=True
    )

    prometheus_url: WebAddress | None = Field(
        None, description="the base address of Prometheus; an environment's prometheusUrl goes before it"
    )
    platform_url: WebAddress | None = Field(
        None,
        description="where the platform's users come in, for HTTP probes and load; goes before an "
        "environment's url, so that what is meant for the sandbox stays there",
    )
    slack_token: SecretStr | None = Field(
        None, description="a bot token with chat:write and files:write; with channels:read for the doctor"
    )
    slack_webhook_url: Annotated[SecretStr, AfterValidator(_secret_web_address)] | None = Field(
        None, description="an incoming webhook, where there is no token"
    )
    slack_base_url: WebAddress = Field("https://slack.com/api", description="where Slack's Web API is")
    incident_webhook_url: Annotated[SecretStr, AfterValidator(_secret_web_address)] | None = Field(
        None, description="where an emergency stop is reported to incident management"
    )
    grafana_token: SecretStr | None = Field(
        None,
        description="a service account's token, for gameday doctor; where it may write annotations, "
        "dashboards show what runs break",
    )
    grafana_sandbox: bool = Field(
        False, description="true: annotate in Grafana what runs break in a sandbox, too"
    )
    clock_url: WebAddress | None = Field(
        None, description="the sandbox's clock, never set by hand; real time without it"
    )
    experiments: Path | None = Field(None, description="the catalogue; the one that comes along without it")
    state_dir: Path = Field(
        default_factory=lambda: user_state_path("gameday", appauthor=False),
        description="journal, reports, the sandbox's files; the user's state directory without it",
    )
    database_url: str = Field(
        default_factory=lambda data: f"sqlite+aiosqlite:///{(data['state_dir'] / 'journal.db').as_posix()}",
        description="the journal, as an address for SQLAlchemy's asyncio; SQLite in the state directory "
        "without it",
    )
    reports_dir: Path = Field(
        default_factory=lambda data: data["state_dir"] / "reports",
        description="where reports are written; reports in the state directory without it",
    )
    kubernetes_timeout: Patience = Field(timedelta(seconds=8), description="for one call, at most a minute")
    prometheus_timeout: Annotated[Duration, Field(gt=timedelta(0), le=timedelta(seconds=5))] = Field(
        timedelta(seconds=5), description="for one query, at most 5s"
    )
    slack_timeout: Patience = Field(timedelta(seconds=10), description="for one message")
    grafana_timeout: Patience = Field(timedelta(seconds=5), description="for one call, at most a minute")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "WARNING", description="what is logged to stderr: DEBUG, INFO, WARNING or ERROR"
    )

    @property
    def on_sandbox(self) -> bool:
        """Whether clients are pointed at the sandbox: only there time is somebody's to tell."""
        return self.clock_url is not None


def load() -> Settings:
    """Read the environment. Raises one ``UsageError`` that names every variable that is wrong."""
    try:
        return _kept_secret(Settings())
    except ValidationError as error:
        faults = [
            f"{_PREFIX}{str(detail['loc'][0]).upper()}: {detail['msg'].removeprefix('Value error, ')}"
            for detail in error.errors(include_url=False, include_input=False)
            if detail["type"] != "default_factory_not_called"  # follows from another one's fault
        ]
        raise UsageError(
            f"The environment is not usable: {'; '.join(faults)}.",
            hint="Correct or unset it.",
        ) from None


def _kept_secret(settings: Settings) -> Settings:
    """``settings``, whose secrets are from now on hidden wherever they would appear, in logs too."""
    redact_logs()
    values = [getattr(settings, name) for name in Settings.model_fields]
    for value in values:
        if isinstance(value, SecretStr):
            secret(value.get_secret_value())
    # The one secret in an address that must be readable otherwise.
    with suppress(ValueError):
        secret(unquote(urlsplit(settings.database_url).password or ""))
    return settings


def clock(settings: Settings) -> Clock:
    """The sandbox's clock where one is named, else real time. Raises ``UnreachableError``."""
    return RemoteClock(settings.clock_url) if settings.clock_url else SystemClock()


def clock_at_hand(settings: Settings, warn: Callable[[str], None] | None = None) -> Clock:
    """As ``clock``; real time where the sandbox's is gone, of which ``warn`` is told.

    For what must be done with or without it.
    """
    try:
        return clock(settings)
    except UnreachableError as error:
        if warn is not None:
            warn(f"{error.message} Going on in real time.")
        return SystemClock()
