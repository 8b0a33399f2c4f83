"""What is worth a second look about an output: what was paid for is kept all the same."""

from dataclasses import replace
from fractions import Fraction

import pytest

from batchmod.model import VideoFacts
from batchmod.runner.delivering import doubt
from tests.given import CLIP

SOURCE = replace(CLIP, fps=Fraction(24), frames=48, duration_s=2.0)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (SOURCE, None),
        (replace(SOURCE, duration_s=1.5, frames=36), "1.50 s instead of 2.00 s"),
        (replace(SOURCE, fps=Fraction(25), frames=50), "25 fps instead of 24"),
        (replace(SOURCE, width=32), "32x48 instead of 64x48"),
    ],
)
def test_another_length_rate_or_size_is_said(output: VideoFacts, said: str | None) -> None:
    assert doubt(SOURCE, output) == said


def test_an_average_rate_says_nothing_where_every_frame_is_there() -> None:
    uneven = replace(SOURCE, fps=Fraction(6000, 289), frames=24, duration_s=1.14)

    assert doubt(uneven, replace(uneven, fps=Fraction(128000, 6209), duration_s=1.148)) is None


def test_a_short_clip_at_another_rate_is_said_although_it_is_hardly_longer() -> None:
    short = replace(SOURCE, fps=Fraction(30), frames=8, duration_s=8 / 30)

    assert doubt(short, replace(short, fps=Fraction(24), duration_s=8 / 24)) == "24 fps instead of 30"


def test_24_frames_a_second_are_not_23_976_however_short_the_clip() -> None:
    source = replace(SOURCE, fps=Fraction(24000, 1001), frames=72, duration_s=3.003)

    assert doubt(source, replace(source, fps=Fraction(24), duration_s=3.0)) == "24 fps instead of 23.976"
