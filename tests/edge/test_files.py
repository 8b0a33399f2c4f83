"""Files on a real disk: whole or not at all, never over another, and one owner of a folder at a time."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from batchmod import files
from batchmod.errors import FolderInUse

ROOT = Path(__file__).parents[2]


def made(path: Path, content: bytes = b"new") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_finished_file_gets_its_name_and_keeps_no_other(tmp_path: Path) -> None:
    part = made(tmp_path / ".work/1.part")
    files.put_in_place(part, tmp_path / "videos/deep/a.mp4")

    assert (tmp_path / "videos/deep/a.mp4").read_bytes() == b"new"
    assert not part.exists()


def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    part, target = made(tmp_path / "part"), made(tmp_path / "a.mp4", b"old")
    with pytest.raises(FileExistsError):
        files.put_in_place(part, target)

    assert (target.read_bytes(), part.read_bytes()) == (b"old", b"new")


@pytest.mark.parametrize("there", [False, True])
def test_without_hard_links_a_file_is_still_never_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, there: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    part, target = made(tmp_path / "part"), tmp_path / "a.mp4"
    if there:
        made(target, b"old")
        with pytest.raises(FileExistsError):
            files.put_in_place(part, target)
    else:
        files.put_in_place(part, target)

    assert target.read_bytes() == (b"old" if there else b"new")
    assert part.exists() == there


def test_of_many_who_want_a_name_one_gets_it(tmp_path: Path) -> None:
    target, lost = tmp_path / "a.mp4", []

    def place(number: int) -> None:
        try:
            files.put_in_place(made(tmp_path / f"{number}.part", str(number).encode()), target)
        except FileExistsError:
            lost.append(number)

    threads = [threading.Thread(target=place, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(lost) == 7
    assert int(target.read_bytes()) not in lost


def test_of_several_files_each_gets_its_name_or_says_what_was_wrong_with_it(tmp_path: Path) -> None:
    taken = made(tmp_path / "videos/a.mp4", b"old")
    moves = [
        files.Move(part=made(tmp_path / f"{name}.part", name.encode()), target=tmp_path / folder / f"{name}.mp4")
        for folder, name in (("videos", "a"), ("videos", "b"), ("videos/deep", "c"))
    ]
    gone = files.Move(part=tmp_path / "gone.part", target=tmp_path / "videos/d.mp4", durable=True)
    errors = files.put_all_in_place([*moves, gone])

    assert [type(error) for error in errors] == [FileExistsError, type(None), type(None), FileNotFoundError]
    assert taken.read_bytes() == b"old"
    assert [move.target.read_bytes() for move in moves[1:]] == [b"b", b"c"]
    assert [move.part.exists() for move in moves] == [True, False, False]


def test_files_of_a_folder_that_cannot_be_synced_are_not_said_to_be_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = files.sync_folder

    def sync(folder: Path) -> None:
        if folder.name == "bad":
            raise OSError(errno.EIO, "Input/output error")
        synced(folder)

    monkeypatch.setattr(files, "sync_folder", sync)
    places = [tmp_path / folder / f"{name}.mp4" for folder, name in (("bad", "a"), ("good", "b"), ("bad", "c"))]
    errors = files.put_all_in_place([files.Move(part=made(tmp_path / each.stem), target=each) for each in places])

    assert [error is None for error in errors] == [False, True, False]


def test_a_copy_is_a_file_of_its_own(tmp_path: Path) -> None:
    source, target = made(tmp_path / "a.mp4", b"one"), tmp_path / "videos/b.mp4"
    files.copy_into_place(source, target)
    source.write_bytes(b"two")

    assert target.read_bytes() == b"one"
    assert not target.samefile(source)


def test_a_copy_overwrites_nothing_and_leaves_nothing_behind(tmp_path: Path) -> None:
    source, target = made(tmp_path / "a.mp4"), made(tmp_path / "videos/b.mp4", b"old")
    with pytest.raises(FileExistsError):
        files.copy_into_place(source, target)

    assert target.read_bytes() == b"old"
    assert [entry.name for entry in target.parent.iterdir()] == ["b.mp4"]


def test_a_copy_of_what_is_gone_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.copy_into_place(tmp_path / "gone", tmp_path / "videos/b.mp4")

    assert not list((tmp_path / "videos").iterdir())


def writing(content: bytes) -> Callable[[IO[bytes]], object]:
    return lambda file: file.write(content)


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    target = made(tmp_path / "deep/results.csv", b"a much longer old content")

    assert files.write_whole(target, writing(b"new")) == target
    assert target.read_bytes() == b"new"
    assert [entry.name for entry in target.parent.iterdir()] == ["results.csv"]


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    assert files.write_whole(tmp_path / "a/b/c", writing(b"new")).read_bytes() == b"new"


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target, seen = made(tmp_path / "results.csv", b"old"), []

    def slowly(file: IO[bytes]) -> None:
        for _ in range(3):
            file.write(b"half")
            file.flush()
            seen.append(target.read_bytes())

    files.write_whole(target, slowly)

    assert seen == [b"old"] * 3
    assert target.read_bytes() == b"half" * 3


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = made(tmp_path / "results.csv", b"old")

    def fail(file: IO[bytes]) -> None:
        file.write(b"half")
        raise RuntimeError("broken off")

    with pytest.raises(RuntimeError, match="broken off"):
        files.write_whole(target, fail)

    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"results.csv": b"old"}


@contextmanager
def held_open(monkeypatch: pytest.MonkeyPatch, *names: str) -> Iterator[None]:
    """A disk where these names cannot be replaced, as a spreadsheet holds them on Windows."""
    replace = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if target.name in names:
            raise PermissionError(13, "held open")
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        yield


def test_a_file_that_is_held_open_gets_a_sibling_which_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = made(tmp_path / "results.csv", b"old")
    with held_open(monkeypatch, "results.csv", "results (2).csv"):
        place = files.write_whole(target, writing(b"new"))

    assert (place.name, place.read_bytes(), target.read_bytes()) == ("results (3).csv", b"new", b"old")


def test_a_file_whose_siblings_are_all_held_open_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["results.csv", *(f"results ({number}).csv" for number in range(2, 10))]
    with held_open(monkeypatch, *names), pytest.raises(PermissionError, match="held open"):
        files.write_whole(tmp_path / "results.csv", writing(b"new"))

    assert not list(tmp_path.iterdir())


def test_events_are_one_object_a_line_and_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with path.open("ab") as file:
        files.append_lines(file, [{"event": "a", "text": "日\n本"}, {"event": "b", "text": "half \ud83d"}])
        lines = path.read_text("utf-8").splitlines()

    assert [json.loads(line)["text"] for line in lines] == ["日\n本", "half ?"]


HOLDER = """
import sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from batchmod import files
with files.locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the folder until its standard input ends."""
    words = [sys.executable, "-c", HOLDER, str(folder), str(ROOT)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        try:
            yield other
        finally:
            other.kill()


def test_a_folder_in_use_is_refused_with_who_holds_it(tmp_path: Path) -> None:
    with (
        holder(tmp_path) as other,
        pytest.raises(FolderInUse, match=f"process {other.pid}") as refused,
        files.locked(tmp_path),
    ):
        pass

    assert refused.value.exit_code == 4


def test_a_folder_is_free_when_its_owner_ends(tmp_path: Path) -> None:
    with holder(tmp_path) as other:
        assert other.stdin is not None
        other.stdin.close()
        other.wait()
    with files.locked(tmp_path):
        pass


def test_a_folder_is_free_when_its_owner_was_killed(tmp_path: Path) -> None:
    with holder(tmp_path) as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
        with files.locked(tmp_path):
            held = (tmp_path / files.LOCK_NAME).read_text("utf-8")

    assert held == f"process {os.getpid()}"


def test_a_process_does_not_share_a_folder_with_itself(tmp_path: Path) -> None:
    with files.locked(tmp_path), pytest.raises(FolderInUse), files.locked(tmp_path):
        pass


def test_a_refused_lock_does_not_wipe_who_holds_it(tmp_path: Path) -> None:
    with files.locked(tmp_path):
        for _ in range(2):
            with pytest.raises(FolderInUse, match=f"process {os.getpid()}"), files.locked(tmp_path):
                pass


def test_a_lock_is_let_go_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), files.locked(tmp_path / "new"):
        raise RuntimeError
    with files.locked(tmp_path / "new"):
        pass


def test_a_program_that_a_run_starts_does_not_keep_its_folder(tmp_path: Path) -> None:
    with files.locked(tmp_path):
        heir = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with files.locked(tmp_path):
        heir.kill()
        heir.communicate()


@for_all(st.binary(max_size=100), st.integers(0, 3))
def test_a_files_hash_is_of_all_its_bytes(tmp_path_factory: pytest.TempPathFactory, tail: bytes, chunks: int) -> None:
    content = b"x" * (chunks << 20) + tail
    path = made(tmp_path_factory.getbasetemp() / "hashed", content)

    assert files.sha256_of(path) == hashlib.sha256(content).hexdigest()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def aged(path: Path, content: bytes, seconds: int) -> None:
    path.write_bytes(content)
    os.utime(path, (seconds, seconds))


def test_a_file_is_read_once(tmp_path: Path) -> None:
    clip, cache = tmp_path / "a.mp4", tmp_path / "cache/identities.json"
    aged(clip, b"one", 1000)
    known = files.Identities(cache)
    first = known.sha256(clip)
    known.save()
    # The same size, time and inode: a cache that looked at the content would notice.
    with clip.open("r+b") as file:
        file.write(b"two")
    os.utime(clip, (1000, 1000))

    assert first == sha256(b"one")
    assert known.sha256(clip) == first
    assert files.Identities(cache).sha256(clip) == first


@pytest.mark.parametrize("change", ["content", "size", "time", "inode"])
def test_a_changed_file_is_read_again(tmp_path: Path, change: str) -> None:
    clip, cache = tmp_path / "a.mp4", tmp_path / "identities.json"
    aged(clip, b"one", 1000)
    known = files.Identities(cache)
    known.sha256(clip)
    known.save()
    if change == "inode":
        aged(tmp_path / "other", b"two", 1000)
        (tmp_path / "other").replace(clip)
    else:
        aged(clip, {"content": b"two", "size": b"three", "time": b"one"}[change], 1000 if change == "size" else 1001)
    now = clip.read_bytes()

    assert known.sha256(clip) == files.Identities(cache).sha256(clip) == sha256(now)


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b"7", b'{"a": 1}', b'{"%s": [1]}', b'{"%s": {}}', b"\xff\xfe", b"null"]
)
def test_a_damaged_cache_is_done_without(tmp_path: Path, damage: bytes) -> None:
    clip = made(tmp_path / "a.mp4")
    cache = made(tmp_path / "cache", damage.replace(b"%s", str(clip).encode()))
    known = files.Identities(cache)

    assert known.sha256(clip) == sha256(b"new")

    known.save()

    assert files.Identities(cache).sha256(clip) == sha256(b"new")


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    known = files.Identities(made(tmp_path / "file") / "below/identities.json")

    assert known.sha256(made(tmp_path / "a.mp4")) == sha256(b"new")

    known.save()


def test_nothing_new_is_not_written(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    files.Identities(cache).save()

    assert not cache.exists()


def test_identities_work_without_a_cache(tmp_path: Path) -> None:
    known = files.Identities()

    assert known.sha256(made(tmp_path / "a")) == sha256(b"new")

    known.save()


def test_a_listing_has_every_finished_file_relative_to_the_folder(tmp_path: Path) -> None:
    for name in ("videos/a_v001.mp4", "videos/scene/b_v001.mp4", "videos/.c_v001.mp4.part", "results.csv", ".work/d"):
        made(tmp_path / name)

    assert files.listing(tmp_path, "videos") == {"videos/a_v001.mp4", "videos/scene/b_v001.mp4"}


def test_a_folder_that_is_not_there_lists_nothing(tmp_path: Path) -> None:
    assert files.listing(tmp_path, "videos") == frozenset()


@pytest.mark.parametrize("name", ["manifest", "row", "results"])
def test_schemas_are_found_in_a_checkout(name: str) -> None:
    assert files.schema(name)["properties"]


def test_paths_are_shown_as_a_person_here_would_type_them(tmp_path: Path) -> None:
    assert files.shortest(tmp_path / "clips/a.mp4") == "clips/a.mp4"
    assert files.shortest(tmp_path.parent / "b.mp4") == "../b.mp4"
    assert files.shortest(Path("/elsewhere/far/c.mp4")) == "/elsewhere/far/c.mp4"
    assert files.relative(tmp_path / "a/../b", tmp_path / "x") == "../b"
    assert files.normal(tmp_path / "a/../b") == str(tmp_path / "b")
