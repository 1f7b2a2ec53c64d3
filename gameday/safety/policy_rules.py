"""Why: the API server holds every chaos object to the limits by itself, in the only language it has.

The rules of ``guardrails.check_object`` in CEL, for a ValidatingAdmissionPolicy: each variable is one
step, ``broken`` is what is told. The limits are not in here: they are read from the ConfigMap that
``policy`` renders (``params``). What CEL may use is what Kubernetes 1.30 has; numbers and durations
are matched before they are converted, because a conversion that fails says nothing a person can use.
"""

from __future__ import annotations

from typing import Final

from gameday.safety.guardrails import EFFECTS, MEMBERS, NARROWING
from gameday.safety.policy_strength import duration, is_a_duration, strength
from gameday.spec.kinds import APPROVED, FAULT_KINDS, ORCHESTRATION_KINDS, OUTSIDE_KINDS, PAUSE, RUN

APPROVE: Final = "approve"
"""The verb, on the kind and in the namespace of an object, that lets somebody set ``APPROVED``."""


def _strings(values: tuple[str, ...]) -> str:
    return f"[{', '.join(repr(value) for value in values)}]"


def _listed(key: str) -> str:
    """The comma-separated words of a key of the ConfigMap."""
    return f"(params.data[?'{key}'].orValue('') == '' ? [] : params.data['{key}'].split(','))"


def _lines(key: str) -> str:
    """The lines of a key of the ConfigMap, each split into its words."""
    text = f"params.data[?'{key}'].orValue('')"
    return f"{text}.split('\\n').filter(line, line != '').map(line, line.split(' '))"


# Every variable below may use those above it.

_TEMPLATES: Final = """\
object.kind == 'Workflow' ? object.spec.?templates.orValue([])
: object.kind == 'Schedule' && has(object.spec.workflow) ? object.spec.workflow.?templates.orValue([])
: []"""

# What holds faults as members such as podChaos: a Schedule, a template, a template's own Schedule.
_HOLDERS: Final = """\
(object.kind == 'Schedule'
  ? [{'at': dyn('the Schedule'), 'in': dyn(object.spec), 'key': dyn('duration')}] : [])
+ variables.templates.map(t,
  {'at': dyn('template ' + t.?name.orValue('')), 'in': dyn(t), 'key': dyn('deadline')})
+ variables.templates.filter(t, has(t.schedule)).map(t,
  {'at': dyn('template ' + t.?name.orValue('')), 'in': dyn(t.schedule), 'key': dyn('duration')})"""


def _faults() -> str:
    """Every fault in the object: where it stands, its kind and spec, and what bounds it in time."""
    alone = (
        f"(object.kind in {_strings(ORCHESTRATION_KINDS)} ? []"
        " : [{'at': dyn(object.kind + ' ' + object.metadata.?name.orValue('')), 'kind': dyn(object.kind),"
        " 'spec': dyn(object.spec), 'key': dyn('duration'),"
        " 'lasts': dyn(object.spec.?duration.orValue(''))}])"
    )
    held = (
        f"variables.holders.filter(h, has(h['in'].{member})).map(h, {{"
        f"'at': dyn(h.at + ' {kind}'), 'kind': dyn('{kind}'), 'spec': dyn(h['in'].{member}),"
        " 'key': dyn(h.key), 'lasts': dyn(h.key == 'deadline'"
        f" ? h['in'].?deadline.orValue('') : h['in'].{member}.?duration.orValue(''))}})"
        for member, kind in MEMBERS.items()
    )
    return "\n+ ".join((alone, *held))


# A fault with its ends: whom it hits, on both sides of a network fault, and in which namespaces.
_AIMS: Final = f"""\
variables.faults.map(f, {{'fault': dyn(f), 'ends': dyn((
  (f.kind in {_strings(OUTSIDE_KINDS)} ? []
    : [{{'where': dyn('selector'), 'selector': dyn(f.spec.?selector.orValue({{}}))}}])
  + (f.kind == 'NetworkChaos' && has(f.spec.target)
    ? [{{'where': dyn('target.selector'), 'selector': dyn(f.spec.target.?selector.orValue({{}}))}}] : [])
).map(e, {{
  'where': dyn(e.where),
  'selector': dyn(e.selector),
  'namespaces': dyn(
    has(e.selector.pods) && e.selector.pods.size() > 0 ? e.selector.pods.map(n, n)
    : has(e.selector.namespaces) && e.selector.namespaces.size() > 0 ? e.selector.namespaces
    : [object.metadata.namespace])
}}))}})"""

