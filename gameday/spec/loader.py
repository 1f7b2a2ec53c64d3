"""Why: a mistake in a file is told with file, line and key, all mistakes at once, never a traceback.

Turns one YAML 1.2 file into one model. What files there are, and whether they agree with each
other, is the catalogue's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError

from gameday.errors import DeclarationError

M = TypeVar("M", bound=BaseModel)
Location = Sequence[str | int]

# Far more than any experiment holds; anchors within anchors can mean billions in a few lines.
_MOST_VALUES: Final = 100_000


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake, where it stands, and what was expected."""

    file: Path
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}"
        return f"{where}: {self.key}: {self.message}" if self.key else f"{where}: {self.message}"


@dataclass(frozen=True)
class Document:
    """A YAML file as it was read, still knowing its lines."""

    path: Path
    data: CommentedMap
    first_line: int = 1

    def problem(self, location: Location, message: str) -> Problem:
        """A ``Problem`` at ``location``; parts of it that the file does not have are passed over."""
        node: Any = self.data
        line, keys = self.first_line, []
        for step in location:
            inside_map = isinstance(node, CommentedMap) and step in node
            inside_list = isinstance(node, CommentedSeq) and isinstance(step, int) and step < len(node)
            if not (inside_map or inside_list):
                continue
            # A key that an anchor brought in (``<<``) has no line here: that of its mapping stays.
            position = (node.lc.data or {}).get(step)
            line = position[0] + 1 if position else line
            keys.append(f"[{step}]" if inside_list else f".{step}")
            node = node[step]
        missing = str(location[-1]) if location and message == "Field required" else ""
        if missing:
            message = f"the key {missing!r} is missing"
        return Problem(self.path, line, "".join(keys).lstrip("."), message)


def read(path: Path) -> Document:
    """Read ``path`` as one YAML mapping. Raises ``DeclarationError`` where that is not possible."""
    return document(path, _text(path))


def document(path: Path, text: str) -> Document:
    """``text`` as the mapping that ``path`` holds, or is to hold. Raises ``DeclarationError``."""
    data = _parsed(path, text, _loaded)
    if not isinstance(data, CommentedMap):
        raise DeclarationError(f"{path}: not a mapping", (f"{path}:1: expected keys and values",))
    _check_size(path, data)
    return Document(path, data)


def read_all(path: Path) -> list[Document]:
    """Read every YAML document of ``path``; empty ones are passed over. Raises ``DeclarationError``."""
    found = []
    for data in _parsed(path, _text(path), lambda text: list(YAML(typ="rt").load_all(text))):
        if data is None:
            continue
        if not isinstance(data, CommentedMap):
            line = data.lc.line + 1 if isinstance(data, CommentedSeq) else 1
            raise DeclarationError(f"{path}: not a mapping", (f"{path}:{line}: expected keys and values",))
        _check_size(path, data)
        found.append(Document(path, data, first_line=data.lc.line + 1))
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DeclarationError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DeclarationError(f"{path}: cannot be read as UTF-8 text ({error})") from None


def _parsed(path: Path, text: str, load: Callable[[str], Any]) -> Any:
    try:
        return load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        words = " ".join(str(error.problem or error.context or error).split())
        raise DeclarationError(f"{path}: not valid YAML", (f"{path}:{line}: {words}",)) from None
    except RecursionError:
        raise DeclarationError(f"{path}: not valid YAML: nested too deep") from None
    except Exception as error:
        # An explicit tag (``!!bool maybe``) makes ruamel's constructors raise whatever comes.
        words = " ".join(str(error).split())
        raise DeclarationError(f"{path}: not valid YAML ({type(error).__name__}: {words})") from None


def _check_size(path: Path, data: CommentedMap) -> None:
    try:
        values = _values(data, (), {})
    except UnicodeEncodeError as error:
        half = error.object[error.start : error.end]
        raise DeclarationError(f"{path}: {half!r} is half a character: no text can hold it") from None
    if values > _MOST_VALUES:
        raise DeclarationError(f"{path}: its anchors make it larger than {_MOST_VALUES} values, or endless")


@lru_cache(maxsize=16)  # a command reads the same platform.yaml three times; nobody changes what was read
def _loaded(text: str) -> Any:
    return YAML(typ="rt").load(text)


def _values(node: Any, above: tuple[int, ...], counted: dict[int, int]) -> int:
    """How many values ``node`` holds with every alias written out; very many where it holds itself.

    Raises ``UnicodeEncodeError`` for text that cannot be written anywhere: half a character.
    """
    if isinstance(node, str):
        node.encode()
    if not isinstance(node, CommentedMap | CommentedSeq):
        return 1
    if id(node) in above:
        return _MOST_VALUES + 1
    if id(node) not in counted:
        inside = (*above, id(node))
        items = [*node, *node.values()] if isinstance(node, CommentedMap) else node
        counted[id(node)] = 1 + sum(_values(item, inside, counted) for item in items)
    return counted[id(node)]


def problems_of(document: Document, error: ValidationError) -> list[Problem]:
    """Every mistake of a failed validation, in the order of the file."""
    details = error.errors(include_url=False)
    places = [detail["loc"] for detail in details]
    found = [
        document.problem(detail["loc"], detail["msg"].removeprefix("Value error, "))
        for detail in details
        # Pydantic counts only valid items: "too short" says nothing where an item is named already.
        if not (detail["type"] == "too_short" and _has_deeper(detail["loc"], places))
    ]
    return sorted(found, key=lambda problem: problem.line)


def _has_deeper(place: Location, places: Sequence[Location]) -> bool:
    return any(len(other) > len(place) and other[: len(place)] == place for other in places)


def parse(document: Document, model: type[M], further: Iterable[tuple[Location, str]] = ()) -> M:
    """The document as ``model``. Raises ``DeclarationError`` listing every mistake.

    ``further`` are mistakes that others found in it; they are told together with the model's.
    """
    problems = [document.problem(place, message) for place, message in further]
    try:
        made = model.model_validate(document.data)
    except ValidationError as error:
        problems += problems_of(document, error)
    else:
        if not problems:
            return made
    listed = tuple(str(problem) for problem in sorted(problems, key=lambda problem: problem.line))
    count = f"{len(listed)} mistake" + ("s" if len(listed) > 1 else "")
    raise DeclarationError(f"{document.path}: {count}", listed)
