"""Long sheets: read block by block and column by column, they say what they would say row by row."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batchmod import app, jobs, planning, providers, urls
from batchmod.app.options import Options
from batchmod.app.services import Services
from batchmod.errors import ManifestError
from batchmod.manifest import Reading, expanding, read
from batchmod.model import Status, Work
from batchmod.planning import Action, Known, Plan
from batchmod.rows import Plain, Stretch, ids, kept, parts_of, records
from batchmod.rows.named import source_fault
from batchmod.rows.records import NotCsv, Record, Span, Text
from tests import given as made
from tests.unit.published import schemas

HEADERS: Final = ("id", "video_url", "first_frame_url", "mode", "prompt", "variant", "hold", "review", "note")
URL: Final = "https://clips.example.com/a/{}.mp4"


@contextmanager
def long_sheets(*, columns: bool, block_bytes: int = 200) -> Iterator[None]:
    """Blocks of a few rows, none of them kept; `columns=False`: each row is looked at by itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "BLOCK_BYTES", block_bytes)
        patch.setattr(kept, "MOST_KEPT", 0)
        if not columns:
            patch.setattr(expanding, "glance", lambda *_: None)
        yield


def sheet(rows: Sequence[Sequence[str]], headers: Sequence[str] = HEADERS, *, end: str = "\n") -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=end).writerows([headers, *rows])
    return out.getvalue().encode()


def plain_row(number: int) -> list[str]:
    mode = "adhere_1" if number % 2 else ""
    return [f"shot-{number}", URL.format(number), URL.format(f"f{number}"), mode, f"a, {number}", "", "", "", "n"]


PIECES: Final = ("a", "é", "毛", ",", '"', '""', "\n", "\r\n", "\r", " ", '"\n', 'a,"b\nc",d\n')
CSV: Final = st.lists(st.sampled_from(PIECES)).map("".join)


