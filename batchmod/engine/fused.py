"""The per-pixel steps of a frame, each done in one pass over the picture instead of one per operation.

Every pixel is computed by itself, so results do not depend on the number of threads.
"""

import numpy as np
from numpy.typing import NDArray

from batchmod.engine.compiled import inlined, kernel, prange
from batchmod.engine.raster import Floats, Mask, Points, Rgb

_LARGEST_DRIFT = 6.0
"""Pixels; a farther jump is no drift but another match."""
_LIKE = 6.0
"""Mismatch, in levels, below which two places show the same."""
_LOST = 0.3
"""Confidence below which the map may be won anew."""
_WON = 0.7
"""Confidence in what was won anew."""
_FLOOR = 0.02
"""No confidence is lower: a weight of 0 would leave places without any anchor."""
_TOLERATED = 10.0
"""Mismatch, in levels, that light and noise explain."""

_SURE = np.float32(0.998)
"""A share that is as good as 1: half a level of 255."""

_One = np.float32(1)
_Zero = np.float32(0)

_Corners = tuple[np.uint64, np.uint64, np.uint64, np.uint64, np.float32, np.float32]
_Number = int | float | np.float32
Bytes = NDArray[np.uint8]


@inlined
def _corners(x: _Number, y: _Number, width: int, height: int) -> _Corners:
    """The four pixels around a position, clipped to the picture, and its place between them."""
    at_x = min(max(np.float32(x), _Zero), np.float32(width - 1))
    at_y = min(max(np.float32(y), _Zero), np.float32(height - 1))
    left, top = int(at_x), int(at_y)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    # Unsigned: an index that might be negative costs a check at every access.
    return np.uint64(left), np.uint64(top), np.uint64(right), np.uint64(bottom), at_x - left, at_y - top


@inlined
def _between(picture: Floats, channel: int, corners: _Corners) -> np.float32:
    """A picture's value between four pixels."""
    left, top, right, bottom, u, v = corners
    above = picture[top, left, channel] + (picture[top, right, channel] - picture[top, left, channel]) * u
    below = picture[bottom, left, channel] + (picture[bottom, right, channel] - picture[bottom, left, channel]) * u
    value: np.float32 = above + (below - above) * v
    return value


@inlined
def _byte(value: np.float32) -> np.uint8:
    return np.uint8(min(max(value + np.float32(0.5), _Zero), np.float32(255)))


@kernel
def agreeing(backward: Points, forward: Points) -> Mask:
    """Where the backward flow leads into the frame before and is undone by the forward flow."""
    height, width = backward.shape[:2]
    agree = np.empty((height, width), np.bool_)
    for y in prange(height):
        for x in range(width):
            bx, by = backward[y, x, 0], backward[y, x, 1]
            tx, ty = x + bx, y + by
            corners = _corners(tx, ty, width, height)
            fx, fy = _between(forward, 0, corners), _between(forward, 1, corners)
            gap = (bx + fx) ** 2 + (by + fy) ** 2
            size = bx * bx + by * by + fx * fx + fy * fy
            within = tx >= 0 and tx <= width - 1 and ty >= 0 and ty <= height - 1
            agree[y, x] = within and gap < np.float32(0.01) * size + np.float32(0.5)
    return agree


@kernel
def carried(points: Points, confidence: Floats, backward: Points, sure: Mask) -> tuple[Points, Floats]:
    """A map and its confidence moved on with the flow; the confidence is 0 where the flow is not `sure`."""
    height, width = sure.shape
    moved, held = np.empty((height, width, 2), np.float32), np.zeros((height, width), np.float32)
    deep = confidence.reshape(height, width, 1)
    for y in prange(height):
        for x in range(width):
            corners = _corners(x + backward[y, x, 0], y + backward[y, x, 1], width, height)
            moved[y, x, 0] = _between(points, 0, corners)
            moved[y, x, 1] = _between(points, 1, corners)
            if sure[y, x]:
                held[y, x] = _between(deep, 0, corners)
    return moved, held


