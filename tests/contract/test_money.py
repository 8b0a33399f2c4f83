"""What a run may spend, when it must stop, and what it never asks for twice."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.servers.segmind import Kind, SegmindStandIn
from tests.support import PACE, call, remote_rows, shoot, write_clip


def local_rows(folder: Path, *ids: str) -> list[dict[str, Any]]:
    """Rows that each cost 60 cents: a short clip, and a prompt of their own."""
    write_clip(folder / "clip.mp4")
    return [{"id": row_id, "video_url": "clip.mp4", "prompt": f"look {row_id}"} for row_id in ids]


def test_a_cap_is_never_passed_and_a_higher_one_goes_on(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, local_rows(tmp_path, "a", "b", "c", "d"))
        first = work.run("--max-cost-usd", "1.25")
        billed = server.ledger.billed_usd

        assert (first.code, billed, server.ledger.submits_seen) == (3, 1.2, 2)
        assert "budget" in first.err
        assert "$1.20 of $1.25" in first.err

        again = work.run("--max-cost-usd", "1.25")

        assert (again.code, server.ledger.submits_seen) == (3, 2)
        assert (work.run("--max-cost-usd", "2.40").code, server.ledger.billed_usd) == (0, 2.4)


def test_a_cap_holds_back_the_upper_estimate_while_a_request_is_in_flight(tmp_path: Path) -> None:
    # A clip on the web may be 30 s long, hence up to $3.60; two of them at once would pass the cap.
    with SegmindStandIn(queued_s=0, processing_s=0.1) as server:
        work = shoot(tmp_path, server, remote_rows("a", "b"), limits={"max_cost_usd": 4.5})
        done = work.run()
        first, second = server.ledger.jobs

        assert done.code == 0
        assert second.accepted_at >= first.ends_at


def test_an_uncertain_request_keeps_its_money(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("lost", "other"), limits={"max_cost_usd": 4.0})
        environ = {name: value for name, value in work.environ.items() if "HISTORY" not in name}
        server.faults.add("accept_then_reset")
        done = work.run(environ=environ)

        assert (done.code, work.statuses()) == (3, {"lost": "uncertain", "other": "planned"})
        assert (work.run(environ=environ).code, server.ledger.submits_seen) == (3, 1)


def test_a_stop_ends_the_wait_for_money_too(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a", "b"), limits={"max_cost_usd": 4.5})
        server.faults.add("error_401_invalid", on="status")
        done = work.run()

        assert (done.code, work.statuses()) == (3, {"a": "submitted", "b": "planned"})
        assert "SEGMIND_API_KEY" in done.err
        assert (work.run().code, server.ledger.submits_seen) == (0, 2)


def test_a_cap_of_one_run_begins_anew_when_a_run_has_ended(tmp_path: Path) -> None:
    rows = local_rows(tmp_path, "a", "b", "c")
    limits = {"max_cost_per_run_usd": 1.25}
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, rows[:2], limits=limits)
        first = work.run().code
        work.rows(rows, limits=limits)

        assert (first, work.run().code, server.ledger.billed) == (0, 0, 3)


def submit_times(server: SegmindStandIn) -> list[float]:
    """When each paid request arrived."""
    return [seen.at for seen in server.ledger.requests if seen.kind is Kind.SUBMIT]


def test_the_first_paid_request_goes_alone_until_it_is_answered(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a", "b", "c", "d"))
        server.faults.add("accept_then_delay", seconds=0.5)
        done = work.run()
        first, *others = submit_times(server)

    assert done.code == 0
    assert min(others) - first >= 0.45
    assert max(others) - min(others) < 0.4


def test_a_lost_reply_is_no_answer_and_the_next_request_goes_alone_too(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a", "b", "c", "d"))
        server.faults.add("accept_then_reset")
        server.faults.add("accept_then_delay", seconds=0.5)
        done = work.run()
        _, second, *others = submit_times(server)

    assert done.code == 0
    assert min(others) - second >= 0.45


def test_five_failures_in_a_row_stop_the_batch(tmp_path: Path) -> None:
    ids = [f"r{number}" for number in range(9)]
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows(*ids))
        server.faults.add("error_400", times=None)
        done = work.run("--max-in-flight", "1")
        statuses = list(work.statuses().values())

        assert (done.code, server.ledger.submits_seen) == (3, 5)
        assert (statuses.count("failed"), statuses.count("planned")) == (5, 4)
        assert "5 failures in a row" in done.err


def test_five_requests_in_a_row_without_a_certain_answer_stop_the_batch(tmp_path: Path) -> None:
    ids = [f"r{number}" for number in range(9)]
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows(*ids))
        server.faults.add("error_502", times=None)
        done = work.run("--max-in-flight", "1")
        statuses = list(work.statuses().values())

        assert (done.code, server.ledger.submits_seen) == (3, 5)
        assert (statuses.count("uncertain"), statuses.count("planned")) == (5, 4)


def test_failures_with_successes_between_them_stop_nothing(tmp_path: Path) -> None:
    rows = [
        {"id": f"r{n}", "video_url": f"https://example.com/{n}.mp4", "prompt": "bad" if n % 2 else "good"}
        for n in range(12)
    ]
    with SegmindStandIn(queued_s=0, processing_s=0, fail_prompts={"bad": "Generation failed"}) as server:
        work = shoot(tmp_path, server, rows)
        done = work.run("--max-in-flight", "1")

    assert (done.code, server.ledger.submits_seen) == (1, 12)


def test_identical_rows_are_one_request_and_a_file_each(tmp_path: Path) -> None:
    row = {"video_url": "https://example.com/a.mp4", "prompt": "as wool"}
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, [{"id": "a", **row}, {"id": "b", **row}])
        done = work.run()
        a, b = (work.folder / f"videos/{row_id}_v001.mp4" for row_id in "ab")

        assert (done.code, server.ledger.submits_seen) == (0, 1)
        assert a.read_bytes() == b.read_bytes()
        assert a.stat().st_ino != b.stat().st_ino

        work.rows([{"id": row_id, **row} for row_id in "abc"])

        assert (work.run().code, server.ledger.submits_seen, len(work.outputs())) == (0, 1, 3)


def test_a_variant_is_another_request(tmp_path: Path) -> None:
    row = {"video_url": "https://example.com/a.mp4", "prompt": "as wool"}
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, [{"id": "a", **row}, {"id": "b", **row, "variant": 2}])

        assert (work.run().code, server.ledger.submits_seen) == (0, 2)


def test_an_edited_row_is_a_new_version_and_the_old_one_stays(tmp_path: Path) -> None:
    rows = remote_rows("a", "b")
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, rows)
        work.run()
        old = (work.folder / "videos/a_v001.mp4").read_bytes()
        rows[0]["prompt"] = "as clay"
        work.rows(rows)
        done = work.run()

        assert (done.code, server.ledger.submits_seen) == (0, 3)
        assert work.outputs() == ["a_v001.mp4", "a_v002.mp4", "b_v001.mp4"]
        assert (work.folder / "videos/a_v001.mp4").read_bytes() == old
        assert work.results()["a"]["output"] == "videos/a_v002.mp4"

        rows[0]["prompt"] = "as wool, a"
        work.rows(rows)

        assert (work.run().code, server.ledger.submits_seen) == (0, 3)
        assert work.results()["a"]["output"] == "videos/a_v001.mp4"


def test_a_request_whose_row_is_gone_is_still_collected(tmp_path: Path) -> None:
    rows = remote_rows("gone", "stays")
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, rows)
        server.faults.add("error_401_invalid", on="status", times=None)
        first = work.run().code
        server.faults.clear()
        work.rows(rows[1:])
        done = work.run()

        assert (first, done.code) == (3, 0)
        assert work.outputs() == ["gone_v001.mp4", "stays_v001.mp4"]
        assert server.ledger.paid_twice() == {}


def test_a_lost_request_whose_row_is_gone_is_looked_up_and_collected(tmp_path: Path) -> None:
    rows = remote_rows("gone", "stays")
    with SegmindStandIn(queued_s=0, processing_s=0, history_delay_s=30) as server:
        work = shoot(tmp_path, server, rows)
        server.faults.add("accept_then_reset")
        first = work.run("--history-grace", "600").code
        server.advance(60)
        work.rows(rows[1:])
        done = work.run("--history-grace", "600")

        assert (first, done.code) == (1, 0)
        assert work.outputs() == ["gone_v001.mp4", "stays_v001.mp4"]
        assert server.ledger.submits_seen == 2


def test_a_held_row_is_not_sent_but_what_was_sent_is_collected(tmp_path: Path) -> None:
    rows = remote_rows("sent", "new")
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, rows[:1])
        server.faults.add("error_401_invalid", on="status")
        work.run()
        work.rows([{**row, "hold": True} for row in rows])
        done = work.run()

        assert (done.code, work.statuses()) == (0, {"sent": "succeeded", "new": "held"})
        assert server.ledger.submits_seen == 1


def test_a_second_run_sends_nothing_from_wherever_it_is_started(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path / "set", server, local_rows(tmp_path / "set", "a", "b"))
        codes = [work.run(cwd=tmp_path).code, work.run(cwd=elsewhere).code]
        words = ("run", "../set/shots.yaml", "--provider", "segmind", *PACE)
        codes.append(call(*words, environ=work.environ, cwd=elsewhere).code)
        codes.append(
            call("run", "shots.yaml", "--provider", "segmind", environ=work.environ, cwd=tmp_path / "set").code
        )
        asked = [seen.kind for seen in server.ledger.requests]

    assert codes == [0, 0, 0, 0]
    assert (asked.count(Kind.SUBMIT), asked.count(Kind.UPLOAD), asked.count(Kind.DOWNLOAD)) == (2, 1, 2)
    assert sorted(path.name for path in (tmp_path / "set/outputs").iterdir()) == ["shots"]
    assert list(elsewhere.iterdir()) == []


def test_a_failed_row_is_tried_again_when_told_to_and_three_times_at_most(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a"))
        server.faults.add("error_400", times=None)
        codes = [work.run(*more).code for more in ((), (), *[("--retry-failed",)] * 4)]

        assert codes == [1] * 6
        assert server.ledger.submits_seen == 3


def test_a_base_url_changed_alone_leaves_no_upload_and_no_history(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4")
    rows = [*remote_rows("remote"), {"id": "local", "video_url": "a.mp4"}]
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, rows)
        environ = {"SEGMIND_API_KEY": server.key, "SEGMIND_BASE_URL": server.url, "BATCHMOD_HOME": str(work.home)}
        refused = work.run(environ=environ)

        assert refused.code == 2
        assert "SEGMIND_UPLOAD_BASE_URL" in refused.err
        assert server.ledger.requests == ()

        work.rows(rows[:1])
        server.faults.add("accept_then_reset")

        assert (work.run(environ=environ).code, work.statuses()) == (1, {"remote": "uncertain"})
        assert (server.ledger.uploads, server.ledger.history_calls) == (0, 0)


def test_another_origin_is_another_job(tmp_path: Path) -> None:
    with (
        SegmindStandIn(queued_s=0, processing_s=0) as server,
        SegmindStandIn(queued_s=0, processing_s=0) as other,
    ):
        work = shoot(tmp_path, server, remote_rows("a"))
        keys = []
        for environ in (server.environment(), other.environment(), server.environment()):
            assert work.run(environ={**environ, "BATCHMOD_HOME": str(work.home)}).code == 0
            keys.append(work.results()["a"]["job_key"])

        assert keys[0] == keys[2] != keys[1]
        assert (server.ledger.submits_seen, other.ledger.submits_seen) == (1, 1)
        assert work.outputs() == ["a_v001.mp4", "a_v002.mp4"]


def test_what_was_sent_to_one_origin_is_polled_only_there(tmp_path: Path) -> None:
    with (
        SegmindStandIn(queued_s=0, processing_s=0) as server,
        SegmindStandIn(queued_s=0, processing_s=0) as other,
    ):
        work = shoot(tmp_path, server, remote_rows("a"))
        server.faults.add("error_401_invalid", on="status")
        work.run()
        request_id = work.results()["a"]["request_id"]
        done = work.run(environ={**other.environment(), "BATCHMOD_HOME": str(work.home)})

        assert done.code == 0
        assert not [seen for seen in other.ledger.requests if request_id in seen.path]
        assert (server.ledger.submits_seen, server.ledger.downloads) == (1, 1)


@pytest.mark.parametrize(
    "url", ["http://api.example.com", "https://user:hunter2@api.example.com", "ftp://x", "nothing"]
)
def test_a_base_url_that_would_give_the_key_away_is_refused(url: str, tmp_path: Path) -> None:
    with SegmindStandIn() as server:
        work = shoot(tmp_path, server, remote_rows("a"))
        done = work.run(environ={**work.environ, "SEGMIND_BASE_URL": url})

        assert done.code == 2
        assert "SEGMIND_BASE_URL" in done.err
        assert "hunter2" not in done.err
        assert not work.folder.exists()


def test_without_its_key_nothing_is_sent(tmp_path: Path) -> None:
    with SegmindStandIn() as server:
        work = shoot(tmp_path, server, remote_rows("a"))
        environ = {name: value for name, value in work.environ.items() if name != "SEGMIND_API_KEY"}
        done = work.run(environ=environ)

        assert done.code == 2
        assert "export SEGMIND_API_KEY" in done.err
        assert server.ledger.requests == ()


def test_without_a_terminal_a_paid_run_needs_a_word_or_a_cap(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, local_rows(tmp_path, "a", "b"))
        words = ("run", str(work.manifest), "--provider", "segmind", *PACE)
        refused = call(*words, environ=work.environ)

        assert refused.code == 2
        assert all(text in refused.err for text in ("2 paid requests", "$1.20", "--yes", "--max-cost-usd"))
        assert server.ledger.requests == ()
        assert call(*words, "--max-cost-usd", "5", environ=work.environ).code == 0
        assert server.ledger.billed == 2


def test_a_run_that_pays_nothing_new_needs_no_word(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a"))
        server.faults.add("error_401_invalid", on="status")
        work.run()
        done = call("run", work.manifest, "--provider", "segmind", *PACE, environ=work.environ)

        assert (done.code, server.ledger.submits_seen) == (0, 1)


def test_the_cost_is_what_the_provider_said(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0, price=0.42) as server:
        work = shoot(tmp_path, server, remote_rows("a"))
        began = time.time()
        done, line = work.run(), work.results()["a"]

    assert (done.code, line["cost_usd"], line["cost_source"], line["billed"]) == (0, "0.42", "provider", "true")
    assert float(line["seconds"]) <= time.time() - began
    assert "$0.42" in done.out
