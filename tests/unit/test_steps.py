"""What follows from an answer at every service: the closed set of what may be paid, refused, or neither."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from batchmod.model import Again, Blocked, Endpoints, Failed, Price, Reply, Sent, Uncertain, Wait
from batchmod.providers import endpoints, endpoints_at, steps
from batchmod.providers.answers import filter_slug, inside, patience, words_of
from batchmod.providers.steps import State
from tests import given

STATE = State(endpoints=Endpoints(api="https://api.example.com"), inputs={}, phase="submit")
FACTS = given.HOSTED


def answered(status: int, body: bytes = b"{}", headers: Mapping[str, str] | None = None) -> Reply:
    named = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
    return Reply(sent=Sent.ANSWERED, status=status, body=body, headers=named)


@pytest.mark.parametrize("status", [*range(100, 200), *range(500, 600), 408, 409, 425, 499])
def test_what_is_no_yes_and_no_definite_no_is_uncertain(status: int) -> None:
    assert isinstance(steps.unsettled(STATE, answered(status)), Uncertain)


@pytest.mark.parametrize("status", range(300, 400))
def test_a_redirect_is_a_no(status: int) -> None:
    step = steps.unsettled(STATE, answered(status))

    assert isinstance(step, Failed)
    assert (step.slug, step.again) == ("redirected", Again.NEVER)


@pytest.mark.parametrize("status", [200, 201, 202, 299, 400, 401, 402, 403, 404, 406, 410, 413, 422, 429, 498])
def test_what_the_service_itself_says_is_left_to_its_dialect(status: int) -> None:
    assert steps.unsettled(STATE, answered(status)) is None


def test_only_what_never_left_is_sent_again_without_an_answer() -> None:
    never = steps.unsettled(STATE, Reply(sent=Sent.NEVER_SENT, problem="refused"))

    assert isinstance(never, Failed)
    assert never.again is Again.UNREACHED
    assert isinstance(steps.unsettled(STATE, Reply(sent=Sent.UNKNOWN, problem="reset")), Uncertain)


@pytest.mark.parametrize("request_id", [None, "", 7, [], {}])
def test_a_yes_without_an_id_is_uncertain(request_id: object) -> None:
    assert isinstance(steps.accepted(STATE, answered(201), request_id), Uncertain)


def test_links_on_another_origin_are_not_kept() -> None:
    links = {"a": "https://api.example.com/1", "b": "https://elsewhere.example.com/1", "c": 3, "d": "http://["}
    step = steps.accepted(STATE, answered(200), "r1", links=links)

    assert isinstance(step, Wait)
    assert step.state.links == {"a": "https://api.example.com/1", "b": None, "c": None, "d": None}
    assert steps.saved(step.state) == step.state.links


@pytest.mark.parametrize(
    ("status", "slug"),
    [(401, "key_refused"), (402, "no_credits"), (403, "not_allowed"), (404, "model_unknown"), (410, "model_retired")],
)
def test_a_no_to_all_names_its_cure(status: int, slug: str) -> None:
    step = steps.refusal(STATE, answered(status), facts=FACTS)

    assert isinstance(step, Blocked)
    assert step.slug == slug


def test_a_404_to_a_question_concerns_that_request_alone() -> None:
    asking = State(endpoints=STATE.endpoints, inputs={}, phase="status", request_id="r1")

    assert steps.blocked(asking, answered(404), facts=FACTS) is None


def test_a_404_is_a_race_at_first_and_then_nobody_knows() -> None:
    state, waits = STATE, 0
    while isinstance(step := steps.not_found(state), Wait):
        state, waits = step.state, waits + 1

    assert waits == 5
    assert isinstance(step, Uncertain)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry_after": "7"}, 7.0),
        ({"retry_after_ms": "250", "retry_after": "7"}, 0.25),
        ({"retry_after": "-3"}, 0.0),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "Thu, 01 Jan 2026 00:00:30 GMT", "date": "Thu, 01 Jan 2026 00:00:00 GMT"}, 30.5),
        ({"x_rate_limit_reset_at_utc": "2026-01-01T00:01:00Z", "date": "Thu, 01 Jan 2026 00:00:00 GMT"}, 60.5),
        ({"retry_after": "2026-01-01T00:00:30Z", "date": "Thu, 01 Jan 2026 00:00:00 GMT"}, 30.5),
        ({"retry_after": "2026-01-01T00:00:30.250+00:00", "date": "Thu, 01 Jan 2026 00:00:00 GMT"}, 30.75),
        ({"retry_after": "2026-01-01T00:00:30Z"}, None),
        (
            {
                "x_rate_limit_reset_at_utc": "Thu, 01 Jan 2026 00:01:00 GMT",
                "date": "Thu, 01 Jan 2026 00:00:00 GMT",
            },
            60.5,
        ),
        ({"x_rate_limit_reset_at_utc": "2026-01-01T00:01:00Z"}, 60.0),
        ({"x_rate_limit_reset_at_utc": "Thu, 01 Jan 2026 00:01:00 GMT"}, 60.0),
        ({"x_rate_limit_reset_at_utc": "soon"}, None),
    ],
)
def test_patience_is_what_the_headers_ask_by_the_services_own_clock(
    headers: Mapping[str, str], seconds: float | None
) -> None:
    assert patience(answered(429, headers=headers)) == seconds


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": "no"}', "no"),
        (b'{"detail": [{"msg": "too long"}, {"msg": "too loud"}]}', "too long; too loud"),
        (b'{"error": {"message": "inside"}}', "inside"),
        (b'{"error": {}, "message": "beside"}', "beside"),
        (b"<html>gone</html>", "<html>gone</html>"),
        (b"", "no reason given"),
    ],
)
def test_the_words_of_an_error_are_found_where_they_stand(body: bytes, words: str) -> None:
    assert words_of(answered(400, body)) == words


@pytest.mark.parametrize(
    ("said", "slug"),
    [
        ("advanced prompt moderation failed", "refused_prompt"),
        ("frame moderation failed", "refused_frame"),
        ("the output was flagged", "refused_output"),
        ("content policy", "refused_clip"),
        ("the model fell over", None),
    ],
)
def test_a_filters_words_have_names(said: str, slug: str | None) -> None:
    assert filter_slug(said) == slug


def test_the_inside_of_an_answer_is_taken_with_care() -> None:
    value = {"a": [{"b": 1}], "c": None}

    assert inside(value, "a", 0, "b") == 1
    assert [inside(value, *path) for path in (("a", 1), ("a", "b"), ("c", "d"), ("x",), (0,))] == [None] * 5


def test_a_role_without_a_url_of_its_own_is_at_the_api() -> None:
    one = replace(FACTS, history=True, uploads=True)
    found = endpoints(one, {"HOSTED_BASE_URL": "http://127.0.0.1:1/v1/"}, lambda _: None)

    assert found == Endpoints(
        api="http://127.0.0.1:1/v1", upload="http://127.0.0.1:1/v1", history="http://127.0.0.1:1/v1"
    )


def test_an_origin_of_the_record_keeps_the_path_of_the_api() -> None:
    one = replace(FACTS, base_urls={"api": ("X", "https://api.example.com/dream/v1")}, history=True)

    assert endpoints_at(one, "https://api.example.com").api == "https://api.example.com/dream/v1"
    assert endpoints_at(one, "http://127.0.0.1:9").history == "http://127.0.0.1:9/dream/v1"


def test_a_price_by_the_pixel_follows_size_and_length() -> None:
    price = Price(per_megapixel_usd=0.01582)

    assert price.estimate(5.0, longest_s=10, pixels=1280 * 720).likely == pytest.approx(1.7496, abs=1e-4)
    assert price.estimate(None, longest_s=10).high == pytest.approx(1920 * 1080 * 240 / 1e6 * 0.01582)


def test_begun_steps_are_held_back_whole_and_a_minimum_counts() -> None:
    price = Price(per_second_usd=0.28, minimum_usd=0.56, step_s=1.0)
    short, long = price.estimate(1.2, longest_s=30), price.estimate(3.1, longest_s=30)

    assert (short.low, short.likely, short.high) == (0.56, 0.56, 0.56)
    assert (round(long.low, 4), round(long.high, 4)) == (0.868, 1.12)


@pytest.mark.parametrize(("price", "known"), [(Price(note="?"), False), (Price(per_call_usd=0.0), True)])
def test_an_unknown_price_is_known_to_be_one(price: Price, *, known: bool) -> None:
    assert price.known is known