@kernel
def anchoring(moved: Points, held: Floats, found: Points, before: Floats, after: Floats) -> Floats:
    """How far, 0..1, each place of a carried map is to go to the found one.

    Half the way for a small drift. The whole way where nothing is known and the found place explains the frame
    far better: something that was hidden has come back. `before` and `after` are the mismatches of both.
    """
    height, width = before.shape
    share = np.empty((height, width), np.float32)
    for y in prange(height):
        for x in range(width):
            b, a = before[y, x], after[y, x]
            jump = (found[y, x, 0] - moved[y, x, 0]) ** 2 + (found[y, x, 1] - moved[y, x, 1]) ** 2
            if held[y, x] < _LOST and a < b * np.float32(0.5) - 2:
                share[y, x] = 1
            elif a < b - np.float32(0.3) and jump < _LARGEST_DRIFT**2:
                share[y, x] = 0.5
            else:
                share[y, x] = 0
    return share


@kernel
def settled(
    moved: Points, held: Floats, found: Points, before: Floats, after: Floats, wanted: Floats, share: Floats
) -> tuple[Points, Floats, Floats, Floats]:
    """The map between the carried and the found one, its mismatch, and its geometric and full confidence.

    `wanted` is the share of `anchoring`, `share` the same blurred.
    """
    height, width = before.shape
    points = np.empty((height, width, 2), np.float32)
    mismatch = np.empty((height, width), np.float32)
    geometric, confidence = np.empty((height, width), np.float32), np.empty((height, width), np.float32)
    right, bottom = np.float32(width - 1), np.float32(height - 1)
    for y in prange(height):
        for x in range(width):
            s = share[y, x]
            px = moved[y, x, 0] + (found[y, x, 0] - moved[y, x, 0]) * s
            py = moved[y, x, 1] + (found[y, x, 1] - moved[y, x, 1]) * s
            points[y, x, 0] = min(max(px, _Zero), right)
            points[y, x, 1] = min(max(py, _Zero), bottom)
            level = before[y, x] + (after[y, x] - before[y, x]) * s
            mismatch[y, x] = level
            sure = held[y, x]
            if wanted[y, x] == _One and after[y, x] < _LIKE:
                sure = max(sure, np.float32(_WON))
            geometric[y, x] = min(_One, sure + np.float32(_FLOOR))
            likeness = _One
            if level > _TOLERATED:
                likeness = max(np.float32(0.2), np.exp((np.float32(_TOLERATED) - level) / np.float32(12)))
            confidence[y, x] = min(_One, sure * likeness + np.float32(_FLOOR))
    return points, mismatch, geometric, confidence


@kernel
def densities(points: Points) -> Floats:
    """The smaller singular value of the map's gradient (Scharr's), per pixel."""
    height, width = points.shape[:2]
    density = np.empty((height, width), np.float32)
    side, middle = np.float32(3 / 16), np.float32(10 / 16)
    for y in prange(height):
        top, bottom = max(y - 1, 0), min(y + 1, height - 1)
        for x in range(width):
            left, right = max(x - 1, 0), min(x + 1, width - 1)
            gradient = np.empty((2, 2), np.float32)
            for c in range(2):
                across = side * (points[top, right, c] - points[top, left, c])
                across += middle * (points[y, right, c] - points[y, left, c])
                across += side * (points[bottom, right, c] - points[bottom, left, c])
                down = side * (points[bottom, left, c] - points[top, left, c])
                down += middle * (points[bottom, x, c] - points[top, x, c])
                down += side * (points[bottom, right, c] - points[top, right, c])
                gradient[c, 0] = across / max(right - left, 1)
                gradient[c, 1] = down / max(bottom - top, 1)
            total = gradient[0, 0] ** 2 + gradient[0, 1] ** 2 + gradient[1, 0] ** 2 + gradient[1, 1] ** 2
            area = max(gradient[0, 0] * gradient[1, 1] - gradient[0, 1] * gradient[1, 0], _Zero)
            root = np.sqrt(max(total * total - 4 * area * area, _Zero))
            density[y, x] = np.sqrt(max(total - root, _Zero) / 2)
    return density


