"""Looks of uneven cells: mosaic and stained glass."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from batchmod.engine.looks.brushes import Picture, Plane, blurred, kuwahara, luma, noise, saturated

Labels = NDArray[np.int32]

_NEIGHBOURS: Final = tuple((down, across) for down in (-1, 0, 1) for across in (-1, 0, 1))
_FAR: Final = 1e9


def mosaic(picture: Picture, size: float) -> Picture:
    """Small uneven stones set in light mortar, each of one colour, each a little bevelled."""
    cell = max(3.0, 7.5 * size)
    flat = saturated(kuwahara(picture, 2 * size), 1.25)
    labels, gap = _stones(flat, cell, follow=0.0, rounds=1)
    count = int(labels.max()) + 1
    shades = 1 + 0.09 * np.random.default_rng((91, count)).normal(size=(count, 1)).astype(np.float32)
    stones = np.clip(_means(flat, labels) * shades, 0, 1)[labels]
    bevel = np.clip(gap / (0.22 * cell), 0, 1)
    mortar = np.float32([0.78, 0.76, 0.71]) * (0.55 + 0.45 * blurred(luma(picture), 3 * cell))[..., None]
    covered = np.clip((gap - 0.5 * size) / max(0.7, 0.5 * size), 0, 1)[..., None]
    return np.clip(mortar + (stones * (0.86 + 0.2 * bevel[..., None]) - mortar) * covered, 0, 1)


def stained_glass(picture: Picture, size: float) -> Picture:
    """Panes of coloured glass that follow the forms, held by dark lead, lit from behind."""
    cell = max(4.0, 15 * size)
    flat = kuwahara(kuwahara(picture, 3 * size), 3 * size)
    labels, _ = _stones(flat, cell, follow=7.0, rounds=4)
    labels = cv2.medianBlur(labels.astype(np.uint16), 5).astype(np.int32) if min(labels.shape) > 16 else labels
    colours = saturated(_means(flat, labels)[None], 1.7)[0]
    colours = np.clip(colours * 1.15 + 0.03, 0, 1) ** np.float32(0.85)
    lead, inner = _borders(labels, size)
    streaks = 0.035 * noise(labels.shape, seed=92, scale=18 * size)
    glow = 0.78 + 0.34 * inner + streaks
    panes = np.clip(colours[labels] * glow[..., None], 0, 1)
    return panes + (np.float32([0.06, 0.06, 0.07]) - panes) * lead[..., None]


def _borders(labels: Labels, size: float) -> tuple[Plane, Plane]:
    """Coverage of the lead between panes, and how far inside a pane a pixel is (0..1)."""
    edge = np.zeros(labels.shape, np.uint8)
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[1:] |= labels[1:] != labels[:-1]
    distance = cv2.distanceTransform(1 - edge, cv2.DIST_L2, 5).astype(np.float32, copy=False)
    lead = np.clip(0.9 * size + 0.8 - distance, 0, 1)
    return blurred(lead, 0.4), np.clip(distance / np.float32(6 * size), 0, 1)


def _stones(picture: Picture, cell: float, *, follow: float, rounds: int) -> tuple[Labels, Plane]:
    """Cells around jittered grid points: the label of each pixel and its distance in px to the next cell.

    `follow` weighs colour against place, and with several `rounds` the cells move to what they cover: simple
    linear iterative clustering (Achanta et al. 2012) with a search over the nine nearest points only.
    """
    height, width = picture.shape[:2]
    rows, columns = max(1, round(height / cell)), max(1, round(width / cell))
    random = np.random.default_rng((93, rows, columns))
    home = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), axis=-1).astype(np.float32)
    points = (home + random.uniform(0.14, 0.86, home.shape).astype(np.float32)) * np.float32(
        [height / rows, width / columns]
    )
    points = points.reshape(-1, 2)
    colours = _colours_at(picture, points)
    labels, gap = _nearest(picture, points, colours, (rows, columns), follow * cell)
    for _ in range(rounds - 1):
        points, colours = _centres(points, labels), _means(picture, labels)
        labels, gap = _nearest(picture, points, colours, (rows, columns), follow * cell)
    return labels, gap


def _colours_at(picture: Picture, points: Plane) -> Plane:
    y = np.clip(points[:, 0].astype(int), 0, picture.shape[0] - 1)
    x = np.clip(points[:, 1].astype(int), 0, picture.shape[1] - 1)
    return picture[y, x]


def _nearest(
    picture: Picture, points: Plane, colours: Plane, grid: tuple[int, int], follow: float
) -> tuple[Labels, Plane]:
    height, width = picture.shape[:2]
    rows, columns = grid
    y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None, :]
    row, column = (y * (rows / height)).astype(np.int32), (x * (columns / width)).astype(np.int32)
    best, second = np.full((height, width), _FAR, np.float32), np.full((height, width), _FAR, np.float32)
    labels = np.zeros((height, width), np.int32)
    for down, across in _NEIGHBOURS:
        inside = (row + down >= 0) & (row + down < rows) & (column + across >= 0) & (column + across < columns)
        label = np.clip(row + down, 0, rows - 1) * columns + np.clip(column + across, 0, columns - 1)
        near = points[label]
        distance = (near[..., 0] - y) ** 2 + (near[..., 1] - x) ** 2
        if follow:
            distance = distance + np.float32(follow**2) * ((picture - colours[label]) ** 2).sum(axis=-1)
        distance = np.where(inside, np.sqrt(distance), np.float32(_FAR))
        closer = distance < best
        second = np.where(closer, best, np.minimum(second, distance))
        labels = np.where(closer, label, labels)
        best = np.where(closer, distance, best)
    return labels, (second - best) / 2


def _means(picture: Picture, labels: Labels) -> Plane:
    """The mean colour of every cell, count x 3; black for an empty one."""
    flat, count = labels.ravel(), int(labels.max()) + 1
    number = np.maximum(np.bincount(flat, minlength=count), 1)
    sums = [np.bincount(flat, picture[..., channel].ravel(), count) for channel in range(3)]
    return (np.stack(sums, axis=1) / number[:, None]).astype(np.float32)


def _centres(points: Plane, labels: Labels) -> Plane:
    """The middle of every cell, count x 2 (y, x); where a cell is empty, its old point."""
    flat, count = labels.ravel(), len(points)
    number = np.bincount(flat, minlength=count)
    y, x = np.indices(labels.shape)
    sums = np.stack([np.bincount(flat, plane.ravel(), count) for plane in (y, x)], axis=1)
    return np.where(number[:, None] > 0, sums / np.maximum(number, 1)[:, None], points).astype(np.float32)
