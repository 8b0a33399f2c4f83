"""Replicate's contract, answer by answer, and its history, which forgets inputs after an hour."""

import dataclasses
from typing import Any

import pytest

from batchmod import reconcile
from batchmod.model import (
    Again,
    Blocked,
    Call,
    Done,
    Endpoints,
    Failed,
    FileAsBytes,
    Reply,
    Sent,
    Step,
    Uncertain,
    Wait,
)
from batchmod.providers import replicate
from tests.replies import (
    AT,
    LOCAL,
    after_asking,
    after_submit,
    again_and_again,
    answer,
    asking,
    headers_of,
    submitting,
    work,
)

OUTPUT = "https://files.test/a.mp4"


def prediction(status: str, **more: Any) -> dict[str, Any]:
    """A prediction as Replicate shows it."""
    return {
        "id": "r-1",
        "model": "luma/modify-video",
        "version": "hidden",
        "status": status,
        "input": {"video": "https://example.com/a.mp4", "mode": "flex_2", "prompt": "as wool"},
        "output": OUTPUT if status == "succeeded" else None,
        "error": None,
        "data_removed": False,
        "created_at": "2026-01-05T10:00:00.000Z",
        "urls": {
            "get": "https://api.test/v1/predictions/r-1",
            "cancel": "https://api.test/v1/predictions/r-1/cancel",
        },
        **more,
    }


def test_the_mode_is_always_said_and_inputs_have_their_newer_names() -> None:
    request = submitting(replicate).request
    assert request.url == "https://api.test/v1/models/luma/modify-video/predictions"
    assert request.json == {
        "input": {
            "video": "https://example.com/a.mp4",
            "first_frame": "https://example.com/a.png",
            "mode": "flex_2",
            "prompt": "as wool",
        }
    }
    assert set(submitting(replicate, first_frame=None, prompt=None).request.json["input"]) == {"video", "mode"}


def test_a_deadline_is_an_option() -> None:
    assert headers_of(submitting(replicate, options={"cancel_after_s": 1800})) == {"cancel-after": "1800s"}
    assert headers_of(submitting(replicate)) == {}


def test_an_accepted_prediction_is_asked_for_where_it_said() -> None:
    step = after_submit(replicate, answer(201, prediction("starting")))
    assert isinstance(step, Wait)
    assert step.state.request_id == "r-1"
    ask = replicate.next_step(step.state, None)
    assert isinstance(ask, Call)
    assert ask.request.url == "https://api.test/v1/predictions/r-1"


def test_an_address_on_another_origin_is_not_used() -> None:
    step = after_submit(replicate, answer(201, prediction("starting", urls={"get": "https://evil.test/r-1"})))
    assert isinstance(step, Wait)
    ask = replicate.next_step(step.state, None)
    assert isinstance(ask, Call)
    assert ask.request.url == "https://api.test/v1/predictions/r-1"


@pytest.mark.parametrize("status", [408, 409, 425, 500, 502, 503, 504])
def test_what_is_not_called_refused_is_uncertain(status: int) -> None:
    assert isinstance(after_submit(replicate, answer(status, {"detail": "later"})), Uncertain)


@pytest.mark.parametrize("body", ["", "<html>", "[]", {"status": "starting"}, {"id": ""}, {"id": 7}])
def test_a_yes_without_an_id_is_uncertain(body: Any) -> None:
    assert isinstance(after_submit(replicate, answer(201, body)), Uncertain)


def test_no_answer_is_uncertain_and_no_connection_is_not() -> None:
    assert isinstance(after_submit(replicate, Reply(sent=Sent.UNKNOWN, problem="cut")), Uncertain)
    assert isinstance(after_submit(replicate, Reply(sent=Sent.NEVER_SENT, problem="refused")), Failed)


@pytest.mark.parametrize(
    ("status", "slug"),
    [(401, "key_refused"), (402, "no_credits"), (403, "not_allowed"), (404, "model_unknown"), (410, "model_retired")],
)
def test_a_refusal_of_every_job_stops_the_run(status: int, slug: str) -> None:
    body = {"title": "No", "detail": "You cannot, sorry", "status": status}
    step = after_submit(replicate, answer(status, body))
    assert isinstance(step, Blocked)
    assert step.slug == slug
    assert "You cannot, sorry" in step.message


def test_a_refusal_of_the_inputs_is_a_failure_that_cost_nothing() -> None:
    body = {"title": "Input validation failed", "detail": "- input.mode: not one of these", "status": 422}
    step = after_submit(replicate, answer(422, body))
    assert isinstance(step, Failed)
    assert (step.slug, step.billed, step.again) == ("bad_request", False, Again.NEVER)
    assert "input.mode" in step.message