@kernel
def unexplained(confidence: Floats, mismatch: Floats) -> Floats:
    """How far, 0..1, a place is unknown and unlike the keyframe at once."""
    height, width = confidence.shape
    share = np.empty((height, width), np.float32)
    for y in prange(height):
        for x in range(width):
            lost = min(max(1 - 3 * confidence[y, x], _Zero), _One)
            share[y, x] = lost * min(max((mismatch[y, x] - 6) / np.float32(10), _Zero), _One)
    return share


@kernel
def missing(confidence: Floats, density: Floats) -> Floats:
    """How far, 0..1, a place is unknown, or drawn out from too few pixels of the keyframe."""
    height, width = confidence.shape
    share = np.empty((height, width), np.float32)
    for y in prange(height):
        for x in range(width):
            lost = (np.float32(0.7) - confidence[y, x]) * np.float32(2.5)
            thin = (np.float32(0.75) - density[y, x]) * 4
            share[y, x] = min(max(lost, thin, _Zero), _One)
    return share


@inlined
def _cubic(t: np.float32) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """OpenCV's bicubic weights (a = -0.75) of four pixels in a row, for a place `t` between the middle ones."""
    a, r = np.float32(-0.75), _One - t
    first = ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a
    second = ((a + 2) * t - (a + 3)) * t * t + _One
    third = ((a + 2) * r - (a + 3)) * r * r + _One
    return first, second, third, _One - first - second - third


@inlined
def _cubic_value(picture: Rgb, channel: int, x: np.float32, y: np.float32) -> np.float32:
    """A picture's value at a place, bicubic; what lies outside repeats the border."""
    height, width = picture.shape[:2]
    i, j = int(np.floor(x)), int(np.floor(y))
    across, down = _cubic(x - np.float32(i)), _cubic(y - np.float32(j))
    value = _Zero
    for row in range(4):
        top = np.uint64(min(max(j - 1 + row, 0), height - 1))
        line = _Zero
        for column in range(4):
            left = np.uint64(min(max(i - 1 + column, 0), width - 1))
            line += across[column] * picture[top, left, channel]
        value += down[row] * line
    return min(max(value, _Zero), np.float32(255))


@kernel
def expected(moved: Rgb, trusted: Floats, style: Rgb, points: Points, painted: Floats, unknown: Floats) -> Rgb:
    """`moved` where the flow is trusted, else the style at the map's points, else what the colour table paints.

    `trusted` and `unknown` are shares, 0..1; `painted` is of any size, and is stretched.
    """
    height, width = trusted.shape
    tall, wide = painted.shape[:2]
    across, down, half = np.float32(wide / width), np.float32(tall / height), np.float32(0.5)
    picture = np.empty((height, width, 3), np.uint8)
    for y in prange(height):
        for x in range(width):
            trust, new = trusted[y, x], unknown[y, x]
            corners = _corners((x + half) * across - half, (y + half) * down - half, wide, tall)
            for c in range(3):
                value = np.float32(moved[y, x, c])
                if trust < _SURE:
                    other = _cubic_value(style, c, points[y, x, 0], points[y, x, 1])
                    if new > 0:
                        other += (_between(painted, c, corners) - other) * new
                    value = other + (value - other) * trust
                picture[y, x, c] = _byte(value)
    return picture


@kernel
def sharpened(picture: Rgb, smooth: Floats, wanted: Floats, energy: Floats) -> Rgb:
    """The picture with its detail raised, at most 2.2 times, from the power it has to the one that is wanted."""
    height, width = wanted.shape
    result = np.empty((height, width, 3), np.uint8)
    for y in prange(height):
        for x in range(width):
            gain = np.sqrt((wanted[y, x] + 4) / (energy[y, x] + 4))
            gain = min(max(gain, _One), np.float32(2.2)) - _One
            for c in range(3):
                value = np.float32(picture[y, x, c])
                result[y, x, c] = _byte(value + (value - smooth[y, x, c]) * gain)
    return result


