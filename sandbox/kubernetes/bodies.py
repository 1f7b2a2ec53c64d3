"""Why: what a client sends becomes an object of a known kind here, or is refused as a real server refuses it.

Types and unknown fields are found by ``schema``; this module turns the findings into the answers
of the API server, which differ between built-in kinds (400) and custom ones (422), and prunes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.kubernetes.errors import ApiError, Cause, Obj, bad_request, invalid
from sandbox.kubernetes.resources import Resource
from sandbox.kubernetes.schema import ANY, Findings, decode, model_shape

_GO: Final = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}
_JSON: Final = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}
_GO_WANTED: Final = {
    "string": "string",
    "integer": "int32",
    "number": "float64",
    "boolean": "bool",
    "object": "struct",
    "array": "slice",
}


@dataclass(frozen=True, slots=True)
class Call:
    """Who asks, and how the request is to be taken."""

    user: str = "system:sandbox"
    dry_run: bool = False
    # "Ignore", "Warn" or "Strict", as in the query parameter fieldValidation.
    strictness: str = "Ignore"
    manager: str = ""
    warnings: list[str] = field(default_factory=list)
    # A controller of the sandbox: its objects are taken as they are, status included.
    trusted: bool = False


CONTROLLER: Final = Call(trusted=True)


def _check_kind(resource: Resource, body: Obj) -> None:
    kind, version = body.get("kind"), body.get("apiVersion")
    if resource.custom and not kind:
        raise bad_request("Object 'Kind' is missing in the body of the request")
    if (kind and kind != resource.kind) or (version and version != resource.api_version):
        shown = f"{kind} in version {version!r}".replace("'", '"')
        raise bad_request(
            f"{shown} cannot be handled as a {resource.kind}: the API version in the data"
            f" ({version}, Kind={kind}) does not match the expected API version"
            f" ({resource.api_version}, Kind={resource.kind})"
        )


def _unmarshal_error(resource: Resource, path: str, wanted: str, value: object) -> ApiError:
    where = ".".join([resource.kind, *(part.partition("[")[0] for part in path.split("."))])
    told = f"json: cannot unmarshal {_GO.get(type(value), 'null')} into Go struct field {where}"
    head = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
    return bad_request(f"{head}: {told} of type {_GO_WANTED[wanted]}")


def _custom_causes(found: Findings) -> Iterator[Cause]:
    for path in found.missing:
        yield Cause.required(path)
    for path, wanted, value in found.mistyped:
        actual = _JSON.get(type(value), "null")
        told = f'Invalid value: "{actual}": {path} in body must be of type {wanted}: "{actual}"'
        yield Cause(path, "FieldValueTypeInvalid", told)
    for path, value, supported in found.unsupported:
        yield Cause.unsupported(path, value, supported)


def read(resource: Resource, body: Any, call: Call) -> Obj:
    """The object in ``body``, without unknown fields, with kind and apiVersion set.

    Raises 400 where it is none, or not of this kind; 422 where a custom object breaks its schema.
    """
    if not isinstance(body, dict):
        raise bad_request("couldn't get version/kind; json parse error: the body is no JSON object")
    _check_kind(resource, body)
    shape = resource.shape or (model_shape(resource.model) if resource.model else ANY)
    found = Findings()
    obj: Obj = decode(shape, body, "", found)
    obj["kind"], obj["apiVersion"] = resource.kind, resource.api_version
    if not isinstance(obj.setdefault("metadata", {}), dict):
        found.mistyped.insert(0, ("metadata", "object", obj["metadata"]))
    for path, wanted, value in found.mistyped:
        # The metadata of a custom object is decoded into Go's ObjectMeta, the rest judged by its schema.
        if not resource.custom or path.startswith("metadata"):
            raise _unmarshal_error(resource, path, wanted, value)
    if found.unknown and call.strictness == "Strict":
        told = ", ".join(f'unknown field "{path}"' for path in found.unknown)
        raise bad_request(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}:'
            f" strict decoding error: {told}"
        )
    if call.strictness == "Warn":
        call.warnings.extend(f'unknown field "{path}"' for path in found.unknown)
    if causes := tuple(_custom_causes(found)):
        raise invalid(resource, obj["metadata"].get("name", ""), causes)
    return obj
