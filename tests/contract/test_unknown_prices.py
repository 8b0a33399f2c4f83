"""Providers that publish no price: a plan says so, a cap wants to be told, and nothing is booked as free."""

from pathlib import Path
from typing import Any

import pytest

from batchmod import providers
from tests.servers.everyone import STAND_INS
from tests.support import PACE, call, remote_rows, shoot

UNPRICED = [name for name in providers.HOSTED if providers.facts(name).price is None]


def test_there_are_such_providers() -> None:
    assert set(UNPRICED) >= {"replicate", "kie"}


@pytest.mark.parametrize("name", UNPRICED)
def test_what_nobody_knows_is_called_unknown_and_not_nothing(name: str, tmp_path: Path) -> None:
    made: Any = STAND_INS[name]
    with made(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a", "b"), at=name)
        plan = call("plan", work.manifest, "--provider", name, environ=work.environ)
        asked = call("run", work.manifest, "--provider", name, environ=work.environ)

        assert "estimated cost unknown for 2 requests" in plan.out
        assert "$0" not in plan.out
        assert (asked.code, "estimated cost unknown for 2 requests" in asked.err) == (2, True)

        done = work.run()
        lines = work.results().values()

        assert (done.code, server.ledger.billed) == (0, 2)
        assert {(line["cost_usd"], line["cost_source"], line["billed"]) for line in lines} == {("", "", "true")}


@pytest.mark.parametrize("name", UNPRICED)
def test_a_cap_holds_once_it_is_told_what_a_request_costs(name: str, tmp_path: Path) -> None:
    made: Any = STAND_INS[name]
    with made(queued_s=0, processing_s=0) as server:
        work = shoot(tmp_path, server, remote_rows("a", "b", "c"), at=name)
        words = ("run", work.manifest, "--provider", name, *PACE)
        blind = call(*words, "--max-cost-usd", "1.5", environ=work.environ)

        assert (blind.code, server.ledger.submits_seen) == (2, 0)
        assert "--price-usd" in blind.err

        told = call(*words, "--max-cost-usd", "1.5", "--price-usd", "0.6", environ=work.environ)

        assert (told.code, server.ledger.billed) == (3, 2)
        booked = [(line["cost_usd"], line["cost_source"]) for line in work.results().values()]
        assert sorted(booked) == [("", ""), ("0.6", "estimate"), ("0.6", "estimate")]
