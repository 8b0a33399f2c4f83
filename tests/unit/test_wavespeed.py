"""WaveSpeed's contract, answer by answer: HTTP 200 is not success there."""

from typing import Any

import pytest

from batchmod.model import Again, Blocked, Call, Done, Failed, FileSize, Reply, Sent, Uncertain, Wait
from batchmod.providers import wavespeed
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


def told(status: str, *, code: int = 200, **data: Any) -> dict[str, Any]:
    """The envelope of an answer."""
    return {"code": code, "message": "success", "data": {"id": "r-1", "status": status, "outputs": [], **data}}


def test_the_mode_is_always_said() -> None:
    request = submitting(wavespeed).request
    assert request.url == "https://api.test/api/v3/luma/modify-video"
    assert request.json == {
        "video": "https://example.com/a.mp4",
        "first_frame": "https://example.com/a.png",
        "mode": "flex_2",
        "prompt": "as wool",
    }
    assert set(submitting(wavespeed, first_frame=None, prompt=None).request.json) == {"video", "mode"}


def test_an_accepted_request_is_asked_for_by_its_id() -> None:
    body = told("created", urls={"get": "https://evil.test/api/v3/predictions/r-1/result"})
    step = after_submit(wavespeed, answer(200, body))
    assert isinstance(step, Wait)
    assert step.state.request_id == "r-1"
    ask = wavespeed.next_step(step.state, None)
    assert isinstance(ask, Call)
    assert ask.request.url == "https://api.test/api/v3/predictions/r-1/result"


@pytest.mark.parametrize("http", [True, False])
@pytest.mark.parametrize("code", [408, 409, 425, 500, 502, 503, 504])
def test_what_is_not_called_refused_is_uncertain(code: int, http: bool) -> None:  # noqa: FBT001
    reply = answer(code if http else 200, {"code": code, "message": "later", "data": None})
    assert isinstance(after_submit(wavespeed, reply), Uncertain)


@pytest.mark.parametrize("code", [5004, 1001, 302, 0, -1, 7.5, "busy", True])
def test_a_code_that_is_none_of_http_s_is_uncertain(code: Any) -> None:
    assert isinstance(after_submit(wavespeed, answer(200, {"code": code, "message": "?", "data": None})), Uncertain)


@pytest.mark.parametrize("body", ["", "<html>", "[]", {"code": 200, "data": {}}, {"code": 200}, {"data": {"id": ""}}])
def test_a_yes_without_an_id_is_uncertain(body: Any) -> None:
    assert isinstance(after_submit(wavespeed, answer(200, body)), Uncertain)


@pytest.mark.parametrize("code", [429, 500, 400, 5004])
def test_an_id_is_an_acceptance_whatever_the_code_says(code: int) -> None:
    step = after_submit(wavespeed, answer(200, told("created", code=code)))
    assert isinstance(step, Wait)
    assert step.state.request_id == "r-1"


def test_no_answer_is_uncertain_and_no_connection_is_not() -> None:
    assert isinstance(after_submit(wavespeed, Reply(sent=Sent.UNKNOWN, problem="cut")), Uncertain)
    assert isinstance(after_submit(wavespeed, Reply(sent=Sent.NEVER_SENT, problem="refused")), Failed)


@pytest.mark.parametrize("http", [True, False])
@pytest.mark.parametrize(
    ("code", "slug"),
    [(401, "key_refused"), (402, "no_credits"), (403, "not_allowed"), (404, "model_unknown"), (410, "model_retired")],
)
def test_a_refusal_of_every_job_stops_the_run(code: int, slug: str, http: bool) -> None:  # noqa: FBT001
    step = after_submit(wavespeed, answer(code if http else 200, {"code": code, "message": "no, sorry"}))
    assert isinstance(step, Blocked)
    assert step.slug == slug
    assert "no, sorry" in step.message


@pytest.mark.parametrize("http", [True, False])
def test_a_refusal_of_the_inputs_is_a_failure_that_cost_nothing(http: bool) -> None:  # noqa: FBT001
    body = {"code": 400, "message": "property 'video' is missing", "data": None}
    step = after_submit(wavespeed, answer(400 if http else 200, body))
    assert isinstance(step, Failed)
    assert (step.slug, step.billed, step.again) == ("bad_request", False, Again.NEVER)
    assert "is missing" in step.message


def test_429_is_waited_for() -> None:
    for reply in (answer(429, {"message": "slow down"}), answer(200, {"code": 429, "message": "slow down"})):
        step = after_submit(wavespeed, reply)
        assert isinstance(step, Failed)
        assert (step.slug, step.again, step.after_s) == ("rate_limited", Again.LATER, None)


@pytest.mark.parametrize("status", ["created", "processing", "something-new"])
def test_what_is_not_over_is_waited_for(status: str) -> None:
    assert isinstance(after_asking(wavespeed, answer(200, told(status))), Wait)


