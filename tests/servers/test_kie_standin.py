"""The stand-in for kie.ai keeps to the published contract; kie has no SDK that would hold it to that."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.servers.kie import KieStandIn
from tests.servers.vendor import KEY

INPUTS = {"prompt": "as wool", "videoUrl": "https://example.com/a.mp4"}
HEAD = {"Authorization": f"Bearer {KEY}", "User-Agent": "Mozilla/5.0"}


@pytest.fixture
def server() -> Iterator[KieStandIn]:
    with KieStandIn(processing_s=30, link_life_s=1200) as running:
        yield running


def ask(method: str, url: str, *, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
    """One request, as a careless client makes it."""
    return httpx.request(method, url, headers=HEAD if headers is None else headers, trust_env=False, **more)


def submit(server: KieStandIn, **changes: Any) -> dict[str, Any]:
    """What a submit is answered."""
    told: dict[str, Any] = ask("POST", f"{server.url}/api/v1/modify/generate", json=INPUTS | changes).json()
    return told


def record(server: KieStandIn, task_id: str) -> dict[str, Any]:
    """What the question for a task is answered."""
    told: dict[str, Any] = ask("GET", f"{server.url}/api/v1/modify/record-info", params={"taskId": task_id}).json()
    return told


def test_a_task_is_made_runs_and_is_charged_when_it_is_done(server: KieStandIn) -> None:
    made = submit(server)
    task_id = made["data"]["taskId"]

    assert (made["code"], made["msg"]) == (200, "success")
    assert record(server, task_id)["data"]["successFlag"] == 0
    assert server.ledger.billed == 0

    server.advance(31)
    data = record(server, task_id)["data"]

    assert (data["successFlag"], server.ledger.billed) == (1, 1)
    assert ask("GET", data["response"]["resultUrls"][0]).content == server.output_of(task_id)


def test_the_same_request_twice_is_two_tasks_and_two_charges(server: KieStandIn) -> None:
    submit(server)
    submit(server)
    server.advance(31)

    assert (server.ledger.accepted, server.ledger.billed) == (2, 2)
    assert server.ledger.paid_twice()


@pytest.mark.parametrize("change", [{"prompt": ""}, {"videoUrl": "a.mp4"}, {"mode": "flex_1"}, {"firstFrame": "x"}])
def test_what_the_contract_does_not_take_is_refused_under_200(server: KieStandIn, change: dict[str, str]) -> None:
    told = ask("POST", f"{server.url}/api/v1/modify/generate", json=INPUTS | change)

    assert (told.status_code, told.json()["code"], server.ledger.accepted) == (200, 422, 0)


def test_a_wrong_key_is_refused_under_200_and_an_odd_client_by_the_gateway(server: KieStandIn) -> None:
    url = f"{server.url}/api/v1/modify/generate"
    wrong = ask("POST", url, headers=HEAD | {"Authorization": "Bearer wrong"}, json=INPUTS)
    odd = ask("POST", url, headers=HEAD | {"User-Agent": "python"}, json=INPUTS)

    assert (wrong.status_code, wrong.json()["code"]) == (200, 401)
    assert (odd.status_code, odd.text) == (403, "error code: 1010")
    assert server.ledger.accepted == 0


def test_a_task_of_somebody_else_is_not_known(server: KieStandIn) -> None:
    assert record(server, "nobody")["code"] == 422


def test_a_link_dies_and_is_given_anew_for_kie_s_own_files_only(server: KieStandIn) -> None:
    task_id = submit(server)["data"]["taskId"]
    server.advance(31 + 1300)
    dead = record(server, task_id)["data"]["response"]["resultUrls"][0]
    fresh_url = f"{server.url}/api/v1/common/download-url"

    assert ask("GET", dead).status_code == 403
    fresh = ask("POST", fresh_url, json={"url": dead}).json()["data"]
    assert ask("GET", fresh).content == server.output_of(task_id)
    assert ask("POST", fresh_url, json={"url": "https://example.com/a.mp4"}).json()["code"] == 422
