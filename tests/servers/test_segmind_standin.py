"""The stand-in keeps Segmind's published contract, over real sockets."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.servers.careless import HEAD, HISTORY, INPUTS, Client, facts, running
from tests.servers.clips import Clip
from tests.servers.ledger import State, iso
from tests.servers.segmind import KEY, SegmindStandIn


@pytest.fixture
def pair() -> Iterator[tuple[SegmindStandIn, Client]]:
    with running() as both:
        yield both


def test_a_submit_becomes_a_video_that_can_be_downloaded_and_played(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    answer = client.submit().json()
    request_id = answer["request_id"]
    server.ledger.wait_until(lambda ledger: ledger.billed == 1)
    result = client.http.get(answer["response_url"]).json()
    video = httpx.get(result["output"], trust_env=False).content

    assert answer["status"] == "QUEUED"
    assert answer["poll_url"] == f"{server.url}/v1/requests/{request_id}"
    assert client.http.get(answer["status_url"]).json()["status"] == "COMPLETED"
    assert client.http.get(answer["poll_url"]).json() == result
    assert result["video"]["file_size"] == str(len(video))
    assert (result["metrics"]["cost"], result["metrics"]["remaining_credits"]) == (0.6, 999.4)
    assert video == server.output_of(request_id)
    assert facts(video) == Clip()


def test_each_job_has_a_file_of_its_own(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair

    assert server.output_of(client.done()) != server.output_of(client.done())


def test_a_job_is_queued_then_processed_then_completed_and_charged_only_then() -> None:
    with running(queued_s=100, processing_s=100) as (server, client):
        request_id = client.submit().json()["request_id"]
        seen = []
        for _ in range(3):
            reply = client.status(request_id)
            seen.append((reply.json()["status"], server.ledger.billed, balance(client)))
            server.advance(101)

    assert seen == [("QUEUED", 0, 1000.0), ("PROCESSING", 0, 1000.0), ("COMPLETED", 1, 999.4)]


def balance(client: Client) -> float:
    return float(client.http.get(f"{client.server.url}/v1/get-user-credits").json()["credits"])


def test_before_the_end_the_result_is_the_status_or_unknown_as_set() -> None:
    with running(processing_s=100) as (server, client):
        request_id = client.submit().json()["request_id"]
        early = client.result(request_id)
        server.configure(early_result="not_found")
        later = client.result(request_id)

    assert (early.status_code, early.json()["status"]) == (200, "QUEUED")
    assert later.status_code == 404


def test_the_output_is_the_given_file_or_the_uploaded_source(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"given")
    with running(output=tmp_path / "a.mp4") as (server, client):
        given = client.file(client.done()).content
        server.configure(output="echo")
        url = client.upload(b"source").json()["urls"][0]
        echo = client.file(client.done(video_url=url)).content

    assert given.startswith(b"given")
    assert echo.startswith(b"source")


def test_a_range_of_a_file_can_be_asked_for(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    request_id = client.done()
    whole = server.output_of(request_id)
    part = client.file(request_id, Range="bytes=100-199")
    rest = client.file(request_id, Range=f"bytes={len(whole) - 5}-")
    beyond = client.file(request_id, Range=f"bytes={len(whole)}-")
    unreadable = client.file(request_id, Range="lines=1-2")

    assert (part.status_code, part.content) == (206, whole[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(whole)}"
    assert rest.content == whole[-5:]
    assert beyond.status_code == 416
    assert (unreadable.status_code, unreadable.content) == (200, whole)


@pytest.mark.parametrize("answer", ["bytes", "json"])
def test_v1_blocks_and_answers_with_the_video_or_json(answer: str) -> None:
    with running(blocking_answer=answer, processing_s=0.2) as (server, client):
        begin = time.monotonic()
        reply = client.submit("v1")
        took = time.monotonic() - begin
        video = server.output_of(server.ledger.jobs[0].request_id)

    assert took > 0.2
    assert (reply.headers["x-cost"], reply.headers["x-remaining-credits"]) == ("0.6", "999.4")
    assert reply.headers["x-request-id"] == server.ledger.jobs[0].request_id
    assert reply.content == video if answer == "bytes" else reply.json()["metrics"]["cost"] == 0.6


def test_v1_takes_files_in_a_multipart_body(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    files = {"video_url": ("a.mp4", b"raw clip", "video/mp4")}
    reply = client.http.post(f"{server.url}/v1/modify-video", data={"mode": "flex_2"}, files=files)
    inputs = server.ledger.jobs[0].inputs

    assert reply.status_code == 200
    assert inputs["mode"] == "flex_2"
    assert httpx.get(inputs["video_url"], trust_env=False).content == b"raw clip"


TEXT = {"Content-Type": "text/plain"}
BROKEN: dict[str, tuple[dict[str, Any], int, str]] = {
    "no source": ({"json": {"mode": "flex_1"}}, 400, "video_url"),
    "a path as source": ({"json": {"video_url": "clips/a.mp4"}}, 400, "absolute"),
    "a file URL": ({"json": {"video_url": "file:///a.mp4"}}, 400, "absolute"),
    "data as source": ({"json": {"video_url": "data:video/mp4;base64,AA"}}, 400, "absolute"),
    "no host": ({"json": {"video_url": "https:///a.mp4"}}, 400, "absolute"),
    "a null frame": ({"json": INPUTS | {"first_frame_url": None}}, 400, "first_frame_url"),
    "a number as prompt": ({"json": INPUTS | {"prompt": 3}}, 400, "prompt"),
    "a tenth mode": ({"json": INPUTS | {"mode": "flex_4"}}, 406, "rejected"),
    "an upper-case mode": ({"json": INPUTS | {"mode": "FLEX_1"}}, 406, "rejected"),
    "no JSON": ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "JSON"),
    "a list": ({"json": [INPUTS]}, 400, "object"),
    "plain text": ({"content": json.dumps(INPUTS), "headers": TEXT}, 406, "content type"),
    "no content type": ({"content": json.dumps(INPUTS)}, 406, "content type"),
    "a wrong key": ({"json": INPUTS, "headers": {"x-api-key": "SG_0"}}, 401, "Invalid"),
    "an empty key": ({"json": INPUTS, "headers": {"x-api-key": ""}}, 401, "No API key"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_submit_that_breaks_the_contract_is_refused_and_not_accepted(case: str) -> None:
    request, status, text = BROKEN[case]
    with running() as (server, client):
        reply = client.http.post(f"{server.url}/v2/modify-video", **request)

    assert (reply.status_code, text in reply.json()["error"]) == (status, True), reply.text
    assert server.ledger.accepted == 0


def test_a_bearer_token_is_no_key(pair: tuple[SegmindStandIn, Client]) -> None:
    server, _ = pair
    reply = httpx.post(
        f"{server.url}/v2/modify-video",
        json=INPUTS,
        headers={"Authorization": f"Bearer {KEY}"},
        trust_env=False,
    )

    assert reply.status_code == 401


@pytest.mark.parametrize("place", ["url", "upload_url", "history_url"])
def test_every_host_of_the_api_asks_for_the_key(place: str) -> None:
    paths = {"url": "/v1/get-user-credits", "history_url": HISTORY}
    with running() as (server, _):
        base = getattr(server, place)
        if place == "upload_url":
            reply = httpx.post(f"{base}/upload-asset", json={"data_urls": []}, trust_env=False)
        else:
            reply = httpx.get(base + paths[place], trust_env=False)

    assert reply.status_code == 401


def test_a_wrong_verb_gets_405_in_html(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    reply = client.http.get(f"{server.url}/v2/modify-video")

    assert (reply.status_code, reply.headers["Content-Type"]) == (405, "text/html; charset=utf-8")


@pytest.mark.parametrize("path", ["/v2/requests/nobody/status", "/v2/requests/nobody", "/v1/requests/nobody"])
def test_an_unknown_request_is_not_found(path: str) -> None:
    with running() as (server, client):
        reply = client.http.get(server.url + path)

    assert (reply.status_code, reply.json()) == (404, {"error": "Request nobody not found"})


def test_running_jobs_hold_back_their_price_and_the_refusal_names_balance_and_need() -> None:
    with running(credits=1.0, processing_s=100) as (server, client):
        first, second = client.submit(), client.submit()

    assert first.status_code == 200
    assert (second.status_code, server.ledger.accepted) == (406, 1)
    assert "0.40" in second.json()["error"]
    assert "0.60" in second.json()["error"]


def test_a_failed_job_gives_its_reservation_back() -> None:
    with running(credits=1.0, fail_prompts={"yarn": "moderation"}) as (server, client):
        failed = client.status(client.done())
        again = client.submit(prompt="clay")

    assert (failed.status_code, failed.json()["error"]) == (422, "moderation")
    assert "cost" not in failed.json()["metrics"]
    assert (again.status_code, server.ledger.billed) == (200, 0)


def test_too_many_submits_a_minute_get_429_with_the_end_of_the_window() -> None:
    with running(submits_per_minute=2) as (server, client):
        codes = [client.submit().status_code for _ in range(2)]
        refused = client.submit()
        server.advance(61)
        codes += [refused.status_code, client.submit().status_code]

    assert codes == [200, 200, 429, 200]
    assert refused.headers["x-rate-limit-reset-at-utc"] == iso(server.ledger.requests[0].at + 60)
    assert "Retry-After" not in refused.headers
    assert server.ledger.accepted == 3


def test_with_one_slot_jobs_wait_for_each_other() -> None:
    with running(slots=1, queued_s=0, processing_s=100) as (server, client):
        ids = [client.submit().json()["request_id"] for _ in range(3)]
        before = [server.ledger.state(request_id) for request_id in ids]
        server.advance(101)
        after = [server.ledger.state(request_id) for request_id in ids]

    assert before == [State.PROCESSING, State.QUEUED, State.QUEUED]
    assert after == [State.COMPLETED, State.PROCESSING, State.QUEUED]


def test_the_record_expires_after_an_hour_and_the_file_after_a_week(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    request_id = client.done()
    url = client.result(request_id).json()["output"]
    server.advance(3600)
    polls = [client.status(request_id), client.result(request_id)]
    polls.append(client.http.get(f"{server.url}/v1/requests/{request_id}"))
    file = httpx.get(url, trust_env=False)
    server.advance(7 * 86400)
    gone = httpx.get(url, trust_env=False)

    assert [poll.status_code for poll in polls] == [404, 404, 404]
    assert (file.status_code, gone.status_code) == (200, 404)


@pytest.mark.parametrize("answer", ["urls", "file_urls"])
def test_an_upload_answers_under_either_name_and_is_served_without_a_key(answer: str) -> None:
    with running(upload_answer=answer) as (server, client):
        reply = client.upload(b"a clip")
        file = httpx.get(reply.json()[answer][0], trust_env=False)

    assert (file.content, file.headers["Content-Type"]) == (b"a clip", "video/mp4")
    assert server.ledger.uploads == 1


@pytest.mark.parametrize("body", [{}, {"data_urls": "x"}, {"data_urls": ["http://x"]}, {"data_urls": [7]}])
def test_an_upload_that_is_no_data_url_is_refused(body: dict[str, Any]) -> None:
    with running() as (server, client):
        reply = client.http.post(f"{server.upload_url}/upload-asset", json=body)

    assert reply.status_code == 400


def test_the_same_clip_uploaded_twice_counts_as_the_same_input(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    for _ in range(2):
        client.done(video_url=client.upload(b"a clip").json()["urls"][0])

    assert list(server.ledger.paid_twice().values()) == [2]


def test_a_lost_asset_fails_the_job_or_refuses_the_submit_as_set(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    url = client.upload(b"a clip").json()["urls"][0]
    server.forget_assets()
    failed = client.status(client.done(video_url=url))
    server.configure(missing_asset="refuse")
    refused = client.submit(video_url=url)

    assert (failed.status_code, refused.status_code) == (422, 400)
    assert url in refused.json()["error"]
    assert server.ledger.billed == 0


def test_a_row_of_the_history_tells_the_inputs_the_cost_and_the_file(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    request_id = client.done()
    [row] = client.history().json()["data"]

    assert row["request_body"] == INPUTS
    assert (row["model_name"], row["model_status"], row["credits_deduction"]) == ("modify-video", "COMPLETED", 0.6)
    assert httpx.get(row["generation_url"], trust_env=False).content == server.output_of(request_id)
    assert client.http.get(f"{server.history_url}{HISTORY}/{request_id}").json() == row
    assert client.http.get(f"{server.history_url}{HISTORY}/nobody").status_code == 404


def test_running_and_failed_requests_are_in_the_history_too() -> None:
    with running(fail_prompts={"bad": "moderation"}) as (server, client):
        client.done(prompt="bad")
        server.configure(processing_s=100)
        client.submit()
        rows = {row["model_status"]: row for row in client.history().json()["data"]}
        failed = client.history(status="FAILED").json()["data"]

    assert set(rows) == {"PENDING", "FAILED"}
    assert (rows["PENDING"]["generation_url"], rows["PENDING"]["credits_deduction"]) == (None, 0.0)
    assert failed == [rows["FAILED"]]
    assert (failed[0]["error"], failed[0]["credits_deduction"]) == ("moderation", 0.0)


def test_the_history_shows_seven_days_unless_asked_and_never_more_than_31(
    pair: tuple[SegmindStandIn, Client],
) -> None:
    server, client = pair
    old = server.seed(INPUTS, ago_s=20 * 86400)
    day = time.strftime("%Y-%m-%d", time.gmtime(old.accepted_at))
    early = time.strftime("%Y-%m-%d", time.gmtime(old.accepted_at - 20 * 86400))

    assert client.history().json()["data"] == []
    assert [row["request_id"] for row in client.history(from_date=day).json()["data"]] == [old.request_id]
    assert [row["request_id"] for row in client.history(to_date=day).json()["data"]] == [old.request_id]
    assert client.history(from_date=early).status_code == 400
    assert server.ledger.accepted == 0


@pytest.mark.parametrize(
    "query",
    [
        {"page": 0},
        {"per_page": 101},
        {"per_page": "many"},
        {"from_date": "3 May"},
        {"status": "DONE"},
        {"sort_by": "time"},
        {"sort_order": "up"},
        {"from_date": "2026-05-02", "to_date": "2026-05-01"},
    ],
)
def test_a_history_query_outside_the_documented_limits_is_refused(query: dict[str, Any]) -> None:
    with running() as (_, client):
        client.done()

        assert client.history(**query).status_code == 400


def test_the_history_comes_in_pages_newest_first(pair: tuple[SegmindStandIn, Client]) -> None:
    _, client = pair
    ids = [client.done(prompt=f"look {number}") for number in range(5)]
    pages = [client.history(page=page, per_page=2).json() for page in (1, 2, 3, 4)]
    oldest_first = client.history(sort_order="asc").json()["data"]

    assert [row["request_id"] for page in pages for row in page["data"]] == ids[::-1]
    assert (pages[0]["total"], pages[0]["total_pages"], pages[3]["data"]) == (5, 3, [])
    assert [row["request_id"] for row in oldest_first] == ids
    assert client.history(model_name="luma").json()["data"] == []


ENVELOPES = {"": [], "data": ["data"], "items": ["items"], "data.results": ["data", "results"]}


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_the_envelope_of_the_history_is_a_setting(envelope: str) -> None:
    with running(history_envelope=envelope) as (_, client):
        request_id = client.done()
        body: Any = client.history().json()
        for name in ENVELOPES[envelope]:
            body = body[name]

    assert [row["request_id"] for row in body] == [request_id]


def test_accounts_do_not_see_each_other() -> None:
    with running(other_keys=("SG_other",)) as (server, client):
        request_id = client.done()
        other = Client(server, "SG_other")
        with other.http:
            seen = (other.history().json()["data"], other.status(request_id).status_code, balance(other))

    assert seen == ([], 404, 1000.0)


def test_the_clock_of_the_service_may_be_wrong() -> None:
    with running(clock_skew_s=-7200) as (_, client):
        client.done()
        reply = client.history()
        [row] = reply.json()["data"]
    made = datetime.fromisoformat(row["created_at"])
    said = parsedate_to_datetime(reply.headers["Date"])
    now = datetime.now(UTC)

    assert abs(now - made - timedelta(hours=2)) < timedelta(seconds=10)
    assert abs(now - said - timedelta(hours=2)) < timedelta(seconds=10)


def test_hosts_are_apart_unless_asked_for_as_one() -> None:
    with running() as (server, _):
        apart = {server.url, server.upload_url, server.history_url, server.outputs_url, server.elsewhere_url}
    with running(one_origin=True) as (server, client):
        together = {server.url, server.upload_url, server.history_url, server.outputs_url}
        video = client.http.get(client.result(client.done()).json()["output"])

    assert (len(apart), len(together)) == (5, 1)
    assert (video.status_code, server.ledger.key_leaks) == (200, 0)


def test_while_unreachable_connections_are_refused_and_jobs_go_on(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    client.submit()
    with server.unreachable(), pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/v1/get-user-credits", headers=HEAD, trust_env=False)
    again = httpx.get(f"{server.url}/v1/get-user-credits", headers=HEAD, trust_env=False)
    server.ledger.wait_until(lambda ledger: ledger.billed == 1)

    assert again.status_code == 200


def test_a_client_that_dies_while_sending_is_not_accepted_and_no_bug(pair: tuple[SegmindStandIn, Client]) -> None:
    server, _ = pair
    place = urlsplit(server.url)
    with socket.create_connection((place.hostname, place.port)) as sock:
        head = f"POST /v2/modify-video HTTP/1.1\r\nHost: x\r\nx-api-key: {KEY}\r\nContent-Type: application/json\r\n"
        sock.sendall(f"{head}Content-Length: 1000\r\n\r\n{{".encode())
        server.ledger.wait_until(lambda ledger: ledger.submits_seen == 1)
    time.sleep(0.05)

    assert (server.ledger.accepted, server.bugs) == (0, [])


def test_a_client_that_leaves_after_sending_has_its_job_accepted(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    server.faults.add("accept_then_delay", seconds=0.2)
    client.http.timeout = httpx.Timeout(0.05)
    with pytest.raises(httpx.ReadTimeout):
        client.submit()
    client.http.close()
    server.ledger.wait_until(lambda ledger: ledger.billed == 1)

    assert server.bugs == []


def test_leaving_the_block_does_not_wait_for_hanging_answers() -> None:
    with running() as (server, client):
        server.faults.add("accept_then_delay", seconds=60)
        client.http.timeout = httpx.Timeout(0.05)
        with pytest.raises(httpx.ReadTimeout):
            client.submit()
        begin = time.monotonic()

    assert time.monotonic() - begin < 2


def test_the_ledger_is_told_over_http_without_a_key(pair: tuple[SegmindStandIn, Client]) -> None:
    server, client = pair
    request_id = client.done()
    body = httpx.get(f"{server.url}/__ledger__", trust_env=False).json()

    assert (body["accepted"], body["billed"], body["billed_usd"]) == (1, 1, 0.6)
    assert body["jobs"][0]["request_id"] == request_id
    assert (body["requests"][0]["kind"], body["requests"][0]["key"]) == ("submit", "good")
    assert list(body["billed_by_inputs"].values()) == [1]
    assert KEY not in json.dumps(body)


def test_waiting_for_what_never_comes_fails_with_the_counters(pair: tuple[SegmindStandIn, Client]) -> None:
    server, _ = pair

    with pytest.raises(AssertionError, match="'accepted': 0"):
        server.ledger.wait_until(lambda ledger: ledger.accepted > 0, timeout_s=0.02)


def test_by_hand_it_prints_what_to_export_and_on_ctrl_c_the_ledger() -> None:
    script = Path(__file__).with_name("segmind.py")
    command = [sys.executable, str(script), "--port", "0", "--fault", "error_503@submit:1", "--seconds", "0"]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().removeprefix("export ").strip() for _ in range(4)]
        exported = dict(line.split("=", 1) for line in lines)
        url = f"{exported['SEGMIND_BASE_URL']}/v2/modify-video"
        codes = [httpx.post(url, json=INPUTS, headers=HEAD, trust_env=False).status_code for _ in range(2)]
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()

    assert list(exported) == [
        f"SEGMIND_{name}" for name in ("API_KEY", "BASE_URL", "UPLOAD_BASE_URL", "HISTORY_BASE_URL")
    ]
    assert codes == [503, 200]
    assert (process.returncode, json.loads(rest)["accepted"]) == (0, 1)
