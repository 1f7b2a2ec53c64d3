"""Why: the four kinds of patch that clients send, as functions from an object to the patched object.

JSON patch comes from the library ``jsonpatch``; merge patch is RFC 7386; strategic merge patch and
server-side apply follow Kubernetes' own documents, with the merge keys of the kinds served here.
Whether the result is allowed is left to ``api``.
"""

from __future__ import annotations

from typing import Any, Final

import jsonpatch
import jsonpointer

from sandbox.kubernetes.errors import ApiError, Obj, bad_request

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"

# By which member the entries of a list are told apart, by the list's name
# (``x-kubernetes-patch-merge-key`` in Kubernetes' OpenAPI document).
_MERGE_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "ports": ("containerPort", "port"),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "imagePullSecrets": ("name",),
    "secrets": ("name",),
    "hostAliases": ("ip",),
    "conditions": ("type",),
    "ownerReferences": ("uid",),
    "addresses": ("type",),
    "taints": ("key",),
    "topologySpreadConstraints": ("topologyKey",),
    "podIPs": ("ip",),
    "variables": ("name",),
    "matchConditions": ("name",),
}
_SETS: Final = frozenset({"finalizers"})
_MISSING: Final = object()


def json_patch(obj: Obj, patch: object) -> Obj:
    """``obj`` after the operations of RFC 6902 in ``patch``."""
    if not isinstance(patch, list):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch"
        )
    try:
        result = jsonpatch.apply_patch(obj, patch)
    except (
        jsonpatch.JsonPatchTestFailed,
        jsonpatch.JsonPatchConflict,
        jsonpointer.JsonPointerException,
    ) as error:
        why = f"the server rejected our request due to an error in our request: {error}"
        raise ApiError(422, "Invalid", why, details={}) from error
    except (jsonpatch.JsonPatchException, KeyError, TypeError) as error:
        raise bad_request(f"error decoding patch: {error}") from error
    if not isinstance(result, dict):
        raise bad_request("the patched object is no JSON object")
    return result


def merge_patch(target: Any, patch: Any) -> Any:
    """``target`` after the merge of RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def strategic_merge(target: Obj, patch: Obj) -> Obj:
    """``target`` after a strategic merge with ``patch``."""
    directive = patch.get("$patch")
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    if directive == "delete":
        return {}
    merged = dict(target)
    retained = patch.get("$retainKeys")
    if retained is not None:
        merged = {key: value for key, value in merged.items() if key in retained}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            merged[name] = [entry for entry in merged.get(name) or () if entry not in value]
        elif not key.startswith("$"):
            _merge_member(merged, key, value)
    for key, order in patch.items():
        if key.startswith("$setElementOrder/"):
            _set_order(merged, key.partition("/")[2], order)
    return merged


def _set_order(merged: Obj, name: str, order: list[Any]) -> None:
    """Bring a merged list into the client's order; what the client does not know comes last."""
    entries = merged.get(name) or []
    if key := merge_key(name, [*entries, *order]) if all(isinstance(one, dict) for one in order) else "":
        places = {entry[key]: place for place, entry in enumerate(order)}
        merged[name] = sorted(entries, key=lambda entry: places.get(entry[key], len(places)))


def _merge_member(merged: Obj, key: str, value: Any) -> None:
    current = merged.get(key)
    if value is None:
        merged.pop(key, None)
    elif isinstance(value, dict):
        merged[key] = strategic_merge(current if isinstance(current, dict) else {}, value)
    elif isinstance(value, list) and key in _SETS:
        merged[key] = [*(current or ()), *(entry for entry in value if entry not in (current or ()))]
    elif isinstance(value, list) and isinstance(current, list):
        merged[key] = _merge_lists(key, current, value)
    elif isinstance(value, list):
        merged[key] = [entry for entry in value if not _is_directive(entry)]
    else:
        merged[key] = value


def _is_directive(entry: object) -> bool:
    return isinstance(entry, dict) and "$patch" in entry


def merge_key(name: str, entries: list[Any]) -> str:
    """By which member the entries of the list ``name`` are told apart; "" where it is replaced whole."""
    if not all(isinstance(entry, dict) for entry in entries):
        return ""
    keys = _MERGE_KEYS.get(name, ())
    return next((key for key in keys if all(key in entry or _is_directive(entry) for entry in entries)), "")


def _merge_lists(name: str, current: list[Any], patch: list[Any]) -> list[Any]:
    key = merge_key(name, [*current, *patch])
    if not key or any(_is_directive(entry) and entry["$patch"] == "replace" for entry in patch):
        return [entry for entry in patch if not _is_directive(entry)]
    merged = {entry[key]: entry for entry in current}
    for entry in patch:
        if _is_directive(entry) and entry["$patch"] == "delete":
            merged.pop(entry.get(key), None)
        else:
            merged[entry[key]] = strategic_merge(merged.get(entry[key], {}), entry)
    return list(merged.values())


def fields_of(obj: Obj) -> Obj:
    """The ``fieldsV1`` of what an applied configuration declares."""
    declared = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind")}
    if isinstance(metadata := declared.get("metadata"), dict):
        known = ("name", "namespace", "resourceVersion", "uid", "managedFields", "creationTimestamp")
        declared["metadata"] = {key: value for key, value in metadata.items() if key not in known}
    return _fields(declared)


def _fields(value: Any) -> Obj:
    if isinstance(value, dict):
        return {f"f:{key}": _fields_of_member(key, inner) for key, inner in value.items()}
    return {}


def _fields_of_member(name: str, value: Any) -> Obj:
    if isinstance(value, list) and value and (key := merge_key(name, value)):
        return {f'k:{{"{key}":"{entry[key]}"}}': {".": {}, **_fields(entry)} for entry in value}
    return _fields(value)


def apply(obj: Obj, applied: Obj, before: Obj, *, custom: bool) -> Obj:
    """``obj`` after ``applied``, less what the same manager applied ``before`` and no longer declares.

    ``before`` is the ``fieldsV1`` of the manager's last apply. Conflicts with other managers are not
    raised here: the caller that applies, wins, as with ``--force-conflicts``.
    """
    merged = merge_patch(obj, applied) if custom else strategic_merge(obj, applied)
    dropped = _removed(before, fields_of(applied))
    return _without(merged, dropped) if dropped else merged


def _removed(before: Obj, now: Obj) -> Obj:
    gone: Obj = {}
    for key, inner in before.items():
        if key not in now:
            gone[key] = True
        elif deeper := _removed(inner, now[key]):
            gone[key] = deeper
    return gone


def _without(value: Any, dropped: Obj) -> Any:
    if isinstance(value, dict):
        kept: Obj = {}
        for key, inner in value.items():
            mark = dropped.get(f"f:{key}", _MISSING)
            if mark is _MISSING:
                kept[key] = inner
            elif mark is not True:
                kept[key] = _without(inner, mark)
        return kept
    if isinstance(value, list):
        return [entry for entry in (_without_entry(entry, dropped) for entry in value) if entry is not None]
    return value


def _without_entry(entry: Any, dropped: Obj) -> Any:
    if not isinstance(entry, dict):
        return entry
    for mark, inner in dropped.items():
        key, _, value = mark.removeprefix("k:{").rstrip("}").partition(":")
        if mark.startswith("k:") and str(entry.get(key.strip('"'))) == value.strip('"'):
            return None if inner is True else _without(entry, inner)
    return entry