_READABLE: Final = f"""\
variables.holders.filter(h,
  (h.key == 'duration' || h['in'].?templateType.orValue('') in {_strings((*FAULT_KINDS, "Schedule"))})
  && !(h.key == 'deadline' && has(h['in'].schedule))
  && !(h.at == 'the Schedule' && has(h['in'].workflow))
  && !{_strings(tuple(MEMBERS))}.exists(m, m in h['in'])
).map(h, 'no fault in ' + string(h.at) + ' (readable)')
+ variables.templates.filter(t, has(t.schedule) && has(t.schedule.workflow)
).map(t, 'template ' + string(t.?name.orValue('')) + ': nested too deep (readable)')"""

_LASTING: Final = f"""\
variables.faults.filter(f,
  f.lasts == '' || !{is_a_duration("f.lasts")}
  || {duration("f.lasts")} > duration(params.data.maxFaultDuration)
  || {duration("f.lasts")} <= duration('0s')
).map(f, string(f.key) + ' of ' + string(f.at) + ': '
  + (f.lasts == '' ? 'none' : string(f.lasts))
  + '; the limit is ' + params.data.maxFaultDuration + ', and it must be given (maxFaultDuration)')"""

_NARROWED: Final = f"""\
variables.aims.map(a, a.ends.filter(e,
  !{_strings(NARROWING)}.exists(k, k in e.selector && e.selector[k].size() > 0)
).map(e, string(e.where) + ' of ' + string(a.fault.at) + ': every pod;'
  + ' the limit is pods narrowed down by labels, pods or nodes (selector)').join('; ')).filter(s, s != '')"""

_NAMESPACES: Final = f"""\
variables.aims.map(a, a.ends.map(e, e.namespaces.filter(n,
  n in {_listed("namespacesForbidden")}
  || ({_listed("namespacesAllowed")}.size() > 0 && !(n in {_listed("namespacesAllowed")}))
).map(n, 'namespace that ' + string(a.fault.at) + ' hits: ' + string(n)
  + (n in {_listed("namespacesForbidden")}
    ? '; the limit is none of ' + params.data.namespacesForbidden + ' (namespaces.forbidden)'
    : '; the limit is one of ' + params.data.namespacesAllowed + ' (namespaces.allowed)')
).join('; ')).filter(s, s != '').join('; ')).filter(s, s != '')"""

_ELSEWHERE: Final = """\
variables.faults.filter(f, f.spec.?remoteCluster.orValue('') != ''
).map(f, 'remoteCluster of ' + string(f.at) + ': ' + string(f.spec.remoteCluster)
  + '; the limit is the cluster that the object is in (remoteCluster)')"""

_LABELLED: Final = f"""\
'{RUN}' in object.metadata.?labels.orValue({{}}) && object.metadata.labels['{RUN}'] != '' ? []
: variables.aims.map(a, a.ends.map(e, e.namespaces.filter(n, n in {_listed("runLabelIn")}
).map(n, string(a.fault.at) + ' in ' + string(n)
  + ': no label {RUN}; the limit is objects of a run only (admission.runLabelIn)'
).join('; ')).filter(s, s != '').join('; ')).filter(s, s != '')"""

# A rule of the ConfigMap: service labels faults namespaces never|approved approvers.
_PROTECTED: Final = _lines("protected")
# A rule of the ConfigMap: faults namespaces approvers.
_DESTRUCTIVE: Final = _lines("destructive")


def _names(faults: str) -> str:
    """Whether a rule's list of faults names ``a.fault``: by kind, by action, by an effect of ``netem``."""
    return (
        f"{faults}.split(',').exists(n, n == '*' || n == a.fault.kind"
        " || (has(a.fault.spec.action) && n == a.fault.spec.action)"
        f" || (a.fault.kind == 'NetworkChaos' && n in {_strings(EFFECTS)}"
        " && n in a.fault.spec && a.fault.spec[n].size() > 0))"
    )


