"""The book of what is up: readable after any kill, one store's at a time, and never long for nothing."""

from pathlib import Path

import pytest

from batchmod.app import bookkeeping
from batchmod.app.bookkeeping import FILE_NAME, Book, Up

STORE = "s3://b/autumn"


def test_what_was_noted_is_known_to_the_next_one(tmp_path: Path) -> None:
    up = Up(bytes=7, sha256="ab", etag='"x"', mtime_ns=5, at="now")
    Book(tmp_path, STORE).note("videos/a.mp4", up)

    assert Book(tmp_path, STORE).get("videos/a.mp4") == up
    assert bookkeeping.names(tmp_path) == {"videos/a.mp4"}


@pytest.mark.parametrize("kept", range(1, 60, 7))
def test_a_line_that_was_cut_is_a_file_that_is_sent_again(tmp_path: Path, kept: int) -> None:
    book = Book(tmp_path, STORE)
    book.note("videos/a.mp4", Up(bytes=7))
    whole = (tmp_path / FILE_NAME).stat().st_size
    book.note("videos/b.mp4", Up(bytes=8))
    content = (tmp_path / FILE_NAME).read_bytes()
    (tmp_path / FILE_NAME).write_bytes(content[: min(whole + kept, len(content) - 3)])
    again = Book(tmp_path, STORE)
    again.note("videos/c.mp4", Up(bytes=9))

    assert Book(tmp_path, STORE).names == bookkeeping.names(tmp_path) == {"videos/a.mp4", "videos/c.mp4"}


def test_what_is_up_in_another_store_does_not_count(tmp_path: Path) -> None:
    Book(tmp_path, STORE).note("videos/a.mp4", Up(bytes=7))
    Book(tmp_path, "s3://b/winter").note("videos/b.mp4", Up(bytes=7))

    assert Book(tmp_path, "s3://b/winter").names == {"videos/b.mp4"}
    assert Book(tmp_path, STORE).names == {"videos/a.mp4"}


def test_a_book_does_not_grow_with_what_is_written_again_and_again(tmp_path: Path) -> None:
    book = Book(tmp_path, STORE)
    for number in range(1_100):
        book.note("results.csv", Up(bytes=number))
    again = Book(tmp_path, STORE)

    assert len((tmp_path / FILE_NAME).read_text().splitlines()) == 2
    assert again.get("results.csv") == Up(bytes=1_099)


def test_without_a_book_nothing_is_up(tmp_path: Path) -> None:
    assert bookkeeping.names(tmp_path) == frozenset()


@pytest.mark.parametrize("name", ['videos/a "b".mp4', "videos/größe.mp4", "videos/a\\b.mp4", "videos/x: {y}.mp4"])
def test_a_name_is_read_back_whatever_is_in_it(tmp_path: Path, name: str) -> None:
    Book(tmp_path, STORE).note(name, Up(bytes=7))

    assert bookkeeping.names(tmp_path) == Book(tmp_path, STORE).names == {name}


@pytest.mark.parametrize("line", [b'{"path": "videos/\xff.mp4", "bytes": 1}', b'"path"', b"[]", b'{"path": "'])
def test_a_line_that_is_damaged_is_passed_over(tmp_path: Path, line: bytes) -> None:
    Book(tmp_path, STORE).note("videos/a.mp4", Up(bytes=7))
    with (tmp_path / FILE_NAME).open("ab") as file:
        file.write(line + b"\n")

    assert bookkeeping.names(tmp_path) == Book(tmp_path, STORE).names == {"videos/a.mp4"}
