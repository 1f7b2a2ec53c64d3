"""Why: admission policies are written in CEL, and the sandbox must read them as an API server does.

Compiles and evaluates expressions with Google's own CEL (``cel-expr-python``): type-checked, with those
extensions of Kubernetes 1.30 that a policy may use here: strings, optionals, ``find`` and the
authorizer. What an expression decides is left to ``policies``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from types import ModuleType

May = Callable[[str, str, str, str, str], bool]
"""Whether a user may: user, verb, group, resource, namespace."""

_SEEN: Final = ("object", "oldObject", "request", "params", "namespaceObject")
_RETURNED: Final = {"bool": "BOOL", "string": "STRING"}


class CelError(Exception):
    """An expression that cannot be compiled, or that failed; the message says why."""


def _library() -> ModuleType:
    try:
        # Fourteen megabytes: loaded with the first policy, not with the sandbox.
        from cel_expr_python import cel  # type: ignore[import-untyped]  # noqa: PLC0415
    except ImportError:
        raise CelError("no CEL library is installed here: the package cel-expr-python is missing") from None
    module: ModuleType = cel
    return module


class Expression:
    """A compiled expression, and the variables of its policy that it asks for."""

    def __init__(self, text: str, compiled: Any, error: Any) -> None:
        """Stand for ``compiled``, which was written ``text``; ``error`` is the type of what went wrong."""
        self.text = text
        self.type = compiled.return_type()
        self.needs = tuple(dict.fromkeys(re.findall(r"\bvariables\.([A-Za-z_]\w*)", text)))
        self._compiled = compiled
        self._error = error

    def evaluate(self, data: Mapping[str, Any]) -> Any:
        """Its value as plain Python. Raises ``CelError``."""
        try:
            value = self._compiled.eval(data=data)
        except RuntimeError as error:
            raise CelError(str(error)) from None
        if value.type() == self._error:
            raise CelError(str(value.value()))
        return value.plain_value()


class Compiler:
    """Compiles the expressions of one policy, in the order in which they may refer to each other."""

    def __init__(self, may: May) -> None:
        """Let the authorizer ask ``may``. Raises ``CelError`` where CEL is not installed."""
        self._cel = _library()
        types = self._cel.Type
        # Objects are dynamic for a real API server, too: it only warns where a schema disagrees.
        self._variables: dict[str, Any] = dict.fromkeys(_SEEN, types.DYN)
        for name in ("authorizer", "authorizer.requestResource"):
            self._variables[name] = types.Map(types.STRING, types.DYN)
        self._functions = [*self._authorizer(may), self._find()]
        self._extensions = _extensions()

    def compile(self, text: str, returns: str = "") -> Expression:
        """Compile ``text``, which must return ``returns``: ``bool``, ``string``, or "" for anything.

        Raises ``CelError``.
        """
        try:
            environment = self._cel.NewEnv(
                variables=self._variables, extensions=self._extensions, functions=self._functions
            )
            expression = Expression(text, environment.compile(text), self._cel.Type.ERROR)
        except RuntimeError as error:
            raise CelError(f"compilation failed: {error}") from None
        if returns and expression.type.name() not in (_RETURNED[returns], "DYN"):
            raise CelError(f"must evaluate to {returns}")
        return expression

    def declare(self, name: str, expression: Expression) -> None:
        """Let what is compiled from now on refer to ``variables.NAME``."""
        self._variables[f"variables.{name}"] = expression.type

    def _member(self, name: str, implementation: Callable[..., Any], returns: Any, *parameters: Any) -> Any:
        overload = self._cel.Overload(
            f"kubernetes_{name}",
            return_type=returns,
            parameters=list(parameters),
            is_member=True,
            impl=implementation,
        )
        return self._cel.FunctionDecl(name, [overload])

    def _find(self) -> Any:
        text = self._cel.Type.STRING
        return self._member("find", _find, text, text, text)

    def _authorizer(self, may: May) -> list[Any]:
        """``authorizer.group(g).resource(r).namespace(n).check(verb).allowed()``, as a map that is filled."""
        types = self._cel.Type
        check, text = types.Map(types.STRING, types.DYN), types.STRING

        def filling(key: str) -> Callable[[dict[str, Any], str], dict[str, Any]]:
            return lambda asked, value: {**asked, key: value}

        def allowed(asked: dict[str, Any]) -> bool:
            keys = ("user", "check", "group", "resource", "namespace")
            return may(*(str(asked.get(key, "")) for key in keys))

        steps = ("group", "resource", "namespace", "check")
        return [
            *(self._member(step, filling(step), check, check, text) for step in steps),
            self._member("allowed", allowed, types.BOOL, check),
        ]


def _extensions() -> list[Any]:
    from cel_expr_python.ext import ext_optional, ext_strings  # type: ignore[import-untyped]  # noqa: PLC0415

    return [ext_strings.ExtStrings(), ext_optional.ExtOptional()]


def _find(text: str, pattern: str) -> str:
    """The first part of ``text`` that matches, as in Kubernetes' regex library."""
    found = re.search(pattern, text)
    return found[0] if found else ""
