"""fal's contract, answer by answer."""

from typing import Any

import pytest

from batchmod.model import Again, Blocked, Call, Done, Endpoints, Failed, Reply, Sent, Uncertain, Wait
from batchmod.providers import fal
from tests.replies import (
    AT,
    LOCAL,
    SHA256,
    after_asking,
    after_submit,
    again_and_again,
    answer,
    asking,
    headers_of,
    submitting,
    work,
)

QUEUED = {
    "status": "IN_QUEUE",
    "request_id": "r-1",
    "queue_position": 0,
    "response_url": "https://api.test/fal-ai/luma-dream-machine/requests/r-1",
    "status_url": "https://api.test/fal-ai/luma-dream-machine/requests/r-1/status",
    "cancel_url": "https://api.test/fal-ai/luma-dream-machine/requests/r-1/cancel",
}
COMPLETED = {"status": "COMPLETED", "logs": None, "metrics": {"inference_time": 97.4}, "request_id": "r-1"}


def result(reply: Reply) -> Any:
    """What follows from the answer to the question for the result."""
    call = after_asking(fal, answer(200, COMPLETED))
    assert isinstance(call, Call)
    return fal.next_step(call.state, reply)


def test_the_body_is_the_inputs_themselves_and_the_mode_is_always_said() -> None:
    request = submitting(fal).request
    assert request.url == "https://api.test/fal-ai/luma-dream-machine/ray-2-flash/modify"
    assert request.json == {
        "video_url": "https://example.com/a.mp4",
        "image_url": "https://example.com/a.png",
        "mode": "flex_2",
        "prompt": "as wool",
    }


def test_what_a_row_does_not_say_is_not_sent() -> None:
    assert set(submitting(fal, first_frame=None, prompt=None).request.json) == {"video_url", "mode"}


def test_a_model_is_part_of_the_address() -> None:
    assert submitting(fal, model="ray-2").request.url.endswith("/ray-2/modify")


def test_options_are_headers() -> None:
    headers = headers_of(submitting(fal, options={"expires_s": 86400, "priority": "low"}))
    assert headers["x-fal-object-lifecycle-preference"] == '{"expiration_duration_seconds": 86400}'
    assert headers["x-fal-queue-priority"] == "low"


def test_an_accepted_request_is_asked_for_where_it_said() -> None:
    step = after_submit(fal, answer(200, QUEUED))
    assert isinstance(step, Wait)
    assert step.state.request_id == "r-1"
    ask = fal.next_step(step.state, None)
    assert isinstance(ask, Call)
    assert ask.request.url == QUEUED["status_url"]
    assert not ask.paying


def test_an_address_on_another_origin_is_not_used() -> None:
    step = after_submit(fal, answer(200, QUEUED | {"status_url": "https://evil.test/requests/r-1/status"}))
    assert isinstance(step, Wait)
    ask = fal.next_step(step.state, None)
    assert isinstance(ask, Call)
    assert ask.request.url == "https://api.test/fal-ai/luma-dream-machine/requests/r-1/status"


def test_after_a_crash_the_address_is_made_of_owner_and_app_alone() -> None:
    assert asking(fal).request.url == "https://api.test/fal-ai/luma-dream-machine/requests/r-1/status"


@pytest.mark.parametrize("status", [408, 409, 425, 500, 502, 503, 504, 529])
def test_what_fal_does_not_call_refused_is_uncertain(status: int) -> None:
    assert isinstance(after_submit(fal, answer(status, {"detail": "later"})), Uncertain)


@pytest.mark.parametrize("body", ["", "<html>", "[]", {"status": "IN_QUEUE"}, {"request_id": ""}, {"request_id": 7}])
def test_a_yes_without_an_id_is_uncertain(body: Any) -> None:
    assert isinstance(after_submit(fal, answer(200, body)), Uncertain)