def at_once(text: str) -> tuple[list[Record], int | None]:
    """What csv makes of the whole text, and the line at which it cannot go on."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    found, line = [], 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                found.append(Record(line, tuple(cells)))
            line = reader.line_num + 1
    except csv.Error:
        return found, line
    return found, None


def in_blocks(text: str, block_bytes: int) -> tuple[list[Record], int | None, list[Span]]:
    """What the blocks hold, the line at which one cannot go on, and where they stand."""
    reading = Text(data=text.encode(), delimiter=",")
    found: list[Record] = []
    spans: list[Span] = []
    stuck: NotCsv | None = None
    with long_sheets(columns=True, block_bytes=block_bytes):
        try:
            for span, block in reading.spans():
                spans.append(span)
                found += map(Record, block.lines, map(tuple, block.cells))
                assert reading.block(span) == block
                assert not block.cells or reading.head(span) == found[-len(block.cells)]
        except NotCsv as wrong:
            stuck = wrong
    if stuck is not None:
        before = text.encode()[: stuck.start].decode()
        assert len(re.findall(r"\r\n|\r|\n", before)) + 1 == stuck.line
    return found, None if stuck is None else stuck.line, spans


@given(CSV, st.integers(1, 60))
@example('a,"b\nc\nd\ne"\nf,g\n', 1)
@example('a\n"b', 1)
@example('a,"b""\n""c"\n', 2)
def test_blocks_hold_the_records_and_lines_of_the_whole_text(text: str, block_bytes: int) -> None:
    found, stuck, _ = in_blocks(text, block_bytes)

    assert (found, stuck) == at_once(text)


def test_a_long_text_is_in_many_blocks_and_a_record_never_in_two() -> None:
    text = "".join(f'{n},"line\nbreak {n}"\n' for n in range(50))

    found, _, spans = in_blocks(text, 40)

    assert len(found) == 50
    assert len(spans) > 1


@given(CSV)
def test_the_first_record_and_those_under_it_are_the_whole(text: str) -> None:
    whole, stuck = at_once(text)
    if stuck is not None or not whole:
        return
    with long_sheets(columns=True, block_bytes=20):
        first = Text(data=text.encode(), delimiter=",").first()
        assert first is not None
        assert [first[0], *first[1].records()] == whole


@given(st.lists(st.from_regex(urls._PLAIN, fullmatch=True), min_size=1, max_size=3))
def test_a_url_that_is_plain_at_a_glance_may_be_asked_and_is_its_own_identity(found: list[str]) -> None:
    assert urls.are_plain(found)
    assert [source_fault(url) for url in found] == [None] * len(found)
    assert [urls.identity_of_url(url) for url in found] == found


@pytest.mark.parametrize(
    "url",
    [
        *("https://a.example.com:443/x", "http://a.example.com:80/x", "https://A.example.com/x", "https://a.b/x?y=1"),
        *("https://u@a.example.com/x", "https://a.example.com", "ftp://a.example.com/x", "https://a.example.com/${X}"),
        *("https://a.example.com/*.mp4", "https://a.example.com:99999/x", "clips/a.mp4", "https://a.example.com/x y"),
        *(
            "s3://shop/a b.mp4",
            "gcs://shop/a",
            "S3://shop/a",
            "s3://shop/a?x=1",
            "s3://shop/a/",
            "s3://k@shop/a",
            "s3://shop",
        ),
    ],
)
def test_a_url_that_needs_a_second_look_gets_one(url: str) -> None:
    assert not urls.are_plain([url])


@given(st.text(st.characters(max_codepoint=0x17F), min_size=1, max_size=12))
@example("con")
@example("lpt1.mp4")
def test_an_id_that_is_simple_at_a_glance_is_one(label: str) -> None:
    if ids.are_simple([label]):
        assert ids.normal(label) == label
        assert ids.fault(label) is None


CELLS: Final[Mapping[str, st.SearchStrategy[str]]] = {
    "id": st.sampled_from(["a", "b", "A", "c d", "con", "é", "-x", "", "shot-1", "shot-2", "shot-3", "e", "f", "g"]),
    "video_url": st.sampled_from(
        [URL.format("a"), URL.format("b"), "clips/a.mp4", "", "https://a.example.com/x?y=1", "ftp://x/y", " "]
    ),
    "first_frame_url": st.sampled_from(["", URL.format("f"), "https://u:p@a.example.com/x"]),
    "mode": st.sampled_from(["", "adhere_1", "flex_3", "flex_9", " adhere_2 "]),
    "prompt": st.sampled_from(["", "wool", "a  b", "“quoted”", "{note}", "line\nbreak", 'a "b"', "50 %"]),
    "variant": st.sampled_from(["", "", "2", "2.0", "x"]),
    "hold": st.sampled_from(["", "", "yes", "maybe"]),
    "review": st.sampled_from(["", "", "keep", "hold", "redo"]),
    "note": st.sampled_from(["", "n", "=1+1"]),
}
GOOD: Final = st.integers(1, 40).map(plain_row)
ODD: Final = st.tuples(*CELLS.values()).map(list)
SHEETS: Final = st.lists(st.one_of(GOOD, GOOD, GOOD, ODD), min_size=1, max_size=30)


def reading(data: bytes, *, columns: bool, **asked: Any) -> Reading:
    with long_sheets(columns=columns):
        found = read(data, file="s.csv", schemas=schemas(), **asked)
        if found.manifest is None:
            return found
        return replace(found, manifest=replace(found.manifest, rows=tuple(found.manifest.rows)))


@given(SHEETS, st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=150, deadline=None)
def test_a_sheet_says_by_its_columns_what_it_says_row_by_row(rows: list[list[str]], end: str) -> None:
    data = sheet(rows, end=end)

    assert reading(data, columns=True) == reading(data, columns=False)


@pytest.mark.parametrize(
    "headers",
    [
        ("ID", "Video URL", "First Frame", "mode", "prompt", "Model", "model", "provider", ""),
        ("id", "video", "first_frame", "mode", "prompt", "variants", "source_id", "keyframes", "prompt_file"),
        ("id", "video_url", "first_frame_url", "mod", "prompt", "job_key", "status", "id", "note"),
        ("Plate", "video_url", "frame", "mode", "prompt", "prompt_prefix", "prompt_suffix", "a", "b"),
    ],
)
@given(rows=SHEETS)
@settings(max_examples=25, deadline=None)
def test_so_it_does_under_other_headers(headers: Sequence[str], rows: list[list[str]]) -> None:
    data = sheet([row + ["x"] * (n % 7 == 3) for n, row in enumerate(rows)], headers)

    assert reading(data, columns=True) == reading(data, columns=False)


def test_rows_that_are_good_at_a_glance_are_not_kept() -> None:
    with long_sheets(columns=True):
        found = read(sheet([plain_row(n) for n in range(60)]), file="s.csv", schemas=schemas()).manifest
        assert found is not None
        parts = parts_of(found.rows)
        assert len(parts) > 5
        assert all(isinstance(part, Stretch) and isinstance(part.plain, Plain) for part in parts)


def test_two_equal_ids_in_far_blocks_are_found() -> None:
    rows = [plain_row(n) for n in range(60)]
    rows[55][0] = "SHOT-2"

    found = reading(sheet(rows), columns=True)

    assert [str(problem) for problem in found.problems] == [
        "s.csv:57:A (id): duplicate id 'SHOT-2': it stands at s.csv:4:A already, written 'shot-2'"
    ]
    assert found.manifest is not None
    assert [row.number for row in found.manifest.rows] == [n for n in range(1, 61) if n != 56]


def loaded(path: Path, options: Options, *, columns: bool) -> tuple[app.Loaded, Plan] | tuple[str, ...]:
    """The manifest and its plan, or its problems."""
    services = Services(environ={"BATCHMOD_HOME": str(path.parent / "home"), "SEGMIND_BASE_URL": "http://127.0.0.1:9"})
    with long_sheets(columns=columns):
        try:
            found = app.load(path, options, services)
        except ManifestError as error:
            return tuple(map(str, error.problems))
        return found, app.foresee(found, options).plan


@given(
    SHEETS,
    st.builds(
        Options,
        provider=st.sampled_from(["segmind", "kie", "runway", "luma", "local"]),
        skip_invalid=st.booleans(),
        where=st.sampled_from([(), (("review", "keep"),), (("note", "n"),)]),
        first=st.sampled_from([None, 4]),
    ),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_jobs_and_plans_are_the_same_either_way(tmp_path: Path, rows: list[list[str]], options: Options) -> None:
    path = tmp_path / "s.csv"
    path.write_bytes(sheet(rows))

    with long_sheets(columns=True):
        one = loaded(path, options, columns=True)
        other = loaded(path, options, columns=False)

        if not isinstance(one[0], app.Loaded) or not isinstance(other[0], app.Loaded):
            assert one == other
            return
        assert list(one[0].jobs) == list(other[0].jobs)
        assert sorted(one[0].chosen) == sorted(other[0].chosen)
        assert (one[0].held, one[0].warnings) == (other[0].held, other[0].warnings)
        assert (one[0].invalid, one[0].problems) == (other[0].invalid, other[0].problems)
        assert same(one[1], other[1])


def same(one: Plan | str, other: Plan | str) -> bool:
    assert isinstance(one, Plan)
    assert isinstance(other, Plan)
    assert list(one.items) == list(other.items)
    assert [one.count(action) for action in Action] == [other.count(action) for action in Action]
    assert list(one.paid_sends) == list(other.paid_sends)
    assert one.orphans == other.orphans
    return one.cost == other.cost


@pytest.mark.parametrize("name", providers.NAMES)
def test_keys_by_columns_are_the_keys_of_the_jobs(name: str) -> None:
    rows = [plain_row(n) for n in range(40)]
    for n, row in enumerate(rows):
        row[4] = ["", "a “b” 'c'", "50 % of {}".replace("{}", "it"), 'tab\t"q" \\ é', "  two  words "][n % 5]
        row[5] = "2" if n % 3 == 0 else ""
    how = jobs.How(facts=providers.facts(name), origin="https://other.example.com", options={"a%s": "100 %"})
    with long_sheets(columns=True):
        found = read(sheet(rows), file="s.csv", schemas=schemas()).manifest
        assert found is not None
        for part in parts_of(found.rows):
            assert isinstance(part, Stretch)
            plain = jobs.PlainJobs(rows=part, how=lambda _: how, naming="{id}_v{version}")
            keyed = plain.keyed()
            assert [(job.id, job.key) for job in plain] == list(zip(keyed.ids, keyed.keys, strict=True))
            assert plain.head == next(iter(plain))


@given(st.lists(st.sampled_from([None, *Status][:7]), min_size=40, max_size=40), st.sets(st.integers(0, 40)))
@settings(max_examples=60, deadline=None)
def test_a_plan_over_a_record_is_the_same_either_way(statuses: list[Status | None], twins: set[int]) -> None:
    rows = [plain_row(n) for n in range(40)]
    for n in twins & set(range(40)):
        rows[n][1:5] = rows[0][1:5]
    how = jobs.How(facts=made.HOSTED, origin=made.ORIGIN, options={})
    with long_sheets(columns=True):
        found = read(sheet(rows), file="s.csv", schemas=schemas()).manifest
        assert found is not None
        plain = jobs.Jobs(
            jobs.PlainJobs(rows=part, how=lambda _: how, naming="{id}_v{version}")
            for part in parts_of(found.rows)
            if isinstance(part, Stretch)
        )
        assert len(plain) == 40
        works: dict[str, Work] = {}
        for n, (job, status) in enumerate(zip(plain, statuses, strict=True)):
            if status is not None and n >= 10:
                works[job.key] = made.work(job, status, work_id=n + 1)
        known = Known(works=works)

        one = planning.plan(plain, known=known, facts=made.FACTS, clips={}, flaws={}, held={3})
        other = planning.plan(tuple(plain), known=known, facts=made.FACTS, clips={}, flaws={}, held={3})

        assert same(one, other)
