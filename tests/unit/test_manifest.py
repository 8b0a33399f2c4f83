"""YAML to a manifest, and readers that meet anything."""

from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchmod.errors import ManifestError
from batchmod.manifest import Reading, parse_csv, parse_yaml, read, trees
from batchmod.rows import ids
from tests.unit.published import manifest_from, schemas


def _refusal(text: str, **wishes: Any) -> str:
    with pytest.raises(ManifestError) as refused:
        manifest_from(text, file="m.yaml", **wishes)
    return str(refused.value)


def _core(text: str) -> Any:
    root = trees.parse(text, file="m.yaml").root
    assert root is not None
    return trees.plain(root)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("12", 12),
        ("-3", -3),
        ("0x1F", 31),
        ("0o17", 15),
        ("012", 12),
        ("1e3", 1000.0),
        ("1.5", 1.5),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("1e999", "1e999"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("2026-05-03", "2026-05-03"),
        ("'12'", "12"),
        ("!!str 12", "12"),
        ("! 12", "12"),
        ("!!int '12'", 12),
        ("=", "="),
    ],
)
def test_scalars_mean_what_yaml_1_2_says(written: str, value: object) -> None:
    found = _core(f"a: {written}\n")["a"]

    assert found == value
    assert type(found) is type(value)


def test_a_number_as_long_as_a_novel_stays_text() -> None:
    assert _core("a: " + "9" * 5000)["a"] == "9" * 5000


def test_numbers_and_words_stay_as_written_where_text_is_meant() -> None:
    manifest = manifest_from(
        "name: 2026\nclips:\n  - {id: 001, video_url: 12, prompt: 1e3, shot: 0x1F}\n", file="m.yaml"
    )

    row = manifest.rows[0]
    assert (manifest.name, row.id, row.video_url, row.prompt) == ("2026", "001", "12", "1e3")
    assert row.own == {"shot": "0x1F"}


def test_a_whole_number_with_a_point_is_whole_where_one_is_meant() -> None:
    limits = manifest_from("limits: {max_in_flight: 4.0}\nclips: [{video_url: a.mp4}]\n", file="m.yaml").limits

    assert type(limits.max_in_flight) is int


def test_hold_takes_the_words_of_sheets_everywhere() -> None:
    text = "defaults: {hold: 1}\nclips:\n  - {video_url: a.mp4}\n  - {video_url: b.mp4, hold: no}\n"

    assert [row.hold for row in manifest_from(text, file="m.yaml").rows] == [True, False]


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(st.dictionaries(_TEXTS.map(lambda text: f"my {text}"), _TEXTS, max_size=4))
def test_any_text_in_a_users_field_comes_through_yaml_unchanged(own: dict[str, str]) -> None:
    text = yaml.dump({"clips": [{"video_url": "a.mp4", **own}]}, sort_keys=False)

    assert manifest_from(text, file="m.yaml").rows[0].own == own


def test_what_the_row_itself_set_is_explicit_and_defaults_keep_their_place() -> None:
    text = "defaults: {mode: flex_1}\nclips:\n  - {video_url: a.mp4, prompt: x}\n"

    row = manifest_from(text, file="m.yaml").rows[0]

    assert row.explicit == {"video_url", "prompt"}
    assert row.mode == "flex_1"
    assert str(row.places["mode"]) == "m.yaml:1:18"
    assert str(row.places["video_url"]) == "m.yaml:3:17"


def test_columns_rename_fields_of_yaml_rows_and_the_command_line_wins() -> None:
    text = "columns: {prompt: Look}\nclips:\n  - {video_url: a.mp4, Look: one, Note: two}\n"

    assert manifest_from(text, file="m.yaml").rows[0].prompt == "one"
    assert manifest_from(text, file="m.yaml", columns={"prompt": "Note"}).rows[0].prompt == "two"


def test_a_column_for_a_field_that_does_not_exist_is_refused() -> None:
    said = _refusal("columns: {promt: Look}\nclips:\n  - {video_url: a.mp4, Look: x}\n")

    assert said == "m.yaml:1:11 (columns): unknown key 'promt'; did you mean 'prompt'?"


def test_own_columns_are_listed_in_the_order_they_are_first_seen() -> None:
    text = "clips:\n  - {video_url: a.mp4, b: 1}\n  - {a: 2, video_url: b.mp4, b: 3}\n"

    assert manifest_from(text, file="m.yaml").own_columns == ("b", "a")


def test_a_near_miss_may_be_declared_in_the_manifest_or_beside_it() -> None:
    row = "clips:\n  - {video_url: a.mp4, promt: x}\n"

    assert "did you mean 'prompt'?" in _refusal(row)
    assert manifest_from(f"extra_columns: [promt]\n{row}", file="m.yaml").rows[0].own == {"promt": "x"}
    assert manifest_from(row, file="m.yaml", extra_columns=("promt",)).rows[0].own == {"promt": "x"}


@pytest.mark.parametrize("name", ["schedule", "webhook"])
def test_what_is_not_there_yet_is_refused_and_not_ignored(name: str) -> None:
    assert f"unknown key '{name}'" in _refusal(f"{name}: [x]\nclips: [{{video_url: a.mp4}}]\n")


