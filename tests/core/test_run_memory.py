"""What is remembered of runs is bounded, and what is forgotten is no origin."""

import unicodedata
from dataclasses import replace
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.core.capability import TrustLevel
from gateway.core.circumstances import Origin
from gateway.core.declared import top
from gateway.core.evidence import EvidenceRef
from gateway.core.fields import FieldRole
from gateway.core.intent import read_intent
from gateway.core.occurrence import sought
from gateway.core.provenance import provenance
from gateway.core.run_memory import BLOCK_CHARS, MAX_BYTES, MAX_EVIDENCE, MAX_RUN_CHARS, MAX_RUNS, RunMemory, Runs
from tests.core.calls import Call, capability

TRUSTED, UNTRUSTED = TrustLevel.TRUSTED, TrustLevel.UNTRUSTED


def new(*scopes: str) -> Runs:
    runs = Runs()
    for scope in scopes or ("a",):
        runs.start(scope)
    return runs


def ref(name: str, trust: TrustLevel = TRUSTED) -> EvidenceRef:
    return EvidenceRef(name, trust, "us", None)


def said(text: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}]}


def test_a_run_keeps_its_newest_texts_within_its_bound() -> None:
    runs = new()
    for number in range(12):
        runs.read("a", said(f"name-{number} " + "x " * 30_000), ref(str(number)), [])
    memory = runs.of("a")
    assert memory.trusted.chars <= MAX_RUN_CHARS
    assert not memory.trusted.holds(sought("name-0"))
    assert memory.trusted.holds(sought("name-11"))


def test_many_short_texts_are_searched_together_and_no_value_reaches_over_two_of_them() -> None:
    runs = new()
    for number in range(5000):
        runs.read("a", said(f"answer {number} is left{number}"), ref(str(number)), [])
    trusted = runs.of("a").trusted
    assert len(trusted.blocks) <= 2 * MAX_RUN_CHARS // BLOCK_CHARS
    assert (trusted.chars, trusted.size) == (
        sum(len(block.marked) for block in trusted.blocks),
        sum(block.size for block in trusted.blocks),
    )
    assert trusted.holds(sought("answer 4998 is left4998"))
    assert not trusted.holds(sought("left4998 answer"))
    assert not trusted.holds(sought("answer 0 is"))


def test_a_run_that_may_have_been_forgotten_learns_nothing() -> None:
    runs = new("first")
    runs.read("first", said("alpha"), ref("1"), [])
    for number in range(MAX_RUNS):
        runs.of(f"more-{number}")
    assert not runs.remembers("first")
    runs.read("first", said("alpha"), ref("1"), [])
    runs.read("first", said("beta"), ref("2", UNTRUSTED), [])
    assert not runs.of("first").trusted.holds(sought("alpha"))
    assert runs.of("first").untrusted.holds(sought("beta"))


def test_of_too_many_runs_the_one_used_longest_ago_is_forgotten() -> None:
    runs = new("first", "second")
    runs.read("first", said("alpha"), ref("1"), [])
    runs.read("second", said("beta"), ref("2"), [])
    for number in range(MAX_RUNS - 2):
        runs.of(f"more-{number}")
    runs.of("first")
    runs.of("one too many")
    assert runs.of("first").trusted.holds(sought("alpha"))
    assert not runs.of("second").trusted.holds(sought("beta"))


def test_all_runs_together_are_bounded() -> None:
    runs = Runs()
    for number in range(1000):
        runs.start(f"run-{number}")
        runs.read(f"run-{number}", said("y" * 60_000 + " z"), ref("x"), [])
    kept = sum(bool(runs._runs[name].size) for name in list(runs._runs))
    assert 0 < kept * 60_000 <= MAX_BYTES * 1.1


def test_evidence_is_bounded_too() -> None:
    runs = new()
    for number in range(MAX_EVIDENCE + 1):
        runs.read("a", said("x"), ref(f"ref-{number}"), [])
    assert len(runs.of("a").evidence) == MAX_EVIDENCE
    assert "ref-0" not in runs.of("a").evidence


def test_calls_that_come_at_once_are_each_told_another_number_until_they_are_begun() -> None:
    runs = Runs()
    with runs.effect("a", may_have_one=True) as first, runs.effect("a", may_have_one=True) as second:
        with runs.effect("b", may_have_one=True) as other, runs.effect("a", may_have_one=False) as read:
            assert [one.ahead for one in (first, second, other, read)] == [0, 1, 0, 0]
        first.begun()
        assert second.ahead == 0
    with runs.effect("a", may_have_one=True) as third:
        assert third.ahead == 0


def test_a_call_with_many_words_in_its_arguments_teaches_nothing() -> None:
    runs = new()
    words = {"text": " ".join(f"word{number}" for number in range(100))}
    runs.read("a", said("bob@x.example"), ref("1"), runs.sends("a", words))
    assert not runs.of("a").trusted.holds(sought("bob@x.example"))


