"""A copy's numbers mean what its tags say, and its tags are its source's."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from batchmod import media
from batchmod.media.conform.colours import Colours, wanted
from tests.colours import card, inside, write_card
from tests.edge.test_conform import WISH
from tests.takes import Take, write_take

SIZE = (192, 108)
CODES = [(matrix, full) for matrix in ("bt709", "bt601") for full in (0, 1)]
_NUMBERS = {"bt709": 1, "bt601": 6}
_WEIGHTS = {1: (0.2126, 0.0722), 6: (0.299, 0.114)}


def copied(folder: Path, source: Path, output: Path, **wishes: Any) -> tuple[Path, media.Conformed]:
    wish = replace(WISH, **wishes)
    target = folder / f"copy{wish.suffix}"
    return target, media.conform(source, output, target, wish=wish)


def first(path: Path) -> av.VideoFrame:
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


def reckoned(path: Path) -> NDArray[np.float64]:
    """The first frame's red, green and blue, from its planes by the standards' own equations and its own tags."""
    frame = first(path)
    bits = frame.format.components[0].bits
    planes = []
    for plane in frame.planes:
        kind = np.uint8 if bits == 8 else np.uint16
        rows = np.frombuffer(bytes(plane), kind).reshape(plane.height, -1)[:, : plane.width].astype(np.float64)
        planes.append(rows.repeat(frame.height // plane.height, 0).repeat(frame.width // plane.width, 1))
    scale = 2 ** (bits - 8)
    is_full = int(frame.color_range) == 2
    luma = planes[0] / (2**bits - 1) if is_full else (planes[0] / scale - 16) / 219
    blue, red = ((each / scale - 128) / (255 if is_full else 224) for each in planes[1:])
    kr, kb = _WEIGHTS[int(frame.colorspace)]
    r, b = luma + 2 * (1 - kr) * red, luma + 2 * (1 - kb) * blue
    g = (luma - kr * r - kb * b) / (1 - kr - kb)
    seen: NDArray[np.float64] = np.clip(np.stack([r, g, b], axis=-1), 0, 1) * 255
    return seen


@pytest.mark.parametrize(
    ("codec", "matrix", "full", "own_matrix", "own_full"),
    [("h264", *code, *own) for code in CODES for own in CODES] + [("prores", *code, "bt601", 1) for code in CODES],
)
def test_matrix_and_range_are_the_sources_and_the_colours_stay(
    tmp_path: Path, codec: str, matrix: str, full: int, own_matrix: str, own_full: int
) -> None:
    source = write_card(tmp_path / "source.mp4", size=SIZE, matrix=matrix, full=bool(full))
    output = write_card(tmp_path / "output.mp4", size=SIZE, matrix=own_matrix, full=bool(own_full))

    target, _ = copied(tmp_path, source, output, codec=codec)

    frame = first(target)
    assert int(frame.colorspace) == _NUMBERS[matrix]
    assert (int(frame.color_range) == 2) == (bool(full) and codec == "h264"), "ProRes knows no full range"
    seen = inside(reckoned(target).round().astype(np.uint8)).astype(int)
    assert np.abs(seen - inside(card(*SIZE))).max() <= 5


@pytest.mark.parametrize("fit", ["pad", "crop"])
@pytest.mark.parametrize("full", [0, 1])
def test_bars_are_black_in_every_range(tmp_path: Path, fit: str, full: int) -> None:
    source = write_card(tmp_path / "source.mp4", size=(192, 144), full=bool(full))
    output = write_card(tmp_path / "output.mp4", size=SIZE)

    target, _ = copied(tmp_path, source, output, fit=fit)

    top = reckoned(target)[2, ::7]
    assert (np.abs(top) < 1.5).all() == (fit == "pad")


@pytest.mark.parametrize("codec", ["h264", "prores"])
@pytest.mark.parametrize("tags", [(1, 1, 1), (6, 6, 6), (9, 14, 9), (12, 1, 1)])
def test_primaries_transfer_and_matrix_are_carried_over(tmp_path: Path, tags: tuple[int, int, int], codec: str) -> None:
    source = write_take(tmp_path / "source.mov", Take(frames=2, tags=tags))
    output = write_take(tmp_path / "output.mp4", Take(frames=2))

    target, _ = copied(tmp_path, source, output, codec=codec)

    with av.open(str(target)) as container:
        context = container.streams.video[0].codec_context
        found = (context.color_primaries, context.color_trc, context.colorspace)
    assert found == tags


@pytest.mark.parametrize("turns", [90, 180, 270])
@pytest.mark.parametrize("codec", ["h264", "prores"])
def test_a_source_that_is_stored_turned_has_an_upright_copy_without_a_mark(
    tmp_path: Path, turns: int, codec: str
) -> None:
    source = write_card(tmp_path / "source.mp4", size=(96, 64), rotation=turns)
    upright = (64, 96) if turns % 180 else (96, 64)
    output = write_card(tmp_path / "output.mp4", size=upright)

    target, _ = copied(tmp_path, source, output, codec=codec)

    frame = first(target)
    assert (frame.rotation, frame.width, frame.height) == (0, *upright)
    assert np.abs(inside(media.first_frame(target)).astype(int) - inside(card(*upright))).max() <= 5


@pytest.mark.parametrize("turns", [90, 180, 270])
def test_an_output_that_is_stored_turned_is_turned_upright(tmp_path: Path, turns: int) -> None:
    output = write_card(tmp_path / "output.mp4", size=(96, 64), rotation=turns)
    upright = (64, 96) if turns % 180 else (96, 64)
    source = write_card(tmp_path / "source.mp4", size=upright)

    target, _ = copied(tmp_path, source, output)

    assert first(target).rotation == 0
    wanted_patches = inside(card(96, 64)).astype(int)
    found = inside(media.first_frame(target), turns=turns // 90).astype(int)
    assert np.abs(found - wanted_patches).max() <= 6


def test_an_output_in_sdr_is_not_said_to_be_its_sources_hdr() -> None:
    source, output = (
        Colours(primaries=9, transfer=16, matrix=9, full=False),
        Colours(primaries=2, transfer=2, matrix=1, full=False),
    )

    tags, note = wanted(source, output, codec="h264")

    assert (tags.primaries, tags.transfer, tags.matrix) == (1, 1, 1)
    assert note is not None
    assert "HDR" in note
    assert wanted(source, replace(output, transfer=16), codec="h264") == (source, None)


def test_another_gamut_is_said() -> None:
    source = Colours(primaries=12, transfer=1, matrix=1, full=False)

    assert "other primaries" in str(wanted(source, replace(source, primaries=1), codec="h264")[1])
    assert wanted(source, replace(source, primaries=2), codec="h264")[1] is None
    assert wanted(replace(source, primaries=6), replace(source, primaries=1), codec="h264")[1] is None
