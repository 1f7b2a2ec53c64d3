"""Every mistake of a file is told at once, with file, line and key, whatever the file holds."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from gameday.errors import DeclarationError
from gameday.spec.catalogue import Catalogue
from gameday.spec.guardrails import Guardrails
from gameday.spec.loader import parse, read
from gameday.spec.platform import Platform

CATALOGUE = Catalogue()
GOOD = (CATALOGUE.directory / "basic-pod-failure.yaml").read_text(encoding="utf-8")
LINES = GOOD.splitlines()
AFTER = len(LINES) + 1  # the line that is added
RECOVERY = next(number for number, line in enumerate(LINES, 1) if line.startswith("recovery:"))
FAULT = next(number for number, line in enumerate(LINES, 1) if "- target:" in line)
STAGES = f"{LINES.index('stages:') + 1}: stages"
OWNER = f"{LINES.index('owner: platform-team') + 1}: owner"


def mistakes_of(text: str | bytes, directory: Path) -> list[str]:
    path = directory / "basic-pod-failure.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    return [mistake.removeprefix(f"{path}:").strip() for mistake in CATALOGUE.check(path)]


def test_every_mistake_of_a_file_is_told_at_once_in_the_order_of_its_lines(tmp_path: Path) -> None:
    text = """\
name: another-name
titel: A trial
hypothesis: It holds.
category: basics
environments: [stagging]
owner: platform-taem
steadyState:
  - name: availability
    signal: availabilty
    expect: "=> 0.99"
    services: [redis, postgress]
  - {name: errors, query: "sum(", signal: errors, expect: "< 1", for: 10}
stages:
  - name: Only One
    duration: 5
    faults:
      - target: api-gatway
        kind: NetworkChaos
        spec: {action: partition, mode: all, target: {mode: all, selector: reddis}}
      - target: redis
        kind: PodChaos
        spec: {action: pod-kill, mode: fixed, value: 2}
