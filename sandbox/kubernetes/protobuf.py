"""Why: two things are asked in protobuf and in nothing else, so those are understood here.

``kubectl auth can-i`` sends its access review in it (``k8s.io/api/authorization/v1/generated.proto``);
the answer goes out as JSON, which is accepted. Old kubectls read OpenAPI v2 in it
(``github.com/google/gnostic/openapiv2``). All else comes and goes as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sandbox.kubernetes.errors import Obj, bad_request
from sandbox.kubernetes.resources import Registry

_MAGIC: Final = b"k8s\x00"
_LENGTH_DELIMITED: Final = 2

# Field numbers, and what is under them: a name for text, or a name with the fields of a message.
Fields = dict[int, tuple[str, Any]]
_RESOURCE: Final[Fields] = {
    1: ("namespace", None),
    2: ("verb", None),
    3: ("group", None),
    4: ("version", None),
    5: ("resource", None),
    6: ("subresource", None),
    7: ("name", None),
}
_NON_RESOURCE: Final[Fields] = {1: ("path", None), 2: ("verb", None)}
_SPEC: Final[Fields] = {
    1: ("resourceAttributes", _RESOURCE),
    2: ("nonResourceAttributes", _NON_RESOURCE),
    3: ("user", None),
}
_REVIEW: Final[Fields] = {2: ("spec", _SPEC)}
_TYPE: Final[Fields] = {1: ("apiVersion", None), 2: ("kind", None)}


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _members(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The length-delimited members of a message; numbers are passed over."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        if key & 7 != _LENGTH_DELIMITED:
            _, at = _varint(data, at)
            continue
        size, at = _varint(data, at)
        yield key >> 3, data[at : at + size]
        at += size


def _message(data: bytes, fields: Fields) -> Obj:
    found: Obj = {}
    for number, content in _members(data):
        if number in fields:
            name, inner = fields[number]
            found[name] = content.decode() if inner is None else _message(content, inner)
    return found


def read_review(content: bytes) -> Obj:
    """The access review in a protobuf body. Raises 400 where it is none."""
    if not content.startswith(_MAGIC):
        raise bad_request("the body is not in Kubernetes' protobuf envelope")
    try:
        envelope = dict(_members(content.removeprefix(_MAGIC)))
        return {**_message(envelope.get(1, b""), _TYPE), **_message(envelope.get(2, b""), _REVIEW)}
    except (IndexError, UnicodeDecodeError) as error:
        raise bad_request(f"the body is no protobuf message: {error}") from error


def _field(number: int, content: bytes | str) -> bytes:
    data = content.encode() if isinstance(content, str) else content
    size, head = len(data), bytearray([number << 3 | _LENGTH_DELIMITED])
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + data


def openapi_v2(registry: Registry) -> bytes:
    """An OpenAPI v2 document that says of every kind that PATCH takes ``dryRun``, and nothing else.

    Without it an old kubectl refuses ``--dry-run=server``; without definitions it checks no fields.
    """
    # QueryParameterSubSchema: in 2, name 4; wrapped as NonBodyParameter.query 3, Parameter 2, item 1.
    parameter = _field(1, _field(2, _field(3, _field(2, "query") + _field(4, "dryRun"))))
    paths = b""
    for resource in registry.all():
        kind = f"group: '{resource.group}'\nversion: {resource.version}\nkind: {resource.kind}\n"
        extension = _field(1, "x-kubernetes-group-version-kind") + _field(2, _field(2, kind))
        # Operation: parameters 8, vendor extension 13; as PathItem.patch 8.
        item = _field(8, _field(8, parameter) + _field(13, extension))
        root = f"/apis/{resource.group}" if resource.group else "/api"
        name = f"{root}/{resource.version}/{resource.plural}/{{name}}"
        paths += _field(2, _field(1, name) + _field(2, item))
    return _field(1, "2.0") + _field(8, paths)