def test_no_answer_is_uncertain_and_no_connection_is_not() -> None:
    assert isinstance(after_submit(fal, Reply(sent=Sent.UNKNOWN, problem="cut")), Uncertain)
    step = after_submit(fal, Reply(sent=Sent.NEVER_SENT, problem="refused"))
    assert isinstance(step, Failed)
    assert (step.slug, step.again) == ("unreachable", Again.UNREACHED)


@pytest.mark.parametrize(
    ("status", "text", "slug"),
    [
        (401, "No user found for Key ID and Secret", "key_refused"),
        (403, "User is not allowed to use this app", "not_allowed"),
        (403, "User is locked. Reason: Exhausted balance.", "no_credits"),
        (404, "Application not found", "model_unknown"),
        (410, "gone", "model_retired"),
    ],
)
def test_a_refusal_of_every_job_stops_the_run(status: int, text: str, slug: str) -> None:
    step = after_submit(fal, answer(status, {"detail": text}))
    assert isinstance(step, Blocked)
    assert step.slug == slug
    assert text in step.message


def test_a_refusal_of_the_inputs_is_a_failure_that_cost_nothing() -> None:
    body = {"detail": [{"loc": ["body", "mode"], "msg": "unexpected value", "type": "literal_error"}]}
    step = after_submit(fal, answer(422, body))
    assert isinstance(step, Failed)
    assert (step.slug, step.billed, step.again) == ("bad_request", False, Again.NEVER)
    assert "unexpected value" in step.message


def test_patience_is_as_long_as_fal_asks_for() -> None:
    step = after_submit(fal, answer(429, {"detail": "slow down"}, retry_after="7"))
    assert isinstance(step, Failed)
    assert (step.slug, step.again, step.after_s) == ("rate_limited", Again.LATER, 7.0)


@pytest.mark.parametrize("status", ["IN_QUEUE", "IN_PROGRESS", "SOMETHING_NEW"])
def test_202_is_waited_for(status: str) -> None:
    assert isinstance(after_asking(fal, answer(202, {"status": status, "request_id": "r-1"})), Wait)


def test_a_completed_job_has_a_result() -> None:
    step = result(answer(200, {"video": {"url": "https://files.test/a.mp4", "content_type": "video/mp4"}}))
    assert isinstance(step, Done)
    assert step.location == "https://files.test/a.mp4"


def test_completed_with_an_error_is_a_failure() -> None:
    body = COMPLETED | {"error": "The request took too long to start", "error_type": "request_timeout"}
    step = after_asking(fal, answer(200, body))
    assert isinstance(step, Failed)
    assert (step.slug, step.billed) == ("generation_failed", False)
    assert "request_timeout" in step.message


def test_a_result_that_answers_422_is_a_failure_that_may_have_been_charged() -> None:
    body = {"detail": [{"type": "file_download_error", "msg": "could not be fetched", "loc": ["body", "video_url"]}]}
    step = result(answer(422, body))
    assert isinstance(step, Failed)
    assert (step.slug, step.billed) == ("generation_failed", None)
    assert "file_download_error" in step.message


def test_a_filter_is_known_by_the_type_of_its_error() -> None:
    body = {"detail": [{"type": "content_policy_violation", "msg": "This prompt cannot be used"}]}
    step = result(answer(422, body))
    assert isinstance(step, Failed)
    assert step.slug == "refused_prompt"


def test_a_server_error_that_fal_names_is_a_failure_that_cost_nothing() -> None:
    step = result(answer(504, {"detail": "too late", "error_type": "request_timeout"}, x_fal_error_type="x"))
    assert isinstance(step, Failed)
    assert not step.billed


@pytest.mark.parametrize("where", ["status", "result"])
def test_what_was_cancelled_says_so(where: str) -> None:
    error = {"error": "Request was cancelled", "error_type": "client_cancelled"}
    if where == "status":
        step = after_asking(fal, answer(200, COMPLETED | error))
    else:
        step = result(answer(499, {"detail": "Request was cancelled", "error_type": "client_cancelled"}))
    assert isinstance(step, Failed)
    assert (step.slug, step.billed) == ("cancelled", None)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_gateway_s_error_says_nothing_of_the_job(status: int) -> None:
    for body in ("<html>nginx</html>", {"detail": "Internal Server Error"}):
        assert isinstance(result(answer(status, body)), Wait)