@kernel
def lit(picture: Rgb, difference: Floats, coarse: Floats, low: Floats, edited: Floats, shares: Floats) -> Rgb:
    """The picture with shares of a luma difference added in three bands of detail, except where it is `edited`.

    Adding one number to red, green and blue changes the luma by it and leaves the chroma alone.
    """
    height, width = difference.shape
    result = np.empty((height, width, 3), np.uint8)
    for y in prange(height):
        for x in range(width):
            change = shares[0] * (difference[y, x] - coarse[y, x]) + shares[2] * low[y, x]
            change = (_One - edited[y, x]) * (change + shares[1] * (coarse[y, x] - low[y, x]))
            for c in range(3):
                result[y, x, c] = _byte(picture[y, x, c] + change)
    return result


@kernel
def amplified(picture: Rgb, smooth: Floats, gain: float) -> Rgb:
    """The picture with its difference to a smooth one raised by `gain`."""
    height, width = picture.shape[:2]
    result = np.empty((height, width, 3), np.uint8)
    for y in prange(height):
        for x in range(width):
            for c in range(3):
                value = np.float32(picture[y, x, c])
                result[y, x, c] = _byte(value + np.float32(gain) * (value - smooth[y, x, c]))
    return result


@kernel
def answered(picture: Rgb, beyond: Floats, slope: Floats, explained: Floats, gain: Floats) -> Rgb:
    """The picture with its answer to what the source does `beyond` the keyframe; see `with_live_detail`."""
    height, width = gain.shape
    result = np.empty((height, width, 3), np.uint8)
    for y in prange(height):
        for x in range(width):
            sure = explained[y, x]
            strength = gain[y, x] * (np.float32(0.35) + np.float32(0.65) * sure)
            for c in range(3):
                change = beyond[y, x, c]
                firm = max(change - 3, _Zero) + min(change + 3, _Zero)
                change = firm + (change - firm) * sure
                result[y, x, c] = _byte(picture[y, x, c] + slope[y, x, c] * change * strength)
    return result


@kernel
def looked_up(picture: Rgb, table: Floats) -> Floats:
    """Each pixel's entry in a colour table (`bins x bins x bins x 3`), interpolated between the bins."""
    height, width = picture.shape[:2]
    bins = table.shape[0]
    scale, last = np.float32(bins / 256), np.float32(bins - 1.001)
    values = np.empty((height, width, 3), np.float32)
    for y in prange(height):
        for x in range(width):
            r = min(max(picture[y, x, 0] * scale - np.float32(0.5), _Zero), last)
            g = min(max(picture[y, x, 1] * scale - np.float32(0.5), _Zero), last)
            b = min(max(picture[y, x, 2] * scale - np.float32(0.5), _Zero), last)
            i, j, k = int(r), int(g), int(b)
            u, v, w = r - i, g - j, b - k
            for c in range(3):
                total = _Zero
                for corner in range(8):
                    di, dj, dk = corner >> 2, (corner >> 1) & 1, corner & 1
                    weight = (u if di else 1 - u) * (v if dj else 1 - v) * (w if dk else 1 - w)
                    total += weight * table[i + di, j + dj, k + dk, c]
                values[y, x, c] = total
    return values


@kernel
def interleaved(style: Rgb, colour: Rgb, tones: Bytes, smooth: Bytes, scales: Floats, border: int) -> Bytes:
    """Style, guide colours and guide edges as 8 bytes a pixel, scaled, with the border repeated `border` pixels out.

    `scales`: those of style, colours and edges. Edges are twice the difference of `tones` and `smooth`, around 128.
    """
    height, width = tones.shape
    values = np.empty((height + 2 * border, width + 2 * border, 8), np.uint8)
    half = np.float32(0.5)
    for row in prange(height + 2 * border):
        y = min(max(row - border, 0), height - 1)
        for column in range(width + 2 * border):
            x = min(max(column - border, 0), width - 1)
            for c in range(3):
                values[row, column, c] = np.uint8(style[y, x, c] * scales[0] + half)
                values[row, column, 3 + c] = np.uint8(colour[y, x, c] * scales[1] + half)
            edge = min(max(2 * (int(tones[y, x]) - int(smooth[y, x])) + 128, 0), 255)
            values[row, column, 6] = np.uint8(edge * scales[2] + half)
            values[row, column, 7] = 0
    return values
