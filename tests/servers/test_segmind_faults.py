"""Each of the stand-in's faults does what its name says, over real sockets."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import httpx
import pytest

from tests.servers.careless import INPUTS, Client, facts, raw_submit, running
from tests.servers.clips import Clip
from tests.servers.faults import UnknownFaultError, Way
from tests.servers.segmind import KEY, Kind, SegmindStandIn


@pytest.fixture
def pair() -> Iterator[tuple[SegmindStandIn, Client]]:
    with running() as both:
        yield both


def test_a_fault_by_chance_comes_as_often_as_it_says_and_the_same_seed_gives_the_same_weather() -> None:
    def weather(seed: int) -> list[bool]:
        book = SegmindStandIn().faults
        book.dice.seed(seed)
        book.add("error_502", times=None, chance=0.25)
        return [book.take(Kind.SUBMIT, request_id="", text="") is not None for _ in range(1000)]

    assert 200 < sum(weather(1)) < 300
    assert weather(1) == weather(1) != weather(2)


CATALOGUE = SegmindStandIn().faults.catalogue
ANSWERS = [name for name, recipe in CATALOGUE.items() if recipe.way is Way.ANSWER and Kind.SUBMIT in recipe.on]


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[SegmindStandIn, Client]]:
    with running() as both:
        yield both


def test_the_names_of_answers_say_whether_the_request_took_effect() -> None:
    for name in ANSWERS:
        created = name.startswith("accept_then_") or name.endswith("_created")

        assert CATALOGUE[name].takes_effect == (created and not name.endswith("_not_created")), name


@pytest.mark.parametrize("name", ANSWERS)
def test_a_fixed_answer_has_its_status_and_accepts_a_job_only_if_it_says_so(
    name: str, shared: tuple[SegmindStandIn, Client]
) -> None:
    server, _ = shared
    before, recipe = server.ledger.accepted, CATALOGUE[name]
    server.faults.add(name, on="submit")
    got, end = raw_submit(server)
    good, _ = raw_submit(server)

    assert recipe.reply is not None
    assert got.startswith(f"HTTP/1.1 {recipe.reply.status} ".encode())
    assert f"content-type: {recipe.reply.content_type}" in got.decode().lower()
    assert end == "fin"
    assert server.ledger.accepted - before == 1 + recipe.takes_effect
    assert good.startswith(b"HTTP/1.1 200 OK")


CUTS: dict[str, tuple[bytes, str, int]] = {
    "accept_then_reset": (b"", "reset", 1),
    "accept_then_close": (b"", "fin", 1),
    "accept_then_cut_head": (b"HTTP/1.1 200 OK\r\nC", "fin", 1),
    "accept_then_cut_body": (b"HTTP/1.1 200 OK\r\n", "fin", 1),
    "accept_then_no_http": (b"\x16\x03\x01", "fin", 1),
    "reset_before_accept": (b"", "reset", 0),
    "close_before_accept": (b"", "fin", 0),
}


@pytest.mark.parametrize("name", CUTS)
def test_a_cut_connection_ends_as_its_name_says(name: str, shared: tuple[SegmindStandIn, Client]) -> None:
    server, _ = shared
    start, how, accepted = CUTS[name]
    before = server.ledger.accepted
    server.faults.add(name)
    got, end = raw_submit(server)

    assert got.startswith(start)
    assert bool(got) == bool(start)
    assert end == how
    assert server.ledger.accepted - before == accepted
    assert (server.ledger.requests[-1].fault, server.ledger.requests[-1].status) == (name, None)


def test_a_cut_body_is_shorter_than_announced_and_a_cut_head_has_no_end(
    pair: tuple[SegmindStandIn, Client],
) -> None:
    server, _ = pair
    server.faults.add("accept_then_cut_body")
    head, _, body = raw_submit(server)[0].partition(b"\r\n\r\n")
    server.faults.add("accept_then_cut_head")
    cut, _ = raw_submit(server)
    announced = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])

    assert 0 < len(body) < announced
    assert b"\r\n\r\n" not in cut


def test_a_delayed_answer_comes_after_the_job_was_accepted(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    server.faults.add("accept_then_delay", seconds=0.4)
    client.http.timeout = httpx.Timeout(0.15)
    with pytest.raises(httpx.ReadTimeout):
        client.submit()
    accepted_in_time = server.ledger.accepted
    server.faults.add("delay_then_accept", seconds=0.4)
    with pytest.raises(httpx.ReadTimeout):
        client.submit()
    not_yet = server.ledger.accepted
    server.ledger.wait_until(lambda ledger: ledger.accepted == 2)

    assert (accepted_in_time, not_yet) == (1, 1)


def test_an_answer_cut_off_from_a_paid_job_leaves_it_in_the_history(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    server.faults.add("accept_then_reset")
    with pytest.raises(httpx.ReadError):
        client.submit()
    server.ledger.wait_until(lambda ledger: ledger.billed == 1)
    [row] = client.history().json()["data"]

    assert (row["request_id"], row["request_body"]) == (server.ledger.jobs[0].request_id, INPUTS)


def test_a_refusal_comes_through_where_the_fault_would_hide_a_mistake(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    server.faults.add("error_502_created")

    assert client.submit(mode="flex_9").status_code == 406


def test_rate_limit_answers_come_in_three_forms(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    told = []
    for form in ("reset_at", "retry_after", "neither"):
        server.faults.add(f"error_429_{form}", seconds=7)
        headers = client.submit().headers
        told.append(("x-rate-limit-reset-at-utc" in headers, headers.get("Retry-After")))

    assert told == [(True, None), (False, "7"), (False, None)]


def test_the_406_texts_differ(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    names = [name for name in CATALOGUE if name.startswith(("error_406_", "error_401_"))]
    texts = set()
    for name in names:
        server.faults.add(name)
        texts.add(client.submit().json()["error"])

    assert len(texts) == len(names) == 6


def test_a_refusal_may_name_the_asset_or_have_a_text_of_its_own(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    server.faults.add("error_400_asset")
    server.faults.add("error_406_value", text="prompt: blocked word")

    assert INPUTS["video_url"] in client.submit().json()["error"]
    assert client.submit().json() == {"error": "prompt: blocked word"}


def test_a_redirected_submit_that_is_followed_with_the_key_is_a_leak(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    server.faults.add("redirect_307")
    reply = client.submit()
    assert server.ledger.key_leaks == 0

    client.http.post(reply.headers["Location"], json=INPUTS)

    assert reply.headers["Location"] == f"{server.elsewhere_url}/v2/modify-video"
    assert [leak.origin for leak in server.ledger.leaks] == ["elsewhere"]
    assert server.ledger.accepted == 0


def test_a_foreign_status_url_works_and_tells_on_who_brings_the_key(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    server.faults.add("foreign_status_url")
    answer = client.submit().json()
    server.advance(1)
    without = httpx.get(answer["status_url"], trust_env=False).json()
    assert server.ledger.key_leaks == 0
    result = client.http.get(answer["response_url"]).json()
    own = client.status(answer["request_id"]).json()

    assert answer["status_url"].startswith(server.elsewhere_url)
    assert without["status"] == own["status"] == "COMPLETED"
    assert result["output"].startswith(server.outputs_url)
    assert server.ledger.key_leaks == 1


def test_a_key_at_the_output_host_or_in_a_url_is_a_leak(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    url = client.result(client.done()).json()["output"]
    client.http.get(url)
    httpx.get(url, headers={"Authorization": "Bearer x"}, trust_env=False)
    httpx.get(f"{server.url}/v1/get-user-credits?key={KEY}", trust_env=False)

    assert [leak.origin for leak in server.ledger.leaks] == ["outputs", "outputs", "api"]


def test_an_answer_may_repeat_an_older_id(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    first = client.submit().json()["request_id"]
    server.faults.add("answer_repeats_id")

    assert client.submit(prompt="another").json()["request_id"] == first
    assert server.ledger.accepted == 2


@pytest.mark.parametrize(("name", "status"), [("failed_422", 422), ("failed_200", 200)])
def test_a_failed_job_is_told_under_either_status_and_costs_nothing(name: str, status: int) -> None:
    with running() as (server, client):
        server.faults.add(name, text="moderation")
        request_id = client.done()
        polls = [client.status(request_id), client.result(request_id)]

    for poll in polls:
        assert (poll.status_code, poll.json()["status"], poll.json()["error"]) == (status, "FAILED", "moderation")
    assert (server.ledger.accepted, server.ledger.billed, server.ledger.owed_by_inputs()) == (1, 0, {})


def test_a_failed_v1_call_is_an_error_and_costs_nothing(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    server.faults.add("failed_422", on="blocking")

    assert client.submit("v1").status_code == 500
    assert server.ledger.billed == 0


def test_the_first_polls_of_each_job_may_be_404(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    server.faults.add("status_404_at_first", times=2)
    ids = [client.done() for _ in range(2)]
    codes = [[client.status(request_id).status_code for _ in range(3)] for request_id in ids]

    assert codes == [[404, 404, 200], [404, 404, 200]]


def test_a_status_may_be_a_word_nobody_knows(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    server.faults.add("status_unknown_word")
    request_id = client.done()

    assert client.status(request_id).json()["status"] == "PAUSED"
    assert client.status(request_id).json()["status"] == "COMPLETED"


OTHER_OUTPUTS = {
    "output_silent": Clip(audio=False),
    "output_24fps": Clip(fps=24),
    "output_other_size": Clip(width=32, height=24),
    "output_other_length": Clip(frames=4),
}


@pytest.mark.parametrize("name", OTHER_OUTPUTS)
def test_an_output_may_be_another_video_than_expected(name: str) -> None:
    with running() as (server, client):
        server.faults.add(name)

        assert facts(client.file(client.done()).content) == OTHER_OUTPUTS[name]


INSTEAD = {
    "output_html": ("text/html; charset=utf-8", b"<html>"),
    "output_html_as_mp4": ("video/mp4; charset=utf-8", b"<html>"),
    "output_json": ("application/json; charset=utf-8", b"{"),
    "output_zero_bytes": ("video/mp4; charset=utf-8", b""),
}


@pytest.mark.parametrize("name", INSTEAD)
def test_something_else_may_come_in_place_of_the_video_and_the_next_download_is_good(name: str) -> None:
    content_type, start = INSTEAD[name]
    with running() as (server, client):
        request_id = client.done()
        server.faults.add(name)
        bad, good = client.file(request_id), client.file(request_id)

    assert (bad.status_code, bad.headers["Content-Type"], bad.content[: len(start) or 1]) == (200, content_type, start)
    assert facts(good.content) == Clip()


@pytest.mark.parametrize("name", ["output_cut", "output_wrong_length"])
def test_a_download_may_end_before_its_announced_length(name: str, pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    request_id = client.done()
    server.faults.add(name)
    with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
        client.file(request_id)

    assert client.file(request_id).content == server.output_of(request_id)


def test_a_truncated_output_looks_whole_and_is_not(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    request_id = client.done()
    server.faults.add("output_truncated")
    cut = client.file(request_id)

    assert (cut.status_code, len(cut.content)) == (200, len(server.output_of(request_id)) // 2)
    with pytest.raises(av.error.InvalidDataError):
        facts(cut.content)


def test_a_range_may_be_ignored(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    request_id = client.done()
    server.faults.add("output_no_range")

    assert client.file(request_id, Range="bytes=5-").status_code == 200


def test_a_download_may_lead_to_another_host_which_serves_it(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    request_id = client.done()
    server.faults.add("output_redirect")
    moved = client.file(request_id)

    assert (moved.status_code, moved.headers["Location"].startswith(server.elsewhere_url)) == (302, True)
    assert httpx.get(moved.headers["Location"], trust_env=False).content == server.output_of(request_id)


def test_the_history_may_learn_of_a_request_late(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    server.faults.add("history_late", seconds=60)
    late, prompt = client.done(), client.done()
    early = [row["request_id"] for row in client.history().json()["data"]]
    server.advance(60)

    assert early == [prompt]
    assert {row["request_id"] for row in client.history().json()["data"]} == {late, prompt}


def test_a_delay_of_the_history_may_be_set_for_all() -> None:
    with running(history_delay_s=60) as (server, client):
        client.done()
        before = len(client.history().json()["data"])
        server.advance(60)

        assert (before, len(client.history().json()["data"])) == (0, 1)


ROWS: dict[str, list[Any]] = {
    "history_no_rows": [],
    "history_no_request_body": [None],
    "history_unreadable_request_body": ["<truncated>"],
    "history_request_body_as_text": [json.dumps(INPUTS)],
    "history_duplicate_rows": [INPUTS, INPUTS],
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_the_history_may_be_spoiled_once_or_for_one_job(name: str) -> None:
    with running() as (server, client):
        client.done()
        server.faults.add(name, on="history")
        spoiled, good = (bodies(client) for _ in range(2))
        if name != "history_no_rows":
            server.faults.add(name, on="submit")
            client.done()
            assert [bodies(client) for _ in range(2)] == [[*ROWS[name], INPUTS]] * 2

    assert (spoiled, good) == (ROWS[name], [INPUTS])


def bodies(client: Client) -> list[Any]:
    return [row.get("request_body") for row in client.history().json()["data"]]


def test_every_fault_is_proven_in_this_file() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    unproven = [name for name in CATALOGUE if name not in ANSWERS and f'"{name}"' not in source]

    assert unproven == []


def codes_of(client: Client, count: int, **changes: Any) -> list[int]:
    return [client.submit(**changes).status_code for _ in range(count)]


def test_a_fault_happens_so_many_times_after_so_many_requests(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    server.faults.add("error_503", after=1, times=2)

    assert codes_of(client, 5) == [200, 503, 503, 200, 200]


def test_faults_wait_for_the_ones_planned_before_them(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    server.faults.add("error_503")
    server.faults.add("error_403")

    assert codes_of(client, 3) == [503, 403, 200]


def test_a_fault_without_end_lasts_until_cleared(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    server.faults.add("error_503", times=None)
    always = codes_of(client, 3)
    server.faults.clear()

    assert always + codes_of(client, 1) == [503, 503, 503, 200]


def test_a_fault_may_choose_its_request_by_a_text_in_it(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    server.faults.add("failed_422", match="clay")
    fine, failed = client.done(), client.done(prompt="clay")

    assert [client.status(request_id).status_code for request_id in (fine, failed)] == [200, 422]


@pytest.mark.parametrize("kind", ["status", "result", "upload", "history", "credits", "download"])
def test_an_error_may_happen_at_any_kind_of_request(kind: str) -> None:
    with running() as (server, client):
        request_id = client.done()
        url = client.result(request_id).json()["output"]
        ask: Callable[[], httpx.Response] = {
            "status": lambda: client.status(request_id),
            "result": lambda: client.result(request_id),
            "upload": lambda: client.upload(b"a clip"),
            "history": client.history,
            "credits": lambda: client.http.get(f"{server.url}/v1/get-user-credits"),
            "download": lambda: httpx.get(url, trust_env=False),
        }[kind]
        server.faults.add("error_503", on=kind)
        server.faults.add("accept_then_reset", on=kind)
        first = ask().status_code
        with pytest.raises(httpx.ReadError):
            ask()

        assert (first, ask().status_code) == (503, 200)


@pytest.mark.parametrize(("name", "on"), [("error_999", None), ("output_html", "submit")])
def test_a_fault_that_does_not_exist_is_refused_with_the_list(name: str, on: str | None) -> None:
    with pytest.raises(UnknownFaultError, match=r"there are|happens on"):
        SegmindStandIn().faults.add(name, on=on)
