"""How long things take, in words."""

import pytest

from batchmod.cli.wording import duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0.0 s"),
        (59.94, "59.9 s"),
        (60.0, "1 min 0 s"),
        (3599.4, "59 min 59 s"),
        (3600.0, "1 h 0 min"),
        (86_399.0, "23 h 59 min"),
        (86_400.0, "1 day 0 h"),
        (2_050_000.0, "23 days 17 h"),
    ],
)
def test_a_duration_is_said_in_the_two_units_that_matter(seconds: float, words: str) -> None:
    assert duration(seconds) == words
