"""What was accepted outlives the service, however it ends; its workers do not."""

import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from batchmod.serve.queue import FILE_NAME, Queue, State
from tests.serving import Started, children_of, clip, data_url, is_alive, started
from tests.support import bare_environment, command, video_facts

LOOK = "a watercolour painting"
LONG = {"width": 160, "height": 120, "frames": 90}


def ask(server: Started, method: str, path: str, **more: Any) -> dict[str, Any]:
    answer = httpx.request(method, f"{server.url}{path}", trust_env=False, timeout=60, **more)
    body: dict[str, Any] = answer.json()
    return body


def submitted(server: Started, video: bytes) -> str:
    url = ask(server, "POST", "/upload-asset", json={"data_urls": [data_url(video)]})["urls"][0]
    found: str = ask(server, "POST", "/v2/modify-video", json={"video_url": url, "prompt": LOOK})["request_id"]
    return found


def state(server: Started, request_id: str) -> dict[str, Any]:
    return ask(server, "GET", f"/v2/requests/{request_id}/status")


def until_worked_on(server: Started, request_id: str) -> None:
    while not (body := state(server, request_id))["metrics"].get("frames_done"):
        assert body["status"] in ("QUEUED", "PROCESSING"), body
        threading.Event().wait(0.05)


def ended(server: Started, request_id: str) -> dict[str, Any]:
    while (body := state(server, request_id))["status"] not in ("COMPLETED", "FAILED"):
        threading.Event().wait(0.2)
    return body


def gone(pids: list[int], *, within_s: float = 5.0) -> bool:
    end = time.monotonic() + within_s
    while any(map(is_alive, pids)) and time.monotonic() < end:
        threading.Event().wait(0.05)
    return not any(map(is_alive, pids))


def test_after_a_kill_running_and_waiting_jobs_go_on_and_no_worker_is_left(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with started(data, "--workers", "1") as first:
        ids = [submitted(first, clip(**LONG)), submitted(first, clip()), submitted(first, clip(frames=12))]
        until_worked_on(first, ids[0])
        workers = children_of(first.process.pid)
        first.kill()

        assert workers
        assert gone(workers)
    with started(data, "--workers", "1") as second:
        assert all(state(second, each)["status"] in ("QUEUED", "PROCESSING") for each in ids)
        bodies = [ended(second, each) for each in ids]
        made = [
            httpx.get(ask(second, "GET", f"/v2/requests/{each}")["output"], trust_env=False).content for each in ids
        ]

    assert [body["status"] for body in bodies] == ["COMPLETED"] * 3
    for content, frames in zip(made, (90, 8, 12), strict=True):
        (tmp_path / "made.mp4").write_bytes(content)
        assert video_facts(tmp_path / "made.mp4").frames == frames
    assert not list((data / "jobs").iterdir())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_cleanly_and_what_is_left_goes_on(tmp_path: Path, number: int, code: int) -> None:
    data = tmp_path / "data"
    answers: list[httpx.Response] = []
    with started(data, "--workers", "1") as first:
        running, waiting = submitted(first, clip(**LONG)), submitted(first, clip())
        until_worked_on(first, running)
        workers = children_of(first.process.pid)
        url = ask(first, "POST", "/upload-asset", json={"data_urls": [data_url(clip())]})["urls"][0]
        asked = {"video_url": url, "prompt": LOOK}
        blocked = threading.Thread(target=lambda: answers.append(post_v1(first, asked)))
        blocked.start()
        while ask(first, "GET", "/inference-request/request-history")["total"] < 3:
            threading.Event().wait(0.05)
        begun = time.monotonic()
        ended_with, said = first.stop(number)
        took = time.monotonic() - begun
        blocked.join()

    assert ended_with == code
    assert "3 requests will go on when it is started again" in said
    assert "Traceback" not in said
    assert took < 10
    assert gone(workers)
    assert answers[0].status_code == 503
    assert "goes on when it starts again" in answers[0].json()["error"]
    queue = Queue.open(data / FILE_NAME)
    left = queue.unfinished()
    queue.close()
    assert [job.request_id for job in left][:2] == [running, waiting]
    assert {job.state for job in left} == {State.QUEUED}
    assert {job.beginnings for job in left} == {0}


@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.3, 1.0])
def test_ctrl_c_in_a_terminal_ends_it_without_a_trace_whatever_the_workers_are_doing(
    tmp_path: Path, after_s: float
) -> None:
    with started(tmp_path / "data", "--workers", "2") as server:
        submitted(server, clip(**LONG))
        submitted(server, clip(**LONG))
        threading.Event().wait(after_s)
        code, said = server.press_ctrl_c()

    assert code == 130
    assert said == "\nSIGINT: the service has ended; 2 requests will go on when it is started again.\n"


def post_v1(server: Started, inputs: dict[str, Any]) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/modify-video", json=inputs, trust_env=False, timeout=120)


def test_a_finished_job_and_its_files_are_still_there_after_a_restart(tmp_path: Path) -> None:
    with started(tmp_path / "data") as first:
        request_id = submitted(first, clip())
        assert ended(first, request_id)["status"] == "COMPLETED"
        output = ask(first, "GET", f"/v2/requests/{request_id}")["output"]
        content = httpx.get(output, trust_env=False).content
        first.kill()
    with started(tmp_path / "data") as second:
        again = httpx.get(f"{second.url}/outputs/{output.rsplit('/', 1)[1]}", trust_env=False)

        assert again.content == content