@pytest.mark.parametrize(
    ("headers", "after_s"),
    [({}, 30.5), ({"retry_after": "7"}, 7.0), ({"retry_after": "0"}, 0.0)],
)
def test_patience_is_read_from_the_header_or_from_the_words(headers: dict[str, str], after_s: float) -> None:
    words = "Request was throttled. Your rate limit for creating predictions resets in ~30s."
    step = after_submit(replicate, answer(429, {"detail": words}, **headers))
    assert isinstance(step, Failed)
    assert (step.slug, step.again, step.after_s) == ("rate_limited", Again.LATER, after_s)


@pytest.mark.parametrize("status", ["starting", "processing", "something-new"])
def test_what_is_not_over_is_waited_for(status: str) -> None:
    assert isinstance(after_asking(replicate, answer(200, prediction(status))), Wait)


@pytest.mark.parametrize("output", [OUTPUT, [OUTPUT]])
def test_a_prediction_that_succeeded_has_an_output(output: Any) -> None:
    step = after_asking(replicate, answer(200, prediction("succeeded", output=output)))
    assert isinstance(step, Done)
    assert step.location == OUTPUT


def test_an_output_that_was_removed_is_paid_and_gone() -> None:
    body = prediction("succeeded", output=None, input={}, data_removed=True)
    step = after_asking(replicate, answer(200, body))
    assert isinstance(step, Failed)
    assert (step.slug, step.billed, step.again) == ("output_expired", True, Again.NEVER)


def test_a_failed_prediction_says_why() -> None:
    step = after_asking(replicate, answer(200, prediction("failed", error="Prompt was flagged by moderation")))
    assert isinstance(step, Failed)
    assert (step.slug, step.billed) == ("refused_prompt", None)


@pytest.mark.parametrize(("status", "billed"), [("canceled", None), ("aborted", False)])
def test_what_was_ended_is_an_end(status: str, billed: bool | None) -> None:  # noqa: FBT001
    step = after_asking(replicate, answer(200, prediction(status)))
    assert isinstance(step, Failed)
    assert (step.slug, step.billed) == ("cancelled", billed)


def test_succeeded_without_an_output_is_asked_for_again_and_then_nobody_can_say() -> None:
    body = prediction("succeeded", output=None)
    assert isinstance(after_asking(replicate, answer(200, body)), Wait)
    assert isinstance(again_and_again(replicate, answer(200, body), times=9), Uncertain)


def test_404_is_a_race_at_first_and_uncertain_where_the_list_says_it_too() -> None:
    assert isinstance(after_asking(replicate, answer(404, {"detail": "no"})), Wait)
    later = again_and_again(replicate, answer(404, {"detail": "no"}), times=9)
    assert isinstance(later, Call)
    assert isinstance(replicate.next_step(later.state, answer(404, {"detail": "no"})), Uncertain)


@pytest.mark.parametrize("reply", [answer(502, "<html>"), answer(429, {"status": 429}), answer(200, "{}")])
def test_an_answer_that_says_nothing_of_the_job_is_asked_again(reply: Reply) -> None:
    assert isinstance(after_asking(replicate, reply), Wait)


def test_a_key_that_is_no_longer_good_stops_the_run_and_leaves_the_job() -> None:
    body = {"title": "Unauthenticated", "status": "401", "id": "r-1"}
    assert isinstance(after_asking(replicate, answer(401, body)), Blocked)


def test_a_file_is_a_part_of_a_form() -> None:
    upload = replicate.begin(work(video=LOCAL, first_frame=None), AT, {})
    assert isinstance(upload, Call)
    assert upload.request.url == "https://upload.test/v1/files"
    form = upload.request.form
    assert form is not None
    assert isinstance(form["content"], FileAsBytes)
    named = {"id": "f-1", "urls": {"get": "https://api.test/v1/files/f-1"}, "expires_at": "2026-01-06T10:00:00Z"}
    submit = replicate.next_step(upload.state, answer(201, named))
    assert isinstance(submit, Call)
    assert submit.paying
    assert submit.request.json["input"]["video"] == "https://api.test/v1/files/f-1"


@pytest.mark.parametrize("reply", [answer(201, {}), answer(503, ""), answer(200, "<")])
def test_an_upload_that_comes_to_nothing_may_be_tried_again(reply: Reply) -> None:
    upload = replicate.begin(work(video=LOCAL), AT, {})
    assert isinstance(upload, Call)
    step = replicate.next_step(upload.state, reply)
    assert isinstance(step, Failed)
    assert (step.slug, step.again) == ("upload_failed", Again.UNREACHED)


def test_cancelling_is_a_post() -> None:
    request = replicate.cancel_request(work(request_id="r-1"), AT)
    assert request is not None
    assert (request.method, request.url) == ("POST", "https://api.test/v1/predictions/r-1/cancel")


def page(*rows: dict[str, Any], following: str | None = None) -> Reply:
    """A page of the list."""
    return answer(200, {"previous": None, "next": following, "results": list(rows)})


