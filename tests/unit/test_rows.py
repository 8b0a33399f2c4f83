"""Sheets and raw rows to rows: columns, ids, prompts."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchmod.errors import ManifestError
from batchmod.manifest import read
from batchmod.rows import ids, source_fault, tables, templates
from tests.unit.published import manifest_from, schemas


def _refusal(text: str, *, file: str = "s.csv", **wishes: object) -> str:
    with pytest.raises(ManifestError) as refused:
        manifest_from(text, file=file, **wishes)  # type: ignore[arg-type]
    return str(refused.value)


@pytest.mark.parametrize("header", ["video_url", "Video URL", "VIDEO-URL", "video url", "Video", "video"])
def test_a_clip_column_is_known_in_any_case_and_with_spaces(header: str) -> None:
    assert manifest_from(f"{header}\na.mp4\n", file="s.csv").rows[0].video_url == "a.mp4"


@pytest.mark.parametrize("header", ["Model", "MODEL", "Models", "Provider", "Hold", "Variant", "note", "code", "frame"])
def test_a_studios_own_column_is_carried_and_does_nothing(header: str) -> None:
    row = manifest_from(f"video_url,{header}\na.mp4,3\n", file="s.csv").rows[0]

    assert row.own == {header: "3"}
    assert (row.model, row.provider, row.hold, row.variant) == (None, None, False, 1)


def test_exact_spelling_makes_a_column_act() -> None:
    row = manifest_from("video_url,model,provider,hold,variant\na.mp4,big,local,x,2\n", file="s.csv").rows[0]

    assert (row.model, row.provider, row.hold, row.variant) == ("big", "local", True, 2)
    assert row.own == {}


def test_the_users_headers_are_mapped_to_fields() -> None:
    columns = {"id": "Shot", "video_url": "Plate", "prompt": "Look", "model": "Model"}
    manifest = manifest_from(
        "Shot,Plate,Look,Model,id\n010,a.mp4,doll of {Shot},big,7\n", file="s.csv", columns=columns
    )

    row = manifest.rows[0]
    assert (row.id, row.video_url, row.prompt, row.model) == ("010", "a.mp4", "doll of 010", "big")
    assert row.own == {"id": "7"}
    assert str(row.places["prompt"]) == "s.csv:2:C"


def test_a_mapped_header_that_is_not_there_is_refused() -> None:
    said = _refusal("Shot,Plat\n010,a.mp4\n", columns={"video_url": "Plate"})

    assert said == ("s.csv:1: there is no column 'Plate', which columns names for video_url; did you mean 'Plat'?")


def test_wishes_from_the_command_line_are_checked_too() -> None:
    assert _refusal("video_url\na.mp4\n", columns={"promt": "video_url"}).splitlines()[0] == (
        "--column (columns): unknown key 'promt'; did you mean 'prompt'?"
    )


def test_a_header_cannot_be_two_fields() -> None:
    said = _refusal("Plate\na.mp4\n", columns={"video_url": "Plate", "id": "Plate"})

    assert said == "--column: columns names 'Plate' for video_url and for id"


def test_a_near_miss_is_the_users_own_once_declared() -> None:
    assert "did you mean 'mode'?" in _refusal("video_url,mod\na.mp4,x\n")
    assert manifest_from("video_url,mod\na.mp4,x\n", file="s.csv", extra_columns=("mod",)).rows[0].own == {"mod": "x"}


def test_a_near_miss_is_a_mistake_only_where_the_known_field_is_absent() -> None:
    assert manifest_from("video_url,mode,mod\na.mp4,flex_1,x\n", file="s.csv").rows[0].own == {"mod": "x"}


def test_a_declared_column_frees_a_name_for_the_user() -> None:
    text = "video_url,Video\na.mp4,The Doll\n"

    assert "both video_url" in _refusal(text)
    assert manifest_from(text, file="s.csv", extra_columns=("Video",)).rows[0].own == {"Video": "The Doll"}


def test_an_empty_cell_is_absent_and_the_default_stands() -> None:
    row = manifest_from("video_url,mode,prompt\na.mp4, ,\n", file="s.csv").rows[0]

    assert (row.mode, row.prompt) == ("adhere_1", None)
    assert row.explicit == {"video_url"}


def test_rows_count_rows_and_places_count_lines() -> None:
    manifest = manifest_from('video_url,prompt\n\na.mp4,"x\ny"\n\nb.mp4,z\n', file="s.csv")

    assert [(row.number, str(row.place)) for row in manifest.rows] == [(1, "s.csv:3"), (2, "s.csv:6")]
    assert len(manifest.rows[1].places) == 2
    assert [str(place) for place in manifest.rows[1].places.values()] == ["s.csv:6:A", "s.csv:6:B"]


def test_a_manifest_in_csv_is_named_for_its_file() -> None:
    manifest = manifest_from("video_url\na.mp4\n", file="some where/shots.v2.csv")

    assert (manifest.name, manifest.file) == ("shots.v2", "some where/shots.v2.csv")
    assert (manifest.provider, manifest.output) == (None, None)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_endings_and_a_byte_order_mark_do_not_matter(ending: str, mark: str) -> None:
    text = mark + ending.join(["video_url,prompt", "a.mp4,x", "b.mp4,y", ""])

    assert [row.prompt for row in manifest_from(text, file="s.csv").rows] == ["x", "y"]


@pytest.mark.parametrize(("index", "name"), [(0, "A"), (25, "Z"), (26, "AA"), (51, "AZ"), (52, "BA"), (702, "AAA")])
def test_columns_have_a_spreadsheets_letters(index: int, name: str) -> None:
    assert tables.letters(index) == name


def test_a_comma_wins_where_several_separators_would_do() -> None:
    assert manifest_from("video_url,prompt\na.mp4,x; y\n", file="s.csv").rows[0].prompt == "x; y"


def test_a_slip_in_the_clips_name_still_finds_the_separator() -> None:
    assert _refusal("video_ur;prompt\na.mp4;x\n").startswith(
        "s.csv:1:A: unknown field 'video_ur'; did you mean 'video_url'?"
    )


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('video_url;prompt\n"a\n""b""";"c" d\n', "3:11"),
        ('video_url,prompt\r\nx" y.mp4,"a ""quoted"" "b\r\n', "2:25"),
        ('sep=;\nvideo_url;prompt\n\n"a"b;c\n', "4:4"),
    ],
)
def test_what_follows_a_closing_quote_has_its_column(text: str, place: str) -> None:
    assert _refusal(text).startswith(f"s.csv:{place}: after a closing quote comes ")


