"""Jobs on the real engine: what is made, what is refused, and what becomes of a worker that dies or never ends."""

import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from batchmod import media
from batchmod.serve import Limits
from tests.servers.clips import Clip
from tests.serving import Running, children_of, clip, service
from tests.support import video_facts, write_picture

LIMITS = Limits(clip_s=5.0, frames=100, frame_pixels=320 * 240, picture_bytes=1_000_000)
LOOK = "a watercolour painting"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with service(tmp_path_factory.mktemp("serve") / "data", workers=1, limits=LIMITS) as running:
        yield running


def failure(running: Running, **inputs: Any) -> str:
    """The error of a job that fails."""
    body = running.ended(running.submit(**inputs))
    assert body["status"] == "FAILED", body
    assert not running.service.store.bench(body["request_id"]).exists()
    return str(body["error"])


def long_job(running: Running) -> str:
    """A job that takes some seconds: a first frame, carried through a hundred others."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "frame.png"
        media.write_png(picture, np.full((120, 160, 3), (200, 30, 30), np.uint8))
        frame = running.upload(picture.read_bytes(), "image/png")
    video = running.upload(clip(width=160, height=120, frames=100))
    return running.submit(video_url=video, first_frame_url=frame, mode="flex_1")


def test_a_clip_is_modified_and_can_be_fetched_without_a_key(server: Running, tmp_path: Path) -> None:
    request_id = server.submit(video_url=server.upload(clip()), prompt=LOOK, mode="flex_2")
    status = server.ended(request_id)
    result = server.ask("GET", f"/v2/requests/{request_id}").json()
    made = tmp_path / "made.mp4"
    made.write_bytes(httpx.get(result["output"], trust_env=False).content)

    assert status["status"] == "COMPLETED"
    assert video_facts(made) == Clip()
    assert made.read_bytes() != clip()
    assert result["metrics"]["inference_time"] > 0
    assert int(result["video"]["file_size"]) == made.stat().st_size


def test_an_edited_first_frame_leads_and_what_is_odd_about_it_is_said(server: Running, tmp_path: Path) -> None:
    frame = write_picture(tmp_path / "f.png", width=128, height=96).read_bytes()
    urls = {"video_url": server.upload(clip()), "first_frame_url": server.upload(frame, "image/png")}
    request_id = server.submit(**urls)

    assert server.ended(request_id)["status"] == "COMPLETED"
    warnings = server.ask("GET", f"/v2/requests/{request_id}").json()["warnings"]
    assert any("128x96" in warning for warning in warnings)
    assert not [warning for warning in warnings if "/" in warning.replace("64x48/", "")]


def test_v1_blocks_and_answers_with_the_video(server: Running, tmp_path: Path) -> None:
    answer = server.ask("POST", "/v1/modify-video", json={"video_url": server.upload(clip()), "prompt": LOOK})
    made = tmp_path / "made.mp4"
    made.write_bytes(answer.content)
    request_id = answer.headers["x-request-id"]
    result = server.ask("GET", f"/v2/requests/{request_id}").json()

    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["x-cost"] == "0"
    assert float(answer.headers["x-remaining-credits"]) > 1000
    assert float(answer.headers["x-generation-time"]) > 0
    assert video_facts(made) == Clip()
    assert httpx.get(result["output"], trust_env=False).content == answer.content


def test_an_output_can_be_a_source(server: Running) -> None:
    first = server.submit(video_url=server.upload(clip()), prompt=LOOK)
    server.ended(first)
    output = server.ask("GET", f"/v2/requests/{first}").json()["output"]

    assert server.ended(server.submit(video_url=output, prompt="black and white"))["status"] == "COMPLETED"


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"frames": 6, "fps": 1}, "video_url is 6.00 s long; at most 5 s are taken"),
        ({"frames": 101, "fps": 60}, "video_url has 101 frames; at most 100 are taken"),
        ({"width": 322, "height": 240}, "video_url is 322x240; at most 76800 pixels are taken"),
    ],
)
def test_a_clip_beyond_a_limit_is_refused(server: Running, facts: dict[str, Any], text: str) -> None:
    url = server.upload(clip(**facts))

    assert text in failure(server, video_url=url, prompt=LOOK)
    blocking = server.ask("POST", "/v1/modify-video", json={"video_url": url, "prompt": LOOK})
    assert (blocking.status_code, list(blocking.json())) == (406, ["error"])
    assert text in blocking.json()["error"]


def test_a_header_that_lies_about_the_frames_does_not_help(server: Running) -> None:
    """The count in the header (stsz has the real one) is not believed: packets are counted."""
    video = clip(frames=101, fps=60).replace(b"\0\0\0\x65", b"\0\0\0\x32", 1)

    assert "Value rejected" in failure(server, video_url=server.upload(video), prompt=LOOK)


def test_a_picture_beyond_its_limit_is_refused(server: Running, tmp_path: Path) -> None:
    frame = write_picture(tmp_path / "f.png", width=400, height=300).read_bytes()
    urls = {"video_url": server.upload(clip()), "first_frame_url": server.upload(frame, "image/png")}

    assert "first_frame_url is 400x300" in failure(server, **urls)


def test_files_in_the_wrong_place_are_refused(server: Running, tmp_path: Path) -> None:
    picture = server.upload(write_picture(tmp_path / "f.png").read_bytes(), "image/png")
    video = server.upload(clip())

    assert "only MP4 videos are taken" in failure(server, video_url=picture, prompt=LOOK)
    said = failure(server, video_url=video, first_frame_url=video)
    assert said.startswith("Value rejected: first_frame_url is an MP4")


def test_a_broken_clip_is_refused_without_a_path_of_this_machine(server: Running) -> None:
    whole = clip(frames=30)
    for broken in (whole[: len(whole) // 2], whole[:200]):
        said = failure(server, video_url=server.upload(broken), prompt=LOOK)
        assert said.startswith("Value rejected: video_url is ")
        assert "/" not in said.replace("video/", "")


def test_a_prompt_without_a_look_names_what_there_is(server: Running) -> None:
    said = failure(server, video_url=server.upload(clip()), prompt="a lady somewhere")

    assert "watercolour" in said
    assert "watercolour" in failure(server, video_url=server.upload(clip()))


def test_progress_is_told_while_a_clip_is_worked_on(tmp_path: Path) -> None:
    with service(tmp_path / "data", workers=1) as server:
        request_id = long_job(server)
        waiting = server.submit(video_url=server.upload(clip()), prompt=LOOK)
        seen = []
        while (body := server.ask("GET", f"/v2/requests/{request_id}/status").json())["status"] != "COMPLETED":
            assert body["status"] in ("QUEUED", "PROCESSING"), body
            seen.append((body["progress"], body["metrics"].get("frames_done")))
            if len(seen) == 1:
                place = server.ask("GET", f"/v2/requests/{waiting}/status").json()
                assert (place["status"], place["queue_position"]) == ("QUEUED", 1)
            threading.Event().wait(0.1)
        server.ended(waiting)

    shares = [share for share, _ in seen]
    assert shares == sorted(shares)
    assert any(0 < share < 1 for share in shares)
    assert any(frames for _, frames in seen)


def workers() -> list[int]:
    """The worker processes of this process; a spawned one says so in its command line."""
    return [pid for pid in children_of(os.getpid()) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def at_work(running: Running, request_id: str) -> list[int]:
    """The workers, once a job is being worked on."""
    before = threading.Event()
    while True:
        body = running.ask("GET", f"/v2/requests/{request_id}/status").json()
        assert body["status"] in ("QUEUED", "PROCESSING"), body
        if body["metrics"].get("frames_done"):
            return workers()
        before.wait(0.05)


def test_a_worker_that_is_killed_takes_no_other_along_and_its_clip_is_tried_again(tmp_path: Path) -> None:
    with service(tmp_path / "data", workers=2) as server:
        others = set(workers())
        first, second = long_job(server), long_job(server)
        at_work(server, first)
        at_work(server, second)
        for pid in server.service.workshop._hands[0].workers:
            assert pid not in others
            os.kill(pid, signal.SIGKILL)
        ended = [server.ended(each) for each in (first, second)]
        beginnings = [job.beginnings for each in (first, second) if (job := server.service.queue.job(each))]

    assert [body["status"] for body in ended] == ["COMPLETED", "COMPLETED"]
    assert sorted(beginnings) == [1, 2]


def test_a_clip_that_kills_its_worker_each_time_fails_in_the_end(tmp_path: Path) -> None:
    with service(tmp_path / "data", workers=1) as server:
        request_id = long_job(server)
        for _ in range(3):
            at_work(server, request_id)
            (worker,) = server.service.workshop._hands[0].workers
            os.kill(worker, signal.SIGKILL)
            threading.Event().wait(0.5)
        body = server.ended(request_id)
        after = server.ended(server.submit(video_url=server.upload(clip()), prompt=LOOK))

    assert body["error"] == "The engine ended unexpectedly while it worked on this clip"
    assert after["status"] == "COMPLETED"


def test_a_clip_that_takes_too_long_is_given_up_and_its_worker_with_it(tmp_path: Path) -> None:
    with service(tmp_path / "data", workers=1, limits=Limits(job_s=2.5)) as server:
        long = server.upload(clip(width=640, height=480, frames=200))
        body = server.ended(server.submit(video_url=long, prompt=LOOK))
        hand = server.service.workshop._hands[0]

        assert "longer than 2.5 seconds" in body["error"]
        assert not hand.workers


def test_without_room_for_an_output_a_job_fails_and_the_service_goes_on(tmp_path: Path) -> None:
    with service(tmp_path / "data", workers=1, limits=Limits(data_bytes=50_000_000)) as server:
        answer = server.ask("POST", "/v1/modify-video", json={"video_url": server.upload(clip()), "prompt": LOOK})

        assert answer.status_code == 500
        assert "no room left" in answer.json()["error"]
        assert server.ask("GET", "/v1/get-user-credits").status_code == 200
