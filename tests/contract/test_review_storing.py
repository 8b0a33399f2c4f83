"""Outputs in a store, gone through as somebody would who wants to pay twice for them, or to lose one."""

import json
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batchmod.app.storing import record_copies, tenancy
from batchmod.lease import Terms
from tests.machines import STORE, UP, begun, card, machine, run
from tests.servers.bucket import Asked, Bucket, bucket
from tests.servers.fal import FalStandIn
from tests.servers.segmind import SegmindStandIn
from tests.support import Shoot, call, read_events, remote_rows, shoot, write_clip

PAGES = ("results.csv", "report.html", "run.json", "events.jsonl")


@pytest.fixture
def store() -> Iterator[Bucket]:
    with bucket() as made:
        yield made


@pytest.fixture
def server() -> Iterator[SegmindStandIn]:
    with SegmindStandIn(queued_s=0, processing_s=0) as made:
        yield made


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease that nobody renews is stale at once."""
    monkeypatch.setattr(tenancy, "TERMS", Terms(beat_s=20.0, stale_s=-5.0))


def killed_at(work: Shoot, store: Bucket, moment: Callable[[Asked], bool], *more: str) -> None:
    """Run until the store is asked for something, and kill the process while it waits for the answer."""
    came, go_on = threading.Event(), threading.Event()

    def hold(asked: Asked) -> int | None:
        if not came.is_set() and moment(asked):
            came.set()
            go_on.wait(30)
            return 500
        return None

    store.fault = hold
    with begun(work, store, *more) as process:
        assert came.wait(30), process.communicate(timeout=10)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    go_on.set()
    store.fault = lambda _: None


def killed_in_a_request(work: Shoot, store: Bucket, server: SegmindStandIn, *more: str, sent: int = 1) -> None:
    """Kill a run that has sent something and has no output yet."""
    with begun(work, store, *more) as process:
        until = time.monotonic() + 30
        while server.ledger.submits_seen < sent and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
        process.wait(10)


def two_of_a_kind() -> list[dict[str, Any]]:
    """Two rows that ask for the same thing twice: nobody can tell whose a request is."""
    return [{**remote_rows("a")[0], "id": row_id, "variant": variant} for variant, row_id in ((1, "one"), (2, "two"))]


@pytest.mark.usefixtures("impatient")
@pytest.mark.slow
def test_what_fits_two_rows_stops_the_run_that_takes_a_copy(tmp_path: Path, store: Bucket) -> None:
    with SegmindStandIn(queued_s=0, processing_s=2.0) as server:
        killed_in_a_request(
            machine(tmp_path / "lost", server, rows=two_of_a_kind()), store, server, "--max-in-flight", "1"
        )
        work = machine(tmp_path / "new", server, rows=two_of_a_kind())
        taken, again = run(work, store, "--take-copy"), run(work, store)

        assert (taken.code, again.code, server.ledger.submits_seen) == (3, 3, 1), taken.err
        assert "rescue" in taken.err
        assert run(work, store, "--take-copy").code == 0
        assert server.ledger.submits_seen == 3, "said once more, by somebody who knows of it"


@pytest.mark.usefixtures("impatient")
@pytest.mark.slow
def test_a_copy_that_was_taken_for_some_rows_is_looked_through_again_for_the_others(
    tmp_path: Path, store: Bucket
) -> None:
    with SegmindStandIn(queued_s=0, processing_s=2.0) as server:
        killed_in_a_request(machine(tmp_path / "lost", server), store, server, sent=2)
        work = machine(tmp_path / "new", server)
        some, all_ = run(work, store, "--take-copy", "--only", "a"), run(work, store)

        assert (some.code, all_.code, server.ledger.submits_seen) == (0, 0, 2), all_.err
        assert work.statuses() == {"a": "succeeded", "b": "succeeded"}


@pytest.mark.usefixtures("impatient")
def test_outputs_that_the_copy_does_not_know_are_not_paid_for_again_unasked_where_no_history_tells_of_them(
    tmp_path: Path, store: Bucket
) -> None:
    with FalStandIn() as server:
        lost = shoot(tmp_path / "lost", server, remote_rows("a", "b"), at="fal", provider="fal", output=STORE)
        killed_at(lost, store, lambda asked: asked.verb == "PUT" and "record/" in asked.key and bool(store.names()[3:]))
        assert f"{UP}videos/a_v001.mp4" in store.names()
        work = shoot(tmp_path / "new", server, remote_rows("a", "b"), at="fal", provider="fal", output=STORE)
        taken, again = run(work, store, "--take-copy"), run(work, store)

        assert (taken.code, again.code, server.ledger.billed) == (3, 3, 2), taken.err
        assert "videos/a_v001.mp4" in taken.err


def test_a_record_that_is_kept_elsewhere_is_found_again_when_it_was_taken_down(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    lost = machine(tmp_path / "lost", server)
    store.fault = lambda asked: 403 if asked.verb == "PUT" and asked.key.endswith(PAGES) else None
    run(lost, store)
    store.fault = lambda _: None
    work = machine(tmp_path / "new", server)
    state = tmp_path / "new" / "state"
    done, again = run(work, store, "--state", str(state)), run(work, store)

    assert (done.code, again.code, server.ledger.billed) == (0, 0, 2), done.err
    assert len(list(state.rglob("checkpoint.sqlite3"))) == 1


@pytest.mark.usefixtures("impatient")
def test_a_record_of_which_no_card_tells_is_a_reason_to_refuse(tmp_path: Path, store: Bucket) -> None:
    with SegmindStandIn(queued_s=0, processing_s=2.0) as server:
        killed_in_a_request(machine(tmp_path / "lost", server), store, server, sent=2)
        store.client.delete_object(Bucket="shots", Key=f"{UP}batchmod.json")
        done = run(machine(tmp_path / "new", server), store)

        assert (done.code, server.ledger.submits_seen) == (2, 2), done.err
        assert "record_refused" in done.err


def test_two_ids_of_an_output_that_is_nowhere_any_more_are_fetched_and_copied(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    work = machine(tmp_path, server, rows=[*remote_rows("a"), {**remote_rows("a")[0], "id": "twin"}])
    run(work, store)
    for name in ("videos/a_v001.mp4", "videos/twin_v001.mp4"):
        (work.folder / name).unlink()
        store.client.delete_object(Bucket="shots", Key=UP + name)
    done = run(work, store)

    assert (done.code, server.ledger.billed) == (0, 1), done.err
    assert f"{UP}videos/twin_v001.mp4" in store.names()


def test_a_bucket_that_somebody_has_emptied_is_filled_again(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    work = machine(tmp_path, server)
    run(work, store)
    before = store.names()
    for key in before:
        store.client.delete_object(Bucket="shots", Key=key)
    done = run(work, store)

    assert (done.code, server.ledger.billed) == (0, 2), done.err
    assert {key for key in before if "record/" not in key} <= set(store.names())
    assert "has somebody emptied it?" in done.err


def test_an_output_that_somebody_has_overwritten_is_fetched_again_where_it_is_not_here(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    work, other = machine(tmp_path / "one", server), machine(tmp_path / "other", server)
    run(work, store)
    content = store.read(f"{UP}videos/a_v001.mp4")
    for machine_, nonsense in ((work, b"x" * len(content)), (other, b"nonsense")):
        store.client.put_object(Bucket="shots", Key=f"{UP}videos/a_v001.mp4", Body=nonsense)
        (machine_.folder / "videos" / "a_v001.mp4").unlink(missing_ok=True)
        done = run(machine_, store)

        assert (done.code, server.ledger.billed) == (0, 2), done.err
        assert store.read(f"{UP}videos/a_v001.mp4") == content


def test_an_object_that_was_copied_onto_itself_is_still_what_was_put_there(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    work = machine(tmp_path, server)
    run(work, store)
    book = work.folder / "uploads.jsonl"
    book.write_text(book.read_text().replace('"etag": "', '"etag": "other'))
    shutil.rmtree(work.folder / "videos")
    done = run(work, store)

    assert done.code == 0, done.err
    assert not work.outputs(), "nothing was fetched from the provider"


def test_outputs_that_were_moved_into_another_bucket_are_found_there(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    work = machine(tmp_path, server)
    run(work, store)
    for key in store.names():
        store.client.put_object(Bucket="shots", Key=key.replace("autumn", "winter"), Body=store.read(key))
    shutil.rmtree(work.folder / "videos")
    done = run(work, store, "--output", "s3://shots/winter")

    assert (done.code, server.ledger.billed) == (0, 2), done.err
    assert not work.outputs(), "nothing was fetched from the provider"


def test_a_page_that_somebody_has_removed_keeps_nobody_from_going_on(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    run(machine(tmp_path / "lost", server), store)
    store.client.delete_object(Bucket="shots", Key=f"{UP}results.csv")
    work = machine(tmp_path / "new", server)
    done = run(work, store)

    assert (done.code, server.ledger.billed) == (0, 2), done.err
    assert work.statuses() == {"a": "succeeded", "b": "succeeded"}


def test_a_card_cannot_put_a_lock_or_a_pointer_into_a_folder(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    run(machine(tmp_path / "lost", server), store)
    said = card(store) | {"pages": ["results.csv", "state.json"]}
    store.client.put_object(Bucket="shots", Key=f"{UP}batchmod.json", Body=json.dumps(said).encode())
    pointer = json.dumps({"record": str(tmp_path / "other" / "checkpoint.sqlite3"), "folder_id": "x"})
    store.client.put_object(Bucket="shots", Key=f"{UP}state.json", Body=pointer.encode())
    work = machine(tmp_path / "new", server)
    done = run(work, store)

    assert (done.code, server.ledger.billed) == (0, 2), done.err
    assert not (work.folder / "state.json").exists()


def test_a_link_that_leads_nowhere_stops_no_run(tmp_path: Path, store: Bucket, server: SegmindStandIn) -> None:
    work = machine(tmp_path, server)
    run(work, store)
    (work.folder / "videos" / "x.mp4").symlink_to("nowhere")
    done = run(work, store)

    assert done.code == 0, done.err


def test_folders_that_were_made_on_a_stores_web_page_are_no_outputs(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    for key in (UP, f"{UP}videos/", f"{UP}lease/"):
        store.client.put_object(Bucket="shots", Key=key, Body=b"")
    done = run(machine(tmp_path, server), store)

    assert (done.code, server.ledger.billed) == (0, 2), done.err


def test_a_lease_that_says_nothing_holds_nobody_up(tmp_path: Path, store: Bucket, server: SegmindStandIn) -> None:
    store.client.put_object(Bucket="shots", Key=f"{UP}lease/000003.json", Body=b"[1]")
    done = run(machine(tmp_path, server), store)

    assert (done.code, server.ledger.billed) == (0, 2), done.err


def test_a_card_whose_answer_was_lost_is_this_runs_own(
    tmp_path: Path, store: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_copies, "EVERY_S", 0.2)
    puts: list[str] = []
    lost: list[Asked] = []

    def fault(asked: Asked) -> int | None:
        if asked.key != f"{UP}batchmod.json":
            return None
        puts.extend([asked.key] if asked.verb == "PUT" else [])
        if asked.verb != "HEAD" or len(puts) != 2 or lost:
            return None
        lost.append(asked)
        return 403

    with SegmindStandIn(queued_s=0, processing_s=1.0) as server:
        work = machine(tmp_path, server, "a", "b", "c")
        store.fault = fault
        done = run(work, store, "--max-in-flight", "1")

    assert len(puts) > 2, "the card after the one whose answer was lost"
    assert done.code == 0, done.err
    assert card(store)["final"] is True


@pytest.mark.slow
def test_what_a_kill_has_left_of_the_record_is_cleared_away(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    work = machine(tmp_path, server)
    killed_at(work, store, lambda asked: asked.verb == "PUT" and "batchmod.json" in asked.key)
    killed_at(work, store, lambda asked: asked.verb == "PUT" and "batchmod.json" in asked.key)
    done = run(work, store)

    assert done.code == 0, done.err
    assert [key for key in store.names() if "record/" in key] == [UP + card(store)["record"]]


def test_a_run_on_this_machine_says_in_its_record_that_outputs_are_not_up(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    write_clip(tmp_path / "clip.mp4")
    work = machine(tmp_path, server, rows=[{"id": "a", "video_url": "clip.mp4", "prompt": "as pencil"}])
    store.fault = lambda asked: 403 if asked.verb != "GET" and "videos/" in asked.key else None
    done = call("run", work.manifest, environ=work.environ | store.environ)
    ended = read_events(work.folder)[-1]

    assert (done.code, ended["event"], ended["stop_reason"]) == (3, "run_ended", "not_stored"), done.err


@pytest.mark.usefixtures("impatient")
@pytest.mark.slow
def test_an_event_log_that_is_newer_than_the_copy_of_the_record_tells_what_the_copy_lacks(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    lost = machine(tmp_path / "lost", server)
    run(lost, store)
    lost.rows(remote_rows("a", "b", "c"), output=STORE)
    killed_at(lost, store, lambda asked: asked.verb == "PUT" and "record/" in asked.key)
    work = machine(tmp_path / "new", server, "a", "b", "c")
    done, again = run(work, store, "--take-copy"), run(work, store)

    assert (done.code, again.code, server.ledger.submits_seen) == (0, 0, 3), done.err + again.err
    assert work.statuses() == dict.fromkeys("abc", "succeeded")


def test_a_program_goes_on_after_a_run_that_could_not_give_its_lease_back(tmp_path: Path, store: Bucket) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0.3) as server:
        work = machine(tmp_path, server)
        store.fault = lambda _: 403 if server.ledger.submits_seen else None
        away = run(work, store)
        store.fault = lambda _: None
        done = run(work, store)

        assert (away.code, done.code, server.ledger.billed) == (3, 0, 2), done.err


def test_a_copy_of_an_output_that_is_only_in_the_store_says_where_it_is(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    run(machine(tmp_path / "lost", server, "a"), store)
    work = machine(tmp_path / "new", server, "a")
    run(work, store)
    done = call("deliver", work.manifest, environ=work.environ | store.environ)

    assert done.code == 1
    assert "lies in the store alone" in done.err


def test_a_run_that_is_interrupted_while_outputs_go_up_does_not_say_that_they_are_there(
    tmp_path: Path, store: Bucket, server: SegmindStandIn
) -> None:
    came, go_on = threading.Event(), threading.Event()

    def hold(asked: Asked) -> int | None:
        if asked.verb == "PUT" and "videos/" in asked.key:
            came.set()
            go_on.wait(30)
        return None

    store.fault = hold
    work = machine(tmp_path, server)
    with begun(work, store) as process:
        assert came.wait(30)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=30)[0]
    go_on.set()
    store.fault = lambda _: None

    assert process.returncode == 130, said
    assert "all of it is in" not in said
    assert "2 files are not in s3://shots/autumn yet" in said
    assert run(work, store).code == 0
    assert f"{UP}videos/a_v001.mp4" in store.names()
