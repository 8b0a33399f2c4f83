"""Where the user's own folders are, whatever the environment says and whatever folder a command is called from."""

import os
import pwd
from pathlib import Path

import pytest

from batchmod.app.homes import cache_folder, index_file
from batchmod.errors import UsageError

LISTED = Path(pwd.getpwuid(os.getuid()).pw_dir)
DATA = LISTED / ".local" / "share" / "batchmod" / "paid.sqlite3"


@pytest.mark.parametrize(
    "environ", [{}, {"HOME": ""}, {"HOME": "here"}, {"XDG_DATA_HOME": "data", "XDG_CACHE_HOME": "cache"}]
)
def test_without_a_home_in_the_environment_it_is_the_one_that_the_system_lists(environ: dict[str, str]) -> None:
    assert index_file(environ) == DATA
    assert cache_folder(environ) == LISTED / ".cache" / "batchmod"


def test_what_the_environment_names_comes_first() -> None:
    assert index_file({"HOME": "/home/ann"}) == Path("/home/ann/.local/share/batchmod/paid.sqlite3")
    assert index_file({"HOME": "/home/ann", "XDG_DATA_HOME": "/data"}) == Path("/data/batchmod/paid.sqlite3")
    assert index_file({"HOME": "/home/ann", "BATCHMOD_HOME": "/shared"}) == Path("/shared/paid.sqlite3")
    assert cache_folder({"HOME": "/home/ann", "XDG_CACHE_HOME": "/fast"}) == Path("/fast/batchmod")
    assert cache_folder({"BATCHMOD_HOME": "own"}) == Path.cwd() / "own" / "cache"


def test_a_user_whom_the_system_does_not_know_needs_a_place_for_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 3_999_999_999)

    assert cache_folder({}) is None
    with pytest.raises(UsageError, match="BATCHMOD_HOME"):
        index_file({})
