"""Why: how strong a fault may be is said in CEL what ``strength`` says in Python, kind by kind.

Part of the admission policy (``policy_rules``): each check is one line of the table below. A limit
that the ConfigMap does not name is none. What cannot be read counts as too strong.
"""

from __future__ import annotations

from typing import Final, NamedTuple

# Go's notation without a sign, with as many digits as no conversion overflows at.
_DURATION: Final = "([0-9]{1,6}([.][0-9]{1,9})?(ns|us|µs|ms|s|m|h))+"
_SIZE: Final = "[0-9]{1,12}([.][0-9]{1,9})?[ ]*([kKmMgGtT]i?)?[bB]?"
_NUMBER: Final = "[+-]?[0-9]{1,12}([.][0-9]{1,12})?"


def is_a_duration(text: str) -> str:
    """Whether ``text`` is a duration that ``duration`` can convert."""
    return f"{text}.matches('^{_DURATION}$')"


def duration(text: str) -> str:
    """``text`` as a duration."""
    return f"duration({text}.replace('µs', 'us'))"


class _Check(NamedTuple):
    """A strength that is judged: key of the limit, kind, where it stands, when it is too much, its value."""

    key: str
    kind: str
    where: str
    broken: str
    value: str


def _has(path: str) -> str:
    """Whether every step of ``path`` is there, below the spec of the fault."""
    steps = path.split(".")
    return " && ".join(f"has(f.spec.{'.'.join(steps[: end + 1])})" for end in range(len(steps)))


def _number(key: str, kind: str, path: str, default: str = "", least: str = "") -> _Check:
    """A number where its parent is; ``default`` is what Chaos Mesh takes where it is left out."""
    parent, _, name = path.rpartition(".")
    owner = f"f.spec.{parent}" if parent else "f.spec"
    value = f"string({owner}.?{name}.orValue({default!r}))" if default else f"string(f.spec.{path})"
    there = _has(path) if not default else (_has(parent) if parent else "true")
    limit = f"double(params.data.{key})"
    too_few = f" || double({value}) < {least}" if least else ""
    broken = f"{there} && (!{value}.matches('^{_NUMBER}$') || double({value}) > {limit}{too_few})"
    return _Check(key, kind, path, broken, value)


def _options(key: str, stressor: str) -> _Check:
    """stress-ng's own options can say anything at all."""
    options = f"stressors.{stressor}.options"
    raw = "has(f.spec.stressngStressors) && f.spec.stressngStressors != ''"
    broken = f"({raw}) || ({_has(options)} && f.spec.{options}.size() > 0)"
    return _Check(key, "StressChaos", "stress-ng options", broken, "'not to be judged'")


def _unsigned(text: str) -> str:
    return f"{text}.replace('-', '').replace('+', '')"


def _offset() -> _Check:
    """How far a clock is off; Chaos Mesh needs to be told."""
    told = _length("timeOffset", "TimeChaos", "timeOffset")
    missing = told._replace(broken=f"!has(f.spec.timeOffset) || {told.broken}")
    return missing._replace(value="string(f.spec.?timeOffset.orValue('none'))")


def _length(key: str, kind: str, path: str, more: str = "") -> _Check:
    """A duration, whichever way it points, and what ``more`` adds to it at worst."""
    text, limit = f"f.spec.{path}", f"duration(params.data.{key})"
    unreadable = f"!{text}.matches('^[+-]?{_DURATION}$')"
    length, value = duration(_unsigned(text)), f"string({text})"
    if not more:
        return _Check(key, kind, path, f"{_has(path)} && ({unreadable} || {length} > {limit})", value)
    parent, _, name = more.rpartition(".")
    added = f"f.spec.{parent}.?{name}.orValue('0s')"
    added = f"({added} == '' ? '0s' : {added})"
    unreadable = f"{unreadable} || !{added}.matches('^[+-]?{_DURATION}$')"
    together = f"{length} + {duration(_unsigned(added))}"
    broken = f"{_has(path)} && ({unreadable} || {together} > {limit})"
    return _Check(key, kind, path, broken, f"{value} + ' and ' + string({added})")


