"""fal, over the wire: what is its own beside the rules that all providers are held to."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.servers.fal import APP, FalStandIn
from tests.servers.ledger import Kind
from tests.support import Shoot, call, remote_rows, shoot, write_clip


def at(folder: Path, server: FalStandIn, *ids: str, **top: Any) -> Shoot:
    return shoot(folder, server, remote_rows(*ids), at="fal", provider="fal", **top)


def test_a_job_is_waited_for_under_202_and_asked_for_by_owner_and_app_alone(tmp_path: Path) -> None:
    with FalStandIn(queued_s=0.2, processing_s=0.2) as server:
        work = at(tmp_path, server, "a")
        done = work.run()
        polled = [(seen.status, seen.path) for seen in server.ledger.requests if seen.kind is Kind.STATUS]
        request_id = server.ledger.jobs[0].request_id

        assert done.code == 0
        assert {status for status, _ in polled} == {200, 202}
        assert {path for _, path in polled} == {f"/{APP}/requests/{request_id}/status"}


def test_an_error_of_fal_s_own_in_the_status_is_a_failure_that_may_be_tried_again(tmp_path: Path) -> None:
    with FalStandIn() as server:
        work = at(tmp_path, server, "a")
        server.faults.add("completed_with_error", on="submit")
        failed = work.run()
        line = work.results()["a"]

        assert (failed.code, line["error_code"], line["billed"]) == (1, "generation_failed", "false")
        assert "request_timeout" in line["error"]
        assert (work.run("--retry-failed").code, server.ledger.accepted) == (0, 2)


def test_a_failure_that_may_have_been_charged_is_left_alone(tmp_path: Path) -> None:
    with FalStandIn(price_if_failed=0.6) as server:
        work = at(tmp_path, server, "a")
        server.faults.add("refused_prompt", on="submit")
        failed = work.run()
        line = work.results()["a"]

        assert (failed.code, line["error_code"], line["billed"]) == (1, "refused_prompt", "")
        assert (work.run("--retry-failed").code, server.ledger.submits_seen) == (1, 1)


@pytest.mark.parametrize("fault", ["error_502_html", "error_503", "error_500_html"])
def test_a_gateway_s_error_instead_of_a_result_is_asked_again(fault: str, tmp_path: Path) -> None:
    with FalStandIn() as server:
        work = at(tmp_path, server, "a")
        server.faults.add(fault, on="result", times=3)
        done = work.run()

        assert (done.code, server.ledger.billed, server.ledger.count(Kind.RESULT)) == (0, 1, 4)


def test_a_result_that_answers_with_fal_s_own_type_is_the_job_s_end(tmp_path: Path) -> None:
    with FalStandIn() as server:
        work = at(tmp_path, server, "a")
        server.faults.add("result_504_typed", on="result", times=None)

        assert (work.run().code, work.results()["a"]["error_code"]) == (1, "generation_failed")


def test_an_account_that_is_locked_for_its_balance_has_no_credits(tmp_path: Path) -> None:
    with FalStandIn() as server:
        work = at(tmp_path, server, "a", "b")
        server.faults.add("error_403_balance", on="submit")
        stopped = work.run()

        assert (stopped.code, set(work.statuses().values())) == (3, {"planned"})
        assert json.loads((work.folder / "run.json").read_text())["stop_reason"] == "no_credits"


def test_models_are_addresses_with_prices_of_their_own(tmp_path: Path) -> None:
    with FalStandIn() as server:
        rows = remote_rows("flash", "full")
        rows[1]["model"] = "ray-2"
        work = shoot(tmp_path, server, rows, at="fal", provider="fal")
        plan = call("plan", work.manifest, "--json", environ=work.environ)
        work.run()
        sent = sorted(seen.path for seen in server.ledger.requests if seen.kind is Kind.SUBMIT)

        assert sent == [f"/{APP}/ray-2-flash/modify", f"/{APP}/ray-2/modify"]
        assert plan.code == 0
        rows[1]["model"] = "ray-9"
        work.rows(rows, provider="fal")
        wrong = call("check", "--no-media", work.manifest, environ=work.environ)
        assert (wrong.code, "'ray-9' is no model of fal" in wrong.out + wrong.err) == (2, True)


def test_a_file_goes_up_with_a_token_where_the_other_way_is_gone(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4")
    rows = [{"id": "a", "video_url": "clip.mp4", "prompt": "wool"}]
    with FalStandIn() as server:
        work = shoot(tmp_path, server, rows, at="fal", provider="fal")
        server.faults.add("initiate_gone", on="upload", times=None)
        done = work.run()

        assert (done.code, server.ledger.billed, len(server.storage)) == (0, 1, 1), done.err
        assert server.ledger.key_leaks == 0
        assert server.ledger.jobs[0].inputs["video_url"].startswith("http")


def test_options_go_along_as_headers_and_a_wrong_one_is_a_mistake(tmp_path: Path) -> None:
    with FalStandIn() as server:
        work = at(tmp_path, server, "a", provider_options={"expires_s": 86400, "priority": "low"})
        done = work.run()
        seen = next(seen for seen in server.ledger.requests if seen.kind is Kind.SUBMIT)

        assert done.code == 0
        names = {name.lower() for name in seen.headers}
        assert {"x-fal-object-lifecycle-preference", "x-fal-queue-priority"} <= names
        work.rows(remote_rows("a"), provider="fal", provider_options={"priority": "high"})
        wrong = call("check", "--no-media", work.manifest, environ=work.environ)
        assert (wrong.code, "priority" in wrong.out + wrong.err) == (2, True)