"""
    assert mistakes_of(text, tmp_path) == [
        "1: name: expected 'basic-pod-failure', as the file is called",
        "1: the key 'title' is missing",
        "2: titel: unknown key; did you mean 'title'?",
        "4: category: expected 'basic', 'advanced' or 'disaster-recovery'; did you mean 'basic'?",
        "5: environments[0]: unknown environment 'stagging'; did you mean 'staging'?",
        "6: owner: unknown team 'platform-taem'; did you mean 'platform-team'?",
        "9: steadyState[0].signal: unknown signal 'availabilty'; did you mean 'availability'?",
        "10: steadyState[0].expect: expected a comparison with a number, such as '>= 0.99' or '< 10'",
        "11: steadyState[0].services[1]: unknown service 'postgress'; did you mean 'postgres'?",
        "12: steadyState[1].query: not valid PromQL: unclosed left parenthesis",
        "12: steadyState[1].for: expected a duration with its unit, such as 30s, 5m or 1h30m",
        "14: stages[0].name: expected lowercase letters, digits and '-', at most 40 characters",
        "15: stages[0].duration: expected a duration with its unit, such as 30s, 5m or 1h30m",
        "17: stages[0].faults[0].target: unknown service 'api-gatway'; did you mean 'api-gateway'?",
        "19: stages[0].faults[0].spec.target.selector: unknown service 'reddis'; did you mean 'redis'?",
        '22: stages[0].faults[1].spec.value: Chaos Mesh wants text here: write it in quotes, "2"',
    ]


def test_a_key_that_is_missing_is_named_where_it_should_stand(tmp_path: Path) -> None:
    text = GOOD.replace("      - target: api-gateway\n        kind: PodChaos\n", "      - kind: PodChaos\n")
    assert mistakes_of(text, tmp_path) == [f"{FAULT}: stages[0].faults[0]: the key 'target' is missing"]


def test_a_fault_without_its_kind_says_so(tmp_path: Path) -> None:
    text = GOOD.replace("        kind: PodChaos\n", "", 1)
    assert mistakes_of(text, tmp_path) == [f"{FAULT}: stages[0].faults[0]: the key 'kind' is missing"]


def test_a_mistake_that_an_anchor_brought_in_is_told_where_it_is_used(tmp_path: Path) -> None:
    text = GOOD.replace("recovery: {timeout: 5m, stableFor: 30s}", "recovery:\n  <<: {timeout: 5m, foo: 3}\n")
    assert mistakes_of(text, tmp_path) == [
        f"{RECOVERY}: recovery.foo: unknown key; known here: timeout, stableFor"
    ]


def test_anchors_may_be_used_to_say_the_same_twice(tmp_path: Path) -> None:
    once = "spec: {action: pod-kill, mode: one}"
    text = GOOD.replace(once, once.replace("{", "&kill {"), 1).replace(once, "spec: *kill")
    assert mistakes_of(text, tmp_path) == []


@pytest.mark.parametrize(
    ("what", "text", "expected"),
    [
        ("tabs", "name: a\nstages:\n\t- name: b\n", "3: found character '\\t' that cannot start any token"),
        ("a key twice", GOOD + "name: again\n", f'{AFTER}: found duplicate key "name"'),
        ("no mapping", "- name\n- title\n", "1: expected keys and values"),
        ("nothing", "", "1: expected keys and values"),
        ("only a comment", "# nothing yet\n", "1: expected keys and values"),
        ("a word", "name", "1: expected keys and values"),
        ("two documents", GOOD + "---\nname: b\n", f"{AFTER}: but found another document"),
        ("no end", "name: {a: b\n", "2: expected ',' or '}', but got '<stream end>'"),
        ("an unknown alias", "name: *other\n", "1: found undefined alias 'other'"),
        ("not UTF-8", b"name: \xff\xfe\xfa", "cannot be read as UTF-8 text"),
        ("a control character", "name: a\x00b\n", "not valid YAML"),
        ("a tag that lies", "name: !!bool maybe\n", "not valid YAML"),
        ("a tag of nothing", "name: !!int ''\n", "not valid YAML"),
        ("a number too long", "name: " + "1" * 5000 + "\n", "not valid YAML"),
        ("nested too deep", "name: " + "[" * 500, "nested too deep"),
        ("itself in a list", GOOD + "tags: &a [*a]\n", f"{AFTER}: tags[0]: expected text"),
        ("itself in a mapping", "&a\nname: *a\n", "its anchors make it larger than"),
        (
            "a billion laughs",
            "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
            + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)),
            "its anchors make it larger than",
        ),
        ("a key that is no text", GOOD + "1: a\n", f"{AFTER}: 1: expected text as key"),
        ("a list for a text", GOOD.replace("owner: platform-team", "owner: [a]"), f"{OWNER}: expected text"),
        ("a date for a text", GOOD.replace("title: One", "title: 2026-11-23 #"), "3: title: expected text"),
        ("a mapping for a list", GOOD.split("stages:")[0] + "stages: {a: b}\n", f"{STAGES}: expected"),
        ("half a character", GOOD.replace("title: One", 'title: "\\ud800" #'), "half a character"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_told_in_one_line(
    what: str, text: str | bytes, expected: str, tmp_path: Path
) -> None:
    mistakes = mistakes_of(text, tmp_path)
    assert len(mistakes) == 1, what
    assert expected in mistakes[0]
    assert "\n" not in mistakes[0]


def test_a_directory_instead_of_a_file_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"folder.yaml: cannot be read as UTF-8 text \(.*[Dd]irectory"):
        read(_made(tmp_path / "folder.yaml"))


def _made(path: Path) -> Path:
    path.mkdir()
    return path


def test_a_file_that_is_not_there_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"none\.yaml: no such file"):
        read(tmp_path / "none.yaml")


def test_a_file_that_leads_in_a_circle_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "circle.yaml"
    path.symlink_to(path)
    with pytest.raises(DeclarationError, match=r"circle\.yaml: cannot be read"):
        read(path)


def test_the_error_counts_the_mistakes_and_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "trial.yaml"
    path.write_text("thresholds: []\nnope: 1\n", encoding="utf-8")
    with pytest.raises(DeclarationError) as caught:
        parse(read(path), Guardrails)
    assert caught.value.message == f"{path}: 2 mistakes"
    assert len(caught.value.problems) == 2


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates()
KEYS = """
name title category environments owner tags steadyState stages faults target kind spec action mode value
selector labelSelectors pods delay latency loss duration settle recovery timeout expect tolerate for signal
query services PodChaos NetworkChaos one fixed api-gateway staging
"""
names = st.sampled_from(KEYS.split())
words = names | st.sampled_from(["5m", ">= 0.99", "2", "basic", "platform-team", "", "pod-kill", "up"])
documents = st.recursive(
    scalars | words,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(names | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=30,
)
bounded = settings(
    derandomize=True,
    max_examples=80,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@st.composite
def changed(draw: st.DrawFn) -> Any:
    """The good experiment with one thing in it replaced by anything."""
    data = YAML(typ="safe").load(GOOD)
    node: Any = data
    while True:
        key = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        inner = node[key]
        if not isinstance(inner, dict | list) or not inner or draw(st.booleans()):
            node[key] = draw(documents)
            return data
        node = inner


@bounded
@given(st.dictionaries(names, documents, max_size=6) | changed())
def test_whatever_a_document_says_it_is_a_model_or_a_list_of_mistakes(tmp_path: Path, data: Any) -> None:
    path = tmp_path / "basic-pod-failure.yaml"
    # JSON is YAML, and quickly written.
    path.write_text(json.dumps(data, default=str, ensure_ascii=False), encoding="utf-8")
    for model in (Platform, Guardrails):
        with suppress(DeclarationError):
            assert isinstance(parse(read(path), model), model)
    for mistake in CATALOGUE.check(path):
        assert mistake.startswith(str(path))


@bounded
@given(
    st.text(alphabet=st.sampled_from("abn: -[]{}&*!|>'\"#%?,\n\t<1.~@`"), max_size=60) | st.text(max_size=30)
)
def test_whatever_a_file_holds_it_is_a_document_or_a_mistake(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trial.yaml"
    path.write_text(text, encoding="utf-8")
    for mistake in CATALOGUE.check(path):
        assert mistake.startswith(str(path))
        assert "\n" not in mistake
