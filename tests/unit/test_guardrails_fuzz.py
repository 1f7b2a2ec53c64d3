"""Whatever people write and clusters hand us, a check answers, and lets nothing by that it cannot read."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gameday.safety.guardrails import MEMBERS, Violation, check_object
from gameday.spec.catalogue import Catalogue
from gameday.spec.guardrails import Guardrails
from gameday.spec.kinds import ALL_KINDS

CATALOGUE = Catalogue()
OWN = CATALOGUE.guardrails.model_dump(mode="json", by_alias=True, exclude_none=True)

SCALAR = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["5m", "1e9h", "-3s", "50", "101", "1GiB", "50%", "9" * 400, "pyairtable", "postgres"])
)
JSON = st.recursive(
    SCALAR,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10) | SCALAR, inner, max_size=3)
    ),
    max_leaves=8,
)


def having(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[Any, Any]]:
    """Some of ``fields``, each as it should be or as anything."""
    return st.fixed_dictionaries({}, optional={name: value | JSON for name, value in fields.items()})


SELECTOR = having(
    namespaces=st.lists(SCALAR, max_size=2),
    labelSelectors=st.dictionaries(st.sampled_from(["app", "tier", "x"]), SCALAR, max_size=2),
    expressionSelectors=st.lists(
        having(key=st.just("app"), operator=st.sampled_from(["In", "NotIn", "Exists"]), values=JSON),
        max_size=2,
    ),
    pods=st.dictionaries(st.text(max_size=4), st.lists(SCALAR, max_size=2), max_size=2),
    nodes=st.lists(SCALAR, max_size=1),
)
SPEC = having(
    action=st.sampled_from(["pod-kill", "partition", "netem", "delay"]),
    duration=SCALAR,
    selector=SELECTOR,
    target=having(selector=SELECTOR),
    delay=having(latency=SCALAR, jitter=SCALAR),
    loss=having(loss=SCALAR),
    corrupt=having(corrupt=SCALAR),
    duplicate=having(duplicate=SCALAR),
    percent=SCALAR,
    timeOffset=SCALAR,
    latency=SCALAR,
    cpuCount=SCALAR,
    abort=SCALAR,
    stressngStressors=SCALAR,
    stressors=having(
        cpu=having(workers=SCALAR, load=SCALAR, options=JSON),
        memory=having(workers=SCALAR, size=SCALAR),
    ),
)
TEMPLATE = st.fixed_dictionaries(
    {}, optional={**dict.fromkeys(MEMBERS, SPEC | JSON), "deadline": SCALAR, "templateType": SCALAR}
)
OBJECT = having(
    kind=st.sampled_from(ALL_KINDS),
    metadata=having(name=SCALAR, namespace=SCALAR, labels=st.dictionaries(SCALAR, SCALAR, max_size=2)),
    spec=SPEC | TEMPLATE | having(templates=st.lists(TEMPLATE | JSON, max_size=2), workflow=TEMPLATE),
)


@given(OBJECT)
def test_every_chaos_object_gets_an_answer(body: dict[str, Any]) -> None:
    for violation in check_object(body, CATALOGUE.guardrails, CATALOGUE.platform):
        assert isinstance(violation, Violation)
        assert violation.rule in str(violation)
        assert len(str(violation)) < 1000


@given(st.sampled_from(ALL_KINDS), JSON)
def test_a_spec_of_any_shape_is_refused(kind: str, spec: Any) -> None:
    """No such object is within the limits: the least that one needs is a duration."""
    body = {"kind": kind, "metadata": {"name": "any"}, "spec": spec}
    found = check_object(body, CATALOGUE.guardrails, CATALOGUE.platform)
    if kind != "Workflow" or not isinstance(spec, dict) or spec.get("templates") not in ([], None):
        assert any(violation.refuses for violation in found)


@given(OBJECT, st.sampled_from(sorted(OWN)), JSON)
def test_a_guardrails_file_is_a_mistake_or_can_be_judged_by(
    body: dict[str, Any], key: str, value: Any
) -> None:
    try:
        guardrails = Guardrails.model_validate({**OWN, key: value})
    except ValidationError:
        return
    check_object(body, guardrails, CATALOGUE.platform)