def test_a_row_s_inputs_are_the_body_that_was_sent() -> None:
    body = submitting(replicate, first_frame=None).request.json
    rows = replicate.history_rows(page(prediction("processing")))
    assert rows is not None
    assert reconcile.same_inputs(body, rows[0].inputs)
    assert rows[0].fields == {
        "video_url": "https://example.com/a.mp4",
        "first_frame_url": None,
        "mode": "flex_2",
        "prompt": "as wool",
    }
    assert rows[0].at == 1767607200.0


def test_deprecated_names_of_inputs_are_the_same_inputs() -> None:
    given = {"video_url": "https://example.com/a.mp4", "mode": "flex_2", "prompt": "as wool", "first_frame": ""}
    rows = replicate.history_rows(page(prediction("processing", input=given)))
    assert rows is not None
    assert reconcile.same_inputs(submitting(replicate, first_frame=None).request.json, rows[0].inputs)


def test_inputs_that_were_removed_can_prove_nothing() -> None:
    rows = replicate.history_rows(page(prediction("succeeded", input={}, data_removed=True)))
    assert rows is not None
    assert rows[0].inputs is None


def test_another_model_s_rows_are_nobody_s_and_raise_no_doubt() -> None:
    rows = replicate.history_rows(page(prediction("succeeded", model="other/model", input={}, data_removed=True)))
    assert rows is not None
    assert rows[0].inputs is not None
    assert not reconcile.same_inputs(submitting(replicate).request.json, rows[0].inputs)


def test_the_list_is_walked_by_its_cursor_on_our_own_origin() -> None:
    first = replicate.history_request(AT, page=1, since=0.0, until=1.0)
    assert first is not None
    assert first.url == "https://api.test/v1/predictions"
    last = page(prediction("starting"), following="https://evil.test/v1/predictions?cursor=cD0y%2B")
    second = replicate.history_request(AT, page=2, since=0.0, until=1.0, last=last)
    assert second is not None
    assert second.url == "https://api.test/v1/predictions?cursor=cD0y%2B"
    assert replicate.history_request(AT, page=3, since=0.0, until=1.0, last=page()) is None


@pytest.mark.parametrize(
    "reply",
    [
        answer(200, {}),
        answer(200, []),
        answer(200, "<html>"),
        answer(500, {"results": []}),
        answer(200, {"results": [{"status": "starting"}]}),
        answer(200, {"results": [], "next": "https://api.test/v1/predictions?cursor=2"}),
        Reply(sent=Sent.UNKNOWN),
    ],
)
def test_what_is_no_list_is_no_empty_list(reply: Reply) -> None:
    assert replicate.history_rows(reply) is None


def test_an_empty_list_is_one() -> None:
    assert replicate.history_rows(page()) == []
    assert asking(replicate).request.method == "GET"


def looking(reply: Reply, *more: Reply) -> Step:
    """What follows when the id is not found, and its list answers so, page after page."""
    step = again_and_again(replicate, answer(404, {"detail": "not found"}), times=6)
    for one in (reply, *more):
        assert isinstance(step, Call)
        assert step.request.url.startswith("https://api.test/v1/predictions")
        step = replicate.next_step(step.state, one)
    return step


def test_an_id_that_is_not_found_is_looked_for_page_by_page() -> None:
    step = looking(page(prediction("starting", id="r-0"), following="https://x.test/?cursor=2"))
    assert isinstance(step, Call)
    assert step.request.url == "https://api.test/v1/predictions?cursor=2"
    assert isinstance(replicate.next_step(step.state, page(prediction("succeeded"))), Done)
    gone = replicate.next_step(step.state, page(prediction("succeeded", output=None, data_removed=True)))
    assert isinstance(gone, Failed)
    assert (gone.slug, gone.billed) == ("output_expired", True)
    assert isinstance(replicate.next_step(step.state, page(prediction("processing"))), Wait)


@pytest.mark.parametrize(
    ("pages", "said"),
    [
        ([page()], "neither the service nor its history knows the request"),
        ([page(prediction("starting", id="r-0"))], "neither the service nor its history knows the request"),
        ([answer(500, "<html>")], "its history cannot be read: HTTP 500"),
        ([Reply(sent=Sent.UNKNOWN, problem="the network is down")], "cannot be read: the network is down"),
        ([page(prediction("starting", id="r-0"), following="https://x.test/?cursor=2")] * 2, "it has no end"),
    ],
)
def test_where_the_list_does_not_help_it_is_said_what_was_asked(pages: list[Reply], said: str) -> None:
    step = looking(*pages)
    assert isinstance(step, Uncertain)
    assert said in step.reason


def test_without_a_list_it_is_said_that_there_is_none() -> None:
    call = asking(replicate)
    state = dataclasses.replace(call.state, endpoints=Endpoints(api="https://api.test"), seen=True)
    step = replicate.next_step(state, answer(404, {"detail": "not found"}))
    assert isinstance(step, Uncertain)
    assert "there is no history to ask" in step.reason
