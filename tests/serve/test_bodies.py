"""Bodies as streams: whatever the pieces they come in, the same files and the same rest."""

import base64
import json
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchmod.serve import bodies
from batchmod.serve.bodies import MOST_FILES, MOST_TEXT, Arriving, Lifted, Parts
from batchmod.serve.contract import Refused
from batchmod.serve.forms import Form
from tests.serving import data_url

CONTENT = bytes(range(256)) * 20
Feed = Callable[[bytes], object]


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = new_parts(tmp_path)
    yield made
    made.discard()


def new_parts(folder: Path, most: int = 10_000_000) -> Parts:
    numbers = count()
    return Parts(lambda: Arriving(folder / f"part-{next(numbers)}", most))


def fed(feed: Feed, body: bytes, size: int) -> None:
    for start in range(0, len(body), size):
        feed(body[start : start + size])


def contents(parts: Parts) -> list[bytes]:
    for file in parts.files:
        file.settle()
    return [file.path.read_bytes() for file in parts.files]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000, 100_000])
@pytest.mark.parametrize("slash", ["/", "\\/"])
def test_data_urls_become_files_and_the_rest_stays(parts: Parts, size: int, slash: str) -> None:
    given_ = {
        "a": ['b"\\ü', data_url(CONTENT), 1, data_url(b"", "image/png"), data_url(b"xy")],
        "data:": "data:x;base64",
    }
    body = json.dumps(given_).replace("/", slash).encode()
    lifted = Lifted(parts)

    fed(lifted.feed, body, size)
    rest = json.loads(lifted.finish())
    first, third, number, none, last = rest["a"]

    assert (first, number, rest["data:"]) == ('b"\\ü', 1, "data:x;base64")
    assert [lifted.file_of(each) for each in (third, none, last)] == parts.files
    others: list[object] = [first, number, None, "file:0", []]
    assert [lifted.file_of(each) for each in others] == [None] * 5
    assert contents(parts) == [CONTENT, b"", b"xy"]


@settings(max_examples=60, deadline=None)
@given(
    files=st.lists(st.binary(max_size=300), max_size=4), texts=st.lists(st.text(max_size=50)), size=st.integers(1, 90)
)
def test_any_body_in_any_pieces(
    tmp_path_factory: pytest.TempPathFactory, files: list[bytes], texts: list[str], size: int
) -> None:
    parts = new_parts(tmp_path_factory.mktemp("parts"))
    plain = [text for text in texts if not text.startswith("data:")]
    body = json.dumps([*plain, *map(data_url, files), {"x": plain}], ensure_ascii=False).encode()
    lifted = Lifted(parts)

    fed(lifted.feed, body, size)
    rest = json.loads(lifted.finish())

    assert rest[: len(plain)] == plain
    assert rest[-1] == {"x": plain}
    assert contents(parts) == files
    parts.discard()


def read(lifted: Lifted, body: bytes, size: int) -> bytes:
    """What remains of a body that comes in pieces."""
    fed(lifted.feed, body, size)
    return lifted.finish()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'["data:video/mp4;base64,AAA', 400),
        (b'["data:video/mp4;base64,AAA"]', 400),
        (b'["data:video/mp4;base64,AA=A"]', 400),
        (b'["data:video/mp4;base64,AA==AAAA"]', 400),
        (b'["data:video/mp4;base64,A A="]', 400),
        (b'["data:video/mp4;base64,A\\u0041AA"]', 400),
        (b'["abc', 400),
        (b'["abc\\', 400),
    ],
)
def test_a_cut_or_broken_body_is_refused(parts: Parts, body: bytes, status: int) -> None:
    for size in (1, 5, 1000):
        lifted = Lifted(parts)
        with pytest.raises(Refused) as refused:
            read(lifted, body, size)
        assert refused.value.status == status


def test_a_file_beyond_its_size_ends_at_once(tmp_path: Path) -> None:
    parts = new_parts(tmp_path, most=1000)
    lifted = Lifted(parts)

    with pytest.raises(Refused) as refused:
        fed(lifted.feed, json.dumps([data_url(bytes(1001))]).encode(), 100)

    assert refused.value.status == 413
    assert parts.files[0].path.stat().st_size <= 1000
    parts.discard()
    assert not list(tmp_path.iterdir())


def test_texts_and_files_have_a_number(parts: Parts) -> None:
    with pytest.raises(Refused, match="beside its files"):
        fed(Lifted(parts).feed, b'["' + b"x" * (MOST_TEXT + 1), 65536)
    with pytest.raises(Refused, match=str(MOST_FILES)):
        Lifted(parts).feed(json.dumps([data_url(b"x")] * (MOST_FILES + 1)).encode())


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """What waits between two pieces is less than a piece."""
    parts = new_parts(tmp_path, most=50_000_000)
    lifted = Lifted(parts)
    piece = base64.b64encode(bytes(48 * 1024))

    lifted.feed(b'{"data_urls": ["data:video/mp4;base64,')
    waiting = []
    for _ in range(200):
        lifted.feed(piece)
        waiting.append(len(lifted._held) + len(lifted._text))
    lifted.feed(b'"]}')
    lifted.finish()

    assert max(waiting) < 1000
    assert contents(parts) == [bytes(200 * 48 * 1024)]
    assert bodies.MOST_TEXT == MOST_TEXT


def form_body(fields: list[tuple[str, tuple[str | None, bytes]]]) -> tuple[str, bytes]:
    """A form as a client sends it: its Content-Type and its bytes."""
    request = httpx.Request("POST", "http://x", files=fields)
    return request.headers["content-type"], request.read()


@pytest.mark.parametrize("size", [1, 3, 50, 100_000])
def test_a_form_has_texts_and_files(parts: Parts, size: int) -> None:
    content_type, body = form_body(
        [
            ("video_url", ("a ü.mp4", CONTENT)),
            ("prompt", (None, "wöl".encode())),
            ("first_frame_url", ("f.png", b"png")),
        ]
    )
    form = Form(content_type, parts)

    fed(form.feed, body, size)
    form.finish()

    assert list(form.fields) == ["video_url", "prompt", "first_frame_url"]
    assert form.fields["prompt"] == "wöl"
    assert contents(parts) == [CONTENT, b"png"]


def test_a_cut_or_strange_form_is_refused(parts: Parts) -> None:
    content_type, body = form_body([("video_url", ("a.mp4", CONTENT))])
    cut = Form(content_type, parts)
    cut.feed(body[:-10])

    with pytest.raises(Refused):
        cut.finish()
    with pytest.raises(Refused):
        Form("multipart/form-data", parts)
    with pytest.raises(Refused):
        Form(f"multipart/form-data; boundary={'x' * 300}", parts)
    with pytest.raises(Refused):
        fed(Form(content_type, parts).feed, b"no form at all", 5)


def test_a_forms_texts_and_fields_have_a_number(parts: Parts) -> None:
    content_type, body = form_body([("prompt", (None, b"x" * (MOST_TEXT + 1)))])
    with pytest.raises(Refused, match="beside its files"):
        fed(Form(content_type, parts).feed, body, 65536)
    content_type, body = form_body([(f"f{number}", (None, b"x")) for number in range(70)])
    with pytest.raises(Refused):
        fed(Form(content_type, parts).feed, body, 65536)
