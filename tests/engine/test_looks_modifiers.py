"""A modifier changes light and colour as its name says, all over the picture, more with more strength."""

from itertools import combinations, pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from batchmod.engine import looks
from batchmod.engine.looks.modifiers import of_colours
from batchmod.engine.modes import MODES
from tests.engine.pictures import demo_frames, noise

Rgb = NDArray[np.uint8]
STRENGTHS = sorted({mode.look_strength for mode in MODES.values()})
PALETTES = [("blue",), ("teal", "orange"), ("red", "black"), ("navy", "coral", "beige"), ("pink", "turquoise")]
MODIFIERS = [*looks.MODIFIERS, *map(of_colours, PALETTES)]
ALL = pytest.mark.parametrize("modifier", MODIFIERS, ids=[modifier.name for modifier in MODIFIERS])


@pytest.fixture(scope="module")
def frame() -> Rgb:
    return demo_frames(1, 480, 270)[0]


def difference(one: Rgb, other: Rgb) -> float:
    return float(np.abs(one.astype(int) - other).mean())


def lab(rgb: Rgb) -> NDArray[np.float32]:
    """CIELAB: lightness 0..100, then green to red and blue to yellow."""
    return np.asarray(cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def changed(name: str, frame: Rgb) -> Rgb:
    return next(modifier for modifier in MODIFIERS if modifier.name == name).apply(frame, 1.0)


def chroma(rgb: Rgb) -> float:
    return float(np.hypot(*np.moveaxis(lab(rgb)[..., 1:], -1, 0)).mean())


@ALL
def test_strength_only_ever_adds(modifier: looks.Modifier, frame: Rgb) -> None:
    forces = [difference(modifier.apply(frame, strength), frame) for strength in (0.0, 0.3, *STRENGTHS)]

    assert forces[0] == 0
    assert all(weaker < stronger for weaker, stronger in pairwise(forces))


@ALL
def test_the_weakest_mode_is_seen_all_over_the_picture(modifier: looks.Modifier, frame: Rgb) -> None:
    change = np.abs(modifier.apply(frame, STRENGTHS[0]).astype(int) - frame).mean(axis=-1).astype(np.float32)
    tiles = np.asarray(cv2.resize(change, (4, 3), interpolation=cv2.INTER_AREA))

    assert tiles.min() > 3
    assert tiles.mean() > 8


@ALL
@pytest.mark.parametrize(("width", "height"), [(16, 12), (17, 31), (90, 160)])
def test_every_size_is_changed_the_same_way_twice(
    modifier: looks.Modifier, frame: Rgb, width: int, height: int
) -> None:
    picture = np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    before = picture.copy()
    output = modifier.apply(picture, 0.8)

    assert output.shape == (height, width, 3)
    assert output.dtype == np.uint8
    assert np.array_equal(output, modifier.apply(picture, 0.8))
    assert np.array_equal(before, picture)


@ALL
@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_empty_picture_stays_without_texture(modifier: looks.Modifier, level: int) -> None:
    output = modifier.apply(np.full((48, 64, 3), level, np.uint8), 1.0)

    assert np.abs(np.diff(output.astype(int), axis=0)).max() <= 8
    assert np.abs(np.diff(output.astype(int), axis=1)).max() <= 8


@ALL
def test_noise_in_the_source_is_hardly_amplified(modifier: looks.Modifier, frame: Rgb) -> None:
    """What amplifies noise would flicker on its own; contrast and saturation may, as much as they promise."""
    grain = (noise(480, 270, sigma=0.5).astype(int) - 128) // 24
    grainy = np.asarray(np.clip(frame + grain, 0, 255), np.uint8)

    assert difference(modifier.apply(grainy, 1.0), modifier.apply(frame, 1.0)) < 2.2 * difference(grainy, frame)


def test_any_two_modifiers_differ_clearly(frame: Rgb) -> None:
    drawn = {modifier.name: modifier.apply(frame, 1.0) for modifier in MODIFIERS}
    close = {(a, b): difference(drawn[a], drawn[b]) for a, b in combinations(drawn, 2)}

    assert min(close.values()) > 9, min(close, key=lambda pair: close[pair])


def test_each_name_says_what_happens(frame: Rgb) -> None:
    light, green_red, blue_yellow = np.moveaxis(lab(frame), -1, 0)

    assert lab(changed("warmer", frame))[..., 2].mean() > blue_yellow.mean() + 8
    assert lab(changed("cooler", frame))[..., 2].mean() < blue_yellow.mean() - 8
    assert abs(lab(changed("warmer", frame))[..., 0].mean() - light.mean()) < 4
    assert abs(lab(changed("cooler", frame))[..., 0].mean() - light.mean()) < 4
    assert lab(changed("brighter", frame))[..., 0].mean() > light.mean() + 8
    assert lab(changed("darker", frame))[..., 0].mean() < light.mean() - 8
    assert lab(changed("high_key", frame))[..., 0].min() > 20
    assert np.percentile(lab(changed("low_key", frame))[..., 0], 25) < np.percentile(light, 25) - 5
    assert lab(changed("more_contrast", frame))[..., 0].std() > 1.2 * light.std()
    assert lab(changed("less_contrast", frame))[..., 0].std() < 0.7 * light.std()
    assert chroma(changed("vivid", frame)) > 1.25 * chroma(frame)
    assert chroma(changed("muted", frame)) < 0.5 * chroma(frame)
    assert chroma(changed("black_and_white", frame)) < 1
    assert green_red.shape == frame.shape[:2]


def test_half_a_black_and_white_is_not_black_and_white(frame: Rgb) -> None:
    modifier = next(modifier for modifier in looks.MODIFIERS if modifier.name == "black_and_white")

    assert chroma(modifier.apply(frame, STRENGTHS[0])) < 0.1 * chroma(frame)


@pytest.mark.parametrize("names", PALETTES, ids=" ".join)
def test_a_palette_leaves_only_its_hues(names: tuple[str, ...], frame: Rgb) -> None:
    """Nearly every pixel that has a colour lies on the way between the hues of the palette."""
    wanted = lab(np.array([[looks.COLOURS[name] for name in names]], np.uint8))[0, :, 1:]
    found = lab(of_colours(names).apply(frame, 1.0))[..., 1:].reshape(-1, 2)
    steps = np.linspace(0, 1, 9)[:, None]
    corners = [(one, other) for one in (*wanted, np.zeros(2)) for other in (*wanted, np.zeros(2))]
    way = np.concatenate([one + (other - one) * steps for one, other in corners])
    distance = np.sqrt(((found[::37, None] - way[None]) ** 2).sum(axis=-1)).min(axis=1)

    assert np.percentile(distance, 95) < 12


def test_a_palette_keeps_light_and_dark_in_their_order(frame: Rgb) -> None:
    before = lab(frame)[..., 0].ravel()
    for names in PALETTES:
        after = lab(of_colours(names).apply(frame, 1.0))[..., 0].ravel()

        assert np.corrcoef(before, after)[0, 1] > 0.8, names


@pytest.mark.parametrize("look", ["oil", "cel", "pencil", "knit"])
def test_modifiers_go_with_a_look(look: str, frame: Rgb) -> None:
    alone = looks.understand(look).apply(frame, 0.9)
    for words in ("darker", "in red and black", "snowy", "at sunset", "foggy"):
        together = looks.understand(f"{look}, {words}")

        assert not together.pure_colour
        assert difference(together.apply(frame, 0.9), alone) > 8, words


def test_strength_nothing_changes_nothing_whatever_is_asked(frame: Rgb) -> None:
    assert np.array_equal(looks.understand("a snowy oil painting, in teal and orange").apply(frame, 0.0), frame)
