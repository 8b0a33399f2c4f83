"""A plan is what the run then does: its rows, counts and reasons against a service's ledger and the run's events."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.servers.ledger import Job as Sent
from tests.servers.segmind import SegmindStandIn
from tests.support import PACE, Shoot, call, read_events, remote_rows, shoot, write_clip, write_manifest


@pytest.fixture
def server() -> Iterator[SegmindStandIn]:
    with SegmindStandIn(queued_s=0, processing_s=0) as running:
        yield running


def planned(work: Shoot, *argv: str, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The plan as JSON."""
    of = work.environ if environ is None else environ
    done = call("plan", work.manifest, "--provider", work.provider, "--json", *argv, environ=of)
    assert done.code == 0, done.err
    (found,) = json.loads(done.out)
    assert isinstance(found, dict)
    return found


def said(work: Shoot, *argv: str) -> str:
    """The plan as a person reads it."""
    done = call("plan", work.manifest, "--provider", work.provider, *argv, environ=work.environ)
    assert done.code == 0, done.err
    return done.out


def ids(plan: Mapping[str, Any], action: str) -> set[str]:
    return {item["id"] for item in plan["items"] if item["action"] == action}


def events_of_last_run(work: Shoot) -> list[dict[str, Any]]:
    events = read_events(work.folder)
    return [event for event in events if event["run_id"] == events[-1]["run_id"]]


def ids_in(events: list[dict[str, Any]], *kinds: str) -> set[str]:
    """The ids that events of these kinds are about."""
    return {row_id for event in events if event["event"] in kinds for row_id in (event["id"], *event.get("also", ()))}


def clips_of(sent: tuple[Sent, ...]) -> set[str]:
    """The clips' names in requests."""
    return {str(job.inputs["video_url"]).rpartition("/")[2].removesuffix(".mp4") for job in sent}


