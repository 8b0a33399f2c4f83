"""Copies that are fit for use, beside files that a paid service returned: silent, at 24 frames, of another size."""

import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import batchmod
from batchmod import files, media
from tests.colours import write_card
from tests.servers.segmind import SegmindStandIn
from tests.support import PACE, Ran, Shoot, bare_environment, call, read_events, shoot, write_manifest
from tests.takes import Take, heard, numbers_in, write_take

FILM = Fraction(24000, 1001)
SHOT = Take(frames=36, rate=FILM, size=(128, 72), timecode="01:00:00:12", sounds=["aac", "pcm_s24le"], tags=(1, 1, 1))
LUMA = Take(frames=36, rate=Fraction(24), size=(192, 108))
"""What a hosted model makes of it: silent, 24 frames a second, a size of its own, no timecode, no tags."""
A = {"id": "a", "video_url": "a.mov", "prompt": "as wool"}
SMALL = Take(frames=6, rate=Fraction(24), size=(64, 48))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return write_take(tmp_path / "theirs.mp4", LUMA)


@pytest.fixture
def server(output: Path) -> Iterator[SegmindStandIn]:
    with SegmindStandIn(queued_s=0, processing_s=0, output=output) as server:
        yield server


def deliver(work: Shoot, *words: str, environ: dict[str, str] | None = None) -> Ran:
    """`batchmod deliver` with no key and no service in its environment."""
    return call(
        "deliver", work.folder, *words, environ={"BATCHMOD_HOME": str(work.home)} if environ is None else environ
    )


def copies(work: Shoot) -> list[str]:
    """Every file of the copies' folder that a user sees, but the ledger."""
    below = work.folder / "delivered"
    found = (path.relative_to(below).as_posix() for path in below.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.startswith(".") and name != "delivered.json")


def parts(work: Shoot) -> list[Path]:
    return list((work.folder / "delivered").rglob(".*.part"))


def facts(path: Path) -> tuple[Any, ...]:
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        context = video.codec_context
        assert video.duration is not None
        assert video.time_base is not None
        tags = (context.color_primaries, context.color_trc, context.colorspace, context.color_range)
        length = video.duration * video.time_base
        return context.name, video.average_rate, video.frames, length, video.metadata.get("timecode"), tags


def test_a_silent_24_frame_output_comes_back_in_its_sources_time_sound_timecode_and_colours(
    tmp_path: Path, server: SegmindStandIn, output: Path
) -> None:
    source = write_take(tmp_path / "a.mov", SHOT)
    work = shoot(tmp_path, server, [A], deliver={})

    ran = work.run("--log-file", str(tmp_path / "log.jsonl"), "--log-format", "json")

    records = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    told = [(each["id"], each["message"]) for each in records if each["event"] == "conformed"]
    assert told == [("a", "a: copy fit for use: delivered/a_v001.mp4")]
    line, theirs = work.results()["a"], work.folder / "videos" / "a_v001.mp4"
    assert (ran.code, line["status"]) == (0, "succeeded")
    assert "1 copy in delivered" in ran.out
    given = theirs.read_bytes()
    assert given.startswith(output.read_bytes()), "a stand-in's mark follows"
    assert files.sha256_of(theirs) == line["sha256"]
    stated = ("fps", "frames", "duration_s", "has_audio", "width", "height")
    assert [line[name] for name in stated] == ["24", "36", "1.5", "false", "192", "108"]
    assert line["flag_reason"] == "24 fps instead of 23.976, 192x108 instead of 128x72"
    assert line["delivered"] == "delivered/a_v001.mp4"

    copy = work.folder / line["delivered"]
    assert facts(copy) == ("h264", FILM, 36, 36 / FILM, "01:00:00:12", (1, 1, 1, 1))
    assert numbers_in(copy) == list(range(36))
    (began, wanted), (begins, found) = heard(source), heard(copy)
    assert began == begins
    assert np.array_equal(wanted, found)

    done = deliver(work, "prores")
    assert (done.code, copies(work)) == (0, ["a_v001.mov", "a_v001.mp4"])
    film = work.folder / "delivered" / "a_v001.mov"
    assert facts(film) == ("prores", FILM, 36, 36 / FILM, "01:00:00:12", (1, 1, 1, 1))
    assert np.array_equal(heard(source, 1)[1], heard(film, 1)[1]), "24 bits of PCM, to the bit"
    assert work.results()["a"]["delivered"] == "delivered/a_v001.mov"
    assert theirs.read_bytes() == given
    assert not parts(work)


