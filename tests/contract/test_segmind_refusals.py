"""Each of Segmind's refusals has a name, a meaning and advice of its own; two of 401, four of 406, three of 429."""

import json
from pathlib import Path

import pytest

from tests.servers.segmind import SegmindStandIn
from tests.support import remote_rows, shoot

STOPS = {
    "error_401_missing": ("key_missing", "the key did not arrive: a proxy in between may drop its header"),
    "error_401_invalid": ("key_refused", "the key was not accepted: check SEGMIND_API_KEY"),
    "error_403": ("not_allowed", "this account may not use the model"),
    "error_404": ("model_unknown", "the service does not know the model: check SEGMIND_BASE_URL"),
    "error_406_credits": ("no_credits", "the account has not enough credits: top it up"),
    "error_406_spend_cap": ("spend_cap", "the spending cap of the account is reached: raise it"),
    "error_410": ("model_retired", "the model is retired"),
}
FAILS = {
    "error_400": ("bad_request", "HTTP 400"),
    "error_405": ("wrong_method", "HTTP 405"),
    "error_406_content_type": ("bad_content_type", "Invalid content type"),
    "error_406_value": ("refused_value", "Value rejected"),
    "failed_422": ("generation_failed", "Generation failed"),
    "failed_200": ("generation_failed", "Generation failed"),
}
DOUBTS = {
    "error_502": "HTTP 502: the gateway had no readable answer",
    "error_503": "HTTP 503: the service was busy or down",
    "error_504": "HTTP 504: the gateway gave up waiting",
}


@pytest.mark.parametrize("fault", STOPS)
def test_what_concerns_every_row_stops_the_run_with_its_advice(fault: str, tmp_path: Path) -> None:
    slug, advice = STOPS[fault]
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a", "b"))
        server.faults.add(fault, on="submit")
        done = work.run()

        assert (done.code, server.ledger.submits_seen) == (3, 1)
        assert json.loads((work.folder / "run.json").read_text())["stop_reason"] == slug
        assert advice in done.err


def test_what_concerns_one_row_fails_it_with_the_services_words(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows(*FAILS), limits={"stop_after_failures": 100})
        for fault in FAILS:
            server.faults.add(fault, on="submit", match=f"/{fault}.mp4")
        work.run()
        lines = work.results()

        assert {fault: lines[fault]["error_code"] for fault in FAILS} == {
            fault: slug for fault, (slug, _) in FAILS.items()
        }
        assert all(words in lines[fault]["error"] for fault, (_, words) in FAILS.items())
        assert {line["billed"] for line in lines.values()} == {"false"}


def test_what_a_gateway_says_is_no_answer_of_the_service(tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows(*DOUBTS))
        for fault in DOUBTS:
            server.faults.add(fault, on="submit", match=f"/{fault}.mp4")
        work.run("--history-grace", "60")
        lines = work.results()

        assert {line["status"] for line in lines.values()} == {"uncertain"}
        assert all(words in lines[fault]["error"] for fault, words in DOUBTS.items())
