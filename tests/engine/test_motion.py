"""Flow, and the map to the keyframe that is carried along by it."""

from itertools import pairwise

import numpy as np

from batchmod.engine.correspond import Correspondence
from batchmod.engine.flow import FlowEstimator
from batchmod.engine.raster import luma, own_positions
from tests.engine.pictures import noise, panning


def test_a_shift_is_seen_and_trusted() -> None:
    before, now = (luma(frame) for frame in panning(2, 96, 64, speed=3))
    motion = FlowEstimator().motion(now, before)
    inner = motion.backward[10:-10, 10:-10]

    assert np.abs(np.median(inner, (0, 1)) - (3, 0)).max() < 0.1
    assert motion.trusted[10:-10, 10:-10].mean() > 0.95
    assert not motion.trusted[:, -2:].any()


def test_unrelated_frames_are_not_trusted() -> None:
    motion = FlowEstimator().motion(luma(noise(96, 64, seed=1)), luma(noise(96, 64, seed=2)))

    assert motion.trusted.mean() < 0.6


def test_a_tiny_picture_does_not_move() -> None:
    tiny = luma(noise(15, 40))
    estimator = FlowEstimator()

    assert not estimator.flow(tiny, tiny[::-1]).any()
    assert not estimator.refined(tiny, tiny, np.zeros((40, 15, 2), np.float32)).any()


def test_one_estimator_takes_a_guess_and_leaves_it_alone() -> None:
    before, now = (luma(frame) for frame in panning(2, 96, 64, speed=3))
    guess = np.full((64, 96, 2), (2.5, 0), np.float32)
    found = FlowEstimator().refined(now, before, guess)

    assert np.abs(np.median(found, (0, 1)) - (3, 0)).max() < 0.1
    assert (guess == (2.5, 0)).all()


def test_the_map_does_not_drift_while_the_picture_comes_and_goes() -> None:
    there = [luma(frame) for frame in panning(9, 96, 64, speed=1.3)]
    frames = [*there, *there[-2::-1]] * 3
    estimator = FlowEstimator()
    state = Correspondence(frames[0], estimator)
    for before, now in pairwise(frames):
        state.advance(now, estimator.motion(now, before))
    error = np.abs(state.points - own_positions(64, 96))[8:-8, 8:-24]

    assert np.median(error) < 0.1
    assert np.median(state.confidence[8:-8, 8:-24]) > 0.9


def test_density_tells_streaks_and_folds_from_motion() -> None:
    estimator = FlowEstimator()
    state = Correspondence(luma(noise(40, 30)), estimator)
    own = own_positions(30, 40)
    for points, density in (
        (own + 5, 1.0),
        (own * (0.25, 1), 0.25),
        (own * (2, 2), 2.0),
        (own * (-1, 1), 0.0),
    ):
        state.points = points.astype(np.float32)

        assert np.allclose(state.density()[2:-2, 2:-2], density, atol=1e-3)