def every_state(tmp_path: Path, server: SegmindStandIn) -> Shoot:
    """A folder in which each thing that can be the matter with a row is the matter with one."""
    write_clip(tmp_path / "cut.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(500))
    local = {"id": "broken", "video_url": "cut.mp4", "prompt": "wool"}
    other = write_manifest(tmp_path / "other" / "other.yaml", remote_rows("elsewhere"))
    work = shoot(tmp_path, server, remote_rows("kept", "lost", "flying", "refused", "missing", "edited"))
    assert call("run", other, "--provider", "segmind", "--yes", *PACE, environ=work.environ).code == 0
    server.faults.add("accept_then_reset", match="lost.mp4")
    server.faults.add("error_400", match="refused.mp4")
    assert work.run("--only", "kept", "--only", "missing", "--only", "edited").code == 0
    server.configure(processing_s=600)
    work.run("--no-wait", environ={n: v for n, v in work.environ.items() if "HISTORY" not in n})
    server.advance(600)
    server.configure(processing_s=0)
    (work.folder / "videos" / "missing_v001.mp4").unlink()
    rows = remote_rows("kept", "lost", "flying", "refused", "missing", "edited", "new", "held", "elsewhere")
    rows[5]["prompt"] = "as clay"
    rows[7]["hold"] = True
    rows.append({**rows[6], "id": "twin"})
    work.rows([*rows, local])
    return work


def test_the_plan_of_every_state_is_what_the_run_then_does(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = every_state(tmp_path, server)
        before = {job.request_id for job in server.ledger.jobs}
        asked = len(server.ledger.requests)
        plan = planned(work)
        seen_by_plan = [seen.kind for seen in server.ledger.requests[asked:]]
        run = work.run()
        events = events_of_last_run(work)
        new = tuple(job for job in server.ledger.jobs if job.request_id not in before)

        assert {action: ids(plan, action) for action in plan["counts"]} == {
            "send": {"edited", "new"},
            "keep": {"kept"},
            "resume": {"flying"},
            "uncertain": {"lost"},
            "fetch": {"missing"},
            "will fail": {"broken"},
            "leave": {"refused"},
            "held": {"held"},
            "reuse": {"elsewhere"},
            "copy": {"twin"},
        }
        assert plan["counts"] == {action: len(ids(plan, action)) for action in plan["counts"]}
        assert set(seen_by_plan) <= {"credits"}
        # what was sent
        assert clips_of(new) == ids(plan, "send")
        assert len(new) == plan["providers"][0]["requests"] == plan["counts"]["send"]
        assert ids_in(events, "intended") == ids(plan, "send") | ids(plan, "copy")
        # what became of the others
        assert ids_in(events, "failed") == ids(plan, "will fail")
        assert ids_in(events, "resolved") == ids(plan, "uncertain")
        assert ids_in(events, "copied") == ids(plan, "reuse")
        done = ids_in(events, "succeeded")
        assert done == {row for action in ("send", "copy", "resume", "uncertain", "fetch") for row in ids(plan, action)}
        assert next(event for event in events if event["event"] == "planned")["counts"]["keep"] == 1
        assert (run.code, work.statuses()["refused"], work.statuses()["held"]) == (1, "failed", "held")
        assert server.ledger.paid_twice() == {}


def test_the_event_of_a_run_counts_as_the_plan_did(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, remote_rows("a", "b", "c"))
    work.run("--only", "a")
    plan = planned(work, "--only", "b", "--only", "a")
    work.run("--only", "b", "--only", "a")
    (event,) = [event for event in events_of_last_run(work) if event["event"] == "planned"]

    assert event["counts"] == plan["counts"] == {"send": 1, "keep": 1}


@pytest.mark.parametrize("words", [("--pay-again", "a"), ("--retry-failed",), ("--first", "1"), ("--no-reuse",)])
def test_the_options_of_run_mean_the_same_to_plan(
    words: tuple[str, ...], tmp_path: Path, server: SegmindStandIn
) -> None:
    server.faults.add("error_400", match="b.mp4")
    work = shoot(tmp_path, server, remote_rows("a", "b"))
    work.run()
    plan = planned(work, *words)
    before = server.ledger.submits_seen
    work.run(*words)

    assert server.ledger.submits_seen - before == plan["counts"].get("send", 0)


def test_a_plan_is_refused_where_the_run_would_be(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, remote_rows("a"))
    work.run()
    other = write_manifest(tmp_path / "other.yaml", remote_rows("b"))
    words = (other, "--provider", "segmind", "--output", str(work.folder))
    refused = call("plan", *words, environ=work.environ)
    added = call("plan", *words, "--add", environ=work.environ)

    assert (refused.code, "belongs to the manifest 'shots'" in refused.err) == (2, True)
    assert (added.code, "1 send" in added.out) == (0, True)


def test_a_plan_says_what_the_run_lacks_and_needs_nothing_itself(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, remote_rows("a"))
    without = {name: value for name, value in work.environ.items() if name != "SEGMIND_API_KEY"}
    done = call("plan", work.manifest, "--provider", "segmind", environ=without)
    plan = planned(work, environ=without)
    run = work.run(environ=without)

    assert (done.code, run.code) == (0, 2)
    assert "run would end with 2: segmind needs its key" in done.err
    assert [each["slug"] for each in plan["objections"]] == ["missing_key"]
    assert plan["needs_a_word"] is True
    assert server.ledger.requests == ()


def test_a_plan_counts_and_prices_each_provider(tmp_path: Path, server: SegmindStandIn) -> None:
    rows = remote_rows("a", "b", "c")
    rows[2]["provider"] = "local"
    work = shoot(tmp_path, server, rows, provider="segmind")
    done = call("plan", work.manifest, "--json", environ=work.environ)
    (plan,) = json.loads(done.out)
    shares = {share["provider"]: share for share in plan["providers"]}
    text = call("plan", work.manifest, environ=work.environ).out

    assert list(shares) == ["segmind", "local"]
    assert shares["segmind"]["counts"] == {"send": 2}
    assert shares["segmind"]["cost_usd"] == pytest.approx(plan["cost_usd"])
    assert shares["segmind"]["balance_usd"] == pytest.approx(1000.0)
    assert shares["local"]["cost_usd"]["high"] == 0.0
    headers = next(line for line in text.splitlines() if line.startswith("provider"))
    assert headers.split() == ["provider", "send", "keep", "resume", "uncertain", "will", "fail", "cost", "time"]
    assert "The balance at segmind is $1,000.00." in text


def test_a_plan_tells_the_time_at_the_current_limits(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, remote_rows(*(f"r{number}" for number in range(28))))
    slow = planned(work)["seconds"]
    paced = planned(work, "--submits-per-minute", "60", "--max-in-flight", "28")["seconds"]

    assert slow == {"sending": 3 * 164.0, "all": 4 * 164.0}  # 8 at a time: 28 are four rounds of 164 s
    assert paced == {"sending": 20.0, "all": 20.0 + 164.0}  # 8 at once, then one a second
    assert "segmind: about 10 min 56 s at the current limits (28 requests at 5 a minute, 8 side by side" in said(work)


def test_a_plan_knows_how_long_a_request_took_here(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, remote_rows("a", "b"))
    work.run("--only", "a")
    share = planned(work)["providers"][0]

    assert 0 < share["seconds_each"] < 60


def test_a_plan_says_how_far_a_cap_reaches_and_the_run_goes_that_far(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, remote_rows("a", "b", "c", "d"))
    work.run("--only", "a")
    (cap,) = planned(work, "--max-cost-usd", "1.50")["caps"]
    stopped = work.run("--max-cost-usd", "1.50", "--max-in-flight", "1")

    assert (cap["name"], cap["usd"], cap["committed_usd"]) == ("max_cost_usd", 1.5, pytest.approx(0.6))
    assert stopped.code == 3
    assert 0 <= cap["requests"] <= server.ledger.accepted - 1


def test_a_balance_that_does_not_come_at_once_is_not_waited_for(tmp_path: Path, server: SegmindStandIn) -> None:
    server.faults.add("delay_then_accept", on="credits", times=None, seconds=20.0)
    work = shoot(tmp_path, server, remote_rows("a"))
    began = time.monotonic()
    plan = planned(work)

    assert 2.0 <= time.monotonic() - began < 15.0
    assert plan["balances_usd"] == {}
    assert plan["providers"][0]["balance_usd"] is None


def changes(plan: Mapping[str, Any]) -> dict[str, list[tuple[str, str | None, str | None, str | None]]]:
    """id → (field, before, after, note) of each that changed."""
    return {
        change["id"]: [(each["field"], each["before"], each["after"], each["note"]) for each in change["fields"]]
        for change in plan["changes"]["changed"]
    }


def test_a_plan_says_which_rows_changed_since_the_last_run_and_in_which_field(
    tmp_path: Path, server: SegmindStandIn
) -> None:
    write_clip(tmp_path / "clip.mp4", mark="one")
    rows = remote_rows("same", "prompt", "mode", "notes", "gone")
    rows += [{"id": "content", "video_url": "clip.mp4", "prompt": "wool"}]
    work = shoot(tmp_path, server, rows)
    work.run()
    write_clip(tmp_path / "clip.mp4", mark="two")
    rows[1]["prompt"], rows[2]["mode"], rows[3]["notes"] = "as clay", "flex_1", "look again"
    work.rows([*rows[:4], rows[5], *remote_rows("fresh")])
    plan = planned(work)
    text = said(work)

    assert changes(plan) == {
        "prompt": [("prompt", "as wool, prompt", "as clay", None)],
        "mode": [("mode", "adhere_1", "flex_1", None)],
        "notes": [("notes", None, "look again", None)],
        "content": [("video_url", None, None, "another content")],
    }
    assert (plan["changes"]["new"], plan["changes"]["gone"]) == (["fresh"], ["gone"])
    assert {item["id"]: item["why"] for item in plan["items"] if item["action"] == "send"} == {
        "prompt": "changed: prompt",
        "mode": "changed: mode",
        "content": "changed: video_url",
        "fresh": "new",
    }
    assert ids(plan, "keep") == {"same", "notes"}
    assert "3 changed, 1 changed where nothing is paid for, 1 new, 1 gone." in text
    assert "  prompt: prompt 'as wool, prompt' → 'as clay'" in text


def test_an_option_that_changes_the_result_is_a_change(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a"), provider="segmind")
        work.run()
        elsewhere = SegmindStandIn(queued_s=0, processing_s=0)
        with elsewhere:
            plan = planned(work, environ={**work.environ, **elsewhere.environment()})

    (fields,) = changes(plan).values()
    assert [name for name, *_ in fields] == ["origin"]


def test_the_query_of_a_url_is_not_shown(tmp_path: Path, server: SegmindStandIn) -> None:
    row = {"id": "a", "video_url": "https://example.com/a.mp4?X-Amz-Signature=one", "prompt": "wool"}
    work = shoot(tmp_path, server, [row])
    work.run()
    work.rows([{**row, "video_url": "https://example.com/a.mp4?X-Amz-Signature=two"}])
    plan = planned(work)

    assert changes(plan) == {"a": [("video_url", None, None, "another query")]}
    assert plan["changes"]["changed"][0]["same_request"] is True
    assert "Amz" not in json.dumps(plan) + said(work)
    assert plan["counts"] == {"keep": 1}


def test_nothing_changed_is_said(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, remote_rows("a"))
    first = planned(work)
    work.run()

    assert first["changes"] is None
    assert "Nothing has changed since the last run" in said(work)


def test_a_renamed_manifest_is_compared_with_the_folder_that_has_paid_for_it(
    tmp_path: Path, server: SegmindStandIn
) -> None:
    rows = remote_rows("a", "b", "c")
    work = shoot(tmp_path, server, rows)
    work.run()
    rows[2]["prompt"] = "as clay"
    renamed = Shoot(server=server, home=work.home, manifest=tmp_path / "shots_v02.yaml")
    renamed.rows(rows)
    plan, text = planned(renamed), said(renamed)
    renamed.run()

    assert plan["counts"] == {"send": 1, "reuse": 2}
    assert [(each["folder"], each["rows"]) for each in plan["reused"]] == [(str(work.folder), 2)]
    assert plan["reused"][0]["paid_usd"] == pytest.approx(1.2)
    assert changes(plan) == {"c": [("prompt", "as wool, c", "as clay", None)]}
    assert "2 rows already paid ($1.20), reused from outputs/shots." in text
    assert server.ledger.accepted == 4


def test_amounts_are_those_that_a_person_would_add_up(tmp_path: Path, server: SegmindStandIn) -> None:
    plan = planned(shoot(tmp_path, server, remote_rows(*"abc")))

    assert plan["cost_usd"]["likely"] == plan["providers"][0]["cost_usd"]["likely"] == 1.8
    assert plan["items"][0]["cost_usd"]["high"] == 3.6


def test_a_cap_of_which_nothing_is_asked_says_no_number_of_requests(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path, server, remote_rows("a"))
    before = call("plan", work.manifest, "--provider", "segmind", "--max-cost-usd", "9", environ=work.environ).out
    work.run()
    after = call("plan", work.manifest, "--provider", "segmind", "--max-cost-usd", "9", environ=work.environ).out

    assert "max_cost_usd is $9.00: it lets 1 new request through for certain." in before
    assert "max_cost_usd is $9.00: $0.60 of it is committed." in after


def test_a_row_that_is_left_out_is_counted_and_neither_changed_nor_gone(tmp_path: Path, server: SegmindStandIn) -> None:
    rows = remote_rows("a", "b")
    work = shoot(tmp_path, server, rows)
    work.run()
    rows[1]["mode"] = "flex_9"
    work.rows(rows)
    plan = planned(work, "--skip-invalid")

    assert plan["counts"] == {"keep": 1, "invalid": 1}
    assert [each["id"] for each in plan["invalid"]] == ["b"]
    assert plan["changes"] == {"folder": str(work.folder), "changed": [], "new": [], "gone": []}
    assert work.run("--skip-invalid").code == 1
