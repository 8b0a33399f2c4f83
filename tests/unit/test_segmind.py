"""Segmind's refusals by their words: which concern every job, which one, and which a filter gave."""

import pytest

from batchmod.model import Again, Blocked, Failed, Step
from batchmod.providers import segmind
from tests.replies import after_submit, answer


def refused(status: int, text: str) -> Step:
    return after_submit(segmind, answer(status, {"error": text}))


@pytest.mark.parametrize(
    ("status", "text", "slug"),
    [
        (401, "No API key found in request: send it in the x-api-key header", "key_missing"),
        (401, "Missing x-api-key header", "key_missing"),
        (401, "API key is required", "key_missing"),
        (401, "No API key provided", "key_missing"),
        (401, "API key was not provided.", "key_missing"),
        (401, "Invalid or expired API key", "key_refused"),
        (401, "Invalid API key; a valid key is required", "key_refused"),
        (406, "Insufficient funds in wallet", "no_credits"),
        (406, "You do not have enough credits.", "no_credits"),
        (406, "Insufficient credits: balance 0.12, this request needs 0.60", "no_credits"),
        (406, "Insufficient balance(0.12) for modify-video", "no_credits"),
        (406, "Insufficient wallet amount", "no_credits"),
        (406, "Monthly team budget exceeded", "spend_cap"),
        (406, "Team limit reached", "spend_cap"),
        (406, "Spend-cap reached for modify-video: 50 credits of 50", "spend_cap"),
        (406, "Your monthly quota is used up", "spend_cap"),
    ],
)
def test_what_concerns_every_job_is_known_however_it_is_worded(status: int, text: str, slug: str) -> None:
    step = refused(status, text)
    assert isinstance(step, Blocked)
    assert step.slug == slug


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("Content-Type must be application/json or multipart/form-data", "bad_content_type"),
        ("Invalid content type. Use application/json or multipart/form-data", "bad_content_type"),
        ("Prompt rejected by moderation", "refused_prompt"),
        ("Prompt flagged by moderation: a credit card", "refused_prompt"),
        ("The first frame was flagged as NSFW", "refused_frame"),
        ("The video violates the content policy", "refused_clip"),
        ("Value rejected: mode must be one of adhere_1, flex_1", "refused_value"),
        ("Value rejected: insufficient resolution of the video", "refused_value"),
        ("The clip is longer than the cap of 30 s", "refused_value"),
    ],
)
def test_what_concerns_one_job_fails_it_alone(text: str, slug: str) -> None:
    step = refused(406, text)
    assert isinstance(step, Failed)
    assert (step.slug, step.again, step.billed) == (slug, Again.NEVER, False)


def test_a_500_of_a_filter_is_definite_and_any_other_is_asked_about_first() -> None:
    filtered, other = refused(500, "NSFW content detected in the prompt"), refused(500, "Internal error")
    assert isinstance(filtered, Failed)
    assert isinstance(other, Failed)
    assert (filtered.slug, filtered.again, filtered.billed) == ("refused_prompt", Again.NEVER, False)
    assert (other.slug, other.again) == ("provider_error", Again.ASK_FIRST)
