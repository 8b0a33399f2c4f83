"""The per-user index: whoever claims a request first may send it, and nobody else."""

import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from batchmod import index
from batchmod.errors import StoppedEarly
from batchmod.model import Status, Work
from batchmod.planning import latest_by_key


def work(key: str = "1-a", status: Status = Status.SUCCEEDED) -> Work:
    return Work(
        work_id=1,
        job_key=key,
        provider="segmind",
        model=None,
        origin="https://api.segmind.com",
        options={},
        inputs={},
        status=status,
        sha256="abc",
        cost_usd=0.6,
        finished_at=1_777_777_777.0,
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "home" / index.FILE_NAME


def opened(place: Path, name: str) -> index.Index:
    return index.Index.open(place, folder=place.parent / name, folder_id=name)


def test_what_one_folder_has_claimed_another_one_cannot(place: Path) -> None:
    with opened(place, "a") as mine, opened(place, "b") as theirs:
        assert mine.claim("1-a", at=1.0)
        assert mine.claim("1-a", at=2.0)
        assert not theirs.claim("1-a", at=3.0)
        assert theirs.claim("1-b", at=3.0)


def test_a_claim_can_be_overruled_by_the_users_word(place: Path) -> None:
    with opened(place, "a") as mine, opened(place, "b") as theirs:
        mine.claim("1-a", at=1.0)

        assert theirs.claim("1-a", at=2.0, force=True)
        assert not mine.claim("1-a", at=3.0)


@pytest.mark.parametrize("status", [Status.PLANNED, Status.FAILED])
def test_a_request_that_created_nothing_gives_its_claim_back(place: Path, status: Status) -> None:
    with opened(place, "a") as mine, opened(place, "b") as theirs:
        mine.claim("1-a", at=1.0)
        mine.keep(replace(work(status=status), billed=False))

        assert theirs.claim("1-a", at=2.0)


def test_a_folder_sees_what_others_hold_and_not_what_it_holds_itself(place: Path) -> None:
    with opened(place, "a") as mine, opened(place, "b"):
        mine.keep(work(), "videos/x_v001.mp4")

    seen = index.elsewhere(place, "b")["1-a"]
    assert (seen.folder, seen.status, seen.output) == (str(place.parent / "a"), Status.SUCCEEDED, "videos/x_v001.mp4")
    assert (seen.sha256, seen.cost_usd, seen.on) == ("abc", 0.6, "2026-05-03")
    assert index.elsewhere(place, "a") == {}


def test_a_moved_folder_is_recognised_when_it_is_opened(place: Path) -> None:
    with opened(place, "a") as mine:
        mine.keep(work(), "videos/x_v001.mp4")
    index.Index.open(place, folder=Path("/elsewhere"), folder_id="a").close()

    assert index.elsewhere(place, "b")["1-a"].folder == "/elsewhere"


def test_the_index_is_made_anew_from_a_folders_record(place: Path) -> None:
    with opened(place, "a") as mine:
        mine.keep(work("1-gone"))
        mine.rebuild([(work("1-a"), "videos/x.mp4"), (work("1-b", Status.UNCERTAIN), None)])

    held = index.elsewhere(place, "b")
    assert {key: claim.status for key, claim in held.items()} == {
        "1-a": Status.SUCCEEDED,
        "1-b": Status.UNCERTAIN,
    }


def test_rebuilding_takes_nothing_from_another_folder(place: Path) -> None:
    with opened(place, "a") as mine, opened(place, "b") as theirs:
        theirs.keep(work(), "videos/theirs.mp4")
        mine.rebuild([(work(), "videos/mine.mp4")])

    assert index.elsewhere(place, "a")["1-a"].output == "videos/theirs.mp4"


def test_no_index_is_an_empty_one(place: Path) -> None:
    assert index.elsewhere(place, None) == {}
    assert not place.exists()


def test_a_file_that_is_no_index_stops_the_run_and_stays_as_it_is(place: Path) -> None:
    place.parent.mkdir(parents=True)
    place.write_text("not a database, but somebody's notes\n" * 50)

    with pytest.raises(StoppedEarly, match="move it away") as stopped:
        opened(place, "a")

    assert stopped.value.slug == "index_refused"
    assert place.read_text().startswith("not a database")
    with pytest.raises(StoppedEarly):
        index.elsewhere(place, "a")


def test_of_many_processes_that_claim_at_once_exactly_one_wins(place: Path) -> None:
    opened(place, "z").close()
    code = (
        "import sys; from pathlib import Path; from batchmod import index; "
        "i = index.Index.open(Path(sys.argv[1]), folder=Path('/x'), folder_id=sys.argv[2]); "
        "print(sum(i.claim(f'1-{n}', at=1.0) for n in range(40)))"
    )
    racing = [
        subprocess.Popen([sys.executable, "-c", code, str(place), f"folder-{n}"], stdout=subprocess.PIPE, text=True)
        for n in range(4)
    ]
    won = [int(each.communicate(timeout=60)[0]) for each in racing]

    assert sum(won) == 40


def test_the_latest_work_of_a_key_is_the_one_that_counts() -> None:
    assert latest_by_key([work(), work("1-b")])["1-b"].job_key == "1-b"


@pytest.mark.parametrize("billed", [True, None])
def test_what_was_paid_and_lost_keeps_its_claim(place: Path, *, billed: bool | None) -> None:
    with opened(place, "a") as mine, opened(place, "b") as theirs:
        mine.claim("1-a", at=1.0)
        mine.keep(replace(work(status=Status.FAILED), billed=billed))

        assert not theirs.claim("1-a", at=2.0)


def begun(place: Path, how: str) -> None:
    """What a kill leaves of an index that is made in its place."""
    place.parent.mkdir(parents=True)
    if how == "empty":
        place.touch()
        return
    with closing(sqlite3.connect(place)) as db:
        db.execute("PRAGMA journal_mode=WAL")


@pytest.mark.parametrize("how", ["empty", "without tables"])
def test_an_index_that_was_begun_and_never_finished_is_an_empty_one(place: Path, how: str) -> None:
    begun(place, how)

    assert (index.elsewhere(place, "a"), index.folder_of(place, "a"), index.claims_of(place, "a")) == ({}, None, {})
    with opened(place, "a") as mine:
        assert mine.claim("1-a", at=1.0)
    assert list(index.elsewhere(place, "b")) == ["1-a"]


def test_two_who_make_the_index_at_once_share_one(place: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from batchmod import index; print(flush=True); sys.stdin.read();"
        "mine = index.Index.open(Path(sys.argv[1]), folder=Path(sys.argv[2]), folder_id=sys.argv[2]);"
        "print(sum(mine.claim(f'1-{n}', at=1.0) for n in range(50)))"
    )
    start = [sys.executable, "-c", code, str(place)]
    won = []
    with ExitStack() as stack:
        racing = [
            stack.enter_context(
                subprocess.Popen([*start, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for name in "ab"
        ]
        for process in racing:
            assert process.stdout is not None
            process.stdout.readline()
        for process in racing:
            assert process.stdin is not None
            process.stdin.close()  # they are off, both at once
        for process in racing:
            assert process.stdout is not None
            won.append(int(process.stdout.read()))

    assert sum(won) == 50
