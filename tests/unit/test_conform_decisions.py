"""What a copy will be, decided from numbers alone: moments, shapes, timecodes, and the words of settings."""

from fractions import Fraction
from typing import Any, Literal

import pytest

from batchmod import files
from batchmod.errors import ManifestError
from batchmod.manifest import as_said, conform_of, parse_yaml, wishes_of
from batchmod.manifest.delivering import rate_of
from batchmod.media.conform.rasters import even, even_rate, picks
from batchmod.media.conform.shapes import Shape, placed
from batchmod.media.conform.timecodes import at_rate
from batchmod.schema import Schemas

FILM, NTSC = Fraction(24000, 1001), Fraction(30000, 1001)


def schemas() -> Schemas:
    return Schemas(**{name: files.schema(name) for name in ("manifest", "row", "results")})


@pytest.mark.parametrize("rate", [FILM, Fraction(25), NTSC, Fraction(60)])
@pytest.mark.parametrize("own", [Fraction(24), Fraction(16), Fraction(30)])
def test_no_frame_is_shown_a_frame_too_early_or_too_late(rate: Fraction, own: Fraction) -> None:
    wanted, shown = even(rate, Fraction(10)), even(own, Fraction(10))

    numbers = picks(wanted, shown)

    assert list(numbers) == sorted(numbers)
    for at, number in zip(wanted.times, numbers, strict=True):
        assert shown.times[number] - Fraction(2, 1000) <= at
        assert number == len(shown.times) - 1 or at < shown.times[number + 1]


def test_a_rate_is_that_of_the_trade_where_stamps_fit_it() -> None:
    milliseconds = [round(number * 1001 / 24) for number in range(48)]

    assert even_rate(milliseconds, Fraction(1, 1000), Fraction(23976, 1000)) == FILM
    assert even_rate(list(range(0, 4800, 100)), Fraction(1, 2400), Fraction(24)) == 24
    assert even_rate(list(range(0, 5000, 100)), Fraction(1, 1500), Fraction(15)) == 15


def test_one_frame_dropped_of_a_thousand_is_no_film_rate() -> None:
    stamps = [number for number in range(1001) if number != 500]

    assert even_rate(stamps, Fraction(1, 24), Fraction(24000, 1001)) is None


Fit = Literal["pad", "crop", "stretch"]


@pytest.mark.parametrize(
    ("picture", "frame", "fit", "drawn"),
    [
        (Shape(width=1280, height=720), Shape(width=1920, height=1080), "pad", (1920, 1080, None)),
        (Shape(width=1280, height=720), Shape(width=1080, height=1920), "pad", (1080, 608, "padded")),
        (Shape(width=1280, height=720), Shape(width=1080, height=1920), "crop", (3414, 1920, "cropped")),
        (Shape(width=1280, height=720), Shape(width=1080, height=1920), "stretch", (1080, 1920, "stretched")),
        (Shape(width=720, height=1280), Shape(width=1920, height=1080), "pad", (608, 1080, "padded")),
        (Shape(width=848, height=480), Shape(width=854, height=480), "pad", (854, 480, None)),
        (Shape(width=1440, height=1080), Shape(width=1440, height=1080, pixel=Fraction(4, 3)), "pad",
         (1440, 1080, None)),
        (Shape(width=1280, height=720), Shape(width=1440, height=1080, pixel=Fraction(4, 3)), "pad",
         (1440, 1080, None)),
        (Shape(width=1080, height=1080), Shape(width=1440, height=1080, pixel=Fraction(4, 3)), "pad",
         (810, 1080, "padded")),
    ],
)  # fmt: skip
def test_a_picture_keeps_its_shape_in_a_frame(
    picture: Shape, frame: Shape, fit: Fit, drawn: tuple[int, int, str | None]
) -> None:
    found = placed(picture, frame, fit=fit)

    assert (found.width, found.height, found.changed) == drawn


