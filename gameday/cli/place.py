"""Why: an emergency must be ended in the right cluster, and told to the right people, whatever is broken.

Finds both from an environment's name or, without one, from the kubeconfig's current context. Where the
catalogue cannot be read, what can be done without it is still done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gameday.errors import GamedayError
from gameday.spec.kinds import CHAOS_NAMESPACE

if TYPE_CHECKING:
    from gameday.spec.platform import Environment, Platform


@dataclass(frozen=True)
class Place:
    """A cluster: its kubeconfig context (None: the current one), and the environments that are in it."""

    context: str | None
    namespace: str
    environments: Sequence[Environment] = ()
    platform: Platform | None = None
    unread: str = ""

    @property
    def name(self) -> str:
        """The environments, in words."""
        return ", ".join(one.name for one in self.environments) or "the current context"


def cluster_of(context: str | None) -> str:
    """The cluster of ``context`` (None: the current one), in words, so that whoever acts sees on what."""
    from gameday.clients.kubeconfig import current_context  # noqa: PLC0415 - costs 0.1 s

    named = context or current_context()
    return f"the cluster of context {named}" if named else "the cluster of this pod"


def place(env: str | None) -> Place:
    """Where ``env`` is; None is the current context. Raises ``UsageError`` for an unknown name."""
    from gameday.cli.catalogue import open_catalogue  # noqa: PLC0415 - costs 0.1 s
    from gameday.clients.kubeconfig import current_context  # noqa: PLC0415 - as above

    try:
        platform = open_catalogue(None).platform
    except GamedayError as error:
        if env is not None:
            raise
        return Place(None, CHAOS_NAMESPACE, unread=error.message)
    if env is not None:
        where = platform.environment(env)
        return Place(where.context, platform.chaos_namespace, (where,), platform)
    current = current_context()
    there = tuple(one for one in platform.environments if one.context == current)
    return Place(None, platform.chaos_namespace, there, platform)
