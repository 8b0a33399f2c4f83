"""`notify`: people hear of a run's end and of its trouble, signed; nothing of that can fail or hold up a run."""

import base64
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchmod import files
from tests import events
from tests.servers.clips import Clip
from tests.servers.receiver import Receiver, receiver, said
from tests.servers.segmind import SegmindStandIn
from tests.support import PACE, Shoot, bare_environment, read_events, remote_rows, shoot, write_clip

SECRET = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"


@pytest.fixture
def server() -> Iterator[SegmindStandIn]:
    with SegmindStandIn(queued_s=0, processing_s=0) as running:
        yield running


@pytest.fixture
def told() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


def _work(folder: Path, server: SegmindStandIn, *ids: str, to: Receiver, **notice: Any) -> Shoot:
    return shoot(folder, server, remote_rows(*ids), notify=[{"url": f"{to.url}/hook", **notice}])


def test_a_runs_end_is_told_with_its_counts_money_and_paths(
    server: SegmindStandIn, told: Receiver, tmp_path: Path
) -> None:
    work = _work(tmp_path, server, "a", "b", to=told)
    server.faults.add("error_400", match="b.mp4")
    done = work.run("--allow-hooks")
    (post,) = told.posts
    (data,) = said(told.posts)

    assert (done.code, post.path, post.json["type"]) == (1, "/hook", "run.ended")
    assert post.headers["content-type"] == "application/json"
    assert "webhook-signature" not in post.headers
    assert data["run_id"] == read_events(work.folder)[-1]["run_id"]
    assert (data["exit_code"], data["stop_reason"], data["counts"]) == (1, None, {"succeeded": 1, "failed": 1})
    assert data["manifest"] == str(work.manifest)
    assert data["money"]["spent_usd"] == data["money"]["spent_in_folder_usd"] == pytest.approx(server.ledger.billed_usd)
    assert [(row["id"], row["status"]) for row in data["failed"]] == [("b", "failed")]
    assert data["failed_count"] == 1
    assert (data["flagged"], data["flagged_count"]) == ([], 0)
    assert data["paths"]["results"] == str(work.folder / "results.csv")
    assert server.key not in post.body.decode()


def test_slack_gets_one_text(server: SegmindStandIn, told: Receiver, tmp_path: Path) -> None:
    write_clip(tmp_path / "b.mp4", Clip(width=48, height=32, frames=2, fps=24))
    rows = [*remote_rows("a"), {**remote_rows("b")[0], "video_url": "b.mp4"}]
    work = shoot(tmp_path, server, rows, notify=[{"url": told.url, "format": "slack"}])
    work.run("--allow-hooks")

    assert told.posts[0].json.keys() == {"text"}
    first, second, flagged, *_ = told.posts[0].json["text"].splitlines()
    assert first == "shots: all succeeded (2 succeeded)"
    assert second.startswith("2 made, 0 copied, $")
    assert flagged.startswith("flagged: b (succeeded) ")
    assert told.posts[0].json["text"].count("flagged") == 1


def test_trouble_is_told_while_the_run_still_goes_on(server: SegmindStandIn, told: Receiver, tmp_path: Path) -> None:
    work = _work(tmp_path, server, *[f"r{number}" for number in range(8)], to=told)
    server.faults.add("error_400", times=None)
    done = work.run("--allow-hooks")

    assert done.code == 3
    assert told.kinds == ["run.trouble", "run.trouble", "run.ended"]
    failures, stopping, end = said(told.posts)
    reasons = {each["stop_reason"] for each in (failures, stopping)}
    assert reasons == {None, "too_many_failures"}
    assert {each["exit_code"] for each in (failures, stopping)} == {None}
    assert (end["exit_code"], end["stop_reason"]) == (3, "too_many_failures")