@pytest.mark.parametrize(
    ("timecode", "was", "rate", "then"),
    [
        ("01:00:00:12", FILM, FILM, "01:00:00:12"),
        ("01:00:00:12", FILM, Fraction(24), "01:00:00:12"),
        ("01:00:00:12", Fraction(24), Fraction(48), "01:00:00:24"),
        ("01:00:00:24", Fraction(25), Fraction(24), "01:00:00:23"),
        ("10:01:00;02", NTSC, NTSC, "10:01:00;02"),
        ("10:01:00;15", NTSC, FILM, "10:01:00:12"),
        ("10:01:00;02", NTSC, Fraction(60000, 1001), "10:01:00;04"),
        ("23:59:59:29", NTSC, Fraction(60000, 1001), "23:59:59:58"),
    ],
)
def test_a_timecode_says_the_same_moment_at_another_rate(
    timecode: str, was: Fraction, rate: Fraction, then: str
) -> None:
    assert at_rate(timecode, was, rate) == then


@pytest.mark.parametrize(
    ("text", "rate"),
    [("23.976", FILM), ("23.98", FILM), ("29.97", NTSC), ("59.94", Fraction(60000, 1001)), ("24", Fraction(24)),
     ("24.0", Fraction(24)), ("12.5", Fraction(25, 2)), ("24000/1001", FILM), ("source", "source")],
)  # fmt: skip
def test_a_rate_means_what_people_mean_by_it(text: str, rate: object) -> None:
    assert rate_of(text) == rate


def manifest(deliver: str) -> Any:
    text = f"version: 1\ndeliver: {deliver}\nclips: [{{video_url: 'https://example.com/a.mp4', prompt: wool}}]\n"
    return parse_yaml(text.encode(), file="shots.yaml", schemas=schemas()).deliver


def test_an_empty_mapping_takes_every_default_and_nothing_takes_none() -> None:
    assert manifest("{}") == conform_of({}, schemas())
    assert manifest("{}").codec == "h264"
    assert manifest("") is None


def test_settings_are_read_as_written_and_come_back_as_said() -> None:
    wish = manifest("{codec: prores, fps: 23.976, hold_s: 2, fit: crop, fetch: yes}")

    assert (wish.codec, wish.fps, wish.hold_s, wish.fit, wish.fetch) == ("prores", FILM, 2, "crop", True)
    assert conform_of(as_said(wish), schemas()) == wish


@pytest.mark.parametrize(
    ("deliver", "said"),
    [
        ("{codec: h265}", "deliver.codec): 'h265' is not a codec; did you mean 'h264'?"),
        ("{fps: fast}", "deliver.fps): fps must be source, output, or a rate such as 24000/1001, 23.976 or 25"),
        ("{fps: 0}", "deliver.fps): fps must be"),
        ("{fps: 24000/0}", "deliver.fps): fps must be"),
        ("{hold_s: -1}", "deliver.hold_s): hold_s must be at least 0, not -1"),
        ("{colour: yes}", "unknown key 'colour'"),
        ("prores", "deliver must be a mapping"),
    ],
)
def test_what_cannot_be_is_said_with_its_place(deliver: str, said: str) -> None:
    with pytest.raises(ManifestError) as wrong:
        manifest(deliver)

    assert said in str(wrong.value)
    assert str(wrong.value).startswith("shots.yaml:2:")


def test_words_of_the_command_line_are_a_codec_or_a_key_and_its_value() -> None:
    assert wishes_of(["prores", "fit=crop", "hold_s=1", "fetch=yes"], schemas()) == (
        {"codec": "prores", "fit": "crop", "hold_s": 1.0, "fetch": True},
        [],
    )
    for word, said in (
        ("h265", "'h265' is not a codec"),
        ("fit=tile", "'tile' is not a fit"),
        ("hold_s=x", "must be a number"),
        ("speed=2", "unknown key 'speed'"),
        ("", "is not a codec"),
    ):
        assert said in str(wishes_of([word], schemas())[1][0])
