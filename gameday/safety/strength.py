"""Why: how strong a fault is stands in another place in each kind, and one file knows all of them.

Holds the spec of one fault against ``strength`` of guardrails.yaml. It believes nothing of what it
reads: a value that is not what Chaos Mesh expects there counts as too strong, not as none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, Final, NamedTuple

from gameday.spec.base import format_duration, parse_duration
from gameday.spec.guardrails import Strength, parse_size

_PLAIN: Final = "something that can be judged"
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,12}(\.[0-9]{1,12})?")


class Excess(NamedTuple):
    """One value past its limit: the key below ``strength``, where it stands in ``spec``, both values."""

    key: str
    where: str
    value: str
    limit: str


def part(spec: object, *keys: str) -> Any:
    """What stands at ``keys`` below ``spec``; None where nothing does."""
    for key in keys:
        spec = spec.get(key) if isinstance(spec, Mapping) else None
    return spec


def excesses(kind: str, spec: Mapping[str, Any], limits: Strength) -> Iterator[Excess]:
    """Everything in the spec of a fault of ``kind`` that is stronger than allowed. Never raises."""
    for key, of_kind in _OF_KIND:
        if kind in of_kind and (limit := getattr(limits, _field(key))) is not None:
            yield from of_kind[kind](spec, limit)


def shown(value: object, most: int = 60) -> str:
    """A value out of a foreign object, short enough for a sentence."""
    text = " ".join(str(value).split()) if isinstance(value, str) else repr(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _field(key: str) -> str:
    return re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", key)


def _number(value: object) -> float | None:
    """The number that ``value`` is or spells; None where it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if abs(value) < 1e12 else None
    # To the letter, as Chaos Mesh reads it: with spaces it is no number there, either.
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else None


def _length(value: object) -> timedelta | None:
    """How long the duration ``value`` is, whichever way it points; None where it is none."""
    if not isinstance(value, str):
        return None
    try:
        return abs(parse_duration(value.strip().lstrip("+-")))
    except ValueError:
        return None


def _at_most(key: str, where: str, value: object, limit: float, unit: str = "") -> Iterator[Excess]:
    number = _number(value)
    if number is None:
        yield Excess(key, where, shown(value), _PLAIN)
    elif number > limit:
        yield Excess(key, where, f"{number:g}{unit}", f"{limit:g}{unit}")


def _cpu(spec: Mapping[str, Any], limit: int) -> Iterator[Excess]:
    yield from _raw(spec, "cpuWorkers", "cpu")
    if (stressor := part(spec, "stressors", "cpu")) is None:
        return
    where, workers = "stressors.cpu.workers", part(stressor, "workers")
    if (number := _number(workers)) is not None and number < 1:
        # stress-ng then takes as many as there are processors.
        yield Excess("cpuWorkers", where, f"{number:g}", f"{limit}, and one at least")
    else:
        yield from _at_most("cpuWorkers", where, workers, limit)


def _cpu_load(spec: Mapping[str, Any], limit: float) -> Iterator[Excess]:
    yield from _raw(spec, "cpuLoad", "cpu")
    if (stressor := part(spec, "stressors", "cpu")) is not None:
        load = part(stressor, "load")
        yield from _at_most("cpuLoad", "stressors.cpu.load", 100 if load is None else load, limit, " %")


def _memory(spec: Mapping[str, Any], limit: int) -> Iterator[Excess]:
    yield from _raw(spec, "memory", "memory")
    if (stressor := part(spec, "stressors", "memory")) is None:
        return
    size, workers = part(stressor, "size"), _number(part(stressor, "workers"))
    try:
        # A share of the container's memory is a number of bytes that nobody can know from the object.
        held = parse_size(size) * workers if isinstance(size, str) and workers and workers >= 1 else None
    except (ValueError, OverflowError):
        held = None
    if held is None:
        value = f"{shown(size)} x {shown(part(stressor, 'workers'))}"
        yield Excess("memory", "stressors.memory", value, f"{in_bytes(limit)} in all, written as a size")
    elif held > limit:
        yield Excess("memory", "stressors.memory", in_bytes(held), in_bytes(limit))


def _jvm_memory(spec: Mapping[str, Any], limit: int) -> Iterator[Excess]:
    """It fills the heap or the stack, whatever their size."""
    if (value := part(spec, "memType")) not in (None, ""):
        yield Excess("memory", "memType", f"all of the {shown(value)}", in_bytes(limit))