def test_a_completed_job_has_an_output() -> None:
    step = after_asking(wavespeed, answer(200, told("completed", outputs=["https://files.test/a.mp4"])))
    assert isinstance(step, Done)
    assert step.location == "https://files.test/a.mp4"


def test_a_failed_job_under_200_is_a_failure() -> None:
    step = after_asking(wavespeed, answer(200, told("failed", error="Generation failed: out of memory")))
    assert isinstance(step, Failed)
    assert (step.slug, step.billed) == ("generation_failed", None)
    assert "out of memory" in step.message


def test_a_filter_s_refusal_has_its_own_name() -> None:
    step = after_asking(wavespeed, answer(200, told("failed", error="The prompt was flagged by moderation")))
    assert isinstance(step, Failed)
    assert step.slug == "refused_prompt"


@pytest.mark.parametrize(
    ("status", "slug", "billed"),
    [
        ("cancelled", "cancelled", None),
        ("timeout", "generation_failed", None),
        ("deleted", "output_expired", True),
    ],
)
def test_every_end_is_an_end(status: str, slug: str, billed: bool | None) -> None:  # noqa: FBT001
    step = after_asking(wavespeed, answer(200, told(status)))
    assert isinstance(step, Failed)
    assert (step.slug, step.billed) == (slug, billed)


def test_completed_without_an_output_is_asked_for_again_and_then_nobody_can_say() -> None:
    assert isinstance(after_asking(wavespeed, answer(200, told("completed"))), Wait)
    assert isinstance(again_and_again(wavespeed, answer(200, told("completed")), times=9), Uncertain)


def test_404_is_a_race_at_first_and_uncertain_later() -> None:
    for reply in (answer(404, {"message": "no"}), answer(200, {"code": 404, "message": "no"})):
        assert isinstance(after_asking(wavespeed, reply), Wait)
        assert isinstance(again_and_again(wavespeed, reply, times=9), Uncertain)


@pytest.mark.parametrize("reply", [answer(502, "<html>"), answer(200, {"code": 500}), answer(429, {}), answer(200, "")])
def test_an_answer_that_says_nothing_of_the_job_is_asked_again(reply: Reply) -> None:
    assert isinstance(after_asking(wavespeed, reply), Wait)


def test_a_key_that_is_no_longer_good_stops_the_run_and_leaves_the_job() -> None:
    assert isinstance(after_asking(wavespeed, answer(200, {"code": 401, "message": "no"})), Blocked)


def ticket(**upload: Any) -> Reply:
    """The answer to the wish to upload."""
    where = {
        "method": "PUT",
        "url": "https://bucket.test/put?sig=1",
        "headers": {"x-store": "1", "n": 2, "Host": "evil.test"},
        **upload,
    }
    data = {"upload": where, "download_url": "https://files.test/up.mp4"}
    return answer(200, {"code": 200, "message": "success", "data": data})


def test_a_file_goes_where_the_ticket_says_with_the_headers_it_says() -> None:
    wish = wavespeed.begin(work(video=LOCAL, first_frame=None), AT, {})
    assert isinstance(wish, Call)
    assert wish.request.url == "https://upload.test/api/v3/media/uploads"
    assert wish.request.json == {
        "filename": f"{SHA256[:16]}.mp4",
        "size": FileSize(path="/clips/a.mp4"),
        "content_type": "video/mp4",
    }
    put = wavespeed.next_step(wish.state, ticket())
    assert isinstance(put, Call)
    assert (put.request.method, put.request.url) == ("PUT", "https://bucket.test/put?sig=1")
    assert headers_of(put) == {"x-store": "1"}
    assert put.request.file is not None
    submit = wavespeed.next_step(put.state, answer(200, ""))
    assert isinstance(submit, Call)
    assert submit.paying
    assert submit.request.json["video"] == "https://files.test/up.mp4"


@pytest.mark.parametrize("reply", [ticket(url=None), ticket(method="POST"), answer(503, ""), answer(200, "<")])
def test_an_upload_that_comes_to_nothing_may_be_tried_again(reply: Reply) -> None:
    wish = wavespeed.begin(work(video=LOCAL), AT, {})
    assert isinstance(wish, Call)
    step = wavespeed.next_step(wish.state, reply)
    assert isinstance(step, Failed)
    assert (step.slug, step.again) == ("upload_failed", Again.UNREACHED)


def test_an_upload_refused_in_the_body_stops_the_run_where_it_concerns_every_job() -> None:
    wish = wavespeed.begin(work(video=LOCAL), AT, {})
    assert isinstance(wish, Call)
    assert isinstance(wavespeed.next_step(wish.state, answer(200, {"code": 401, "message": "no"})), Blocked)


def test_there_is_neither_history_nor_cancel() -> None:
    assert wavespeed.history_request(AT, page=1, since=0.0, until=1.0) is None
    assert wavespeed.cancel_request(work(request_id="r-1"), AT) is None
    assert asking(wavespeed).request.method == "GET"
