"""The sound of a copy is its source's, in step with the pictures, to the sample where nothing is encoded anew."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from batchmod import media
from tests.edge.test_conform import WISH
from tests.takes import SAMPLE_RATE, Take, as_floats, heard, lag, sweep, write_take

SILENT = Take(frames=48)
SECONDS = 2.0


def copied(folder: Path, source: Take | Path, output: Take = SILENT, **wishes: Any) -> Path:
    wish = replace(WISH, **wishes)
    clip = source if isinstance(source, Path) else write_take(folder / "source.mov", source)
    target = folder / f"copy{wish.suffix}"
    media.conform(clip, write_take(folder / "output.mp4", output), target, wish=wish)
    return target


def tracks(path: Path) -> list[tuple[str, str]]:
    """(codec, language) of each sound."""
    with av.open(str(path)) as container:
        return [(each.codec_context.name, each.metadata.get("language", "und")) for each in container.streams.audio]


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]


def length_s(path: Path, track: int = 0) -> float:
    """How long a sound lasts as its container says: what a player plays."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[track]
        assert stream.duration is not None
        assert stream.time_base is not None
        return float(stream.duration * stream.time_base)


@pytest.mark.parametrize("codec", ["h264", "prores"])
def test_packets_go_over_as_they_are_where_the_container_takes_them(tmp_path: Path, codec: str) -> None:
    target = copied(tmp_path, replace(SILENT, sounds=["aac"]), codec=codec)

    assert packets(target) == packets(tmp_path / "source.mov")
    (began, wanted), (begins, found) = heard(tmp_path / "source.mov"), heard(target)
    assert began == begins == 0
    assert np.array_equal(wanted, found)


@pytest.mark.parametrize("name", ["pcm_s16le", "pcm_s24le", "pcm_f32le"])
def test_pcm_stays_pcm_in_quicktime_to_the_bit(tmp_path: Path, name: str) -> None:
    target = copied(tmp_path, replace(SILENT, sounds=[name]), codec="prores")

    assert tracks(target) == [(name, "und")]
    assert np.array_equal(heard(tmp_path / "source.mov")[1], heard(target)[1])


def test_pcm_becomes_aac_in_mp4_and_keeps_step(tmp_path: Path) -> None:
    target = copied(tmp_path, replace(SILENT, sounds=["pcm_s24le"]))

    began, found = heard(target)
    assert tracks(target)[0][0] == "aac"
    assert began == 0
    assert lag(sweep(SECONDS), found) == 0
    assert np.abs(as_floats(found)[:, 2000:90000] - sweep(SECONDS)[:, 2000:90000]).max() < 0.03
    assert length_s(target) == pytest.approx(SECONDS, abs=1e-4)


@pytest.mark.parametrize(("codec", "kept"), [("h264", "flac"), ("prores", "pcm_s16le")])
def test_what_quicktime_cannot_hold_becomes_pcm_there(tmp_path: Path, codec: str, kept: str) -> None:
    clip = write_take(tmp_path / "source.mkv", replace(SILENT, sounds=["flac"]))

    target = copied(tmp_path, clip, codec=codec)

    assert tracks(target)[0][0] == kept
    assert lag(sweep(SECONDS), heard(target)[1]) == 0
    assert np.abs(as_floats(heard(target)[1]) - sweep(SECONDS)).max() < 1e-4


def test_every_track_comes_along_with_its_language(tmp_path: Path) -> None:
    source = replace(SILENT, sounds=["aac", "pcm_s16le"], languages=["eng", "fra"])

    assert tracks(copied(tmp_path, source)) == [("aac", "eng"), ("aac", "fra")]
    target = copied(tmp_path, source, codec="prores")
    assert tracks(target) == [("aac", "eng"), ("pcm_s16le", "fra")]
    assert np.array_equal(heard(tmp_path / "source.mov", 1)[1], heard(target, 1)[1])


@pytest.mark.parametrize("name", ["aac", "pcm_s16le"])
@pytest.mark.parametrize("codec", ["h264", "prores"])
def test_sound_ends_with_the_pictures(tmp_path: Path, name: str, codec: str) -> None:
    target = copied(tmp_path, replace(SILENT, sounds=[name], longer_s=0.7), codec=codec)

    assert length_s(target) == pytest.approx(SECONDS, abs=1e-4)
    assert lag(sweep(SECONDS), heard(target)[1]) == 0


@pytest.mark.parametrize("name", ["aac", "pcm_s16le"])
@pytest.mark.parametrize("codec", ["h264", "prores"])
def test_sound_that_comes_later_than_the_pictures_comes_as_late(tmp_path: Path, name: str, codec: str) -> None:
    late = Fraction(1, 4)

    target = copied(tmp_path, replace(SILENT, sounds=[name], late_s=late), codec=codec)

    (began, wanted), (begins, found) = heard(tmp_path / "source.mov"), heard(target)
    silence = round((began - begins) * SAMPLE_RATE)
    assert lag(wanted, found) == pytest.approx(silence, abs=1)
    assert abs(float(began - late)) < 0.025, "there is something to keep"
    assert length_s(target) + float(begins) == pytest.approx(SECONDS, abs=1e-3)


@pytest.mark.parametrize("name", ["aac", "pcm_s16le"])
@pytest.mark.parametrize("codec", ["h264", "prores"])
def test_sound_from_before_the_first_picture_is_not_heard(tmp_path: Path, name: str, codec: str) -> None:
    """A clip whose pictures begin half a second into its sound, as a cut between key frames leaves it."""
    stamps = [number + 12 for number in range(48)]
    source = replace(SILENT, sounds=[name], stamps=stamps, base=Fraction(1, 24), longer_s=0.5)

    target = copied(tmp_path, write_take(tmp_path / "source.mkv", source), codec=codec)

    began, found = heard(target)
    heard_from = round((Fraction(1, 2) + began) * SAMPLE_RATE)
    wanted = sweep(SECONDS + 0.5)[:, heard_from:]
    assert abs(lag(wanted, found)) <= SAMPLE_RATE // 1000, "Matroska counts milliseconds"
    assert length_s(target) == pytest.approx(SECONDS, abs=2e-3)


@pytest.mark.parametrize(("wish", "kept"), [("output", [("aac", "und")]), ("none", [])])
def test_the_outputs_own_sound_or_none(tmp_path: Path, wish: str, kept: list[tuple[str, str]]) -> None:
    source, output = replace(SILENT, sounds=["pcm_s16le", "pcm_s16le"]), replace(SILENT, sounds=["aac"])

    target = copied(tmp_path, source, output, sound=wish)

    assert tracks(target) == kept
    assert wish == "none" or packets(target) == packets(tmp_path / "output.mp4")


def test_a_rate_that_aac_does_not_know_is_changed_and_keeps_step(tmp_path: Path) -> None:
    target = copied(tmp_path, replace(SILENT, sounds=["pcm_s16le"], sound_rate=36_000))

    assert abs(lag(sweep(SECONDS), heard(target)[1])) <= 2
