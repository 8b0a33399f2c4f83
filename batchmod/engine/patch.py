"""The patch kernels: packing a picture's features, searching the best keyframe patch, voting the output.

A picture is covered by patches of `side x side` pixels whose centres lie `STEP` pixels apart. Each is compared
with keyframe patches over 8 bytes per pixel. Nothing here is random and every search reads a frozen field, so
results do not depend on the number of threads.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batchmod.engine.compiled import inlined, kernel, prange
from batchmod.engine.fused import interleaved
from batchmod.engine.raster import Floats, Mask, Points, Rgb, blurred, luma, smoothed

STEP = 2
"""Pixels between the centres of neighbouring patches, in x and in y."""
CHANNELS = 8
"""Bytes per pixel: style (3), guide colour (3), guide edges (1), one of padding for the vector unit."""
USED_CHANNELS = 7
NOTHING = -1
"""Stands for a missing position."""
_WORST = 2**30
_CONFIDENT = 0.5
_ONE_PLACE = 0.5
"""Pixels within which the places that patches give to one pixel count as one."""
_OWN, _RELATIVES = 1, 2
"""Stages of the search: 0 is the flow's position, 3 the pixels around the best."""
_AROUND = np.array([(-1, 0), (1, 0), (0, -1), (0, 1)], np.int32)
"""Left, right, above, below."""

_Int = int | np.int32
_Pair = tuple[_Int, _Int]
Bytes = NDArray[np.uint8]
Field = NDArray[np.int32]
"""`rows x columns x 2`: per patch, the centre (x, y) of a keyframe patch."""


class Weights(NamedTuple):
    """How much each group of channels counts, 0..1; `guide_blur` in pixels smooths the guide first."""

    style: float
    guide: float
    edge: float
    guide_blur: float


class Rules(NamedTuple):
    """How one pass of the search goes about it; costs are squared differences per patch."""

    anchor: float
    """Cost per squared pixel away from the flow's position where the flow is certain."""
    loose_anchor: float
    """The same where it is not."""
    reach: float
    """Square of the distance, in pixels, from which on the anchor costs no more."""
    neighbours: int
    """2 (alternating pairs) or 4."""
    relatives: bool
    """Whether similar and found patches are tried."""
    relatives_share: float
    """They must cost less than this share of the best so far."""
    step_below: float
    """Confidence below which the surroundings of the best are tried."""
    only_below: float
    """Patches of at least this confidence keep their result."""
    good: int
    """Cost at which a confident patch that follows the flow is done."""


class Target(NamedTuple):
    """The picture whose patches are looked for; the fields have one entry per patch."""

    values: Bytes
    width: int
    points: Points
    """Where the flow places the patch in the keyframe."""
    confidence: Floats
    found: NDArray[np.int32]
    """`rows x columns x n x 2`: keyframe patches found for this very patch; NOTHING where none."""


class Keyframe(NamedTuple):
    """The picture whose patches are taken."""

    values: Bytes
    width: int
    height: int
    similar: NDArray[np.int32]
    """`rows x columns x n x 2`: per patch of the grid, other patches like it; NOTHING where none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Features:
    """A picture's packed channels: flat bytes of a `height x width` picture padded by half a patch."""

    values: Bytes
    width: int
    height: int