def _holds(namespaces: str) -> str:
    """Whether a rule holds in a namespace that ``a.fault`` hits."""
    return f"({namespaces} == '*' || a.ends.exists(e, e.namespaces.exists(n, n in {namespaces}.split(','))))"


# Whether the selector of the end ``e`` may match the service of the rule ``r``; only labels speak against it.
_MAY_HIT: Final = """\
(has(e.selector.pods) && e.selector.pods.size() > 0
  ? e.selector.pods.exists(k, e.selector.pods[k].exists(p, p.startsWith(r[0] + '-')))
  : !r[1].split(',').exists(l,
      (l.split('=')[0] in e.selector.?labelSelectors.orValue({})
        && e.selector.labelSelectors[l.split('=')[0]] != l.split('=')[1])
      || e.selector.?expressionSelectors.orValue([]).exists(x, x.key == l.split('=')[0] && (
        (x.operator == 'In' && !(l.split('=')[1] in x.?values.orValue([])))
        || (x.operator == 'NotIn' && l.split('=')[1] in x.?values.orValue([]))
        || x.operator == 'DoesNotExist'))))"""

_ON_PROTECTED: Final = f"""\
variables.aims.map(a, variables.protected.filter(r,
  (r[4] == 'never' || !variables.approved)
  && {_names("r[2]")}
  && {_holds("r[3]")}
  && a.ends.exists(e, {_MAY_HIT})
).map(r, string(a.fault.at) + ' (' + string(a.fault.spec.?action.orValue(a.fault.kind)) + ') on ' + r[0]
  + (r[4] == 'never' ? '; the limit is never there (protected)'
    : '; the limit is only with an approval (protected); ' + r[5] + ' may approve it')
).join('; ')).filter(s, s != '')"""

_DESTROYING: Final = f"""\
variables.approved ? []
: variables.aims.map(a, variables.destructive.filter(r, {_names("r[0]")} && {_holds("r[1]")}
).map(r, string(a.fault.at) + ': ' + string(a.fault.spec.?action.orValue(a.fault.kind))
  + '; the limit is only with an approval (destructive); ' + r[2] + ' may approve it'
).join('; ')).filter(s, s != '')"""

_ANNOTATED: Final = f"object.metadata.?annotations.orValue({{}})[?'{APPROVED}'].orValue('') != ''"

PAUSED: Final = f"[?'{PAUSE}'].orValue('') == 'true'"
"""Of the annotations of an object: it is paused."""

CHANGED: Final = "request.operation == 'CREATE' || object.spec != oldObject.spec"
"""The controller's own records, a stop's annotations and finalizers are no business of a policy."""

# An object that a stop paused must not be let run again while the lever is engaged.
RESTARTED: Final = (
    f"{CHANGED}\n|| (oldObject.metadata.?annotations.orValue({{}}){PAUSED}"
    f"\n  && !(object.metadata.?annotations.orValue({{}}){PAUSED}))"
)


_RULES: Final = {
    "readable": _READABLE,
    "lasting": _LASTING,
    "narrowed": _NARROWED,
    "namespaces": _NAMESPACES,
    "elsewhere": _ELSEWHERE,
    **strength(),
    "onProtected": _ON_PROTECTED,
    "destroying": _DESTROYING,
    "labelled": _LABELLED,
}


def variables() -> dict[str, str]:
    """The steps of the policy by name, each of which may use those before it."""
    return {
        "templates": _TEMPLATES,
        "holders": _HOLDERS,
        "faults": _faults(),
        "aims": _AIMS,
        "annotated": _ANNOTATED,
        # A dry run hurts nobody: a plan may be tried before anybody has approved it.
        "approved": "variables.annotated || (has(request.dryRun) && request.dryRun)",
        "protected": _PROTECTED,
        "destructive": _DESTRUCTIVE,
        **_RULES,
        "broken": " + ".join(f"variables.{name}" for name in _RULES),
    }
