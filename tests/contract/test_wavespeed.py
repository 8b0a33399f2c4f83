"""WaveSpeed, over the wire: what is its own beside the rules that all providers are held to."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.servers.wavespeed import WaveSpeedStandIn
from tests.support import Shoot, remote_rows, shoot


def at(folder: Path, server: WaveSpeedStandIn, *ids: str, **top: Any) -> Shoot:
    return shoot(folder, server, remote_rows(*ids), at="wavespeed", **top)


def stop_reason(work: Shoot) -> str:
    return str(json.loads((work.folder / "run.json").read_text())["stop_reason"])


@pytest.mark.parametrize("status", [401, 402, 403, 404, 410])
def test_a_no_to_every_row_is_one_under_http_200_too(status: int, tmp_path: Path) -> None:
    slugs = {401: "key_refused", 402: "no_credits", 403: "not_allowed", 404: "model_unknown", 410: "model_retired"}
    with WaveSpeedStandIn(errors_under_200=True) as server:
        work = at(tmp_path, server, "a", "b")
        server.faults.add(f"error_{status}", on="submit")
        stopped = work.run()

        assert (stopped.code, stop_reason(work)) == (3, slugs[status])
        assert {seen.status for seen in server.ledger.requests if seen.fault} == {200}
        assert (work.run().code, server.ledger.billed) == (0, 2)


def test_refusals_under_http_200_cost_nothing_and_server_errors_leave_doubt(tmp_path: Path) -> None:
    faults = {"error_400": "failed", "error_422": "failed", "error_429_neither": "succeeded"}
    doubts = ("error_500_created", "error_409_created", "error_408", "code_1601_created")
    with WaveSpeedStandIn(errors_under_200=True) as server:
        work = at(tmp_path, server, *faults, *doubts, limits={"stop_after_failures": 100})
        for fault in (*faults, *doubts):
            server.faults.add(fault, on="submit", match=f"/{fault}.mp4")
        work.run()

        assert work.statuses() == {**faults, **dict.fromkeys(doubts, "uncertain")}
        seen = server.ledger.submits_seen
        work.run()
        assert (server.ledger.submits_seen, server.ledger.paid_twice()) == (seen, {})


@pytest.mark.parametrize(
    ("word", "code", "billed"),
    [("cancelled", "cancelled", ""), ("timeout", "generation_failed", ""), ("deleted", "output_expired", "true")],
)
def test_every_word_for_an_end_is_an_end(word: str, code: str, billed: str, tmp_path: Path) -> None:
    with WaveSpeedStandIn() as server:
        work = at(tmp_path, server, "a")
        server.faults.add(f"ends_{word}", on="submit")
        ended = work.run()
        line = work.results()["a"]

        assert (ended.code, line["error_code"], line["billed"]) == (1, code, billed)
        assert (work.run("--retry-failed").code, server.ledger.submits_seen) == (1, 1)