@pytest.mark.parametrize(
    "naming", ["{id}_v{version}", "{id}_v{version:03d}", "{shot}/{id}/{version:02d}", "{{x}}{id}{version}"]
)
def test_a_naming_template_holds_id_and_version(naming: str) -> None:
    text = f"naming: '{naming}'\nclips: [{{video_url: a.mp4, shot: 1}}]\n"

    assert manifest_from(text, file="m.yaml").naming == naming


@pytest.mark.parametrize(
    "naming",
    [
        "{id}",
        "{version}",
        "{id}{version:3d}",
        "{id}{version!r}",
        "/{id}{version}",
        "{id}/../{version}",
        "a:{id}{version}",
    ],
)
def test_a_naming_template_that_could_collide_or_escape_is_refused(naming: str) -> None:
    assert "(naming): " in _refusal(f"naming: '{naming}'\nclips: [{{video_url: a.mp4}}]\n")


_VALUES = st.lists(_TEXTS.filter(str.strip), min_size=1, max_size=4)


@given(_VALUES, _VALUES, st.sampled_from(["shot", "Ä 1", "x" * 90]))
def test_every_id_of_a_matrix_could_be_a_file_name_and_is_one_of_a_kind(
    looks: list[str], takes: list[str], label: str
) -> None:
    rows = [{"id": label, "video_url": "a.mp4"}, {"video_url": "clips/b.mp4"}]
    text = yaml.dump({"matrix": {"look": looks, "take": takes}, "clips": rows}, allow_unicode=True)
    reading = read(text.encode(), file="m.yaml", schemas=schemas())

    assert reading.manifest is not None, reading.problems
    made = [row.id for row in reading.manifest.rows]
    assert all(ids.fault(each) is None for each in made)
    assert len({ids.folded(each) for each in made}) == len(made)
    assert len(made) + len(reading.rejected) == 2 * len(looks) * len(takes)


@pytest.mark.parametrize("file", ["shots.ods", "shots", "shots.txt"])
def test_a_file_of_another_kind_is_refused_by_its_name(file: str) -> None:
    with pytest.raises(ManifestError, match=r"a manifest ends in \.yaml, \.yml, \.csv, \.tsv, \.xlsx or \.jsonl"):
        manifest_from("clips: []", file=file)


def test_the_suffix_may_be_in_capitals_and_the_parsers_may_be_named() -> None:
    yaml_text, csv_text = b"clips: [{video_url: a.mp4}]", b"video_url\na.mp4\n"

    assert (
        manifest_from(yaml_text.decode(), file="M.YML").rows
        == parse_yaml(yaml_text, file="M.YML", schemas=schemas()).rows
    )
    assert (
        manifest_from(csv_text.decode(), file="S.TSV").rows == parse_csv(csv_text, file="S.TSV", schemas=schemas()).rows
    )


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_depth_is_bounded_before_anything_recurses(opening: str) -> None:
    assert _refusal(opening * 200_000).endswith("nested more than 100 deep")


def test_a_large_manifest_of_aliases_is_no_bomb() -> None:
    rows = "".join(f"  - {{<<: *base, video_url: a{number}.mp4}}\n" for number in range(1000))

    assert (
        len(manifest_from(f"clips:\n  - &base {{video_url: a.mp4, mode: flex_1}}\n{rows}", file="m.yaml").rows) == 1001
    )


def test_merge_keys_can_be_a_bomb_too() -> None:
    base = "".join(f"k{number}: 1, " for number in range(3000))
    merges = ", ".join(["*base"] * 3000)

    said = _refusal(f"x: &base {{{base}}}\nclips:\n  - {{<<: [{merges}], video_url: a.mp4}}\n")

    assert "the aliases make this document grow beyond all measure" in said


def _is_an_answer(reading: Reading) -> bool:
    return all(str(problem).isprintable() for problem in reading.problems) and (
        reading.manifest is not None or bool(reading.problems)
    )


@settings(max_examples=300)
@given(st.text(st.sampled_from("abc:-[]{}&*!#|>'\"%@` \n\t,?<~.0é\x85\u2028\\/="), max_size=40))
@example("clips:\n - <<: *a")
@example("clips: {<<: [1]}")
@example("%YAML 1.3\n---\na")
@example("clips: [<<: {a: b}]")
@example('a: "\\')
@example("clips:\n- video_url: a\n  '': b\n")
@example("? ")
def test_no_yaml_text_gets_past_an_answer(text: str) -> None:
    assert _is_an_answer(read(text.encode(), file="m.yaml", schemas=schemas()))
    assert _is_an_answer(read(f"clips:\n  - {text}".encode(), file="m.yaml", schemas=schemas()))


@settings(max_examples=300)
@given(st.text(st.sampled_from("ab,;\t\"'\n\r\0 {}=é\x85\u2028"), max_size=40))
def test_no_csv_text_gets_past_an_answer(text: str) -> None:
    assert _is_an_answer(read(text.encode(), file="s.csv", schemas=schemas()))
    assert _is_an_answer(read(f"video_url,prompt\n{text}".encode(), file="s.csv", schemas=schemas()))


@given(st.binary(max_size=60), st.sampled_from(["m.yaml", "s.csv"]))
def test_no_bytes_get_past_an_answer(data: bytes, file: str) -> None:
    assert _is_an_answer(read(data, file=file, schemas=schemas()))
