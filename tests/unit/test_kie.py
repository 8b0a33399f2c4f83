"""kie.ai's contract, answer by answer: HTTP 200 is not success there, and a link dies before its file."""

import json
from typing import Any

import pytest

from batchmod.model import Again, Blocked, Call, Done, Failed, Reply, Sent, Uncertain, Wait
from batchmod.providers import kie
from tests.replies import (
    AT,
    FRAME,
    LOCAL,
    SHA256,
    after_asking,
    after_submit,
    again_and_again,
    answer,
    asking,
    submitting,
    work,
)

OUTPUT = "https://files.test/a.mp4"


def told(code: int, data: Any = None, msg: str = "success") -> Reply:
    """An answer as kie gives them: HTTP 200, and its own code."""
    return answer(200, {"code": code, "msg": msg, "data": data})


def record(flag: int, **more: Any) -> Reply:
    """The answer to the question for a task."""
    response = {"resultUrls": [OUTPUT], "originUrls": ["https://files.test/source.mp4"]} if flag in (1, 4) else None
    return told(200, {"taskId": "r-1", "successFlag": flag, "response": response, **more})


def test_neither_mode_nor_first_frame_is_sent() -> None:
    request = submitting(kie).request
    assert request.url == "https://api.test/api/v1/modify/generate"
    assert request.json == {"prompt": "as wool", "videoUrl": "https://example.com/a.mp4"}


def test_a_watermark_is_an_option() -> None:
    assert submitting(kie, options={"watermark": "draft"}).request.json["waterMark"] == "draft"


def test_what_kie_lacks_stands_in_its_facts() -> None:
    assert {"mode", "first_frame_url"}.isdisjoint(kie.FACTS.fields)
    assert "prompt" in kie.FACTS.required


def test_an_accepted_task_is_asked_for_by_its_id() -> None:
    step = after_submit(kie, told(200, {"taskId": "r 1"}))
    assert isinstance(step, Wait)
    assert step.state.request_id == "r 1"
    ask = kie.next_step(step.state, None)
    assert isinstance(ask, Call)
    assert ask.request.url == "https://api.test/api/v1/modify/record-info?taskId=r%201"


@pytest.mark.parametrize("http", [True, False])
@pytest.mark.parametrize("code", [408, 409, 425, 500, 501, 502, 503, 504])
def test_what_is_not_called_refused_is_uncertain(code: int, http: bool) -> None:  # noqa: FBT001
    reply = answer(code, "<html>") if http else told(code, msg="later")
    assert isinstance(after_submit(kie, reply), Uncertain)


@pytest.mark.parametrize("reply", [answer(505, "<html>"), answer(505, {"error": "HTTP version not supported"})])
def test_a_gateway_s_505_is_not_kie_s(reply: Reply) -> None:
    assert isinstance(after_submit(kie, reply), Uncertain)


@pytest.mark.parametrize(
    "reply", [answer(200, ""), answer(200, "[]"), told(200), told(200, {}), told(200, {"taskId": 7}), answer(200, {})]
)
def test_a_yes_without_an_id_is_uncertain(reply: Reply) -> None:
    assert isinstance(after_submit(kie, reply), Uncertain)


@pytest.mark.parametrize("code", [429, 500, 422, 455])
def test_an_id_is_an_acceptance_whatever_the_code_says(code: int) -> None:
    step = after_submit(kie, told(code, {"taskId": "r-1"}))
    assert isinstance(step, Wait)
    assert step.state.request_id == "r-1"


def test_no_answer_is_uncertain_and_no_connection_is_not() -> None:
    assert isinstance(after_submit(kie, Reply(sent=Sent.UNKNOWN, problem="cut")), Uncertain)
    assert isinstance(after_submit(kie, Reply(sent=Sent.NEVER_SENT, problem="refused")), Failed)


@pytest.mark.parametrize("http", [True, False])
@pytest.mark.parametrize(
    ("code", "slug"),
    [
        (401, "key_refused"),
        (402, "no_credits"),
        (403, "not_allowed"),
        (404, "model_unknown"),
        (455, "service_closed"),
        (505, "service_closed"),
    ],
)
def test_a_refusal_of_every_job_stops_the_run(code: int, slug: str, http: bool) -> None:  # noqa: FBT001
    step = after_submit(kie, answer(code if http else 200, {"code": code, "msg": "no, sorry", "data": None}))
    assert isinstance(step, Blocked)
    assert step.slug == slug
    assert "no, sorry" in step.message


def test_the_gateway_s_refusal_of_a_client_is_not_the_account_s() -> None:
    for step in (
        after_submit(kie, answer(403, "error code: 1010")),
        after_asking(kie, answer(403, "error code: 1010")),
    ):
        assert isinstance(step, Blocked)
        assert step.slug == "gateway_refused"


@pytest.mark.parametrize("http", [True, False])
def test_a_refusal_of_the_inputs_is_a_failure_that_cost_nothing(http: bool) -> None:  # noqa: FBT001
    body = {"code": 422, "msg": "The video is longer than 10 seconds", "data": None}
    step = after_submit(kie, answer(422 if http else 200, body))
    assert isinstance(step, Failed)
    assert (step.slug, step.billed, step.again) == ("bad_request", False, Again.NEVER)
    assert "longer than 10 seconds" in step.message