def test_completed_without_an_output_is_asked_for_again_and_then_nobody_can_say() -> None:
    call = after_asking(fal, answer(200, COMPLETED))
    for _ in range(10):
        assert isinstance(call, Call)
        step = fal.next_step(call.state, answer(200, {"video": None}))
        if isinstance(step, Uncertain):
            return
        assert isinstance(step, Wait)
        ask = fal.next_step(step.state, None)
        assert isinstance(ask, Call)
        call = fal.next_step(ask.state, answer(200, COMPLETED))
    pytest.fail("it is asked for for ever")


def test_404_is_a_race_at_first_and_uncertain_later() -> None:
    assert isinstance(after_asking(fal, answer(404, {"detail": "not found"})), Wait)
    assert isinstance(again_and_again(fal, answer(404, {"detail": "not found"}), times=9), Uncertain)


def test_a_key_that_is_no_longer_good_stops_the_run_and_leaves_the_job() -> None:
    assert isinstance(after_asking(fal, answer(401, {"detail": "no"})), Blocked)


def test_a_file_goes_to_the_place_that_is_named_and_the_link_to_it_into_the_request() -> None:
    initiate = fal.begin(work(video=LOCAL, first_frame=None, options={"expires_s": 3600}), AT, {})
    assert isinstance(initiate, Call)
    assert initiate.request.url == "https://upload.test/storage/upload/initiate?storage_type=gcs"
    assert initiate.request.json == {"file_name": f"{SHA256[:16]}.mp4", "content_type": "video/mp4"}
    assert "x-fal-object-lifecycle-preference" in headers_of(initiate)
    named = {"upload_url": "https://bucket.test/put?sig=1", "file_url": "https://files.test/up.mp4"}
    put = fal.next_step(initiate.state, answer(200, named))
    assert isinstance(put, Call)
    assert (put.request.method, put.request.url) == ("PUT", named["upload_url"])
    assert put.request.file is not None
    assert put.request.file.path == "/clips/a.mp4"
    submit = fal.next_step(put.state, answer(200, ""))
    assert isinstance(submit, Call)
    assert submit.paying
    assert submit.request.json["video_url"] == named["file_url"]


@pytest.mark.parametrize("reply", [answer(200, {"upload_url": "https://x.test"}), answer(503, ""), answer(200, "<")])
def test_an_upload_that_comes_to_nothing_may_be_tried_again(reply: Reply) -> None:
    initiate = fal.begin(work(video=LOCAL), AT, {})
    assert isinstance(initiate, Call)
    step = fal.next_step(initiate.state, reply)
    assert isinstance(step, Failed)
    assert (step.slug, step.again) == ("upload_failed", Again.UNREACHED)


def test_a_store_that_does_not_take_the_bytes_may_be_tried_again() -> None:
    initiate = fal.begin(work(video=LOCAL), AT, {})
    assert isinstance(initiate, Call)
    named = {"upload_url": "https://bucket.test/put", "file_url": "https://files.test/up.mp4"}
    put = fal.next_step(initiate.state, answer(200, named))
    assert isinstance(put, Call)
    step = fal.next_step(put.state, answer(403, "<Error>expired</Error>"))
    assert isinstance(step, Failed)
    assert (step.slug, step.again) == ("upload_failed", Again.UNREACHED)


TOKEN = {"token": "t-1", "token_type": "Bearer", "base_url": "https://v3.test", "expires_at": "2026-01-01T00:00:00Z"}