def test_what_is_there_is_left_and_what_is_gone_or_asked_otherwise_is_made_anew(
    tmp_path: Path, server: SegmindStandIn
) -> None:
    write_take(tmp_path / "a.mov", SHOT)
    work = shoot(tmp_path, server, [A])
    work.run()
    assert (copies(work), "delivered" in work.results()["a"]) == ([], False)

    first = deliver(work)
    before = (work.folder / "delivered" / "a_v001.mp4").stat()
    again = deliver(work)

    assert (first.code, again.code) == (0, 0)
    assert "0 copies made, 1 there already" in again.out
    assert (work.folder / "delivered" / "a_v001.mp4").stat() == before
    assert "1 delivered" in call("status", work.folder, environ={}).out

    (work.folder / "delivered" / "a_v001.mp4").unlink()
    assert "1 copy made" in deliver(work, "fps=25").out
    assert facts(work.folder / "delivered" / "a_v001.mp4")[1] == 25
    assert copies(work) == ["a_v001.mp4"]

    (work.folder / "delivered" / "a_v001.mp4").write_bytes(b"graded by a person")
    assert "1 changed by hand and left so" in deliver(work, "fps=25").out
    assert "1 copy made" in deliver(work).out
    assert copies(work) == ["a_v001-2.mp4", "a_v001.mp4"]
    assert (work.folder / "delivered" / "a_v001.mp4").read_bytes() == b"graded by a person"
    assert work.results()["a"]["delivered"] == "delivered/a_v001-2.mp4"
    assert len(server.ledger.jobs) == 1


def test_a_copy_that_cannot_be_made_is_said_and_fails_no_row(tmp_path: Path, server: SegmindStandIn) -> None:
    """Four reasons at once: too short, another clip in its place, a clip that is gone, a clip on the web."""
    write_take(tmp_path / "long.mov", replace(SHOT, frames=72))
    write_take(tmp_path / "other.mov", replace(SHOT, frames=35))
    write_take(tmp_path / "gone.mov", replace(SHOT, frames=34))
    rows = [{"id": name, "video_url": f"{name}.mov", "prompt": "as wool"} for name in ("long", "other", "gone")]
    rows.append({"id": "web", "video_url": "https://example.com/web.mp4", "prompt": "as wool"})
    work = shoot(tmp_path, server, rows)
    assert work.run().code == 0
    (tmp_path / "gone.mov").rename(tmp_path / "kept.mov")
    write_take(tmp_path / "other.mov", replace(SHOT, frames=36))

    done = deliver(work, "--json")

    said = {line["id"]: line["code"] for line in json.loads(done.out)}
    assert said == {
        "long": "copy_too_short",
        "other": "copy_source_changed",
        "gone": "copy_source_gone",
        "web": "copy_source_remote",
    }
    assert (done.code, copies(work), parts(work)) == (1, [], [])

    (tmp_path / "kept.mov").rename(tmp_path / "gone.mov")
    write_take(tmp_path / "other.mov", replace(SHOT, frames=35))
    work.rows(rows, deliver={"hold_s": 2})
    ran = work.run()
    assert ran.code == 0, "a row has not failed because its copy has"
    assert "web: no copy: its clip is on the web (https://example.com/web.mp4)" in ran.err
    assert "[copy_source_remote]" in ran.err
    assert set(work.statuses().values()) == {"succeeded"}
    assert copies(work) == ["gone_v001.mp4", "long_v001.mp4", "other_v001.mp4"]
    assert work.results()["web"]["delivered"] == ""
    assert "3 delivered, 1 lacking" in call("status", work.folder, environ={}).out


def test_the_original_lends_its_sound_and_shape_where_a_prepared_clip_was_sent(tmp_path: Path) -> None:
    write_card(tmp_path / "turned.mp4", rotation=90, size=(64, 48), frames=8)
    made = write_take(tmp_path / "theirs.mp4", replace(SMALL, frames=8, size=(48, 64)))
    with SegmindStandIn(queued_s=0, processing_s=0, output=made) as server:
        work = shoot(tmp_path, server, [{"id": "turned", "video_url": "turned.mp4", "prompt": "as wool"}], deliver={})
        assert call("check", work.manifest, "--provider", "segmind", "--fix", environ=work.environ).code == 0
        assert work.run().code == 0

    (work.folder / "prepared").rename(tmp_path / "elsewhere")
    copy = work.folder / "delivered" / "turned_v001.mp4"
    found = media.probe_video(copy)
    assert (found.width, found.height, found.fps, found.frames) == (48, 64, Fraction(25), 8)


def test_results_with_copies_are_a_manifest_and_a_column_of_that_name_stays_the_users(
    tmp_path: Path, server: SegmindStandIn
) -> None:
    write_take(tmp_path / "a.mov", SHOT)
    work = shoot(tmp_path, server, [{**A, "delivered": "on Monday"}, {**A, "id": "b"}], deliver={})
    ran = work.run()
    line = work.results()["a"]
    assert "2 copies in delivered" in ran.out, "one request for two ids, and a copy for each"
    assert copies(work) == ["a_v001.mp4", "b_v001.mp4"]
    assert (line["my_delivered"], line["delivered"]) == ("on Monday", "delivered/a_v001.mp4")

    again = call("run", work.folder / "results.csv", "--provider", "segmind", "--yes", *PACE, environ=work.environ)

    assert again.code == 0, again.err
    assert "nothing new to make" in again.out
    assert len(server.ledger.jobs) == 1
    assert list(work.results()["a"].items()) == list(line.items())