def packed(style: Rgb, source: Rgb, weights: Weights, side: int) -> Features:
    """The features of a picture pair: the styled picture, and its source's colours and edges (a centred band-pass).

    Weights are baked in as scale, so 1 is the largest that makes sense.
    """
    height, width = style.shape[:2]
    blur = weights.guide_blur
    colour = smoothed(source, 4 * blur, 40 * blur) if blur > 0 else source
    tones = luma(colour)
    scales = np.array([weights.style, weights.guide, weights.edge], np.float32)
    values = interleaved(style, colour, tones, blurred(tones, 3), scales, side // 2)
    return Features(values=values.reshape(-1), width=width, height=height)


@inlined
def _distance(first: Bytes, i: _Int, second: Bytes, j: _Int, strides: tuple[int, int], side: int, limit: _Int) -> _Int:
    """Sum of squared differences of the patches at bytes i and j; given up after the row that exceeds `limit`."""
    total = np.int32(0)
    # An index that might be negative is looked up byte by byte, and sums of small integers are widened to 64 bits,
    # unless Numba is told otherwise: together they take four times as long.
    left, right = np.uint64(i), np.uint64(j)
    for _ in range(side):
        row = np.int32(0)
        for k in range(np.uint64(side * CHANNELS)):
            difference = np.int32(np.int32(first[left + k]) - np.int32(second[right + k]))
            row = np.int32(row + np.int32(difference * difference))
        total = np.int32(total + row)
        if total > limit:
            break
        left += np.uint64(strides[0])
        right += np.uint64(strides[1])
    return total


@inlined
def _add_neighbours(ideas: Field, field: Field, row: _Int, column: _Int, neighbours: int) -> int:
    """The patch's own frozen value and its neighbours', shifted to its place."""
    ideas[0, 0] = field[row, column, 0]
    ideas[0, 1] = field[row, column, 1]
    count = 1
    for k in range(4):
        # Two neighbours alternate like a chessboard: left and above, right and below.
        x = column + _AROUND[k, 0]
        y = row + _AROUND[k, 1]
        skipped = neighbours < 4 and (k & 1) != ((row + column) & 1)  # noqa: PLR2004 - all four
        if not skipped and 0 <= x < field.shape[1] and 0 <= y < field.shape[0]:
            ideas[count, 0] = field[y, x, 0] - _AROUND[k, 0] * STEP
            ideas[count, 1] = field[y, x, 1] - _AROUND[k, 1] * STEP
            count += 1
    return count


@inlined
def _add_relatives(ideas: Field, similar: Field, shift_x: int, shift_y: int, found: Field) -> int:
    """Patches like the best so far, shifted as it lies off the grid, and those found for the patch itself."""
    count = 0
    for k in range(similar.shape[0]):
        if similar[k, 0] != NOTHING:
            ideas[count, 0] = similar[k, 0] + shift_x
            ideas[count, 1] = similar[k, 1] + shift_y
            count += 1
    for k in range(found.shape[0]):
        if found[k, 0] != NOTHING:
            ideas[count, 0] = found[k, 0]
            ideas[count, 1] = found[k, 1]
            count += 1
    return count


@inlined
def _is_known(ideas: Field, count: int, x: int, y: int) -> bool:
    """Whether (x, y) is among the first ideas."""
    known = False
    for k in range(count):
        known |= ideas[k, 0] == x and ideas[k, 1] == y
    return known


@inlined
def _gather(
    stage: int, ideas: Field, target: Target, key: Keyframe, rules: Rules, frozen: Field, cell: _Pair, best: _Pair
) -> int:
    """Write the stage's candidates; their number."""
    row, column = cell
    confidence = target.confidence[row, column]
    if stage == _OWN:
        return _add_neighbours(ideas, frozen, row, column, rules.neighbours)
    if stage == _RELATIVES:
        if not rules.relatives or confidence >= _CONFIDENT:
            return 0
        y = min(key.similar.shape[0] - 1, best[1] // STEP)
        x = min(key.similar.shape[1] - 1, best[0] // STEP)
        shift_x, shift_y = best[0] - x * STEP, best[1] - y * STEP
        return _add_relatives(ideas, key.similar[y, x], shift_x, shift_y, target.found[row, column])
    if confidence >= rules.step_below:
        return 0
    for k in range(4):
        ideas[k, 0] = best[0] + _AROUND[k, 0]
        ideas[k, 1] = best[1] + _AROUND[k, 1]
    return 4


@inlined
def _best_patch(
    target: Target, key: Keyframe, rules: Rules, frozen: Field, ideas: Field, cell: _Pair, side: int
) -> _Pair:
    """The centre (x, y) of the best candidate for one patch."""
    row, column = cell
    strides = ((target.width + side - 1) * CHANNELS, (key.width + side - 1) * CHANNELS)
    place = row * STEP * strides[0] + column * STEP * CHANNELS
    confidence = target.confidence[row, column]
    flow_x, flow_y = target.points[row, column, 0], target.points[row, column, 1]
    anchor = np.float32(side * side) * (rules.anchor * confidence + rules.loose_anchor * (1 - confidence))
    best_x, best_y = np.int32(flow_x + np.float32(0.5)), np.int32(flow_y + np.float32(0.5))
    best = np.int32(_WORST)
    for stage in range(4):
        share = rules.relatives_share if stage == _RELATIVES else 1.0
        if stage == 0:
            ideas[0, 0], ideas[0, 1] = best_x, best_y
            count = 1
        elif best < rules.good and confidence >= _CONFIDENT:
            break
        else:
            count = _gather(stage, ideas, target, key, rules, frozen, cell, (best_x, best_y))
        for k in range(count):
            x = min(max(ideas[k, 0], 0), key.width - 1)
            y = min(max(ideas[k, 1], 0), key.height - 1)
            if stage > 0 and ((x == best_x and y == best_y) or _is_known(ideas, k, x, y)):
                continue
            pull = np.int32(anchor * min((x - flow_x) ** 2 + (y - flow_y) ** 2, rules.reach))
            limit = np.int32(best * share) - pull
            if limit <= 0:
                continue
            there = y * strides[1] + x * CHANNELS
            distance = _distance(target.values, place, key.values, there, strides, side, limit)
            if distance < limit:
                best = np.int32(distance + pull)
                best_x, best_y = np.int32(x), np.int32(y)
    return best_x, best_y


_Search = Callable[[Target, Keyframe, Rules, Field, Field], None]


@cache
def search_kernel(side: int) -> _Search:
    """The search for patches of `side` pixels: `search(target, key, rules, frozen, result)`.

    Candidates are the flow's position, the frozen field's own and its neighbours' offsets, patches similar to the
    best so far (k-coherence: Tong et al. 2002; they must win by half: Hertzmann et al., "Image analogies",
    2001), patches found for this one, and the pixels around the best. `result` is written; patches that
    `only_below` skips take their frozen value.
    """

    # A kernel per side: with the side a constant a row of a patch is compared in a few instructions.
    @kernel
    def search(target: Target, key: Keyframe, rules: Rules, frozen: Field, result: Field) -> None:
        for row in prange(frozen.shape[0]):
            ideas = np.empty((8, 2), np.int32)
            for column in range(frozen.shape[1]):
                if target.confidence[row, column] >= rules.only_below:
                    result[row, column, 0], result[row, column, 1] = frozen[row, column, 0], frozen[row, column, 1]
                    continue
                best = _best_patch(target, key, rules, frozen, ideas, (row, column), side)
                result[row, column, 0], result[row, column, 1] = best

    return search


@inlined
def _bilinear(picture: Rgb, x: np.float32, y: np.float32) -> tuple[np.float32, np.float32, np.float32]:
    """The colour at a position of a picture, which is clipped to it."""
    height, width = picture.shape[:2]
    right, bottom = np.float32(width - 1.001), np.float32(height - 1.001)
    at_x, at_y = min(max(np.float32(x), np.float32(0)), right), min(max(np.float32(y), np.float32(0)), bottom)
    i, j = np.uint64(at_x), np.uint64(at_y)  # unsigned: an index that might be negative costs a check
    u, v = at_x - np.float32(i), at_y - np.float32(j)
    a, b, c, d = (1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v
    k, m = i + np.uint64(1), j + np.uint64(1)
    return (
        a * picture[j, i, 0] + b * picture[j, k, 0] + c * picture[m, i, 0] + d * picture[m, k, 0],
        a * picture[j, i, 1] + b * picture[j, k, 1] + c * picture[m, i, 1] + d * picture[m, k, 1],
        a * picture[j, i, 2] + b * picture[j, k, 2] + c * picture[m, i, 2] + d * picture[m, k, 2],
    )


@inlined
def _rounded(level: np.float32) -> np.uint8:
    return np.uint8(level + np.float32(0.5))


@kernel
def _calm(follows: Mask, points: Points) -> Mask:
    """Patches that follow the flow, like the eight around them, all to one place of the keyframe."""
    rows, columns = follows.shape
    calm = np.empty((rows, columns), np.bool_)
    for row in prange(rows):
        top, bottom = max(0, row - 1), min(rows - 1, row + 1)
        for column in range(columns):
            left, right = max(0, column - 1), min(columns - 1, column + 1)
            here_x, here_y = points[row, column, 0] - column * STEP, points[row, column, 1] - row * STEP
            together, apart = True, np.float32(0)
            for y in range(top, bottom + 1):
                for x in range(left, right + 1):
                    together &= follows[y, x]
                    there_x, there_y = points[y, x, 0] - x * STEP, points[y, x, 1] - y * STEP
                    apart = max(apart, abs(there_x - here_x), abs(there_y - here_y))
            calm[row, column] = together and apart < _ONE_PLACE
    return calm


@kernel
def vote(style: Rgb, doubled: Rgb, field: Field, points: Points, falloff: Floats, snap: float, output: Rgb) -> None:
    """Write the average of all keyframe patches that cover each pixel, nearer centres weighing more.

    `output` comes with each pixel sampled where the flow has it, which is kept where all patches agree. Patches
    within `snap` pixels of the flow's position are taken from that position itself, between pixels, which is
    what keeps texture from jumping from one pixel to the next. `doubled` is the styled keyframe at twice its
    size; `falloff` holds the weight for each squared distance from a patch's centre.
    """
    height, width = output.shape[:2]
    rows, columns = field.shape[:2]
    last_y, last_x = style.shape[0] - 1, style.shape[1] - 1
    radius = int(np.sqrt(falloff.size / 2))
    follows = np.empty((rows, columns), np.bool_)
    for row in prange(rows):
        for column in range(columns):
            away_x = field[row, column, 0] - points[row, column, 0]
            away_y = field[row, column, 1] - points[row, column, 1]
            follows[row, column] = away_x**2 + away_y**2 < snap * snap
    calm = _calm(follows, points)
    for y in prange(height):
        top, bottom = max(0, (y - radius + STEP - 1) // STEP), min(rows - 1, (y + radius) // STEP)
        above, below = y // STEP, min((y + 1) // STEP, rows - 1)
        for x in range(width):
            if calm[above, x // STEP] and calm[below, min((x + 1) // STEP, columns - 1)]:
                continue
            left, right = max(0, (x - radius + STEP - 1) // STEP), min(columns - 1, (x + radius) // STEP)
            red, green, blue = np.float32(0), np.float32(0), np.float32(0)
            weights = np.float32(0)
            half = np.float32(0.5)
            for row in range(top, bottom + 1):
                for column in range(left, right + 1):
                    dx, dy = x - column * STEP, y - row * STEP
                    weight = falloff[dx * dx + dy * dy]
                    if follows[row, column]:
                        flow_x, flow_y = points[row, column, 0], points[row, column, 1]
                        # Pixel centres of the doubled picture lie a quarter pixel off.
                        r, g, b = _bilinear(doubled, 2 * (flow_x + dx) + half, 2 * (flow_y + dy) + half)
                    else:
                        i = min(max(field[row, column, 0] + dx, 0), last_x)
                        j = min(max(field[row, column, 1] + dy, 0), last_y)
                        r, g, b = style[j, i, 0], style[j, i, 1], style[j, i, 2]
                    red += weight * r
                    green += weight * g
                    blue += weight * b
                    weights += weight
            output[y, x, 0] = _rounded(red / weights)
            output[y, x, 1] = _rounded(green / weights)
            output[y, x, 2] = _rounded(blue / weights)
