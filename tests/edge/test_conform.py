"""A copy has its source's frames, to the frame and the tick, whatever a service has made of them."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from batchmod import files, media
from batchmod.errors import MediaError
from batchmod.media.conform.rasters import raster_of
from batchmod.model import Conform
from tests.takes import Take, number_in, numbers_in, write_take

WISH = Conform(
    codec="h264",
    sound="source",
    fps="source",
    size="source",
    fit="pad",
    duration="source",
    hold_s=0.5,
    fetch=False,
)
FILM = Fraction(24000, 1001)
SHOT = Take(frames=36, rate=FILM, timecode="01:00:00:12", sounds=["aac"], tags=(1, 1, 1))


def copied(folder: Path, source: Take | Path, output: Take | Path, **wishes: Any) -> tuple[Path, media.Conformed]:
    """A copy of the output after the source, and what is said of it."""
    wish = replace(WISH, **wishes)
    clip = source if isinstance(source, Path) else write_take(folder / "source.mov", source)
    made = output if isinstance(output, Path) else write_take(folder / "output.mp4", output)
    before = files.sha256_of(made)
    target = folder / f"copy{wish.suffix}"
    said = media.conform(clip, made, target, wish=wish)
    assert files.sha256_of(made) == before, "the provider's file stays as it is"
    media.verify_video(target, depth="decode")
    return target, said


def about(path: Path) -> dict[str, Any]:
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        context = video.codec_context
        assert video.duration is not None
        assert video.time_base is not None
        return {
            "codec": context.name,
            "pixels": context.pix_fmt,
            "size": (video.width, video.height),
            "rate": video.average_rate,
            "frames": video.frames,
            "length": video.duration * video.time_base,
            "timecode": video.metadata.get("timecode"),
            "tags": (context.color_primaries, context.color_trc, context.colorspace, context.color_range),
            "pixel": video.sample_aspect_ratio,
            "rotation": next(container.decode(video=0)).rotation,
        }


@pytest.mark.parametrize(("codec", "stored"), [("h264", ("h264", "yuv420p")), ("prores", ("prores", "yuv422p10le"))])
def test_a_copy_has_its_sources_rate_frames_length_size_timecode_and_tags(
    tmp_path: Path, codec: str, stored: tuple[str, str]
) -> None:
    output = Take(frames=36, rate=Fraction(24), size=(192, 108))

    target, said = copied(tmp_path, SHOT, output, codec=codec)

    found = about(target)
    assert (found["codec"], found["pixels"]) == stored
    assert found["rate"] == FILM
    assert (found["frames"], found["length"]) == (36, 36 / FILM)
    assert found["size"] == (128, 72)
    assert found["timecode"] == "01:00:00:12"
    assert found["tags"] == (1, 1, 1, 1)
    assert numbers_in(target) == list(range(36))
    assert (said.frames, said.fps, said.timecode) == (36, FILM, "01:00:00:12")


def test_each_moment_of_the_source_shows_the_frame_that_the_output_shows_then(tmp_path: Path) -> None:
    target, said = copied(tmp_path, Take(frames=50, rate=Fraction(25)), Take(frames=48, rate=Fraction(24)))

    shown = [int((Fraction(number, 25) + Fraction(2, 1000)) * 24) for number in range(50)]
    assert (shown[:3], shown[-1], len(set(shown))) == ([0, 1, 1], 47, 48)
    assert numbers_in(target) == shown
    assert about(target)["rate"] == 25
    assert said.notes == ()


def test_an_output_made_frame_by_frame_goes_back_frame_by_frame(tmp_path: Path) -> None:
    """30 frames at 24 a second last a quarter longer: by the clock the copy would fall behind its sound."""
    target, said = copied(tmp_path, Take(frames=30, rate=Fraction(30)), Take(frames=30, rate=Fraction(24)))

    assert numbers_in(target) == list(range(30))
    assert about(target)["length"] == 1
    assert "frame by frame" in said.notes[0]


@pytest.mark.parametrize(
    ("wishes", "rate", "frames"),
    [
        ({"fps": "output"}, Fraction(24), 48),
        ({"fps": FILM}, FILM, 48),
        ({"fps": Fraction(50)}, Fraction(50), 100),
        ({"duration": "output"}, Fraction(25), 50),
        ({"fps": "output", "duration": "output"}, Fraction(24), 48),
    ],
)
def test_rate_and_length_may_be_the_outputs_own_or_any(
    tmp_path: Path, wishes: dict[str, Any], rate: Fraction, frames: int
) -> None:
    source = Take(frames=50, rate=Fraction(25), timecode="01:00:00:24")

    target, _ = copied(tmp_path, source, Take(frames=48, rate=Fraction(24)), **wishes)

    found = about(target)
    assert (found["rate"], found["frames"], found["length"]) == (rate, frames, frames / rate)
    seconds = {25: "01:00:00:24", 24: "01:00:00:23", FILM: "01:00:00:23", 50: "01:00:00:48"}
    assert found["timecode"] == seconds[rate]


def test_uneven_times_are_the_copys_too_and_it_is_said(tmp_path: Path) -> None:
    stamps = [0, 40, 80, 200, 240, 300, 420, 430, 500, 580]
    source = Take(frames=10, rate=Fraction(25), stamps=stamps, base=Fraction(1, 1000))

    target, said = copied(tmp_path, source, Take(frames=16, rate=Fraction(24)))

    clip = raster_of(tmp_path / "source.mov")
    assert [round(at * 1000) for at in clip.times] == stamps
    assert clip.rate is None
    assert raster_of(target).times == clip.times
    assert numbers_in(target) == [int((at + 2) * 24 / 1000) for at in stamps]
    assert about(target)["length"] == clip.length_s
    assert "not evenly spaced" in said.notes[0]


def test_milliseconds_of_matroska_are_rounded_film(tmp_path: Path) -> None:
    clip = write_take(tmp_path / "source.mkv", replace(SHOT, timecode=None))

    target, _ = copied(tmp_path, clip, Take(frames=36))

    assert (about(target)["rate"], about(target)["frames"]) == (FILM, 36)
    assert numbers_in(target) == list(range(36))


def test_a_clip_that_counts_600_ticks_a_second_keeps_a_rate_of_the_trade(tmp_path: Path) -> None:
    stamps = [round(number * 1001 * 600 / 30000) for number in range(45)]
    take = Take(frames=45, rate=Fraction(30000, 1001), stamps=stamps, base=Fraction(1, 600))

    assert raster_of(write_take(tmp_path / "phone.mov", take)).rate == Fraction(30000, 1001)


def test_frames_that_an_edit_list_hides_do_not_count(tmp_path: Path) -> None:
    """What a phone's trim leaves in the file before its first moment is nobody's."""
    late = write_take(tmp_path / "late.mov", replace(SHOT, frames=24, rate=Fraction(24), timecode=None))
    trimmed = tmp_path / "trimmed.mov"
    with av.open(str(late)) as given, av.open(str(trimmed), "w") as made:
        pictures, sound = given.streams.video[0], given.streams.audio[0]
        kept: dict[int, Any] = {each.index: made.add_stream_from_template(each) for each in (pictures, sound)}
        for packet in given.demux(pictures, sound):
            if packet.dts is not None and packet.pts is not None and packet.time_base is not None:
                moved = round(Fraction(6, 24) / packet.time_base)
                packet.pts, packet.dts = packet.pts - moved, packet.dts - moved
                packet.stream = kept[packet.stream_index]
                made.mux(packet)

    assert len(raster_of(trimmed).times) == sum(1 for _ in media.read_frames(trimmed)) == 18

    target, _ = copied(tmp_path, trimmed, Take(frames=18))
    assert (about(target)["frames"], numbers_in(target)) == (18, list(range(18)))


@pytest.mark.parametrize("codec", ["h264", "prores"])
def test_an_output_that_is_much_too_short_has_no_copy(tmp_path: Path, codec: str) -> None:
    with pytest.raises(MediaError, match=r"lasts 1\.00 s, and 2\.00 s are wanted.*`hold_s`.*`duration: output`") as no:
        copied(tmp_path, Take(frames=48), Take(frames=24), codec=codec)

    assert no.value.slug == "copy_too_short"


@pytest.mark.parametrize(
    ("frames", "wishes", "shown", "noted"),
    [
        (40, {}, [*range(40), *[39] * 8], ["held for 0.33 s"]),
        (24, {"hold_s": 1.0}, [*range(24), *[23] * 24], ["held for 1.00 s"]),
        (47, {"hold_s": 0.0}, [*range(47), 46], []),
        (60, {}, list(range(48)), ["last 0.50 s are cut"]),
        (24, {"duration": "output"}, list(range(24)), []),
        (60, {"duration": "output"}, list(range(60)), []),
    ],
)
def test_a_little_is_held_and_what_is_too_much_is_cut(
    tmp_path: Path, frames: int, wishes: dict[str, Any], shown: Sequence[int], noted: Sequence[str]
) -> None:
    target, said = copied(tmp_path, Take(frames=48), Take(frames=frames), **wishes)

    assert numbers_in(target) == shown
    assert len(said.notes) == len(noted)
    assert all(words in note for words, note in zip(noted, said.notes, strict=True))


def middle_column(path: Path) -> Any:
    picture = media.first_frame(path)
    return picture[:, picture.shape[1] // 2].astype(int)


@pytest.mark.parametrize(("fit", "said"), [("pad", "padded"), ("crop", "cropped"), ("stretch", "stretched")])
def test_another_shape_is_padded_cropped_or_stretched_and_it_is_said(tmp_path: Path, fit: str, said: str) -> None:
    wide = Take(frames=2, size=(192, 72))

    target, found = copied(tmp_path, Take(frames=2, size=(128, 96)), wide, fit=fit)

    picture = media.first_frame(target)
    assert picture.shape == (96, 128, 3)
    assert found.notes == (f"{said}: the output is 192x72, its source 128x96",)
    is_black = picture.max(axis=(1, 2)) < 8
    assert is_black.sum() in {"pad": range(46, 49), "crop": [0], "stretch": [0]}[fit]
    assert is_black[:23].all() == is_black[-23:].all() == (fit == "pad")


def test_sizes_that_a_service_rounds_to_its_blocks_fill_the_frame(tmp_path: Path) -> None:
    target, said = copied(tmp_path, Take(frames=2, size=(320, 180)), Take(frames=2, size=(288, 160)), fit="pad")

    assert (about(target)["size"], said.notes) == ((320, 180), ("padded: the output is 288x160, its source 320x180",))

    target, said = copied(tmp_path, Take(frames=2, size=(854, 480)), Take(frames=2, size=(848, 480)))

    assert (about(target)["size"], said.notes) == ((854, 480), ())


def test_the_size_may_be_the_outputs_own(tmp_path: Path) -> None:
    target, said = copied(tmp_path, SHOT, Take(frames=36, size=(96, 96)), size="output")

    assert (about(target)["size"], about(target)["pixel"]) == ((96, 96), 1)
    assert len(said.notes) == 1


@pytest.mark.parametrize("codec", ["h264", "prores"])
def test_odd_sizes_stay_odd(tmp_path: Path, codec: str) -> None:
    target, _ = copied(tmp_path, Take(frames=2, size=(127, 71), pixels="yuv444p"), Take(frames=2), codec=codec)

    assert about(target)["size"] == (127, 71)
    assert number_in(media.first_frame(target)) == 0


@pytest.mark.parametrize("size", [(96, 72), (128, 72)], ids=["as stored", "as seen"])
def test_pixels_that_are_not_square_stay_so_whichever_shape_comes_back(tmp_path: Path, size: tuple[int, int]) -> None:
    source = Take(frames=2, size=(96, 72), pixel=Fraction(4, 3))

    target, said = copied(tmp_path, source, Take(frames=2, size=size))

    assert (about(target)["size"], about(target)["pixel"]) == ((96, 72), Fraction(4, 3))
    assert said.notes == ()
    assert middle_column(target).max(axis=1).min() > 8, "no bars"


def test_ten_bits_come_back_as_ten_bits_of_prores_and_as_eight_of_h264(tmp_path: Path) -> None:
    source = Take(frames=2, codec="prores_ks", pixels="yuv422p10le")

    assert about(copied(tmp_path, source, Take(frames=2), codec="prores")[0])["pixels"] == "yuv422p10le"
    assert about(copied(tmp_path, source, Take(frames=2))[0])["pixels"] == "yuv420p"


def test_nothing_of_the_source_is_needed_where_nothing_is_taken(tmp_path: Path) -> None:
    made = write_take(tmp_path / "output.mp4", Take(frames=12, sounds=["aac"]))
    wish = replace(WISH, codec="prores", sound="output", fps="output", size="output", duration="output")

    said = media.conform(None, made, tmp_path / "copy.mov", wish=wish)

    assert (said.frames, said.notes) == (12, ())
    assert numbers_in(tmp_path / "copy.mov") == list(range(12))