def test_copies_follow_the_folders_of_the_naming_and_only_chosen_rows(tmp_path: Path, server: SegmindStandIn) -> None:
    write_take(tmp_path / "a.mov", SHOT)
    rows = [{**A, "id": name, "scene": "day 1", "variant": place} for place, name in enumerate("ab", start=1)]
    work = shoot(tmp_path, server, rows, naming="{scene}/{id}_v{version:03d}")
    work.run()

    assert deliver(work, "--only", "b").code == 0

    assert copies(work) == ["day 1/b_v001.mp4"]
    assert deliver(work, "--only", "nobody").out.endswith("no output that a copy could be made of\n")


def test_words_that_mean_nothing_stop_a_run_before_anything_is_sent(tmp_path: Path, server: SegmindStandIn) -> None:
    write_take(tmp_path / "a.mov", SHOT)
    work = shoot(tmp_path, server, [A])

    ran = work.run("--deliver", "h265")

    assert ran.code == 2
    assert "--deliver (codec): 'h265' is not a codec; did you mean 'h264'? [usage]" in ran.err
    assert not server.ledger.jobs
    assert not work.folder.exists()
    assert deliver(work).code == 2


def test_one_command_at_a_time_makes_the_copies_of_a_folder(tmp_path: Path, server: SegmindStandIn) -> None:
    write_take(tmp_path / "a.mov", SHOT)
    work = shoot(tmp_path, server, [A], deliver={})
    (work.folder / "delivered").mkdir(parents=True)
    with files.locked(work.folder / "delivered"):
        ran = work.run()
        refused = deliver(work)

    assert (ran.code, work.statuses()) == (0, {"a": "succeeded"})
    assert "no copies in this run" in ran.err
    assert (refused.code, copies(work)) == (4, [])
    assert "[folder_in_use]" in refused.err


def test_a_run_that_is_told_to_end_leaves_no_half_copy_and_the_next_one_goes_on(tmp_path: Path) -> None:
    big = Take(frames=24, size=(1920, 1080))
    write_take(tmp_path / "a.mov", replace(big, rate=FILM))
    with SegmindStandIn(queued_s=0, processing_s=0, output=write_take(tmp_path / "theirs.mp4", big)) as server:
        work = shoot(tmp_path, server, [A], deliver={"codec": "prores"})
        words = ("run", str(work.manifest), "--provider", "segmind", "--yes", *PACE)
        process = subprocess.Popen(
            [sys.executable, "-m", "batchmod", *words],
            env=bare_environment() | work.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(1500):
            if parts(work):
                break
            time.sleep(0.02)
        assert parts(work), "it was writing the copy"
        os.kill(process.pid, signal.SIGTERM)
        said = process.communicate(timeout=60)[0]

        assert process.returncode == 143, said
        assert (work.statuses(), copies(work)) == ({"a": "succeeded"}, [])
        work.rows([A], deliver={})
        assert work.run().code == 0
        assert (copies(work), parts(work)) == (["a_v001.mp4"], [])
        assert len(server.ledger.jobs) == 1
    events = [event["event"] for event in read_events(work.folder)]
    assert events.count("conformed") == 1


class _Counting(SimpleHTTPRequestHandler):
    """A host of clips that counts how often one is fetched."""

    fetched = 0

    def do_GET(self) -> None:
        type(self).fetched += 1
        super().do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_a_clip_on_the_web_is_fetched_where_that_is_allowed_and_once_for_its_rows(
    tmp_path: Path, server: SegmindStandIn
) -> None:
    write_take(tmp_path / "web" / "web.mov", SHOT)
    handler = functools.partial(_Counting, directory=str(tmp_path / "web"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as host:
        threading.Thread(target=host.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{host.server_address[1]}/web.mov"
        rows = [{"id": name, "video_url": url, "prompt": f"as {name}"} for name in ("wool", "clay")]
        work = shoot(tmp_path, server, rows, deliver={"fetch": True})
        _Counting.fetched = 0
        assert work.run().code == 0
        host.shutdown()

    assert _Counting.fetched == 1
    assert copies(work) == ["clay_v001.mp4", "wool_v001.mp4"]
    assert facts(work.folder / "delivered" / "clay_v001.mp4")[4] == "01:00:00:12"


def test_the_library_makes_copies_too(tmp_path: Path, server: SegmindStandIn) -> None:
    write_take(tmp_path / "a.mov", SHOT)
    manifest = write_manifest(tmp_path / "shots.yaml", [A], provider="segmind")
    environ = {**server.environment(), "BATCHMOD_HOME": str(tmp_path / "home")}
    loaded = batchmod.load_manifest(manifest, environ=environ)

    summary = batchmod.run_sync(loaded, yes=True, deliver=["prores"], polls_per_minute=60000)

    assert (summary.exit_code, summary.delivered) == (0, 1)
    assert (summary.folder / "delivered" / "a_v001.mov").exists()
    with pytest.raises(batchmod.UsageError, match="h265"):
        batchmod.run_sync(loaded, yes=True, deliver="h265")
