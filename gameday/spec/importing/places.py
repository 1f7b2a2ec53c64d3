"""Why: whoever imports a manifest must read what became of each part of it, with file and line."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from gameday.spec.base import Mistake
from gameday.spec.loader import Document, Location


@dataclass
class Remarks:
    """What is said of the manifests, each in one line.

    ``refused`` cannot be imported, ``changed`` is otherwise than it was, ``left_out`` is not there any
    more, ``to_fill_in`` is a person's to say.
    """

    refused: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    to_fill_in: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """Where something stands in a manifest, and where to say what became of it."""

    document: Document
    remarks: Remarks
    where: Location = ()

    def below(self, *steps: str | int) -> Place:
        """What stands below here."""
        return replace(self, where=(*self.where, *steps))

    def _told(self, words: str) -> str:
        return str(self.document.problem(self.where, words))

    def refuse(self, words: str) -> None:
        """This cannot be imported, because of ``words``."""
        self.remarks.refused.append(self._told(words))

    def changed(self, words: str) -> None:
        """This is otherwise now."""
        self.remarks.changed.append(self._told(words))

    def left_out(self, words: str) -> None:
        """This is not there any more."""
        self.remarks.left_out.append(self._told(words))

    def mistake(self, mistake: Mistake) -> None:
        """The same as ``refuse``, for something that is wrong below here."""
        where, words = mistake
        self.below(*where).refuse(words)
