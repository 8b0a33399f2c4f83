"""`--state DIR`: the record elsewhere, exactly that one, and never on a network."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from batchmod import mounts
from tests.servers.segmind import SegmindStandIn
from tests.support import Ran, Shoot, call, remote_rows, shoot

RECORD = "checkpoint.sqlite3"


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Shoot]:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        yield shoot(tmp_path, server, remote_rows("a", "b"))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "local" / "state"


@pytest.fixture
def finished(work: Shoot, state: Path) -> Shoot:
    """A batch whose record is below `state`."""
    done = work.run("--state", str(state))
    assert (done.code, work.server.ledger.billed) == (0, 2), done.err
    return work


def say(work: Shoot, command: str, path: Path | None = None, *more: str) -> Ran:
    return call(command, path or work.folder, *more, environ=work.environ)


def record_of(state: Path) -> Path:
    (found,) = state.glob(f"*/{RECORD}")
    return found


def pointer_of(work: Shoot) -> dict[str, str]:
    found: dict[str, str] = json.loads((work.folder / "state.json").read_text("utf-8"))
    return found


def test_the_record_is_below_state_and_everything_else_in_the_output_folder(finished: Shoot, state: Path) -> None:
    names = {path.name for path in finished.folder.iterdir()}

    assert names >= {"videos", "results.csv", "report.html", "events.jsonl", "run.json", "state.json"}
    assert not [name for name in names if name.startswith(RECORD)]
    assert pointer_of(finished)["record"] == str(record_of(state))
    assert record_of(state).parent.name.startswith("shots-")


def test_every_command_follows_the_pointer(finished: Shoot) -> None:
    again = finished.run()
    plan = call("plan", finished.manifest, "--provider", "segmind", environ=finished.environ)
    (finished.folder / "results.csv").unlink()
    codes = {name: say(finished, name).code for name in ("status", "report", "resolve")}

    assert (again.code, finished.server.ledger.submits_seen) == (0, 2)
    assert "2 keep" in plan.out
    assert codes == {"status": 0, "report": 0, "resolve": 0}
    assert finished.statuses() == {"a": "succeeded", "b": "succeeded"}
    assert not (finished.folder / RECORD).exists()


def test_saying_it_again_is_no_contradiction(finished: Shoot, state: Path) -> None:
    (state.parent / "link").symlink_to(state)
    said = [finished.run("--state", str(state)), finished.run("--state", "local/state", cwd=state.parents[1])]
    said += [say(finished, name, None, "--state", str(state.parent / "link")) for name in ("status", "report")]

    assert [each.code for each in said] == [0, 0, 0, 0]
    assert finished.server.ledger.submits_seen == 2
    assert len(list(state.iterdir())) == 1


def test_an_output_folder_that_was_moved_still_knows_its_record(finished: Shoot, tmp_path: Path) -> None:
    moved = finished.folder.rename(tmp_path / "moved")
    again = finished.run("--output", str(moved))

    assert (again.code, finished.server.ledger.submits_seen) == (0, 2)
    assert "2 succeeded" in say(finished, "status", moved).out


def test_two_folders_of_one_name_have_two_records(work: Shoot, state: Path, tmp_path: Path) -> None:
    codes = [work.run("--output", str(tmp_path / each / "shots"), "--state", str(state)).code for each in ("x", "y")]

    assert codes == [0, 0]
    assert len(list(state.glob(f"shots-*/{RECORD}"))) == 2
    # What one folder has paid for is reused by the other.
    assert work.server.ledger.submits_seen == 2


def test_a_plan_makes_nothing(work: Shoot, state: Path) -> None:
    plan = call("plan", work.manifest, "--provider", "segmind", "--state", state, environ=work.environ)

    assert (plan.code, "2 send" in plan.out) == (0, True)
    assert not state.exists()
    assert not work.folder.exists()


def test_a_rehearsal_has_a_record_of_its_own(finished: Shoot, state: Path) -> None:
    rehearsed = call("plan", finished.manifest, "--rehearse", "--state", state, environ=finished.environ)

    assert rehearsed.code == 0
    assert "2 keep" not in rehearsed.out


def test_an_uncertain_job_is_settled_where_its_record_is(work: Shoot, state: Path) -> None:
    work.server.faults.add("accept_then_reset", on="submit")
    work.server.faults.add("history_no_rows", times=None)
    first = work.run("--state", str(state))
    listed, settled = say(work, "resolve"), say(work, "resolve", None, "--give-up", "a")

    assert (first.code, listed.code, settled.code) == (1, 1, 0), first.err
    assert listed.out.startswith("a (attempt:1): sent to segmind")
    assert work.statuses() == {"a": "failed", "b": "succeeded"}
    assert not (work.folder / RECORD).exists()


def lose(work: Shoot, state: Path) -> None:
    shutil.rmtree(state)


def swap(work: Shoot, state: Path) -> None:
    """Another folder's record stands where ours should."""
    other = work.run("--output", str(work.folder.parent / "other"), "--state", str(state.parent / "other"))
    assert other.code == 0
    shutil.copy(record_of(state.parent / "other"), record_of(state))