def _raw(spec: Mapping[str, Any], key: str, stressor: str) -> Iterator[Excess]:
    """stress-ng's own options can say anything at all, so they cannot be judged."""
    for where in (("stressngStressors",), ("stressors", stressor, "options")):
        if (raw := part(spec, *where)) not in (None, "", [], ()):
            yield Excess(key, ".".join(where), shown(raw), _PLAIN)


def in_bytes(size: float) -> str:
    """A size for people: ``512 MiB``."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if size >= 1024**power:
            return f"{size / 1024**power:.4g} {unit}"
    return f"{size:g} B"


def _latency(where: str, *more: str) -> Callable[[Mapping[str, Any], timedelta], Iterator[Excess]]:
    """Judge the duration at ``where``, and what ``more`` adds to it at worst."""

    def judge(spec: Mapping[str, Any], limit: timedelta) -> Iterator[Excess]:
        found = part(spec, *where.split("."))
        if found is None:
            return
        longest = timedelta(0)
        for place in (where, *more):
            value = part(spec, *place.split("."))
            length = timedelta(0) if value in (None, "") and place != where else _length(value)
            if length is None:
                yield Excess("latency", place, shown(value), "a duration such as 500ms")
                return
            longest += length
        if longest > limit:
            places = " and ".join((where, *(one for one in more if part(spec, *one.split(".")))))
            yield Excess("latency", places, format_duration(longest), format_duration(limit))

    return judge


def _jvm_latency(spec: Mapping[str, Any], limit: timedelta) -> Iterator[Excess]:
    if (value := part(spec, "latency")) is not None:
        yield from _at_most("latency", "latency", value, limit / timedelta(milliseconds=1), " ms")


def _share(key: str, where: str) -> Callable[[Mapping[str, Any], float], Iterator[Excess]]:
    def judge(spec: Mapping[str, Any], limit: float) -> Iterator[Excess]:
        if (value := part(spec, *where.split("."))) is not None:
            yield from _at_most(key, where, value, limit, " %")

    return judge


def _aborted(spec: Mapping[str, Any], limit: float) -> Iterator[Excess]:
    """Aborting requests is losing all of them."""
    if part(spec, "abort") not in (None, False) and limit < 100:
        yield Excess("loss", "abort", "100 %", f"{limit:g} %")


def _disk(spec: Mapping[str, Any], limit: float) -> Iterator[Excess]:
    percent = part(spec, "percent")
    yield from _at_most("disk", "percent", 100 if percent is None else percent, limit, " %")


def _offset(spec: Mapping[str, Any], limit: timedelta) -> Iterator[Excess]:
    value = part(spec, "timeOffset")
    length = _length(value)
    if length is None:
        yield Excess("timeOffset", "timeOffset", shown(value), "a duration such as -10m")
    elif length > limit:
        yield Excess("timeOffset", "timeOffset", format_duration(length), format_duration(limit))


def _jvm_workers(spec: Mapping[str, Any], limit: int) -> Iterator[Excess]:
    if (value := part(spec, "cpuCount")) is not None:
        yield from _at_most("cpuWorkers", "cpuCount", value, limit)


# By key of `strength`: the kinds that have such a thing, and how it is read there.
_OF_KIND: Final[tuple[tuple[str, Mapping[str, Callable[[Any, Any], Iterator[Excess]]]], ...]] = (
    ("cpuWorkers", {"StressChaos": _cpu, "JVMChaos": _jvm_workers}),
    ("cpuLoad", {"StressChaos": _cpu_load}),
    ("memory", {"StressChaos": _memory, "JVMChaos": _jvm_memory}),
    (
        "latency",
        {
            "NetworkChaos": _latency("delay.latency", "delay.jitter"),
            "BlockChaos": _latency("delay.latency", "delay.jitter"),
            "IOChaos": _latency("delay"),
            "HTTPChaos": _latency("delay"),
            "JVMChaos": _jvm_latency,
        },
    ),
    ("loss", {"NetworkChaos": _share("loss", "loss.loss"), "HTTPChaos": _aborted}),
    ("corrupt", {"NetworkChaos": _share("corrupt", "corrupt.corrupt")}),
    ("duplicate", {"NetworkChaos": _share("duplicate", "duplicate.duplicate")}),
    ("disk", {"IOChaos": _disk}),
    ("timeOffset", {"TimeChaos": _offset}),
)
