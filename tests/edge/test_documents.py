"""Manifests from standard input and from published addresses, and the files that patterns match."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from batchmod import sources
from batchmod.errors import ManifestError
from batchmod.manifest import Missing, Need, sniffed
from batchmod.sources.documents import exported
from tests.support import call, write_clip

_SHEET = "id,video_url,prompt\na,clip.mp4,as wool\n"


@contextmanager
def _published(pages: dict[str, tuple[int, str, bytes]]) -> Iterator[str]:
    """A web server on this machine: path → status, content type (or where to go), body."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, body = pages.get(self.path, (404, "text/plain", b""))
            self.send_response(status)
            self.send_header("location" if status == 302 else "content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def _workbook() -> bytes:
    book: Any = openpyxl.Workbook()
    book.active.append(["id", "video_url", "prompt"])
    book.active.append(["a", "clip.mp4", "as wool"])
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


_SAME: dict[str, bytes] = {
    "csv": _SHEET.encode(),
    "xlsx": _workbook(),
    "jsonl": b'{"id": "a", "video_url": "clip.mp4", "prompt": "as wool"}\n',
    "yaml": b"# shots\nclips:\n  - {id: a, video_url: clip.mp4, prompt: as wool}\n",
}


@pytest.mark.parametrize("kind", _SAME)
def test_the_kind_of_a_nameless_document_is_seen(kind: str) -> None:
    assert sniffed(_SAME[kind]) == kind


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b'{"clips": [{"video_url": "a.mp4"}]}', "yaml"),
        (b"{\n  clips: []}", "yaml"),
        (b"", "csv"),
        (b"{" * 9999, "yaml"),
    ],
)
def test_a_manifest_in_json_is_yaml_and_not_a_row(data: bytes, kind: str) -> None:
    assert sniffed(data) == kind


@pytest.mark.parametrize("kind", _SAME)
def test_a_manifest_comes_through_standard_input(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(tmp_path / "clip.mp4")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(_SAME[kind])))
    done = call("check", "-", environ={}, cwd=tmp_path)

    assert (done.code, done.out) == (0, "stdin: 1 row, no problems.\n"), done.err


def test_problems_of_standard_input_have_their_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"video_url,mode\nno.mp4,flex_9\n")))
    done = call("check", "-", environ={}, cwd=tmp_path)

    assert done.code == 2
    assert done.err.splitlines()[:2] == [
        f"stdin:2:A (video_url): 'no.mp4' is not there (looked for {tmp_path}/no.mp4)",
        "stdin:2:B (mode): 'flex_9' is not a mode; did you mean 'flex_3'?",
    ]


def test_a_run_from_standard_input_needs_an_output_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(tmp_path / "clip.mp4")
    stdin = io.TextIOWrapper(io.BytesIO(_SAME["csv"]))
    monkeypatch.setattr("sys.stdin", stdin)
    done = call("plan", "-", environ={}, cwd=tmp_path)
    stdin.seek(0)
    told = call("plan", "-", "--output", "out", environ={}, cwd=tmp_path)

    assert (done.code, told.code) == (2, 0)
    assert "stdin has no folder of its own: say --output DIR" in done.err


@pytest.mark.parametrize("kind", _SAME)
def test_a_published_sheet_is_fetched(kind: str, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4")
    pages = {"/pub?output=x&key=secret": (302, "/real", b""), "/real": (200, "application/octet-stream", _SAME[kind])}
    with _published(pages) as address:
        done = call("check", f"{address}/pub?output=x&key=secret", environ={}, cwd=tmp_path)

    assert done.code == 0, done.err
    assert done.out == f"{address}/pub: 1 row, no problems.\n"
    assert "secret" not in done.out + done.err


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ((404, "text/plain", b""), "could not be fetched: 127.0.0.1 answered 404"),
        ((200, "text/html; charset=utf-8", b"<p>Sign in"), "this is a web page, not a sheet"),
        ((200, "text/csv", b"\n <!DOCTYPE html><html>"), "this is a web page, not a sheet"),
    ],
)
def test_what_is_no_published_sheet_is_said(page: tuple[int, str, bytes], words: str, tmp_path: Path) -> None:
    with _published({"/sheet": page}) as address:
        done = call("check", f"{address}/sheet", environ={}, cwd=tmp_path)

    assert done.code == 2
    assert done.err.startswith(f"{address}/sheet: {words}")


