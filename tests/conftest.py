"""Guards around every test; `tests/unit/test_guards.py` shows that each of them bites."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests import guards

# A machine with other work to do is slow, and that is no fault of what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


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


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Continuous integration installs what the tests need: there, a test that was skipped is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not os.environ.get("CI"):
        return
    if skipped := reporter.stats.get("skipped", []):
        reporter.write_line(f"{len(skipped)} skipped where nothing should be missing", red=True, bold=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
