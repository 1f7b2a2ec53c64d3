"""Why: an API server refuses by ValidatingAdmissionPolicy what no webhook needs to be asked about.

Follows the policies and their bindings, and judges what is created and updated by them: matching,
parameters, conditions, lazy variables, messages and the wording of the refusal as in Kubernetes 1.32.
It stands behind the webhook of Chaos Mesh, whose defaults it must see; a real one would be asked
between that webhook's two halves. Expressions are ``cel``'s. ``Warn`` and ``Audit`` leave no trace here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sandbox.kubernetes import errors
from sandbox.kubernetes.api import Admitted, Api
from sandbox.kubernetes.cel import CelError, Compiler, Expression, May
from sandbox.kubernetes.errors import ApiError, Cause, Obj
from sandbox.kubernetes.resources import BINDINGS, NAMESPACES, POLICIES, Resource
from sandbox.kubernetes.selectors import from_object
from sandbox.kubernetes.store import Change

_CODES: Final = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413, "Invalid": 422}
_LONGEST_MESSAGE: Final = 5 * 1024
_NO_PARAMS: Final = "no params found for policy binding with `Deny` parameterNotFoundAction"


@dataclass(frozen=True, slots=True)
class _Validation:
    """One rule of a policy."""

    expression: Expression
    message: str
    telling: Expression | None
    reason: str


@dataclass(frozen=True, slots=True)
class _Compiled:
    """The expressions of one policy."""

    conditions: tuple[Expression, ...]
    variables: Mapping[str, Expression]
    validations: tuple[_Validation, ...]


class _DeniedError(Exception):
    """A policy says no."""

    def __init__(self, message: str, reason: str = "Invalid") -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason


class _Scope:
    """What the expressions of a policy see of one request; variables are worked out when first asked for."""

    def __init__(self, data: dict[str, Any], variables: Mapping[str, Expression]) -> None:
        self._data = data
        self._variables = variables
        self._tried: set[str] = set()
        self._failures: dict[str, str] = {}

    def evaluate(self, expression: Expression) -> Any:
        for name in expression.needs:
            self._work_out(name)
        try:
            return expression.evaluate(self._data)
        except CelError as error:
            # What an expression makes of a variable that failed says less than why that failed.
            why = next((self._failures[name] for name in expression.needs if name in self._failures), error)
            raise CelError(f"expression '{expression.text}' resulted in error: {why}") from None

    def _work_out(self, name: str) -> None:
        if name in self._tried:
            return
        self._tried.add(name)
        try:
            self._data[f"variables.{name}"] = self.evaluate(self._variables[name])
        except CelError as error:
            self._failures[name] = str(error)


class Policies:
    """The policies of the cluster."""

    def __init__(self, api: Api, may: May) -> None:
        """Follow the policies of ``api``; ``may`` answers for the authorizer in expressions."""
        self._api = api
        self._may = may
        self._compiled: dict[str, _Compiled] = {}
        api.admissions.append(self._check)
        api.admissions.append(self._judge)
        api.store.listen(self._on_change, POLICIES)

    def _on_change(self, change: Change) -> None:
        self._compiled.pop(change.object["metadata"]["name"], None)

    def _check(self, admitted: Admitted) -> None:
        """Refuse a policy with an expression that cannot be compiled, as a real server does."""
        if admitted.resource is POLICIES:
            causes: list[Cause] = []
            self._compile(admitted.object, causes)
            if causes:
                raise errors.invalid(POLICIES, admitted.object["metadata"].get("name", ""), causes)

    def _compile(self, policy: Obj, causes: list[Cause]) -> _Compiled:
        spec = policy.get("spec") or {}
        try:
            compiler = Compiler(self._may)
        except CelError as error:
            raise errors.internal(str(error)) from None

        def compiled(path: str, text: str, returns: str = "") -> Expression | None:
            try:
                return compiler.compile(text, returns)
            except CelError as error:
                causes.append(Cause.invalid(path, text, str(error)))
                return None

        variables: dict[str, Expression] = {}
        for index, one in enumerate(spec.get("variables") or ()):
            if expression := compiled(f"spec.variables[{index}].expression", one["expression"]):
                compiler.declare(one["name"], expression)
                variables[one["name"]] = expression
        conditions = [
            compiled(f"spec.matchConditions[{index}].expression", one["expression"], "bool")
            for index, one in enumerate(spec.get("matchConditions") or ())
        ]
        validations = []
        for index, one in enumerate(spec.get("validations") or ()):
            at = f"spec.validations[{index}]"
            expression = compiled(f"{at}.expression", one["expression"], "bool")
            telling = one.get("messageExpression") or ""
            words = compiled(f"{at}.messageExpression", telling, "string") if telling else None
            if expression:
                reason = one.get("reason") or "Invalid"
                validations.append(_Validation(expression, one.get("message") or "", words, reason))
        return _Compiled(tuple(filter(None, conditions)), variables, tuple(validations))

    def _judge(self, admitted: Admitted) -> None:
        """Raise the refusal of the first policy that denies."""
        if admitted.resource.group == POLICIES.group:
            return
        for policy in self._api.store.all(POLICIES):
            if not self._matches(policy["spec"].get("matchConstraints") or {}, admitted):
                continue
            for binding in self._api.store.all(BINDINGS):
                spec = binding["spec"]
                bound = spec.get("policyName") == policy["metadata"]["name"]
                denies = "Deny" in (spec.get("validationActions") or ())
                if not (bound and denies and self._matches(spec.get("matchResources") or {}, admitted)):
                    continue
                try:
                    self._hold(policy, binding, admitted)
                except _DeniedError as denied:
                    raise _refusal(policy, binding, admitted, denied) from None

    def _matches(self, constraints: Obj, admitted: Admitted) -> bool:
        rules, excluded = constraints.get("resourceRules"), constraints.get("excludeResourceRules") or ()
        if rules is not None and not any(_covers(rule, admitted) for rule in rules):
            return False
        if any(_covers(rule, admitted) for rule in excluded):
            return False
        metadata = admitted.object["metadata"]
        if chosen := constraints.get("namespaceSelector"):
            space = self._api.store.get(NAMESPACES, "", metadata.get("namespace", ""))
            if space is not None and not from_object(chosen)(space["metadata"].get("labels") or {}):
                return False
        return from_object(constraints.get("objectSelector"))(metadata.get("labels") or {})

    def _hold(self, policy: Obj, binding: Obj, admitted: Admitted) -> None:
        """Hold a request against a policy as bound. Raises ``_DeniedError``."""
        fails = policy["spec"].get("failurePolicy", "Fail") == "Fail"
        name = policy["metadata"]["name"]
        compiled = self._compiled.get(name)
        if compiled is None:
            compiled = self._compiled[name] = self._compile(policy, [])
        for params in self._params(policy, binding, admitted, fails=fails):
            scope = _Scope(self._data(admitted, params), compiled.variables)
            try:
                # No short cut: one that is false counts for more than one that failed.
                if not _all(scope, compiled.conditions):
                    continue
            except CelError as error:
                if fails:
                    raise _DeniedError(str(error)) from None
                continue
            for validation in compiled.validations:
                _validate(scope, validation, fails=fails)

    def _params(self, policy: Obj, binding: Obj, admitted: Admitted, *, fails: bool) -> Iterator[Obj | None]:
        kind, reference = policy["spec"].get("paramKind"), binding["spec"].get("paramRef") or {}
        if not kind:
            yield None
            return
        group, _, _ = str(kind.get("apiVersion", "")).rpartition("/")
        resource = self._api.registry.of_kind(group, str(kind.get("kind", "")))
        found: list[Obj] = []
        if resource is not None:
            found = self._referred(resource, reference, admitted)
        elif fails:
            raise _DeniedError(f"failed to configure policy: paramKind kind `{kind.get('kind')}` not known")
        if not found and reference.get("parameterNotFoundAction") != "Allow" and fails:
            raise _DeniedError(f"failed to configure binding: {_NO_PARAMS}")
        yield from found

    def _referred(self, resource: Resource, reference: Obj, admitted: Admitted) -> list[Obj]:
        space = ""
        if resource.namespaced:
            space = reference.get("namespace") or admitted.object["metadata"].get("namespace", "")
        if name := reference.get("name"):
            named = self._api.store.get(resource, space, name)
            return [] if named is None else [named]
        wanted = from_object(reference.get("selector"))
        every = self._api.store.all(resource, space)
        return [one for one in every if wanted(one["metadata"].get("labels") or {})]

    def _data(self, admitted: Admitted, params: Obj | None) -> dict[str, Any]:
        resource, metadata = admitted.resource, admitted.object["metadata"]
        space = metadata.get("namespace", "")
        request = {
            "uid": metadata.get("uid", ""),
            "kind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
            "resource": {"group": resource.group, "version": resource.version, "resource": resource.plural},
            "name": metadata.get("name", ""),
            "namespace": space,
            "operation": admitted.operation,
            "userInfo": {"username": admitted.user, "groups": ["system:authenticated"]},
            "dryRun": admitted.dry_run,
        }
        return {
            "object": admitted.object,
            "oldObject": admitted.old,
            "request": request,
            "params": params,
            "namespaceObject": self._api.store.get(NAMESPACES, "", space) if space else None,
            "authorizer": {"user": admitted.user},
            "authorizer.requestResource": {
                "user": admitted.user,
                "group": resource.group,
                "resource": resource.plural,
                "namespace": space,
            },
        }


def _all(scope: _Scope, conditions: Sequence[Expression]) -> bool:
    failure: CelError | None = None
    for condition in conditions:
        try:
            if not scope.evaluate(condition):
                return False
        except CelError as error:
            failure = error
    if failure is not None:
        raise failure
    return True


def _validate(scope: _Scope, validation: _Validation, *, fails: bool) -> None:
    try:
        if scope.evaluate(validation.expression):
            return
    except CelError as error:
        if fails:
            raise _DeniedError(str(error)) from None
        return
    words = validation.message or f"failed expression: {validation.expression.text.strip()}"
    if validation.telling is not None:
        try:
            told = str(scope.evaluate(validation.telling)).strip()
        except CelError:
            told = ""
        # What a real server would not print falls back to the plain message there, too.
        if told and "\n" not in told and len(told.encode()) <= _LONGEST_MESSAGE:
            words = told
    raise _DeniedError(words, validation.reason)


def _covers(rule: Obj, admitted: Admitted) -> bool:
    resource = admitted.resource
    wanted = (
        ("operations", admitted.operation),
        ("apiGroups", resource.group),
        ("apiVersions", resource.version),
        ("resources", resource.plural),
    )
    for key, value in wanted:
        listed = rule.get(key) or ()
        if "*" not in listed and "*/*" not in listed and value not in listed:
            return False
    names = rule.get("resourceNames") or ()
    return not names or admitted.object["metadata"].get("name") in names


def _refusal(policy: Obj, binding: Obj, admitted: Admitted, denied: _DeniedError) -> ApiError:
    resource, name = admitted.resource, admitted.object["metadata"].get("name", "")
    message = (
        f"ValidatingAdmissionPolicy '{policy['metadata']['name']}' with binding"
        f" '{binding['metadata']['name']}' denied request: {denied.message}"
    )
    details: Obj = {"name": name, "kind": resource.plural, "causes": [{"message": message}]}
    if resource.group:
        details["group"] = resource.group
    refusal = errors.forbidden(resource, name, message, details)
    return ApiError(_CODES.get(denied.reason, 422), denied.reason, refusal.message, details=details)
