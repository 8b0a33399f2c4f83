"""The event log in parts: what is read of it, from where, and what a full disk does to it."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from batchmod.app import rotating, trail
from batchmod.app.log import Log
from batchmod.app.trail import Position
from tests.disks import fill, small_disk
from tests.support import files_holding


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotating, "PART_BYTES", 1000)


def write(folder: Path, *numbers: int, text: str = "." * 30) -> None:
    with Log(folder, lambda _: None) as log:
        for number in numbers:
            log.tell("step", run_id="run", number=number, text=text)


def numbers(folder: Path, *, start: Position = trail.BEGINNING) -> list[int]:
    return [event["number"] for event in trail.read(folder, start=start)]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_log_that_is_full_goes_on_in_a_new_part_and_is_read_as_one(tmp_path: Path) -> None:
    write(tmp_path, *range(30))

    *packed, newest, current = names(tmp_path)
    assert len(packed) > 1
    assert packed == [f"events.{number:06}.jsonl.gz" for number in range(1, len(packed) + 1)]
    assert (newest, current) == (f"events.{len(packed) + 1:06}.jsonl", "events.jsonl")
    assert numbers(tmp_path) == list(range(30))
    assert all(part.size() >= 1000 for part in rotating.parts(tmp_path))
    with gzip.open(tmp_path / "events.000001.jsonl.gz", "rb") as first:
        assert len(first.read()) == rotating.parts(tmp_path)[0].size()


def test_reading_from_any_place_gives_what_was_written_after_it(tmp_path: Path) -> None:
    places = []
    for number in range(30):
        places.append(trail.end(tmp_path))
        write(tmp_path, number)

    assert {place.part for place in places} == set(range(1, places[-1].part + 1))
    assert places[-1].part > 3
    assert [numbers(tmp_path, start=place) for place in places] == [list(range(number, 30)) for number in range(30)]


def test_a_line_that_a_kill_has_cut_stays_alone_wherever_it_stands(tmp_path: Path) -> None:
    write(tmp_path, *range(9))
    with (tmp_path / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"event": "step", "num')
    write(tmp_path, *range(9, 30))

    assert numbers(tmp_path) == list(range(30))
    assert len(rotating.parts(tmp_path)) > 2


def test_what_is_looked_for_is_found_in_packed_parts_too(tmp_path: Path) -> None:
    write(tmp_path, 0, text="needle " + "." * 1000)
    write(tmp_path, *range(1, 30))

    assert files_holding("needle", tmp_path) == []
    assert [event["number"] for event in trail.read(tmp_path, having=["Needle"])] == [0]


def readings(folder: Path, step: int, between: Iterator[None]) -> list[int]:
    """What a reader sees to whom this happens after so many events."""
    found = []
    for event in trail.read(folder):
        found.append(event["number"])
        if len(found) == step:
            next(between, None)
    return found


@pytest.mark.parametrize("step", [1, 9, 20])
def test_whoever_reads_while_the_log_goes_on_misses_nothing_that_was_there(step: int, tmp_path: Path) -> None:
    write(tmp_path, *range(20))

    def going_on() -> Iterator[None]:
        write(tmp_path, *range(20, 50))
        yield

    seen = readings(tmp_path, step, going_on())
    assert seen == list(range(len(seen)))
    assert len(seen) >= 20


def test_a_log_that_is_all_old_parts_is_a_log(tmp_path: Path) -> None:
    """So a kill leaves it between the two names."""
    write(tmp_path, *range(20))
    rotating.put_away(tmp_path)

    assert rotating.is_there(tmp_path)
    assert numbers(tmp_path) == list(range(20))
    assert trail.end(tmp_path) == (len(rotating.parts(tmp_path)) + 1, 0)


def test_a_part_that_is_there_plain_and_packed_counts_once(tmp_path: Path) -> None:
    """So a kill leaves it after a part was packed."""
    write(tmp_path, *range(20))
    newest = rotating.parts(tmp_path)[-1].path
    packed = newest.with_name(f"{newest.name}.gz")
    packed.write_bytes(gzip.compress(newest.read_bytes()))

    assert numbers(tmp_path) == list(range(20))
    write(tmp_path, *range(20, 40))
    assert numbers(tmp_path) == list(range(40))
    assert not newest.exists()


def test_what_a_killed_packer_has_left_goes_and_two_at_once_do_no_harm(tmp_path: Path) -> None:
    write(tmp_path, *range(10))
    rotating.put_away(tmp_path)
    (tmp_path / "events.jsonl").touch()
    (tmp_path / ".events.000001.jsonl.gz.0123.part").write_bytes(b"half")
    packers = [Thread(target=rotating.pack, args=(tmp_path,)) for _ in range(4)]
    for packer in packers:
        packer.start()
    for packer in packers:
        packer.join()

    assert numbers(tmp_path) == list(range(10))
    assert [name for name in names(tmp_path) if name.startswith(".")] == []


def test_a_log_that_was_too_long_already_is_put_away_when_it_is_opened(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rotating, "PART_BYTES", 1 << 20)
        write(tmp_path, *range(20))
    write(tmp_path, 20)

    assert names(tmp_path) == ["events.000001.jsonl", "events.jsonl"]
    assert numbers(tmp_path) == list(range(21))


def test_on_a_full_disk_nothing_is_packed_and_nothing_is_lost(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        write(disk, *range(20))
        rotating.put_away(disk)
        (disk / "events.jsonl").touch()
        film = fill(disk)
        rotating.pack(disk)

        assert [part.is_packed for part in rotating.parts(disk)] == [True, False, False]
        assert numbers(disk) == list(range(20))
        assert [name for name in names(disk) if name.startswith(".")] == []
        film.unlink()
        write(disk, *range(20, 30))
        assert numbers(disk) == list(range(30))


def test_where_no_new_part_can_begin_the_old_one_goes_on(tmp_path: Path) -> None:
    (tmp_path / ".events.jsonl.next").mkdir()  # nothing can be opened under that name
    write(tmp_path, *range(30))
    assert names(tmp_path) == [".events.jsonl.next", "events.jsonl"]

    (tmp_path / ".events.jsonl.next").rmdir()
    write(tmp_path, *range(30, 40))
    assert numbers(tmp_path) == list(range(40))
    assert names(tmp_path)[0].startswith("events.000001.jsonl")


def test_a_place_is_kept_as_a_fact_and_one_of_before_there_were_parts_is_of_the_first() -> None:
    assert str(Position(3, 120)) == "3:120"
    assert Position.of("3:120") == (3, 120)
    assert Position.of("120") == (1, 120)


def test_a_part_that_is_put_away_just_when_it_is_opened_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, *range(20))
    parts = rotating.parts

    def after_a_rotation(folder: Path) -> tuple[rotating.Part, ...]:
        """What a reader lists that was a moment too late."""
        monkeypatch.setattr(rotating, "parts", parts)
        rotating.put_away(folder)
        write(folder, 20)
        return parts(folder)

    monkeypatch.setattr(rotating, "parts", after_a_rotation)
    assert numbers(tmp_path) == list(range(20))
    assert numbers(tmp_path) == list(range(21))
