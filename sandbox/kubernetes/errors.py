"""Why: an API server's refusals are part of its interface, so they are made in one place.

Each function gives the ``ApiError`` that a real API server of 1.32 would answer with: code, reason,
the wording of the message and the ``details`` that clients read. Turning it into HTTP is left to
``http``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from sandbox.kubernetes.resources import Resource

Obj = dict[str, Any]


class Cause(NamedTuple):
    """One fault of an object: where, of which sort, in words."""

    field: str
    reason: str
    message: str

    @classmethod
    def invalid(cls, field: str, value: object, why: str) -> Cause:
        """The value is there and wrong."""
        shown = f'"{value}"' if isinstance(value, str) else value
        return cls(field, "FieldValueInvalid", f"Invalid value: {shown}: {why}")

    @classmethod
    def required(cls, field: str, why: str = "") -> Cause:
        """The value is missing."""
        return cls(field, "FieldValueRequired", "Required value" + (f": {why}" if why else ""))

    @classmethod
    def forbidden(cls, field: str, why: str) -> Cause:
        """The field must not be set, or not be changed."""
        return cls(field, "FieldValueForbidden", f"Forbidden: {why}")

    @classmethod
    def unsupported(cls, field: str, value: object, supported: Sequence[str]) -> Cause:
        """The value is none of those there are."""
        names = ", ".join(f'"{name}"' for name in supported)
        return cls(
            field, "FieldValueNotSupported", f'Unsupported value: "{value}": supported values: {names}'
        )


class ApiError(Exception):
    """A request that was not carried out, as the API server tells it."""

    def __init__(self, code: int, reason: str, message: str, *, details: Obj | None = None) -> None:
        """Answer HTTP status ``code`` with a Status object of ``reason`` and ``message``."""
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    def status(self) -> Obj:
        """The Status object of the answer."""
        body: Obj = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details is not None:
            body["details"] = self.details
        return body


def _named(resource: Resource, name: str) -> Obj:
    details: Obj = {"name": name, "kind": resource.plural}
    if resource.group:
        details["group"] = resource.group
    return details


def not_found(resource: Resource, name: str) -> ApiError:
    """There is no such object."""
    message = f'{resource.qualified} "{name}" not found'
    return ApiError(404, "NotFound", message, details=_named(resource, name))


def no_such_path() -> ApiError:
    """There is no such resource, group or path."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", details={})


def already_exists(resource: Resource, name: str) -> ApiError:
    """An object of that name is there."""
    message = f'{resource.qualified} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, details=_named(resource, name))


def conflict(resource: Resource, name: str, why: str = "") -> ApiError:
    """Somebody else was faster, or a precondition does not hold."""
    why = why or (
        "the object has been modified; please apply your changes to the latest version and try again"
    )
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return ApiError(409, "Conflict", message, details=_named(resource, name))


def invalid(resource: Resource, name: str, causes: Sequence[Cause]) -> ApiError:
    """The object breaks the rules of its kind."""
    told = [f"{cause.field}: {cause.message}" for cause in causes]
    listed = told[0] if len(told) == 1 else f"[{', '.join(told)}]"
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details: Obj = {
        "name": name,
        "kind": resource.kind,
        "causes": [{"reason": c.reason, "message": c.message, "field": c.field} for c in causes],
    }
    if resource.group:
        details["group"] = resource.group
    return ApiError(422, "Invalid", f'{kind} "{name}" is invalid: {listed}', details=details)


def bad_request(message: str) -> ApiError:
    """The request itself is malformed."""
    return ApiError(400, "BadRequest", message)


def forbidden(resource: Resource, name: str, why: str, details: Obj | None = None) -> ApiError:
    """The caller may not do that, or an admission step says no."""
    shown = f' "{name}"' if name else ""
    message = f"{resource.qualified}{shown} is forbidden: {why}"
    return ApiError(403, "Forbidden", message, details=details or _named(resource, name))


def gone(message: str) -> ApiError:
    """The resourceVersion or the continue token is too old."""
    return ApiError(410, "Expired", message)


def unsupported_media_type(accepted: Sequence[str]) -> ApiError:
    """The body is in no format that this resource takes."""
    listed = ", ".join(accepted)
    message = f"the body of the request was in an unknown format - accepted media types include: {listed}"
    return ApiError(415, "UnsupportedMediaType", message)


def method_not_allowed() -> ApiError:
    """The path is there, the method is not."""
    return ApiError(
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
    )


def unavailable(message: str) -> ApiError:
    """Something behind the API server does not answer."""
    return ApiError(503, "ServiceUnavailable", message)


def internal(message: str) -> ApiError:
    """The API server, or a webhook it must ask, failed."""
    return ApiError(500, "InternalError", f"Internal error occurred: {message}")
