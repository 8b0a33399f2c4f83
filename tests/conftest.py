"""Guards around every test; `tests/unit/test_guards.py` shows that each of them bites."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import guards


def pytest_configure() -> None:
    """Before any test module is imported, since the engine looks for its cache when it is."""
    guards.live_in_utc()
    guards.keep_machine_code(Path(__file__).parents[1])


@pytest.fixture(autouse=True)
def strangers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The addresses on other machines that the test tried to reach: there must be none, even if it got over it."""
    tried = guards.keep_strangers_out(monkeypatch)
    yield tried
    assert not tried, f"the test tried to reach {tried}"


@pytest.fixture(autouse=True)
def own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A current folder and a home of the test's own, and no keys."""
    guards.forget_keys(monkeypatch)
    guards.live_in(tmp_path.with_name(f"{tmp_path.name}-home"), monkeypatch)
    monkeypatch.chdir(tmp_path)
