"""Errors are part of the product: each has its slug and exit code, and says where."""

from collections.abc import Iterator

import pytest

from batchmod import errors
from batchmod.errors import (
    BatchmodError,
    ManifestError,
    MediaError,
    Place,
    Problem,
    StoppedEarly,
    StorageError,
    StoreRefused,
    UsageError,
)

GIVEN_WHEN_RAISED = {
    StoppedEarly: {"slug": "no_credits"},
    MediaError: {"slug": "broken_video"},
    StorageError: {"slug": "store_refused"},
    StoreRefused: {"slug": "bucket_missing"},
}


def tree(root: type[BatchmodError]) -> Iterator[type[BatchmodError]]:
    """Every class of ours below `root`."""
    for child in root.__subclasses__():
        if child.__module__.startswith("batchmod."):
            yield child
            yield from tree(child)


CLASSES = list(tree(BatchmodError))


def raised(kind: type[BatchmodError]) -> BatchmodError:
    if issubclass(kind, ManifestError):
        return kind([])
    return kind("what happened", **GIVEN_WHEN_RAISED.get(kind, {}))


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: str(kind.__name__))
def test_every_error_has_a_slug_and_an_exit_code(kind: type[BatchmodError]) -> None:
    error = raised(kind)

    assert error.slug.replace("_", "").isalpha()
    assert error.slug == error.slug.lower()
    assert error.exit_code in (1, 2, 3, 4)


def test_no_two_errors_share_a_slug() -> None:
    slugs = [raised(kind).slug for kind in CLASSES]

    assert len(set(slugs)) == len(slugs)


def test_a_mistake_in_the_given_is_told_from_a_stop_and_from_a_lock() -> None:
    others = {kind.__name__: raised(kind).exit_code for kind in CLASSES if not issubclass(kind, UsageError)}

    assert {raised(kind).exit_code for kind in CLASSES if issubclass(kind, UsageError)} == {2}
    assert others == {"StoppedEarly": 3, "FolderInUse": 4, "StorageError": 3, "MediaError": 1}


def test_an_error_nobody_named_is_a_bug() -> None:
    assert (BatchmodError.exit_code, BatchmodError.slug) == (70, "bug")


def test_the_drawn_tree_is_the_real_one() -> None:
    drawn = errors.__doc__ or ""

    assert [kind.__name__ for kind in CLASSES if kind.__name__ not in drawn] == []
    assert [kind.slug for kind in CLASSES if kind not in GIVEN_WHEN_RAISED and kind.slug not in drawn] == []


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        (Place(file="a.yaml"), "a.yaml"),
        (Place(file="a.yaml", line=14), "a.yaml:14"),
        (Place(file="a.yaml", line=14, column=9), "a.yaml:14:9"),
        (Place(file="a.csv", line=14, cell="C"), "a.csv:14:C"),
    ],
)
def test_a_place_is_what_an_editor_jumps_to(place: Place, shown: str) -> None:
    assert str(place) == shown


def test_a_problem_says_where_what_and_the_cure() -> None:
    place = Place(file="shots.csv", line=14, cell="C")
    whole = Problem(place=place, field="mode", message="'flex_9' is not a mode", hint="did you mean 'flex_3'?")

    assert str(whole) == "shots.csv:14:C (mode): 'flex_9' is not a mode; did you mean 'flex_3'?"
    assert str(Problem(place=place, message="no")) == "shots.csv:14:C: no"


def test_a_bad_manifest_tells_every_problem_in_order() -> None:
    problems = [Problem(place=Place(file="a.yaml", line=line), message="no") for line in (3, 1, 2)]
    error = ManifestError(iter(problems))

    assert error.problems == tuple(problems)
    assert str(error).splitlines() == ["a.yaml:3: no", "a.yaml:1: no", "a.yaml:2: no"]