def test_a_cell_longer_than_the_reader_takes_is_a_problem_with_a_line() -> None:
    assert _refusal(f'video_url,prompt\na.mp4,"{"x" * 200_000}"\n').startswith("s.csv:2: a cell in this record is")


_CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@given(st.lists(st.tuples(_CELLS, _CELLS), min_size=1, max_size=5))
def test_any_text_in_a_users_column_comes_through_csv_unchanged(cells: list[tuple[str, str]]) -> None:
    written = io.StringIO(newline="")
    writer = csv.writer(written)
    writer.writerows([("video_url", "Notes", "more"), *(("a.mp4", *each) for each in cells)])

    rows = manifest_from(written.getvalue(), file="s.csv").rows

    assert [tuple(row.own.values()) for row in rows] == cells


def test_a_reading_keeps_the_good_rows_beside_the_problems_of_the_bad() -> None:
    data = b"id,video_url,mode\na,a.mp4,\nb,b.mp4,flex_9\nc,c.mp4,\n"
    reading = read(data, file="s.csv", schemas=schemas())

    assert reading.manifest is not None
    assert [(row.number, row.id) for row in reading.manifest.rows] == [(1, "a"), (3, "c")]
    assert [problem.row for problem in reading.problems] == [2]


def test_a_reading_with_a_broken_header_has_no_manifest() -> None:
    assert read(b"video_url,promt\na.mp4,x\n", file="s.csv", schemas=schemas()).manifest is None


@given(st.text(max_size=120))
def test_any_text_cleans_to_an_id_that_could_be_a_file_name(text: str) -> None:
    label = ids.clean(text)

    assert ids.fault(label) is None
    assert ids.clean(label) == label
    assert len(f"{label}_v001.mp4".encode()) <= 255
    assert not set(label) & set('/\\:*?"<>|\0\n')


@given(st.text(st.sampled_from("abÄ9 ._-/é\u0301映"), max_size=8))
def test_a_text_without_a_fault_is_its_own_clean_form(text: str) -> None:
    label = ids.normal(text)

    if ids.fault(label) is None:
        assert ids.clean(label) == label