def test_what_is_dropped_for_its_pace_waits_a_whole_window() -> None:
    step = after_submit(kie, told(429, msg="too many"))
    assert isinstance(step, Failed)
    assert (step.slug, step.again, step.after_s) == ("rate_limited", Again.LATER, 10.0)


def test_0_is_waited_for() -> None:
    assert isinstance(after_asking(kie, record(0)), Wait)


@pytest.mark.parametrize("flag", [1, 4])
def test_a_task_whose_callback_failed_is_done_all_the_same(flag: int) -> None:
    step = after_asking(kie, record(flag))
    assert isinstance(step, Done)
    assert step.location == OUTPUT


def test_the_response_may_be_json_as_a_text() -> None:
    texts = json.dumps({"resultUrls": json.dumps([OUTPUT])})
    step = after_asking(kie, told(200, {"successFlag": 1, "response": texts}))
    assert isinstance(step, Done)
    assert step.location == OUTPUT


@pytest.mark.parametrize("flag", [2, 3])
def test_a_failed_task_says_why(flag: int) -> None:
    step = after_asking(kie, record(flag, errorCode=501, errorMessage="Your prompt was flagged as NSFW"))
    assert isinstance(step, Failed)
    assert (step.slug, step.billed) == ("refused_prompt", None)
    assert "501" in step.message


def test_501_to_a_question_is_a_failure() -> None:
    step = after_asking(kie, told(501, msg="Generation failed"))
    assert isinstance(step, Failed)
    assert step.slug == "generation_failed"


@pytest.mark.parametrize("code", [404, 422])
def test_an_unknown_task_is_a_race_at_first_and_uncertain_later(code: int) -> None:
    assert isinstance(after_asking(kie, told(code, msg="recordInfo is null")), Wait)
    assert isinstance(again_and_again(kie, told(code), times=9), Uncertain)


@pytest.mark.parametrize("reply", [answer(502, "<html>"), told(500), told(455), told(429), told(200)])
def test_an_answer_that_says_nothing_of_the_task_is_asked_again(reply: Reply) -> None:
    assert isinstance(after_asking(kie, reply), Wait)


def test_done_without_an_output_is_asked_for_again_and_then_nobody_can_say() -> None:
    empty = told(200, {"successFlag": 1, "response": {"resultUrls": []}})
    assert isinstance(after_asking(kie, empty), Wait)
    assert isinstance(again_and_again(kie, empty, times=9), Uncertain)


def link_asked() -> Call:
    """The question for a fresh link, after the one in the record has died."""
    step = after_asking(kie, record(1), output_location="https://files.test/dead.mp4")
    assert isinstance(step, Call)
    assert not step.paying
    return step


def test_a_link_that_has_died_is_given_anew() -> None:
    call = link_asked()
    assert (call.request.method, call.request.url) == ("POST", "https://api.test/api/v1/common/download-url")
    assert call.request.json == {"url": OUTPUT}
    step = kie.next_step(call.state, told(200, "https://files.test/a.mp4?fresh=1"))
    assert isinstance(step, Done)
    assert step.location == "https://files.test/a.mp4?fresh=1"


@pytest.mark.parametrize("reply", [told(422, msg="not ours"), told(200, None), answer(502, "<html>")])
def test_without_a_fresh_link_the_old_one_says_what_is_wrong(reply: Reply) -> None:
    step = kie.next_step(link_asked().state, reply)
    assert isinstance(step, Done)
    assert step.location == OUTPUT


def test_a_key_that_is_no_longer_good_stops_the_run_and_leaves_the_task() -> None:
    assert isinstance(kie.next_step(link_asked().state, told(401)), Blocked)
    assert isinstance(after_asking(kie, told(401)), Blocked)


def test_only_the_clip_is_sent_up() -> None:
    frame = {**FRAME, "location": "/frames/a.png", "local": True, "sha256": "cd" * 32, "media_type": "image/png"}
    upload = kie.begin(work(video=LOCAL | {"media_type": "video/quicktime"}, first_frame=frame), AT, {})
    assert isinstance(upload, Call)
    assert upload.request.url == "https://upload.test/api/file-stream-upload"
    form = upload.request.form
    assert form is not None
    assert {name: form[name] for name in ("uploadPath", "fileName")} == {
        "uploadPath": "batchmod",
        "fileName": f"{SHA256[:32]}.mov",
    }
    submit = kie.next_step(upload.state, told(200, {"downloadUrl": "https://files.test/up.mov"}))
    assert isinstance(submit, Call)
    assert submit.paying
    assert submit.request.json == {"prompt": "as wool", "videoUrl": "https://files.test/up.mov"}


@pytest.mark.parametrize("reply", [told(200, {}), answer(503, ""), answer(200, "<"), told(500)])
def test_an_upload_that_comes_to_nothing_may_be_tried_again(reply: Reply) -> None:
    upload = kie.begin(work(video=LOCAL), AT, {})
    assert isinstance(upload, Call)
    step = kie.next_step(upload.state, reply)
    assert isinstance(step, Failed)
    assert (step.slug, step.again) == ("upload_failed", Again.UNREACHED)


def test_there_is_neither_history_nor_cancel() -> None:
    assert kie.history_request(AT, page=1, since=0.0, until=1.0) is None
    assert kie.cancel_request(work(request_id="r-1"), AT) is None
    assert asking(kie).request.method == "GET"
