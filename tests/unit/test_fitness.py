"""What a service may mind about a clip, and what is done about it: as values."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from batchmod.fitness import Recipe, concern_of_frame, concerns_of, recipe_of
from batchmod.model import ClipFacts, FrameFacts, VideoFacts
from tests.given import HOSTED, LOCAL

VIDEO = VideoFacts(
    width=1280, height=720, fps=Fraction(25), frames=250, duration_s=10.0, has_audio=True, bytes=5_000_000
)
CLIP = ClipFacts(video=VIDEO, container="mp4", codec="h264", bits=8)
FRAME = FrameFacts(width=1280, height=720, clip_width=1280, clip_height=720, equal=False, unedited=False, likeness=0.8)


def clip(**how: Any) -> ClipFacts:
    video = {name: how.pop(name) for name in list(how) if name in VideoFacts.__dataclass_fields__}
    return replace(CLIP, video=replace(VIDEO, **video), **how)


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ({}, None),
        ({"container": "mov"}, None),
        ({"container": "mkv"}, "h264-1"),
        ({"codec": "hevc"}, "h264-1"),
        ({"bits": 10}, "h264-1"),
        ({"rotation": 90}, "h264-1"),
        ({"bytes": 100_000_001}, "h264-1"),
        ({"duration_s": 30.0}, "h264-1,to=29.9"),
        ({"duration_s": 37.3}, "h264-1,to=29.9"),
        ({"duration_s": 37.5}, None),
        ({"duration_s": 31.0, "bytes": 100_000_001, "rotation": 270}, "h264-1,to=29.9"),
        ({"hdr": True, "codec": "hevc", "bits": 10}, None),
        ({"interlaced": True}, None),
        ({"steady": False}, None),
    ],
    ids=str,
)
def test_a_recipe_follows_from_the_clip_and_its_text_never_changes(how: dict[str, Any], text: str | None) -> None:
    """The texts stand in the identities of clips that were paid for."""
    recipe = recipe_of(clip(**how), HOSTED)

    assert (recipe and recipe.text) == text


def test_where_the_limit_itself_is_taken_a_clip_is_cut_as_far_under_it() -> None:
    assert recipe_of(clip(duration_s=11.0), replace(HOSTED, max_clip_s=10.0, longest_included=True)) == Recipe(
        until_s=9.9
    )


def test_a_clip_that_is_too_short_stays_so() -> None:
    assert recipe_of(clip(duration_s=1.0, rotation=90), replace(HOSTED, min_clip_s=2.0)) is None


def test_the_engine_minds_nothing() -> None:
    odd = clip(container="mkv", codec="hevc", bits=10, rotation=90, steady=False, hdr=True)

    assert recipe_of(odd, LOCAL) is None
    assert list(concerns_of(odd, LOCAL)) == []


@pytest.mark.parametrize(
    ("how", "slug", "words"),
    [
        ({"container": "mov"}, "clip_format", "QuickTime (MOV) (H.264); hosted names MP4 only"),
        ({"codec": "prores", "bits": 10}, "clip_format", "ProRes of 10 bits"),
        ({"hdr": True, "codec": "h264"}, "clip_format", "HDR"),
        ({"interlaced": True}, "clip_format", "interlaced"),
        ({"rotation": 180}, "clip_rotated", "turned by 180 degrees"),
        ({"steady": False}, "frame_rate", "not evenly spaced"),
        ({"fps": None}, "frame_rate", "not evenly spaced"),
        ({"fps": Fraction(60000, 1001)}, "frame_rate", "59.94 frames a second; hosted takes at most 30"),
        ({"width": 1080, "height": 1930}, "clip_size", "1080x1930 pixels; hosted takes at most 1920x1080"),
        ({"width": 1920, "height": 1088}, "clip_size", "1920x1088"),
        ({"pixel_shape": Fraction(64, 45)}, "clip_size", "not square (64:45)"),
    ],
    ids=str,
)
def test_what_a_service_may_mind_has_a_name_and_words(how: dict[str, Any], slug: str, words: str) -> None:
    facts = replace(HOSTED, containers=frozenset({"mp4"}), max_fps=30.0, max_sides=(1920, 1080))

    (concern,) = concerns_of(clip(**how), facts)

    assert (concern.field, concern.slug) == ("video_url", slug)
    assert words in concern.message


def test_an_upright_clip_of_the_limits_is_fine() -> None:
    facts = replace(HOSTED, containers=frozenset({"mp4"}), max_fps=30.0, max_sides=(1920, 1080))

    assert list(concerns_of(clip(width=1080, height=1920, fps=Fraction(30)), facts)) == []


@pytest.mark.parametrize(
    ("how", "slug"),
    [
        ({}, None),
        ({"width": 1282, "height": 720}, None),
        ({"width": 1024, "height": 576}, None),
        ({"width": 1024, "height": 1024}, "frame_shape"),
        ({"width": 640, "height": 360}, None),
        ({"width": 512, "height": 288}, "frame_shape"),
        ({"unedited": True}, "frame_unedited"),
        ({"likeness": 0.19}, "frame_unlike"),
        ({"likeness": -0.5}, "frame_unlike"),
        ({"likeness": None}, None),
        ({"likeness": 0.0, "width": 720, "height": 1280}, "frame_shape"),
    ],
    ids=str,
)
def test_of_what_is_odd_about_a_first_frame_the_gravest_is_said(how: dict[str, Any], slug: str | None) -> None:
    concern = concern_of_frame(replace(FRAME, **how))

    assert (concern and concern.slug) == slug