def token_asked(status: int = 404, at: Endpoints = AT) -> Call:
    """The question for a token, after the place for an upload was not there."""
    initiate = fal.begin(work(video=LOCAL, first_frame=None, options={"expires_s": 3600}), at, {})
    assert isinstance(initiate, Call)
    step = fal.next_step(initiate.state, answer(status, {"detail": "no such route"}))
    assert isinstance(step, Call)
    return step


@pytest.mark.parametrize("status", [404, 405])
def test_where_no_place_is_named_a_file_goes_up_with_a_token(status: int) -> None:
    asked = token_asked(status)
    assert asked.request.url == "https://upload.test/storage/auth/token?storage_type=fal-cdn-v3"
    assert (asked.request.method, asked.request.json, asked.paying) == ("POST", {}, False)
    send = fal.next_step(asked.state, answer(200, TOKEN))
    assert isinstance(send, Call)
    assert (send.request.method, send.request.url) == ("POST", "https://v3.test/files/upload")
    assert send.request.file is not None
    assert send.request.file.path == "/clips/a.mp4"
    headers = headers_of(send)
    assert (headers["authorization"], headers["content-type"]) == ("Bearer t-1", "video/mp4")
    assert headers["x-fal-file-name"] == f"{SHA256[:16]}.mp4"
    assert "x-fal-object-lifecycle-preference" in headers
    submit = fal.next_step(send.state, answer(200, {"access_url": "https://v3.test/files/up.mp4"}))
    assert isinstance(submit, Call)
    assert submit.paying
    assert submit.request.json["video_url"] == "https://v3.test/files/up.mp4"


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "http://v3.test"},
        {"base_url": "http://127.0.0.1:9"},
        {"base_url": "https://u:p@v3.test"},
        {"base_url": "https://v3.test?x=1"},
        {"base_url": "https://v3.test:port"},
        {"base_url": "https://api.test"},
        {"base_url": "https://upload.test/x"},
        {"base_url": None},
        {"token": ""},
        {"token": "a\r\nX-Evil: 1"},
        {"token_type": "Be arer"},
    ],
)
def test_a_token_goes_only_where_it_is_safe_and_the_key_goes_nowhere(wrong: dict[str, Any]) -> None:
    step = fal.next_step(token_asked().state, answer(200, TOKEN | wrong))
    assert isinstance(step, Failed)
    assert (step.slug, step.again) == ("upload_failed", Again.UNREACHED)


def test_a_service_on_this_machine_may_name_this_machine() -> None:
    near = Endpoints(api="http://127.0.0.1:1", upload="http://127.0.0.1:2")
    step = fal.next_step(token_asked(at=near).state, answer(200, TOKEN | {"base_url": "http://127.0.0.1:3/"}))
    assert isinstance(step, Call)
    assert step.request.url == "http://127.0.0.1:3/files/upload"


def test_a_token_that_is_not_given_and_bytes_that_are_not_taken_end_the_upload() -> None:
    refused = fal.next_step(token_asked().state, answer(404, {"detail": "no such route"}))
    assert isinstance(refused, Failed)
    send = fal.next_step(token_asked().state, answer(200, TOKEN))
    assert isinstance(send, Call)
    for reply in (answer(401, {"detail": "t-1"}), answer(200, {}), answer(503, "")):
        step = fal.next_step(send.state, reply)
        assert isinstance(step, Failed)
        assert (step.slug, step.again) == ("upload_failed", Again.UNREACHED)
        assert "t-1" not in step.message


def test_cancelling_is_a_put() -> None:
    request = fal.cancel_request(work(request_id="r-1", state={"cancel_url": QUEUED["cancel_url"]}), AT)
    assert request is not None
    assert (request.method, request.url) == ("PUT", QUEUED["cancel_url"])
    built = fal.cancel_request(work(request_id="r-1"), AT)
    assert built is not None
    assert built.url == QUEUED["cancel_url"]


def test_there_is_no_history() -> None:
    assert fal.history_request(AT, page=1, since=0.0, until=1.0) is None
    assert not fal.FACTS.history
