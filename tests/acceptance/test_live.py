"""`make live`: the price first, the question, then one clip; written down only where it was the vendor's service."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from batchmod import providers
from tests import live
from tests.servers.segmind import SegmindStandIn
from tests.support import bare_environment, video_facts

LINE = {"model": "ray-2", "cost_usd": "0.35", "cost_source": "provider"}


def on_a_terminal(words: list[str], environ: dict[str, str], answer: str) -> tuple[int, str]:
    """Run on a pseudo-terminal and answer its question; the exit code, and all that was shown."""
    import pty  # where there are pseudo-terminals

    ours, theirs = pty.openpty()
    with subprocess.Popen(
        words, env=environ, stdin=theirs, stdout=theirs, stderr=theirs, cwd=live.ROOT, close_fds=True
    ) as child:
        os.close(theirs)
        shown = ""
        with suppress(OSError):  # Linux says so when the last one has hung up
            while piece := os.read(ours, 4096).decode(errors="replace"):
                shown += piece
                if "[y/N]" in piece:
                    os.write(ours, f"{answer}\n".encode())
        code = child.wait(60)
    os.close(ours)
    return code, shown


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize(("answer", "code", "billed"), [("y", 0, 1), ("n", 3, 0)])
def test_it_shows_the_price_asks_and_runs_one_short_clip(answer: str, code: int, billed: int, tmp_path: Path) -> None:
    with SegmindStandIn(queued_s=0, processing_s=0, output="echo") as server:
        environ = bare_environment() | server.environment() | {"BATCHMOD_HOME": str(tmp_path / "home")}
        words = [sys.executable, "-m", "tests.live", "segmind", "--into", str(tmp_path / "live")]
        ended, shown = on_a_terminal(words, environ, answer)

        assert (ended, server.ledger.billed) == (code, billed), shown
        assert shown.index("estimated cost") < shown.index("Send them?")
        assert ("is not written down" in shown) == bool(billed)
        clip = video_facts(tmp_path / "live/segmind/clip.mp4")
        assert clip.frames == 2 * clip.fps


def test_who_takes_no_files_needs_a_url(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert live.main(["luma", "--into", str(tmp_path)]) == 2
    assert "CLIP=https://" in capsys.readouterr().err


def test_a_run_is_written_down_in_the_page_and_shown_by_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs/providers").mkdir(parents=True)
    (tmp_path / "batchmod/providers").mkdir(parents=True)
    shutil.copy(live.ROOT / "docs/providers/luma.md", tmp_path / "docs/providers")
    (tmp_path / "batchmod/providers/live.json").write_text("{}")
    said = live.stamp(LINE, now=datetime(2026, 11, 26, tzinfo=UTC))

    assert live.written_down(tmp_path, providers.facts("luma"), said) == 0

    page = (tmp_path / "docs/providers/luma.md").read_text(encoding="utf-8")
    known = tmp_path / "batchmod/providers/live.json"

    assert "Last run live: 2026-11-26 with batchmod" in page
    assert "(ray-2, $0.35 by the provider)." in page
    assert "never" not in page.split("## ")[0]
    assert json.loads(known.read_text()) == {"luma": said}

    monkeypatch.setattr(providers, "LIVE_FILE", known)

    assert providers.facts("luma").last_run_live == said
    assert providers.facts("segmind").last_run_live == "never"
