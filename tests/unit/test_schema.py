"""The published schemas, and what is said of a document that breaks one."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from batchmod.errors import Place
from batchmod.model import MODES, Limits, Manifest, Row
from batchmod.schema import (
    Path,
    Schema,
    defaults,
    did_you_mean,
    everywhere,
    is_near_miss,
    one_line,
    problems,
    resolve,
    shown,
    suggestion,
    surely_valid,
    typed,
)
from tests.unit.published import schemas

_HERE = everywhere(Place(file="here"))
_RESULT_COLUMNS = (
    "id, status, output, error_code, error, provider, model, mode, prompt, video_url, first_frame_url, variant, "
    "version, attempts, request_id, cost_usd, cost_source, submitted_at, finished_at, seconds, width, height, fps, "
    "frames, duration_s, has_audio, bytes, sha256, motion_score, flicker_score, first_frame_score, flagged, "
    "flag_reason, warnings, structure_score, drift_score, billed, run_id, review, review_of, job_key, manifest, row"
)


def _said(document: Any, schema: Schema) -> list[str]:
    return [str(problem).removeprefix("here").lstrip(": ") for problem in problems(document, schema, locate=_HERE)]


@pytest.mark.parametrize("schema", schemas().all(), ids=lambda schema: schema["$id"])
def test_a_published_schema_is_valid_and_tells_editors_what_it_is(schema: Schema) -> None:
    Draft202012Validator.check_schema(dict(schema))

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "/" not in schema["$id"]
    assert schema["title"]
    assert schema["description"]
    assert schema["examples"]


@pytest.mark.parametrize("schema", schemas().all(), ids=lambda schema: schema["$id"])
def test_every_field_is_explained_by_title_description_and_example(schema: Schema) -> None:
    bare = [
        name
        for name, inner in _properties(schema)
        if "$ref" not in inner and not {"title", "description", "examples"} <= inner.keys()
    ]

    assert bare == []


_ANNOTATIONS = {"title", "description", "examples", "default", "$schema", "$id"}
_KEYWORDS = _ANNOTATIONS | {
    *("$ref", "$defs", "type", "enum", "const", "properties", "required", "additionalProperties", "items", "anyOf"),
    *("allOf", "if", "then", "else", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "pattern"),
    *("minItems", "minProperties"),
}
_X = {"x-alias-of", "x-loose", "x-exact", "x-missing", "x-env", "x-form"}
_NAMED = {"properties", "$defs"}


def _parts(schema: Any) -> Iterator[Schema]:
    """Every schema within a schema, itself first."""
    yield schema
    for key, inner in schema.items():
        if key in _NAMED:
            children = list(inner.values())
        elif key in {"anyOf", "allOf"}:
            children = inner
        elif key in {"items", "if", "then", "else", "additionalProperties"} and isinstance(inner, dict):
            children = [inner]
        else:
            children = []
        for child in children:
            yield from _parts(child)


@pytest.mark.parametrize("schema", schemas().all(), ids=lambda schema: schema["$id"])
def test_a_schema_uses_only_words_that_editors_know_and_names_only_what_is_there(schema: Schema) -> None:
    for part in _parts(schema):
        assert set(part) <= _KEYWORDS | _X
        assert part.keys() & {"properties", "additionalProperties"} == set() or part.get("type", "object") != "string"
        assert set(part.get("required", ())) <= set(part.get("properties", part.get("required", ())))
        if "$ref" in part:
            assert isinstance(resolve(part, shared=schemas().all(), root=schema), dict)


def _properties(schema: Schema) -> list[tuple[str, Schema]]:
    own = list(schema.get("properties", {}).items())
    return own + [each for _, inner in own for each in _properties(inner)]


@pytest.mark.parametrize("schema", schemas().all(), ids=lambda schema: schema["$id"])
def test_the_examples_and_defaults_of_a_schema_are_valid(schema: Schema) -> None:
    registry: Registry[Any] = Registry().with_resources(
        (each["$id"], Resource.from_contents(each)) for each in schemas().all()
    )
    validator = Draft202012Validator(dict(schema), registry=registry)

    for example in schema["examples"]:
        validator.validate(example)
    for _, inner in _properties(schema):
        if "$ref" not in inner:
            for value in [*inner["examples"], *([inner["default"]] if "default" in inner else [])]:
                Draft202012Validator(
                    {**inner, "$id": schema["$id"], "$defs": schema.get("$defs", {})}, registry=registry
                ).validate(value)


@pytest.mark.parametrize(
    ("document", "fine"),
    [
        ({"clips": [{"video_url": "a.mp4"}, {"video": "b.mp4"}]}, True),
        ({"clips": [{"video_url": "a.mp4"}, {"prompt": "x"}]}, False),
        ({"clips": [{"prompt": "x"}], "defaults": {"video": "a.mp4"}}, True),
        ({"clips": [{"Plate": "a.mp4"}], "columns": {"video_url": "Plate"}}, True),
        ({"clips": [{"video_url": "a.mp4", "mode": "flex_9"}]}, False),
    ],
)
def test_an_editor_sees_what_batchmod_would_refuse(document: Any, *, fine: bool) -> None:
    found = problems(document, schemas().manifest, locate=_HERE, shared=schemas().all())

    assert (found == []) == fine


def test_the_words_of_the_model_and_of_the_schemas_are_the_same() -> None:
    row = schemas().row["properties"]
    said = {name for name, inner in row.items() if "x-alias-of" not in inner}

    assert tuple(row["mode"]["enum"]) == MODES
    spent = {"prompt_prefix", "prompt_suffix", "prompt_file", "variants"}  # prompts and variants are made of them
    assert said == {each.name for each in fields(Row)} - {"number", "own", "explicit", "place", "places"} | spent
    assert set(schemas().manifest["properties"]["limits"]["properties"]) == {each.name for each in fields(Limits)}


def test_the_defaults_of_the_model_and_of_the_schemas_are_the_same() -> None:
    manifest = defaults(schemas().manifest)

    assert Limits(**manifest["limits"]) == Limits()
    assert manifest["naming"] == Manifest.__dataclass_fields__["naming"].default
    assert manifest["pair_frames"] is Manifest.__dataclass_fields__["pair_frames"].default
    assert defaults(schemas().row) == {"mode": "adhere_1", "variant": 1, "hold": False}
    assert manifest["limits"] == {
        "max_in_flight": 8,
        "polls_per_minute": 60,
        "max_attempts": 3,
        "stop_after_failures": 5,
    }


def test_defaults_and_columns_of_a_manifest_know_every_field_of_a_row() -> None:
    row = schemas().row["properties"]
    manifest = schemas().manifest["properties"]

    assert set(manifest["defaults"]["properties"]) == set(row) - {"id", "source_id", "review", "review_of", "keyframes"}
    assert set(manifest["columns"]["properties"]) == {name for name in row if "x-alias-of" not in row[name]}


def test_the_columns_of_results_stand_in_their_order() -> None:
    assert list(schemas().results["properties"]) == _RESULT_COLUMNS.split(", ")


@pytest.mark.parametrize(
    ("rule", "value", "words"),
    [
        ({"type": "string"}, 3, "must be text, not 3"),
        ({"type": ["string", "null"]}, True, "must be text or empty, not true"),
        ({"type": "integer"}, "x", "must be a whole number, not 'x'"),
        ({"type": "object"}, [1], "must be a mapping (`key: value`), not a list"),
        ({"type": "array"}, {}, "must be a list, not a mapping"),
        ({"const": 1}, None, "must be 1, not nothing"),
        ({"minimum": 1}, 0, "must be at least 1, not 0"),
        ({"maximum": 9}, 10, "must be at most 9, not 10"),
        ({"exclusiveMinimum": 0}, 0, "must be more than 0, not 0"),
        ({"exclusiveMaximum": 1}, 1.5, "must be less than 1, not 1.5"),
        ({"minLength": 1}, "", "is empty"),
        ({"minLength": 3}, "ab", "needs at least 3 characters"),
        ({"maxLength": 2}, "abc", "has 3 characters; 2 are the most it may have"),
        ({"minItems": 1}, [], "needs at least 1 entries"),
        ({"maxItems": 1}, [1, 2], "may have at most 1 entries"),
        ({"uniqueItems": True}, [1, 1], "holds the same value twice"),
    ],
)
def test_each_rule_has_plain_words(rule: Schema, value: Any, words: str) -> None:
    assert _said({"size": value}, {"properties": {"size": rule}}) == [f"(size): size {words}"]


def test_a_rule_without_words_of_ours_is_said_as_the_validator_says_it() -> None:
    assert _said({"size": 3}, {"properties": {"size": {"multipleOf": 2}}}) == ["(size): 3 is not a multiple of 2"]


def test_a_value_outside_a_list_names_the_nearest_or_all() -> None:
    schema = {"properties": {"mode": {"enum": ["flex_1", "flex_2"]}}}

    assert _said({"mode": "flex-1"}, schema) == ["(mode): 'flex-1' is not a mode; did you mean 'flex_1'?"]
    assert _said({"mode": "quiet"}, schema) == ["(mode): 'quiet' is not a mode; it is one of flex_1, flex_2"]


def test_a_missing_field_says_why_it_is_needed() -> None:
    schema = {"required": ["clip", "it's"], "properties": {"clip": {"x-missing": "nothing goes without"}}}

    assert _said({}, schema) == ["clip is missing: nothing goes without", "it's is missing"]


def test_an_unknown_key_is_located_by_its_key_and_compared_with_keys_not_given() -> None:
    asked: list[tuple[Path, bool]] = []

    def locate(path: Path, *, key: bool = False) -> Place:
        asked.append((path, key))
        return Place(file="here")

    schema = {"additionalProperties": False, "properties": {"mode": {}, "model": {}}}
    found = problems({"mode": 1, "modes": 2}, schema, locate=locate)

    assert [str(each) for each in found] == ["here: unknown key 'modes'; did you mean 'model'?"]
    assert (("modes",), True) in asked


def test_of_several_forms_the_one_that_fits_best_is_spoken_of() -> None:
    schema = {"anyOf": [{"type": "string"}, {"properties": {"size": {"type": "integer"}}}]}

    assert _said({"size": "big"}, schema) == ["(size): size must be a whole number, not 'big'"]


def test_places_in_lists_are_named() -> None:
    schema = {"properties": {"list": {"items": {"properties": {"size": {"type": "integer"}}}}}}

    assert _said({"list": [{}, {"size": "x"}]}, schema) == ["(list[1].size): size must be a whole number, not 'x'"]
    assert _said("x", {"type": "object"}) == ["the document must be a mapping (`key: value`), not 'x'"]


def test_a_value_is_shown_short_and_on_one_line() -> None:
    assert shown("a" * 200) == f"'{'a' * 60}…'"
    assert shown("red\x1b[31m\n") == r"'red\x1b[31m\n'"
    assert one_line("été") == "été"


def test_a_reference_is_found_in_its_own_and_in_other_schemas() -> None:
    other = {"$id": "other.json", "properties": {"a": {"type": "string"}}}
    root = {"$defs": {"b": {"type": "integer"}}}

    assert resolve({"$ref": "other.json#/properties/a"}, shared=[other]) == {"type": "string"}
    assert resolve({"$ref": "#/$defs/b"}, root=root) == {"type": "integer"}
    assert resolve({"$ref": "other.json"}, shared=[other]) == other
    assert resolve({"type": "null"}) == {"type": "null"}


@pytest.mark.parametrize("word", ["true", "TRUE", "yes", "Y", "x", "X", "on", "1", " yes "])
def test_a_cross_and_its_kin_are_true(word: str) -> None:
    assert typed(word, {"type": "boolean"}) is True


@pytest.mark.parametrize("word", ["false", "No", "n", "off", "0"])
def test_a_no_and_its_kin_are_false(word: str) -> None:
    assert typed(word, {"type": "boolean"}) is False


@pytest.mark.parametrize(("text", "value"), [("2", 2), ("2.0", 2), ("-1", -1), ("2.5", "2.5"), ("two", "two")])
def test_a_whole_number_may_look_like_a_spreadsheets(text: str, value: object) -> None:
    assert typed(text, {"type": "integer"}) == value


_TEXT_RULES = st.fixed_dictionaries(
    {"type": st.sampled_from(["string", "integer", "boolean"])},
    optional={
        "minLength": st.integers(0, 4),
        "maxLength": st.integers(0, 4),
        "enum": st.lists(st.text("ab", max_size=3), max_size=3),
        "pattern": st.just("^a"),
    },
)


@given(st.text("ab1", max_size=5), _TEXT_RULES)
def test_what_is_valid_at_a_glance_is_valid(text: str, rule: dict[str, Any]) -> None:
    if surely_valid(text, rule):
        assert Draft202012Validator(rule).is_valid(text)


@pytest.mark.parametrize(
    ("slip", "known"),
    [
        ("mod", "mode"),
        ("promt", "prompt"),
        ("prompts", "prompt"),
        ("video_ur", "video_url"),
        ("mdoe", "mode"),
        ("Video URL", "video_url"),
        ("first-frame", "first_frame"),
        ("vidoe", "video"),
        ("pronpt", "prompt"),
        ("idd", "id"),
    ],
)
def test_a_slip_of_the_pen_is_a_near_miss(slip: str, known: str) -> None:
    assert is_near_miss(slip, known)


@pytest.mark.parametrize(
    ("word", "known"),
    [
        ("code", "mode"),
        ("note", "mode"),
        ("node", "mode"),
        ("frame", "first_frame"),
        ("look", "prompt"),
        ("mode", "mode"),
    ],
)
def test_another_word_is_no_near_miss(word: str, known: str) -> None:
    assert not is_near_miss(word, known)


def test_case_can_count() -> None:
    assert is_near_miss("models", "model", any_case=False)
    assert not is_near_miss("Models", "model", any_case=False)


_NAMES = st.text("abc_ -", min_size=1, max_size=8)


@given(_NAMES, _NAMES)
def test_near_is_near_both_ways(one: str, other: str) -> None:
    assert is_near_miss(one, other) == is_near_miss(other, one)


@given(st.sampled_from(sorted(schemas().row["properties"])), st.data())
def test_one_letter_less_more_or_swapped_is_always_near(known: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(known) - 2))
    letter = data.draw(st.sampled_from("abcxyz"))
    slips = [
        known[:at] + known[at + 1 :],
        known[:at] + letter + known[at:],
        known[:at] + known[at + 1] + known[at] + known[at + 2 :],
    ]

    assert all(slip == known or is_near_miss(slip, known) for slip in slips)


def test_a_suggestion_prefers_the_same_word_then_a_slip_then_likeness() -> None:
    assert suggestion("Model", ["mode", "model"]) == "model"
    assert suggestion("mod", ["model", "mode"]) == "mode"
    assert suggestion("max_cost", ["max_attempts", "max_cost_usd"]) == "max_cost_usd"
    assert did_you_mean("quiet", ["mode"]) is None
