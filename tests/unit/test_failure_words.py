"""Jobs that ran and failed: the common name that follows from a provider's free text or code."""

import pytest

from batchmod.model import Failed
from batchmod.providers import luma, runway
from batchmod.providers.answers import filter_slug
from tests.replies import after_asking, answer


@pytest.mark.parametrize(
    ("reason", "slug"),
    [
        ("Failed to read user input frames: URL not reachable", "unreadable_source"),
        ("Unable to read input frames", "unreadable_source"),
        ("The media could not be read", "unreadable_source"),
        ("Input video can't be decoded", "unreadable_source"),
        ("Could not download the media", "unreadable_source"),
        ("The source was not read", "unreadable_source"),
        ("Failed to read user input frames: frame moderation failed", "refused_frame"),
        ("The request contains blacklisted words", "refused_prompt"),
        ("Prompt processing failed: could not be read", "generation_failed"),
        ("Something went wrong; the job was not ready in time", "generation_failed"),
    ],
)
def test_lumas_reasons_have_common_names(reason: str, slug: str) -> None:
    step = after_asking(luma, answer(200, {"state": "failed", "failure_reason": reason}))
    assert isinstance(step, Failed)
    assert step.slug == slug


def test_a_blacklisted_address_is_no_word_of_a_prompt() -> None:
    assert filter_slug("the URL of the clip is on a blacklist") == "refused_clip"


@pytest.mark.parametrize(
    ("code", "slug"),
    [
        ("INPUT_PREPROCESSING.SAFETY.TEXT", "refused_prompt"),
        ("INPUT.SAFETY.IMAGE", "refused_frame"),
        ("ASSET.SAFETY", "refused_clip"),
        ("INTERNAL.BAD_OUTPUT.SAFETY", "refused_output"),
        ("SAFETY.INPUT.VIDEO", "refused_clip"),
        ("SAFETY.OUTPUT.VIDEO", "refused_output"),
        ("ASSET.INVALID", "unreadable_source"),
        ("INTERNAL.BAD_OUTPUT.CODE01", "generation_failed"),
    ],
)
def test_runways_codes_of_a_filter_are_known_wherever_safety_stands(code: str, slug: str) -> None:
    step = after_asking(runway, answer(200, {"status": "FAILED", "failureCode": code, "failure": "no"}))
    assert isinstance(step, Failed)
    assert step.slug == slug