VALUES = st.one_of(
    st.text(max_size=12),
    st.integers(-(2**53) + 1, 2**53 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
)
DOCUMENTS = st.dictionaries(st.text(max_size=6), st.recursive(VALUES, lambda inner: st.lists(inner, max_size=3)), max_size=4)


@given(DOCUMENTS, DOCUMENTS, st.sampled_from(TrustLevel))
def test_whatever_is_read_no_leaf_is_vouched_for_by_what_is_not_trusted(
    arguments: dict[str, Any], result: dict[str, Any], trust: TrustLevel
) -> None:
    runs = new("run")
    runs.read("run", {"structuredContent": result}, ref("1", trust), [])
    leaves = provenance(arguments, capability(Call(declares=())), runs.of("run"), None)
    assert leaves is not None
    for leaf in leaves:
        assert Origin.INTENT not in leaf.origins
        assert (Origin.UNTRUSTED if trust is TRUSTED else Origin.TRUSTED) not in leaf.origins


@given(DOCUMENTS, st.data())
def test_a_value_that_a_trusted_result_holds_as_it_is_is_known(result: dict[str, Any], data: st.DataObject) -> None:
    leaf = data.draw(st.text(st.characters(whitelist_categories=("Ll", "Nd")), min_size=1, max_size=12))
    assume(unicodedata.normalize("NFKC", leaf) == leaf)
    runs = new("run")
    runs.read("run", {"structuredContent": {**result, "leaf": leaf}}, ref("1"), [])
    (found,) = provenance({"text": leaf}, capability(Call()), runs.of("run"), None) or []
    assert found.origins == {Origin.TRUSTED}


def test_the_role_of_a_leaf_is_that_of_the_nearest_declared_place_and_never_content_where_it_is_more() -> None:
    tool = capability(Call(declares=("a", "text")))
    fields = {FieldRole.CONTENT: ("/a", "/text"), FieldRole.PATH: ("/a/*/path", "/text")}
    tool = replace(tool, classification=replace(tool.classification, fields=fields))
    leaves = provenance({"a": [{"path": "x", "body": "y"}], "text": "z"}, tool, RunMemory(), None) or []
    roles = {(leaf.pointer, leaf.role) for leaf in leaves}
    assert roles == {
        ("/a/0/path", FieldRole.PATH),
        ("/a/0/body", FieldRole.CONTENT),
        ("/text", FieldRole.PATH),
    }


def test_a_choice_among_constants_is_not_the_definitions_own() -> None:
    schema = {
        "type": "object",
        "properties": {
            "way": {"anyOf": [{"const": "keep"}, {"const": "wipe"}]},
            "fixed": {"const": "keep"},
            "through": {"$ref": "#/$defs/fixed"},
            "all": {"allOf": [{"default": 5}]},
            "needed": {"type": ["string", "null"]},
            "spare": {"type": ["string", "null"]},
            "list": {"default": ["a", 1]},
        },
        "required": ["needed"],
        "$defs": {"fixed": {"const": "keep"}},
    }
    place = top(schema)
    known = {"fixed": "keep", "through": "keep", "all": 5.0, "spare": None, "list": ["a", 1]}
    unknown = {"way": "wipe", "fixed": "wipe", "all": 6, "needed": None, "list": ["a"]}
    assert all(place.member(name).defines(value) for name, value in known.items())
    assert not any(place.member(name).defines(value) for name, value in unknown.items())
    assert place.member("spare").defines("")
    assert not place.declares("other")


def test_members_that_a_reference_or_a_branch_declares_are_declared() -> None:
    schema = {
        "type": "object",
        "properties": {"opts": {"anyOf": [{"$ref": "#/$defs/o"}, {"type": "null"}]}},
        "$defs": {"o": {"type": "object", "properties": {"deep": {"items": {"properties": {"x": {}}}}}}},
    }
    opts = top(schema).member("opts")
    assert opts.declares("deep")
    assert opts.member("deep").element(3).declares("x")
    assert not opts.member("deep").element(3).declares("y")


def test_a_constrained_argument_must_be_there_unless_null_is_allowed_and_each_element_must_fit() -> None:
    intent = read_intent({"tools": {"t": {"/to/*": ["a", "b"], "/n": [1, None], "/flag": [True]}}})
    fits: list[dict[str, Any]] = [{"to": ["a"], "n": 1.0, "flag": True}, {"to": ["b", "a"], "flag": True}]
    fails: list[dict[str, Any]] = [
        {"to": [], "flag": True},
        {"to": ["a", "c"], "flag": True},
        {"to": ["a"], "flag": 1},
        {"to": ["a"]},
        {"to": "a", "flag": True},
        {"to": ["a"], "n": 2, "flag": True},
    ]
    assert all(intent.is_fulfilled_by("t", arguments) for arguments in fits)
    assert not any(intent.is_fulfilled_by("t", arguments) for arguments in fails)
    assert not intent.is_fulfilled_by("other", fits[0])
    assert intent.allows("t", {"to": ["a", "c"], "flag": True}) == {"/to/0", "/flag"}
