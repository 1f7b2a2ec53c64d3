"""Why: finding the cluster and the credentials fails in many ways, and each must be one clear sentence.

It loads what ``KUBECONFIG`` (or ``~/.kube/config``) says, else the pod's own service account, by
the official loader, and turns the loader's complaints into ``UsageError``. It does not talk to the
cluster.
"""

from __future__ import annotations

import asyncio
import binascii
import difflib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import yaml
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, incluster_config, kube_config

from gameday.clients.loopback import is_loopback
from gameday.errors import UnreachableError, UsageError
from gameday.redaction import secret

# A credential plugin may open a browser or ask a cloud; it must not hold a stop for ever.
_CREDENTIALS_TIMEOUT_S = 20.0
_SEPARATOR = kube_config.ENV_KUBECONFIG_PATH_SEPARATOR
_USER_AGENT = "gameday"

_HINT = "Set KUBECONFIG to a kubeconfig, or load the environment that `gameday sandbox up` prints."


def kubeconfig_paths() -> tuple[Path, ...]:
    """The files that ``KUBECONFIG`` names, or the default one. They need not exist."""
    named = os.environ.get("KUBECONFIG", "")
    parts = [part for part in named.split(_SEPARATOR) if part]
    return tuple(Path(part).expanduser() for part in parts) or (Path.home() / ".kube" / "config",)


def current_context() -> str:
    """The current context of the kubeconfig, "" where there is none or it cannot be read."""
    existing = [path for path in kubeconfig_paths() if path.is_file()]
    try:
        return _current(_merged(existing, "kubeconfig")) if existing else ""
    except UsageError:
        return ""


async def open_client(context: str | None) -> tuple[ApiClient, Callable[[], Awaitable[None]]]:
    """A client for ``context`` (None: the current one), and what renews its credentials.

    Raises ``UsageError`` where kubeconfig or context are missing or broken, ``UnreachableError``
    where a credential plugin does not answer.
    """
    configuration = type.__call__(Configuration)  # not the process-wide default
    configuration.connection_pool_maxsize = 64
    await _configure(configuration, context)
    if is_loopback(configuration.host):
        configuration.client_session_kwargs = {"trust_env": False}
    try:
        client = ApiClient(configuration)
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(f"The certificates of the kubeconfig cannot be used: {error}", hint=_HINT) from error
    client.user_agent = _USER_AGENT

    async def renew() -> None:
        await _configure(configuration, context)

    return client, renew


async def _configure(configuration: Configuration, context: str | None) -> None:
    existing = [path for path in kubeconfig_paths() if path.is_file()]
    if existing:
        await _from_files(configuration, existing, context)
        _keep_secret(configuration)
    elif os.environ.get("KUBECONFIG") or not os.environ.get("KUBERNETES_SERVICE_HOST"):
        missing = ", ".join(str(path) for path in kubeconfig_paths())
        raise UsageError(f"There is no kubeconfig: {missing} does not exist.", hint=_HINT)
    else:
        try:
            official: Any = incluster_config  # its functions are untyped
            official.load_incluster_config(configuration)
        except (ConfigException, OSError) as error:
            raise UsageError(f"The pod's service account cannot be used: {error}", hint=_HINT) from error
        _keep_secret(configuration)


def _keep_secret(configuration: Configuration) -> None:
    """Have the credentials hidden wherever they would appear; a token stands behind ``Bearer``."""
    for value in (*configuration.api_key.values(), configuration.password):
        if value:
            secret(str(value).rpartition(" ")[2])


async def _from_files(configuration: Configuration, paths: list[Path], context: str | None) -> None:
    names = ", ".join(str(path) for path in paths)
    merged = _merged(paths, names)
    wanted = context or _current(merged)
    if not wanted:
        raise UsageError(f"{names} has no current context.", hint=_choices(merged, ""))
    if wanted not in _contexts(merged):
        raise UsageError(f"{names} has no context {wanted!r}.", hint=_choices(merged, wanted))
    try:
        official: Any = kube_config  # its classes are untyped
        loader = official.KubeConfigLoader(config_dict=merged, config_base_path=None, active_context=wanted)
        async with asyncio.timeout(_CREDENTIALS_TIMEOUT_S):
            await loader.load_and_set(configuration)
    except TimeoutError as error:
        raise UnreachableError(
            "Kubernetes",
            f"the credentials of context {wanted!r} did not come within {_CREDENTIALS_TIMEOUT_S:g} s.",
            hint="Run the credential plugin of your kubeconfig by hand, then repeat.",
        ) from error
    except (ConfigException, OSError, binascii.Error, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"The context {wanted!r} of {names} cannot be used: {error}", hint=_choices(merged, wanted)
        ) from error
    _must_have_come(loader, configuration, wanted)


def _must_have_come(loader: Any, configuration: Configuration, context: str) -> None:
    # The loader only logs it where a plugin fails, and would go on without credentials.
    user = loader._user
    if user and "exec" in user and not configuration.api_key and not configuration.cert_file:
        raise UsageError(
            f"The credential plugin of context {context!r} gave no credentials.",
            hint="Run it by hand to see why; you may have to log in again.",
        )


def _merged(paths: list[Path], names: str) -> Any:
    official: Any = kube_config
    try:
        merged = official.KubeConfigMerger(_SEPARATOR.join(str(path) for path in paths)).config
        merged["contexts"], merged["clusters"]
    except yaml.YAMLError as error:
        raise UsageError(f"{names} is not valid YAML: {error}", hint=_HINT) from error
    except (ConfigException, OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{names} is not a kubeconfig: {error}", hint=_HINT) from error
    return merged


def _current(merged: Any) -> str:
    return str(merged.safe_get("current-context") or "")


def _contexts(merged: Any) -> list[str]:
    return sorted(str(entry["name"]) for entry in merged["contexts"].value)


def _choices(merged: Any, wanted: str) -> str:
    contexts = _contexts(merged)
    if not contexts:
        return "It has no contexts at all."
    near = difflib.get_close_matches(wanted, contexts, n=1)
    meant = f"Did you mean {near[0]!r}? " if near else ""
    return f"{meant}There are: {', '.join(contexts)}."