def test_what_a_kill_left_half_done_is_tidied_up(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name in ("incoming/half", "files/nobodys.mp4", "jobs/unknown/video"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_bytes(b"x")
    with started(data) as server:
        server.stop()

    assert not [path for path in data.rglob("*") if path.is_file() and path.read_bytes() == b"x"]


def test_a_clip_that_ended_the_service_three_times_is_not_tried_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with started(data) as server:
        server.stop()
    queue = Queue.open(data / FILE_NAME)
    queue.accept("poison", {"video_url": "http://127.0.0.1:9/a.mp4"}, at=time.time())
    for _ in range(3):
        queue.begin("poison", at=time.time())
    queue.close()
    with started(data) as server:
        body = ended(server, "poison")

    assert body["error"] == "The service ended 3 times while it worked on this clip"


def test_on_a_full_disk_an_upload_is_refused_and_the_service_goes_on(tmp_path: Path) -> None:
    """No file may grow beyond 512 kB, as on a disk that has no more."""
    with started(tmp_path / "data", under=("sh", "-c", 'ulimit -f 1000; exec "$@"', "sh")) as server:
        body = {"data_urls": [data_url(clip() + bytes(2_000_000))]}
        answer = httpx.post(f"{server.url}/upload-asset", json=body, trust_env=False, timeout=60)
        after = ask(server, "POST", "/upload-asset", json={"data_urls": [data_url(clip())]})
        left = list((tmp_path / "data" / "incoming").iterdir())
        _, said = server.stop()

    assert (answer.status_code, answer.json()) == (507, {"error": "The service has no room left on its disk"})
    assert len(after["urls"]) == 1
    assert left == []
    assert "Traceback" not in said


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = command("serve", "--port", port, "--data", tmp_path / "data", environ={})

    assert ran.code == 2
    assert ran.err == (
        f"batchmod: port {port} of 127.0.0.1 is in use by another program; stop it, or choose another --port "
        "[port_in_use]\n"
    )


def test_two_services_do_not_share_a_folder(tmp_path: Path) -> None:
    with started(tmp_path / "data"):
        ran = command("serve", "--port", "0", "--data", tmp_path / "data", environ={})

    assert ran.code == 4
    assert "[folder_in_use]" in ran.err


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_beyond_this_machine_a_key_is_needed(tmp_path: Path, host: str) -> None:
    ran = command(
        "serve", "--host", host, "--port", "0", "--data", tmp_path / "data", environ={"BATCHMOD_SERVE_KEY": " "}
    )

    assert ran.code == 2
    assert "export BATCHMOD_SERVE_KEY=" in ran.err
    assert "[missing_key]" in ran.err
    assert not (tmp_path / "data").exists()


def test_with_a_key_it_is_reached_by_address_and_the_key_is_asked_for(tmp_path: Path) -> None:
    key = "a-key-for-the-team"
    with started(tmp_path / "data", "--host", "0.0.0.0", environ={"BATCHMOD_SERVE_KEY": key}) as server:
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        without = httpx.get(f"{url}/v1/get-user-credits", trust_env=False)
        with_it = httpx.get(f"{url}/v1/get-user-credits", headers={"x-api-key": key}, trust_env=False)
        page = httpx.get(f"{url}/", trust_env=False)
        _, said = server.stop()

    assert (without.status_code, with_it.status_code, page.status_code) == (401, 200, 200)
    assert key not in said


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (("--host", "192.0.2.1"), "cannot be listened on"),
        (("--host", "no.such.host.invalid"), "is no address of this machine"),
        (("--public-url", "ftp://x"), "--public-url: not an http or https URL"),
        (("--port", "70000"), "must be 0 to 65535"),
        (("--workers", "0"), "must be 1 or more"),
        (("--max-data-gb", "0.5"), "must be 1 or more"),
    ],
)
def test_a_wrong_argument_is_told(tmp_path: Path, argv: tuple[str, ...], text: str) -> None:
    ran = command("serve", "--data", tmp_path / "data", *argv, environ={"BATCHMOD_SERVE_KEY": "k"})

    assert ran.code == 2
    assert text in ran.err
    assert "Traceback" not in ran.err


def test_a_queue_that_is_none_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / FILE_NAME).write_bytes(b"no database at all" * 100)
    ran = command("serve", "--port", "0", "--data", data, environ={})

    assert ran.code == 2
    assert "[record_refused]" in ran.err


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    ran = command("serve", "--port", "0", "--data", tmp_path / "file" / "data", environ={})

    assert ran.code == 2
    assert "cannot be written" in ran.err


def test_without_the_extra_the_install_command_is_told(tmp_path: Path) -> None:
    """A Python whose path has everything but the server."""
    hide = tmp_path / "hide"
    hide.mkdir()
    code = (
        "import importlib.machinery as m, sys\n"
        "before = m.PathFinder.find_spec.__func__\n"
        "def find(cls, name, *rest): return None if name == 'uvicorn' else before(cls, name, *rest)\n"
        "m.PathFinder.find_spec = classmethod(find)\n"
    )
    (hide / "sitecustomize.py").write_text(code)
    environ = {"PYTHONPATH": f"{hide}:{bare_environment().get('PYTHONPATH', '')}"}
    ran = command("serve", "--port", "0", "--data", tmp_path / "data", environ=environ)

    assert ran.code == 2
    assert ran.err == "batchmod: batchmod serve is not installed: pip install 'batchmod[serve]' [missing_extra]\n"