_BYTES: Final = """\
(double(int(double(S.find('^[0-9.]+')) * (S.matches('[kK]') ? 1024.0 : S.matches('[mM]') ? 1048576.0
  : S.matches('[gG]') ? 1073741824.0 : S.matches('[tT]') ? 1099511627776.0 : 1.0))))"""


def _memory() -> _Check:
    size, workers = "f.spec.stressors.memory.size", "string(f.spec.stressors.memory.workers)"
    unreadable = (
        f"!has(f.spec.stressors.memory.size) || !has(f.spec.stressors.memory.workers)"
        f" || !{size}.matches('^{_SIZE}$') || !{workers}.matches('^{_NUMBER}$') || double({workers}) < 1.0"
    )
    held = f"{_BYTES.replace('S.', f'{size}.')} * double({workers})"
    broken = f"{_has('stressors.memory')} && ({unreadable} || {held} > double(params.data.memory))"
    value = "string(f.spec.stressors.memory.?size.orValue('?')) + ' x '"
    value += " + string(f.spec.stressors.memory.?workers.orValue('?'))"
    return _Check("memory", "StressChaos", "stressors.memory", broken, value)


_ABORTED: Final = _Check(
    "loss",
    "HTTPChaos",
    "abort",
    "has(f.spec.abort) && f.spec.abort && double(params.data.loss) < 100.0",
    "'100'",
)
_FILLED: Final = _Check(
    "memory", "JVMChaos", "memType", "has(f.spec.memType) && f.spec.memType != ''", "string(f.spec.memType)"
)
_CHECKS: Final = (
    _options("cpuWorkers", "cpu"),
    # Below one, stress-ng takes as many as there are processors.
    _number("cpuWorkers", "StressChaos", "stressors.cpu.workers", default="none", least="1.0"),
    _number("cpuWorkers", "JVMChaos", "cpuCount"),
    _options("cpuLoad", "cpu"),
    _number("cpuLoad", "StressChaos", "stressors.cpu.load", default="100"),
    _options("memory", "memory"),
    _memory(),
    _FILLED,
    _length("latency", "NetworkChaos", "delay.latency", more="delay.jitter"),
    _length("latency", "BlockChaos", "delay.latency", more="delay.jitter"),
    _length("latency", "IOChaos", "delay"),
    _length("latency", "HTTPChaos", "delay"),
    _number("loss", "NetworkChaos", "loss.loss"),
    _ABORTED,
    _number("corrupt", "NetworkChaos", "corrupt.corrupt"),
    _number("duplicate", "NetworkChaos", "duplicate.duplicate"),
    _number("disk", "IOChaos", "percent", default="100"),
    _offset(),
)
# The limit is a duration, the value a number of milliseconds.
_JVM_LATENCY: Final = """\
(has(params.data.latency) ? variables.faults.filter(f, f.kind == 'JVMChaos' && has(f.spec.latency)
  && (!string(f.spec.latency).matches('^[0-9]{1,12}$')
    || duration(string(f.spec.latency) + 'ms') > duration(params.data.latency))
).map(f, 'latency of ' + string(f.at) + ': ' + string(f.spec.latency)
  + ' ms; the limit is ' + params.data.latency + ' (strength.latency)') : [])"""


def _told(check: _Check) -> str:
    return (
        f"(has(params.data.{check.key}) ? variables.faults.filter(f, f.kind == '{check.kind}'\n"
        f"  && ({check.broken})\n"
        f").map(f, '{check.where} of ' + string(f.at) + ': ' + {check.value}"
        f" + '; the limit is ' + params.data.{check.key} + ' (strength.{check.key})') : [])"
    )


def strength() -> dict[str, str]:
    """What is stronger than the ConfigMap allows, in words: by limit, as parsers count how deep a sum is."""
    told: dict[str, list[str]] = {}
    for check in _CHECKS:
        told.setdefault(check.key, []).append(_told(check))
    told["latency"].append(_JVM_LATENCY)
    return {key: "\n+ ".join(parts) for key, parts in told.items()}
