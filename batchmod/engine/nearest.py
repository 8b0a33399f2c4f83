"""Keyframe patches like a given one: short descriptors (PCA) and an approximate search in a k-d tree."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batchmod.engine.compiled import kernel, prange, serial
from batchmod.engine.patch import CHANNELS, NOTHING, STEP, Bytes, Features
from batchmod.engine.raster import Floats

_DIMENSIONS = 10
_TRAINING_PATCHES = 3000
_LEAF = 12
_LEAVES_VISITED = 8
_APART = 4
"""Similar patches lie at least this far, in pixels, from the patch and from each other."""
_FAR = np.float32(1e30)

Integers = NDArray[np.int32]


class Basis(NamedTuple):
    """The linear map from a patch's bytes to its descriptor."""

    mean: Floats
    axes: Floats
    """`bytes per patch x dimensions`."""


class Tree(NamedTuple):
    """A balanced k-d tree over descriptors, its nodes in heap order, its points in leaf order."""

    axis: Integers
    threshold: Floats
    first: Integers
    last: Integers
    order: Integers
    """Per point in leaf order, its index in the original set."""
    points: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchIndex:
    """All patches of a keyframe's grid, searchable by descriptor; built by `index_patches`."""

    side: int
    basis: Basis
    tree: Tree
    positions: Integers
    """`n x 2`: each grid patch's centre (x, y)."""
    similar: Integers
    """`rows x columns x n x 2`: per grid patch, the centres of patches like it; NOTHING where there are none."""

    def find(self, features: Features, positions: Integers, count: int) -> Integers:
        """`n x count x 2`: the centres of the keyframe patches most like those of `features` at `positions`."""
        descriptors = _project(features.values, features.width, positions, self.basis, self.side)
        found = _query(self.tree, descriptors, count, 0, self.positions, positions)
        return _looked_up(self.positions, found)


def grid_positions(width: int, height: int) -> Integers:
    """`n x 2`: the centres (x, y) of a picture's patches, row by row."""
    y, x = np.mgrid[0:height:STEP, 0:width:STEP]
    return np.stack([x.ravel(), y.ravel()], 1).astype(np.int32)