def test_a_sheet_is_never_fetched_in_the_clear() -> None:
    with pytest.raises(ManifestError, match=r"^http://example\.com/s\.csv: is fetched over https only$"):
        sources.read_document("http://example.com/s.csv?key=secret")


_GOOGLE = "https://docs.google.com/spreadsheets/d/1aB_cD-eF2gH3iJ4kL5mN6oP"


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        (f"{_GOOGLE}/edit?usp=sharing", f"{_GOOGLE}/export?format=csv"),
        (f"{_GOOGLE}/edit?gid=17#gid=17", f"{_GOOGLE}/export?format=csv&gid=17"),
        (f"{_GOOGLE}/pub?output=csv", f"{_GOOGLE}/pub?output=csv"),
        ("https://docs.google.com.example.com/spreadsheets/d/1/edit", None),
    ],
)
def test_the_address_that_one_edits_a_google_sheet_at_will_do(address: str, asked: str | None) -> None:
    assert exported(address) == (asked or address)


def _none(_: Path) -> bool:
    return False


def test_a_pattern_lists_files_in_the_order_people_count(tmp_path: Path) -> None:
    for name in ("b/2.mp4", "b/10.mp4", "b/1.mp4", "b/[x].mp4", "b/c/3.mp4", "b/.hidden.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    needs = [Need("listing", pattern) for pattern in ("b/*.mp4", "b/**/*.mp4", "b/[x]*", "no/*")]
    abroad = [Need("listing", pattern) for pattern in ("/**/*.mp4", "../*", "b/../../*.mp4")]

    found = sources.answers(needs, manifest=tmp_path / "m.yaml", tree=tmp_path, is_output=_none)

    assert [found[need] for need in needs] == [
        ("b/1.mp4", "b/2.mp4", "b/10.mp4", "b/[x].mp4"),
        ("b/1.mp4", "b/2.mp4", "b/10.mp4", "b/[x].mp4", "b/c/3.mp4"),
        ("b/[x].mp4",),
        (),
    ]
    refused = sources.answers(abroad, manifest=tmp_path / "m.yaml", tree=tmp_path, is_output=_none)
    assert [isinstance(each, Missing) and "lies outside" in each.reason for each in refused.values()] == [True] * 3


def test_a_pattern_takes_no_copy_of_a_sheet_and_nothing_that_a_spreadsheet_put_beside_it(tmp_path: Path) -> None:
    for name in ("day1.csv", "day1.annotated.csv", "day2.xlsx", "~$day2.xlsx"):
        (tmp_path / name).write_bytes(b"")
    every, copies = Need("listing", "*"), Need("listing", "*.annotated.csv")

    found = sources.answers([every, copies], manifest=tmp_path / "m.yaml", tree=tmp_path, is_output=_none)

    assert found == {every: ("day1.csv", "day2.xlsx"), copies: ("day1.annotated.csv",)}


def test_a_manifest_reaches_no_service_on_this_machine(tmp_path: Path) -> None:
    with _published({"/s.csv": (200, "text/csv", _SAME["csv"])}) as address:
        needs = [Need("document", f"{address}/s.csv"), Need("document", f"{address.replace('http', 'https')}/s.csv")]
        found = sources.answers(needs, manifest=tmp_path / "m.yaml", tree=tmp_path, is_output=_none)

    assert [isinstance(each, Missing) and each.reason.split(":")[0] for each in found.values()] == [
        "is fetched over https only",
        "could not be fetched",
    ]


def test_a_document_outside_the_manifests_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.txt").write_text("x", encoding="utf-8")
    need = Need("text", "../secret.txt")

    refused = sources.answers([need], manifest=tmp_path / "in" / "m.yaml", tree=tmp_path / "in", is_output=_none)[need]
    allowed = sources.answers([need], manifest=tmp_path / "in" / "m.yaml", tree=None, is_output=_none)[need]

    assert isinstance(refused, Missing)
    assert "lies outside" in refused.reason
    assert allowed == b"x"