def break_pointer(work: Shoot, state: Path) -> None:
    (work.folder / "state.json").write_text('{"record": "/a')


def empty_pointer(work: Shoot, state: Path) -> None:
    (work.folder / "state.json").write_text("[]")


def make_it_relative(work: Shoot, state: Path) -> None:
    (work.folder / "state.json").write_text('{"record": "checkpoint.sqlite3", "folder_id": "x"}')


def put_one_inside(work: Shoot, state: Path) -> None:
    shutil.copy(record_of(state), work.folder / RECORD)


def lose_pointer(work: Shoot, state: Path) -> None:
    (work.folder / "state.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lose, "is not there"),
        (swap, "the record of another folder"),
        (break_pointer, "cannot be read"),
        (empty_pointer, "cannot be read"),
        (make_it_relative, "must be an absolute path"),
        (put_one_inside, "two records"),
        (lose_pointer, "nobody knows what was paid"),
    ],
)
def test_without_exactly_its_record_nothing_is_done(
    spoil: Callable[[Shoot, Path], None], said: str, finished: Shoot, state: Path
) -> None:
    spoil(finished, state)
    finished.rows(remote_rows("a", "b", "c"))
    asked = [finished.run(), finished.run("--state", str(state)), say(finished, "status"), say(finished, "report")]

    assert [each.code for each in asked] == [2, 2, 2, 2], [each.err for each in asked]
    assert said in asked[0].err
    assert all("[record_refused]" in each.err for each in asked)
    assert finished.server.ledger.submits_seen == 2


def test_a_state_that_contradicts_the_pointer_is_refused(finished: Shoot, state: Path) -> None:
    elsewhere = state.parent / "elsewhere"
    finished.rows(remote_rows("a", "b", "c"))
    asked = [finished.run("--state", str(elsewhere)), say(finished, "status", None, "--state", str(elsewhere))]
    asked += [call("plan", finished.manifest, "--state", elsewhere, environ=finished.environ)]

    assert [each.code for each in asked] == [2, 2, 2]
    assert str(record_of(state)) in asked[0].err
    assert "Leave --state out" in asked[0].err
    assert not elsewhere.exists()
    assert finished.server.ledger.submits_seen == 2


def test_a_folder_that_holds_its_record_itself_keeps_it(work: Shoot, state: Path) -> None:
    work.run("--only", "a")
    refused = work.run("--state", str(state))
    begun = work.run("--state", str(state), "--output", str(work.folder.with_name("new")))

    assert (refused.code, "holds its record itself" in refused.err) == (2, True)
    # The way out that the message names: what was paid for is not paid again.
    assert (begun.code, work.server.ledger.billed) == (0, 2)
    assert (record_of(state).exists(), len(list((work.folder.with_name("new") / "videos").iterdir()))) == (True, 2)


def test_a_state_folder_that_cannot_be_made_is_said(work: Shoot, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    refused = work.run("--state", str(tmp_path / "file" / "state"))

    assert (refused.code, "cannot be made" in refused.err) == (2, True)
    assert work.server.ledger.submits_seen == 0
    assert work.run("--state", str(tmp_path / "state")).code == 0


def test_nothing_was_ever_run_here_is_said_with_state_too(work: Shoot, state: Path) -> None:
    work.folder.mkdir(parents=True)
    asked = say(work, "status", None, "--state", str(state))

    assert (asked.code, "there is no record" in asked.err) == (2, True)
    assert not state.exists()


@pytest.fixture
def on_network(work: Shoot, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The output folder as if on NFS; everything else is local."""
    share = work.folder.parent
    monkeypatch.setattr(
        mounts, "network_file_system", lambda path: "nfs4" if share in (path, *path.absolute().parents) else None
    )
    return share


@pytest.mark.usefixtures("on_network")
def test_a_record_on_a_network_is_refused_with_the_way_out(work: Shoot, state: Path) -> None:
    refused = work.run()
    planned = call("plan", work.manifest, "--provider", "segmind", environ=work.environ)
    done = work.run("--state", str(state))

    assert (refused.code, planned.code) == (2, 2)
    assert "network file system (nfs4)" in refused.err
    assert "--state DIR" in refused.err
    assert "[record_on_network]" in refused.err
    assert (done.code, work.server.ledger.billed, work.outputs()) == (0, 2, ["a_v001.mp4", "b_v001.mp4"])
    assert work.run().code == 0


def test_a_state_on_a_network_is_refused(work: Shoot, on_network: Path) -> None:
    refused = work.run("--state", str(on_network / "state"))

    assert (refused.code, work.server.ledger.submits_seen) == (2, 0)
    assert not (on_network / "state").exists()


def test_a_record_that_came_to_lie_on_a_network_is_not_opened(
    work: Shoot, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.run()
    monkeypatch.setattr(mounts, "network_file_system", lambda path: "cifs" if "outputs" in path.parts else None)
    asked = [work.run(), work.run("--state", str(state)), say(work, "status"), say(work, "resolve")]

    assert [each.code for each in asked] == [2, 2, 2, 2]
    assert "Move the folder to a local disk" in asked[0].err
