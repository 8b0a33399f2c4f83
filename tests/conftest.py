"""Guards around every test; `tests/unit/test_guards.py` shows that each of them bites."""

import os
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


_TOOLS = ("hromium", "strace")
"""What the reason of a skip names where a tool is missing that continuous integration installs."""


def pytest_sessionfinish(session: pytest.Session) -> None:
    """On a machine that has all tools, a test that was skipped for want of one is a failure, not a green line."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not os.environ.get("CI"):
        return
    skipped = reporter.stats.get("skipped", [])
    wanting = [report for report in skipped if any(tool in str(report.longrepr) for tool in _TOOLS)]
    if wanting:
        reporter.write_line(f"{len(wanting)} skipped for want of a tool that should be here", red=True, bold=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