@given(st.lists(st.text("aA-2 é", max_size=4), max_size=12), st.lists(st.text("aA-2", min_size=1, max_size=4)))
def test_assigned_ids_are_legal_unique_and_never_taken(stems: list[str], taken: list[str]) -> None:
    assigned = ids.assign(stems, taken=taken)

    folded = [ids.folded(label) for label in assigned]
    assert len(set(folded)) == len(stems)
    assert not set(folded) & {ids.folded(label) for label in taken}
    assert all(ids.fault(label) is None for label in assigned)


def test_ids_are_assigned_the_same_way_every_time() -> None:
    assert ids.assign(["a", "A", "a", "b"], taken=["A-2"]) == ["a", "A-3", "a-4", "b"]


def test_a_text_that_begins_with_accents_or_is_long_in_bytes_is_cut_to_size() -> None:
    assert ids.clean("\u0301\u0302 a") == "a"
    assert ids.clean("映" * 100) == "映" * 66


def test_a_long_stem_leaves_room_for_its_number() -> None:
    assigned = ids.assign(["x" * 150] * 2, taken=[])

    assert assigned == ["x" * 100, "x" * 98 + "-2"]


@pytest.mark.parametrize("label", ["con", "NUL", "com1", "LPT9.txt", "aux .a", "COM²", "prn.tar.gz"])
def test_a_device_of_windows_is_no_id(label: str) -> None:
    assert ids.fault(label) is not None


@pytest.mark.parametrize("label", ["console", "com10", "nul_1", "a", "Ärger 2", "012.A", "हिन्दी", "映画"])
def test_words_of_any_language_are_ids(label: str) -> None:
    assert ids.fault(label) is None


@pytest.mark.parametrize(
    ("source", "stem"),
    [
        ("clips/a.b.mp4", "a.b"),
        ("a", "a"),
        ("C:\\clips\\a.mp4", "a"),
        ("https://x.example/p/a%2Fb.mp4?sig=1#t", "b"),
        ("https://x.example/", ""),
        ("file:///tmp/a.mp4", "a"),
        (".mp4", ".mp4"),
        ("https://[::1/a.mp4", "a"),
        ("https://x.example", ""),
    ],
)
def test_a_stem_is_the_name_without_folders_and_suffix(source: str, stem: str) -> None:
    assert ids.stem(source) == stem


@given(st.text(max_size=30))
def test_a_text_with_its_braces_doubled_stays_itself(text: str) -> None:
    doubled = text.replace("{", "{{").replace("}", "}}")

    assert templates.fill(templates.parse(doubled), {}) == text


def test_what_is_inserted_is_not_looked_at_again() -> None:
    assert templates.fill(templates.parse("{a}{b}"), {"a": "{b}", "b": "}"}) == "{b}}"


@pytest.mark.parametrize("hole", ["{a.__class__}", "{a[0]}", "{a!r}", "{a:>1000000000}", "{0}"])
def test_a_prompt_knows_no_format_language(hole: str) -> None:
    assert "is no column of this row" in _refusal(f"video_url,a,prompt\nx.mp4,1,{hole}\n")


def test_a_prompt_cannot_grow_without_bound() -> None:
    said = _refusal(f"video_url,a,prompt\nx.mp4,{'a' * 5000},{'{a}' * 5}\n")

    assert said == "s.csv:2:C (prompt): prompt has 25000 characters with its columns; 20000 are the most it may have"


def test_an_empty_cell_inserts_nothing() -> None:
    assert manifest_from('video_url,a,prompt\nx.mp4,,"a doll{a}"\n', file="s.csv").rows[0].prompt == "a doll"


@pytest.mark.parametrize("source", ["clips/a@b.mp4", "https://x.example/a@b.mp4", "file:///clips/a@b.mp4"])
def test_an_at_sign_in_a_name_is_nobodys_password(source: str) -> None:
    assert source_fault(source) is None


@pytest.mark.parametrize(
    "source",
    [
        "https://me@x.example/a.mp4",
        "https://me:secret@x.example/",
        "https://[::1/a.mp4",
        "s3://key:secret@bucket/a.mp4",
    ],
)
def test_a_url_with_a_user_or_without_a_readable_host_is_refused_unseen(source: str) -> None:
    reason = source_fault(source)

    assert reason is not None
    assert "secret" not in reason
