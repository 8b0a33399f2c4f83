"""Killed at any step of putting the event log into parts, no event is lost, and none is there twice."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from batchmod.app import rotating
from tests.support import bare_environment

ROTATOR = Path(__file__).with_name("rotator.py")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_killed_at_every_step_of_a_rotation_each_event_is_there_once(tmp_path: Path) -> None:
    environ = {**bare_environment(), "PYTHONPATH": str(ROTATOR.parents[2])}
    words = [sys.executable, str(ROTATOR), str(tmp_path)]
    done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=250, check=True)
    ended = [json.loads(line) for line in done.stdout.splitlines()]

    for end in ended:
        written = len(end["then"])
        assert end["then"] == list(range(written)), end
        assert written - 1 <= end["said"] <= written, end  # one may be on disk that was not said yet
        assert end["after"] == list(range(written + 8)), end
        plain = [name for name in end["names"] if rotating.is_part(name) and not name.endswith(".gz")]
        assert len(plain) == 1, end
        assert [name for name in end["names"] if name.endswith(".part")] == [], end
    assert [end["killed"] for end in ended] == [*[True] * (len(ended) - 1), False]
    assert len(ended) > 25