@pytest.mark.slow
def test_a_service_that_does_not_answer_is_told_before_the_run_gives_up(told: Receiver, tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as gone:
        work = _work(tmp_path, gone, "a", to=told, on=["trouble"])
    done = work.run("--allow-hooks")

    assert done.code == 3
    assert "requests wait" in said(told.posts)[0]["message"]
    assert [each["stop_reason"] for each in said(told.posts)] == [None, "unreachable"]


def test_who_wants_only_trouble_hears_nothing_of_a_good_night(
    server: SegmindStandIn, told: Receiver, tmp_path: Path
) -> None:
    work = _work(tmp_path, server, "a", "b", to=told, on=["trouble"])
    work.run("--allow-hooks")

    assert told.posts == []

    work.rows(remote_rows("a", "b", "c"), notify=[{"url": told.url, "on": ["trouble"]}])
    server.faults.add("error_400")
    work.run("--allow-hooks")

    assert told.kinds == ["run.ended"]


def test_an_error_that_ends_a_run_is_told(server: SegmindStandIn, told: Receiver, tmp_path: Path) -> None:
    work = _work(tmp_path, server, "a", to=told, on=["trouble"])
    bare = {"BATCHMOD_HOME": str(work.home)}
    done = work.run("--allow-hooks", environ=bare)

    assert done.code == 2
    assert said(told.posts)[0]["stop_reason"] == "missing_key"


def test_a_folder_in_use_is_told_and_a_skipped_run_is_not(
    server: SegmindStandIn, told: Receiver, tmp_path: Path
) -> None:
    work = _work(tmp_path, server, "a", to=told)
    with files.locked(work.folder):
        codes = [work.run("--allow-hooks", *more).code for more in ((), ("--if-locked", "skip"))]

    assert codes == [4, 0]
    assert [each["exit_code"] for each in said(told.posts)] == [4]


def test_a_message_is_signed_with_the_secret_that_the_user_allows(
    server: SegmindStandIn, told: Receiver, tmp_path: Path
) -> None:
    work = _work(tmp_path, server, "a", to=told, secret_env="NIGHTLY_SECRET")
    environ = {**work.environ, "NIGHTLY_SECRET": SECRET}
    refused = work.run("--allow-hooks", environ=environ)

    assert (refused.code, told.posts) == (0, [])
    assert "the manifest may not read NIGHTLY_SECRET; say --key-env NIGHTLY_SECRET" in refused.err

    done = work.run("--allow-hooks", "--key-env", "NIGHTLY_SECRET", environ=environ)

    assert done.code == 0
    assert told.posts[0].headers["webhook-signature"].startswith("v1,")
    assert SECRET not in str(told.posts) + done.out + done.err
    assert all(SECRET not in path.read_text("utf-8", "replace") for path in work.folder.glob("*.json*"))


@pytest.mark.parametrize("value", [None, "hunter2", "whsec_c2hvcnQ="])
def test_nothing_goes_unsigned_where_a_signature_was_wanted(
    server: SegmindStandIn, told: Receiver, tmp_path: Path, value: str | None
) -> None:
    work = _work(tmp_path, server, "a", to=told, secret_env="NIGHTLY_SECRET")
    given = {} if value is None else {"NIGHTLY_SECRET": value}
    done = work.run("--allow-hooks", "--key-env", "NIGHTLY_SECRET", environ={**work.environ, **given})

    assert (done.code, told.posts) == (0, [])
    assert "NIGHTLY_SECRET" in done.err
    assert value is None or value not in done.err


def test_nobody_is_told_whom_nobody_has_allowed(server: SegmindStandIn, told: Receiver, tmp_path: Path) -> None:
    work = _work(tmp_path, server, "a", to=told)
    done = work.run()

    assert (done.code, told.posts) == (0, [])
    assert f"{told.url} is not told: nobody has allowed it; say --allow-hooks" in done.err


def test_the_users_configuration_allows_a_url_and_tells_of_runs_that_name_nobody(
    server: SegmindStandIn, told: Receiver, tmp_path: Path
) -> None:
    work = _work(tmp_path, server, "a", to=told)
    work.home.mkdir()
    (work.home / "config.yaml").write_text(
        f"notify: [{{url: '{told.url}/own'}}]\nallow: {{urls: ['{told.url}/hook']}}\n"
    )
    work.run()
    work.rows(remote_rows("a"))
    work.run()
    work.run("--rehearse")

    assert [post.path for post in told.posts] == ["/hook", "/own"]


def test_a_url_may_come_from_a_variable_and_is_shown_nowhere(
    server: SegmindStandIn, told: Receiver, tmp_path: Path
) -> None:
    work = shoot(tmp_path, server, remote_rows("a"), notify=[{"url": "${BATCHMOD_VAR_HOOK}"}])
    told.answers.append(404)
    environ = {**work.environ, "BATCHMOD_VAR_HOOK": f"{told.url}/T000/secret-token"}
    done = work.run("--allow-hooks", environ=environ)

    assert (done.code, told.posts[0].path) == (0, "/T000/secret-token")
    assert f"notify: {told.url} (run.ended) could not be told: it answered 404" in done.err
    assert "secret-token" not in done.err + done.out + (work.folder / "events.jsonl").read_text()


def test_it_is_tried_again_under_the_same_id(server: SegmindStandIn, tmp_path: Path) -> None:
    with receiver(503) as told:
        work = _work(tmp_path, server, "a", to=told)
        done = work.run("--allow-hooks")

        assert (done.code, len(told.posts)) == (0, 2)
        assert len({post.headers["webhook-id"] for post in told.posts}) == 1
        assert "could not be told" not in done.err


@pytest.mark.parametrize("answer", [307, 401])
def test_what_does_not_arrive_is_a_warning_and_an_event(server: SegmindStandIn, tmp_path: Path, answer: int) -> None:
    with receiver(answer) as told:
        work = _work(tmp_path, server, "a", to=told)
        done = work.run("--allow-hooks")

        assert (done.code, len(told.posts)) == (0, 1)
        assert done.err.count("could not be told") == 1
        events.check_all((work.folder / "events.jsonl").read_text())
        assert read_events(work.folder)[-1]["event"] == "notify_failed"
        assert f"it answered {answer}" in read_events(work.folder)[-1]["message"]
        # the next run finds a record that is not behind its events, and nothing to do
        assert (work.run("--allow-hooks").code, server.ledger.submits_seen) == (0, 1)


def test_nobody_there_fails_nothing(server: SegmindStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchmod.app.notifying._PAUSES_S", (0.0, 0.0))
    with receiver() as gone:
        pass
    work = _work(tmp_path, server, "a", to=gone)
    done = work.run("--allow-hooks")

    assert (done.code, work.statuses()) == (0, {"a": "succeeded"})
    assert "could not be told" in done.err


def test_the_folder_is_free_while_somebody_is_told(server: SegmindStandIn, tmp_path: Path) -> None:
    with receiver(-30) as told:
        work = _work(tmp_path, server, "a", to=told)
        words = ["run", str(work.manifest), "--provider", "segmind", "--yes", "--allow-hooks", *PACE]
        running = subprocess.Popen(
            [sys.executable, "-m", "batchmod", *words],
            env={**bare_environment(), **work.environ},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert told.on_post.wait(60)
        with files.locked(work.folder):
            pass
        told.released.set()

        assert running.wait(60) == 0