def index_patches(features: Features, side: int, relatives: int) -> PatchIndex:
    """Index a keyframe's patches and find for each its `relatives` most similar ones."""
    positions = grid_positions(features.width, features.height)
    basis = _principal_axes(features, positions, side)
    descriptors = _project(features.values, features.width, positions, basis, side)
    tree = _build(descriptors)
    found = _looked_up(positions, _query(tree, descriptors, relatives, _APART, positions, positions))
    rows, columns = -(-features.height // STEP), -(-features.width // STEP)
    return PatchIndex(
        side=side,
        basis=basis,
        tree=tree,
        positions=positions,
        similar=found.reshape(rows, columns, relatives, 2),
    )


def _looked_up(positions: Integers, found: Integers) -> Integers:
    return np.where(found[..., None] == NOTHING, NOTHING, positions[np.maximum(found, 0)]).astype(np.int32)


def _principal_axes(features: Features, positions: Integers, side: int) -> Basis:
    """The directions in which a sample of the patches differ most."""
    chosen = np.random.default_rng(0).integers(0, len(positions), _TRAINING_PATCHES)
    stride = (features.width + side - 1) * CHANNELS
    starts = positions[chosen, 1] * stride + positions[chosen, 0] * CHANNELS
    inner = (np.arange(side)[:, None] * stride + np.arange(side * CHANNELS)).ravel()
    sample = features.values[starts[:, None] + inner].astype(np.float64)
    mean = sample.mean(0)
    # Sums of products of bytes are exact in float64, in whatever order the threads of BLAS add them.
    covariance = sample.T @ sample - len(sample) * np.outer(mean, mean)
    axes = np.linalg.eigh(covariance).eigenvectors[:, ::-1][:, :_DIMENSIONS]
    return Basis(mean=mean.astype(np.float32), axes=np.ascontiguousarray(axes, np.float32))


@kernel
def _project(values: Bytes, width: int, positions: Integers, basis: Basis, side: int) -> Floats:
    """The descriptors (`n x dimensions`) of the patches at `positions`."""
    count, dimensions = positions.shape[0], basis.axes.shape[1]
    descriptors = np.empty((count, dimensions), np.float32)
    stride = (width + side - 1) * CHANNELS
    for i in prange(count):
        total = descriptors[i]
        total[:] = 0
        start = positions[i, 1] * stride + positions[i, 0] * CHANNELS
        for row in range(side):
            for k in range(side * CHANNELS):
                j = row * side * CHANNELS + k
                value = np.float32(values[start + row * stride + k]) - basis.mean[j]
                for d in range(dimensions):
                    total[d] += value * basis.axes[j, d]
    return descriptors


@serial
def _widest(points: Floats, chosen: Integers) -> int:
    """The axis along which the chosen points spread most."""
    best, spread = 0, np.float32(-1)
    for axis in range(points.shape[1]):
        low, high = _FAR, -_FAR
        for i in chosen:
            low = min(low, points[i, axis])
            high = max(high, points[i, axis])
        if high - low > spread:
            best, spread = axis, high - low
    return best


@serial
def _build(points: Floats) -> Tree:
    """Split at the median of the widest axis until a leaf is small."""
    count = points.shape[0]
    depth = 0
    while (count >> depth) > _LEAF:
        depth += 1
    nodes = (1 << depth) - 1
    axis, threshold = np.zeros(nodes, np.int32), np.zeros(nodes, np.float32)
    first, last = np.zeros(2 * nodes + 1, np.int32), np.zeros(2 * nodes + 1, np.int32)
    order = np.arange(count).astype(np.int32)
    last[0] = count
    for node in range(nodes):
        low, high = first[node], last[node]
        chosen = order[low:high].copy()
        axis[node] = _widest(points, chosen)
        keys = np.empty(chosen.size, np.float32)
        for i in range(chosen.size):
            keys[i] = points[chosen[i], axis[node]]
        ranks = np.argsort(keys, kind="mergesort")
        for i in range(chosen.size):
            order[low + i] = chosen[ranks[i]]
        middle = (low + high) // 2
        threshold[node] = points[order[middle], axis[node]]
        first[2 * node + 1], last[2 * node + 1] = low, middle
        first[2 * node + 2], last[2 * node + 2] = middle, high
    return Tree(axis, threshold, first, last, order, points[order])


@serial
def _is_near(positions: Integers, i: int, place: Integers) -> bool:
    near: bool = abs(positions[i, 0] - place[0]) < _APART and abs(positions[i, 1] - place[1]) < _APART
    return near


@serial
def _insert(found: Integers, distances: Floats, i: int, distance: np.float32, slot: int) -> None:
    """Put point i at its rank; what stood at `slot` falls out."""
    while slot > 0 and distances[slot - 1] > distance:
        distances[slot] = distances[slot - 1]
        found[slot] = found[slot - 1]
        slot -= 1
    distances[slot] = distance
    found[slot] = i


@serial
def _slot(found: Integers, distances: Floats, positions: Integers, i: int, distance: np.float32) -> int:
    """Which entry point i would replace: a worse one near it, else the last; -1 if a better one is near."""
    for k in range(found.size):
        if found[k] != NOTHING and _is_near(positions, i, positions[found[k]]):
            return k if distance < distances[k] else -1
    return found.size - 1


@serial
def _visit_leaf(
    tree: Tree,
    leaf: int,
    descriptor: Floats,
    found: Integers,
    distances: Floats,
    positions: Integers,
    place: Integers,
    apart: int,
) -> None:
    """Insert the leaf's points that are nearer than those found so far."""
    for j in range(tree.first[leaf], tree.last[leaf]):
        distance = np.float32(0)
        for d in range(descriptor.size):
            difference = descriptor[d] - tree.points[j, d]
            distance += difference * difference
        if distance >= distances[-1]:
            continue
        i = tree.order[j]
        slot = found.size - 1
        if apart:
            slot = -1 if _is_near(positions, i, place) else _slot(found, distances, positions, i, distance)
        if slot >= 0:
            _insert(found, distances, i, distance, slot)


@kernel
def _query(tree: Tree, descriptors: Floats, count: int, apart: int, positions: Integers, places: Integers) -> Integers:
    """Up to `count` of the nearest points per descriptor, nearest first, NOTHING where fewer were met.

    Depth first, the near side first, in at most `_LEAVES_VISITED` leaves. With `apart`, points near `places`
    or near a better one are left out.
    """
    queries, nodes = descriptors.shape[0], tree.axis.size
    found = np.full((queries, count), NOTHING, np.int32)
    for q in prange(queries):
        distances = np.full(count, _FAR, np.float32)
        waiting, bounds = np.empty(64, np.int32), np.empty(64, np.float32)
        waiting[0], bounds[0] = 0, np.float32(0)
        height, leaves = 1, 0
        while height > 0 and leaves < _LEAVES_VISITED:
            height -= 1
            node, bound = waiting[height], bounds[height]
            if bound >= distances[-1]:
                continue
            while node < nodes:
                offset = descriptors[q, tree.axis[node]] - tree.threshold[node]
                near, far = (2 * node + 2, 2 * node + 1) if offset >= 0 else (2 * node + 1, 2 * node + 2)
                beyond = max(bound, offset * offset)
                if beyond < distances[-1]:
                    waiting[height], bounds[height] = far, beyond
                    height += 1
                node = near
            leaves += 1
            _visit_leaf(tree, node, descriptors[q], found[q], distances, positions, places[q], apart)
    return found
