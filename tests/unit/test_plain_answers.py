"""What a cluster's workers may send to the process that has the keys."""

import os
import pickle
from fractions import Fraction
from pathlib import PurePath
from typing import Any

import pytest

from batchmod.errors import MediaError
from batchmod.executors.messages import Answered, Raised, Terms, Value
from batchmod.executors.on_worker import carry, versions
from batchmod.executors.plain import read
from batchmod.model import VideoFacts
from batchmod.work import Made, Refusal

FACTS = VideoFacts(width=64, height=48, fps=Fraction(30), frames=8, duration_s=1.0, has_audio=True, bytes=10)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch evil",)


@pytest.mark.parametrize(
    "value",
    [None, True, 7, 2.5, "text", b"bytes", (1, [2, {3: {4}}]), FACTS, Refusal(slug="x", message="y"),
     Made(frames=1, look=None, warnings=(), sha256="0"), Fraction(1, 3)],
)  # fmt: skip
def test_values_come_back(value: object) -> None:
    message = Answered(number=1, answer=Value(value=value))

    assert read(pickle.dumps(message)) == message


def test_errors_come_back_and_those_of_others_as_their_words() -> None:
    terms = Terms(versions=versions(), token=None, reads=(), drop_environment=())
    ours, others = carry(terms, refuse, ()), carry(terms, pickle.loads, (b"no pickle",))

    assert isinstance(ours, Raised)
    assert isinstance(others, Raised)
    assert str(read(pickle.dumps(others)).error).startswith("UnpicklingError: ")
    assert "a clip" in str(read(pickle.dumps(ours)).error)


def refuse() -> None:
    raise MediaError("a clip", slug="broken_video")


@pytest.mark.parametrize("value", [Evil(), eval, os.system, PurePath, __import__])
def test_nothing_that_acts_is_unpacked(value: object) -> None:
    with pytest.raises(pickle.UnpicklingError, match="is no value"):
        read(pickle.dumps(Answered(number=1, answer=Value(value=value))))
