"""Looks of uneven cells: mosaic and stained glass."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from batchmod.engine.looks.brushes import (
    Picture,
    Plane,
    blurred,
    clipped,
    floats,
    kuwahara,
    luma,
    noise,
    rgb,
    saturated,
)

Labels = NDArray[np.int32]

_NEIGHBOURS: Final = tuple((down, across) for down in (-1, 0, 1) for across in (-1, 0, 1))
_FAR: Final = 1e9
_SETTLING_HEIGHT: Final = 320
_ANY_BORDER: Final = 0.01
_STRONG_BORDER: Final = 0.30
"""Sum of the differences of three channels, each 0..1."""


def mosaic(picture: Picture, size: float) -> Picture:
    """Small uneven stones set in mortar, each of one colour, each a little bevelled."""
    cell = max(3.0, 6.5 * size)
    flat = saturated(kuwahara(picture, 2 * size), 1.3)
    labels, gap = _stones(flat, cell, follow=0.0, rounds=1)
    count = int(labels.max()) + 1
    shades = 1 + 0.08 * np.random.default_rng((91, count)).normal(size=(count, 1)).astype(np.float32)
    stones = clipped(_means(flat, labels, count) * shades)[labels]
    bevel = clipped(gap / (0.25 * cell))[..., None]
    mortar = rgb(0.70, 0.67, 0.61) * (0.22 + 0.6 * blurred(luma(picture), 2 * cell))[..., None]
    covered = clipped((gap - 0.25 * size) / max(0.6, 0.4 * size))[..., None]
    return clipped(mortar + (stones * (0.97 + 0.17 * bevel) - mortar) * covered)


def stained_glass(picture: Picture, size: float) -> Picture:
    """Panes of coloured glass that follow the forms, held by dark lead, lit from behind.

    The lead is thick where neighbouring panes differ, so that forms stay readable, and thin within a form.
    """
    flat = kuwahara(kuwahara(picture, 3 * size), 3 * size)
    labels, _ = _stones(flat, max(4.0, 13 * size), follow=4.0, rounds=4)
    colours = saturated(_means(flat, labels, int(labels.max()) + 1)[None], 1.7)[0]
    colours = clipped(colours * 1.15 + 0.04) ** np.float32(0.82)
    lead, inner = _leading(labels, colours, size)
    streaks = 0.035 * noise(labels.shape, seed=92, scale=18 * size)
    panes = clipped(colours[labels] * (0.84 + 0.28 * inner + streaks)[..., None])
    return panes + (rgb(0.06, 0.06, 0.07) - panes) * lead[..., None]


def _leading(labels: Labels, colours: Plane, size: float) -> tuple[Plane, Plane]:
    """Coverage of the lead between panes, and how far inside a pane a pixel is (0..1)."""
    contrast = np.zeros(labels.shape, np.float32)
    across = np.abs(colours[labels[:, 1:]] - colours[labels[:, :-1]]).sum(axis=-1) + _ANY_BORDER
    down = np.abs(colours[labels[1:]] - colours[labels[:-1]]).sum(axis=-1) + _ANY_BORDER
    contrast[:, 1:] = across * (labels[:, 1:] != labels[:, :-1])
    contrast[1:] = np.maximum(contrast[1:], down * (labels[1:] != labels[:-1]))
    thin = _distance(contrast > 0)
    thick = _distance(contrast > _STRONG_BORDER)
    lead = np.maximum(0.75 * clipped(0.25 * size + 0.75 - thin), clipped(0.95 * size + 0.8 - thick))
    return blurred(lead, 0.5), clipped(thin / np.float32(5 * size))


def _distance(mask: NDArray[np.bool_]) -> Plane:
    """Pixels to the nearest True."""
    return floats(cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5))


def _stones(picture: Picture, cell: float, *, follow: float, rounds: int) -> tuple[Labels, Plane]:
    """Cells around jittered grid points: the label of each pixel and its distance in px to the next cell.

    `follow` weighs colour against place, and with several `rounds` the cells move to what they cover: simple
    linear iterative clustering (Achanta et al. 2012) with a search over the nine nearest points only.
    """
    height, width = picture.shape[:2]
    rows, columns = max(1, round(height / cell)), max(1, round(width / cell))
    random = np.random.default_rng((93, rows, columns))
    home = np.moveaxis(np.indices((rows, columns)), 0, -1) + random.uniform(0.14, 0.86, (rows, columns, 2))
    points = (home.reshape(-1, 2) / [rows, columns]).astype(np.float32)
    colours = _colours_at(picture, points)
    small = _shrunk(picture)
    for _ in range(rounds - 1):
        labels, _gap = _nearest(small, points, colours, (rows, columns), follow * cell * small.shape[0] / height)
        points, colours = _centres(points, labels), _means(small, labels, len(points))
    return _nearest(picture, points, colours, (rows, columns), follow * cell)


def _shrunk(picture: Picture) -> Picture:
    """Small enough for the cells to settle in quickly; only their last borders need every pixel."""
    height, width = picture.shape[:2]
    scale = min(1.0, _SETTLING_HEIGHT / height)
    return cv2.resize(picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA).astype(
        np.float32, copy=False
    )


def _colours_at(picture: Picture, points: Plane) -> Plane:
    y, x = (points * picture.shape[:2]).astype(int).T
    return floats(picture[y, x])


def _nearest(
    picture: Picture, points: Plane, colours: Plane, grid: tuple[int, int], follow: float
) -> tuple[Labels, Plane]:
    height, width = picture.shape[:2]
    rows, columns = grid
    y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None, :]
    row, column = (y * (rows / height)).astype(np.int32), (x * (columns / width)).astype(np.int32)
    best, second = np.full((height, width), _FAR, np.float32), np.full((height, width), _FAR, np.float32)
    labels = np.zeros((height, width), np.int32)
    places = points * floats((height, width))
    for down, across in _NEIGHBOURS:
        inside = (row + down >= 0) & (row + down < rows) & (column + across >= 0) & (column + across < columns)
        label = np.clip(row + down, 0, rows - 1) * columns + np.clip(column + across, 0, columns - 1)
        distance = (places[label, 0] - y) ** 2 + (places[label, 1] - x) ** 2
        if follow:
            distance = distance + np.float32(follow**2) * np.einsum("ijk,ijk->ij", *(2 * [picture - colours[label]]))
        distance = np.where(inside, np.sqrt(distance), np.float32(_FAR))
        closer = distance < best
        second = np.where(closer, best, np.minimum(second, distance))
        labels = np.where(closer, label, labels)
        best = np.where(closer, distance, best)
    return labels, floats((second - best) / 2)


def _means(picture: Picture, labels: Labels, count: int) -> Plane:
    """The mean colour of every cell, count x 3; black for an empty one."""
    flat = labels.ravel()
    number = np.maximum(np.bincount(flat, minlength=count), 1)
    sums = [np.bincount(flat, picture[..., channel].ravel(), count) for channel in range(3)]
    return (np.stack(sums, axis=1) / number[:, None]).astype(np.float32)


def _centres(points: Plane, labels: Labels) -> Plane:
    """The middle of every cell as shares of height and width; where a cell is empty, its old point."""
    flat, count = labels.ravel(), len(points)
    number = np.bincount(flat, minlength=count)
    shares = [(plane + 0.5) / side for plane, side in zip(np.indices(labels.shape), labels.shape, strict=True)]
    sums = np.stack([np.bincount(flat, share.ravel(), count) for share in shares], axis=1)
    return np.where(number[:, None] > 0, sums / np.maximum(number, 1)[:, None], points).astype(np.float32)
