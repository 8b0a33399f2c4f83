"""On a real Ray cluster: the driver killed, interrupted, without its head; work that kills; machines that come."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.clusters import Cluster, ancestors, caught_working, until, writers
from tests.contract.test_ray import manifest, outputs
from tests.support import bare_environment, command, read_results

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = Cluster.begin({}, {})
    try:
        yield made
    finally:
        made.end()
        assert not made.processes()


def words(path: Path, folder: Path, cluster: Cluster) -> tuple[str, ...]:
    return "run", str(path), "--output", str(folder), "--executor", "ray", "--ray-address", cluster.address


@contextmanager
def running(*argv: str, environ: Mapping[str, str] = {}) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-m", "batchmod", *argv],
        env=bare_environment() | dict(environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run_json(folder: Path) -> Any:
    return json.loads((folder / "run.json").read_text())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_nothing_works_on_when_its_driver_is_gone_and_the_next_run_goes_on(
    cluster: Cluster, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    path, folder = manifest(tmp_path, long=3, short=1), tmp_path / "out"
    with running(*words(path, folder, cluster)) as run:
        caught_working(cluster.nodes[1], folder / ".work")
        run.send_signal(number)
        run.communicate(timeout=120)
        assert run.returncode == code
    until(lambda: not writers(folder / ".work"), seconds=30)
    again = command(*words(path, folder, cluster), environ={})
    plain = command("run", path, "--output", tmp_path / "plain", environ={})

    assert again.code == plain.code == 0, again.err + plain.err
    assert outputs(folder) == outputs(tmp_path / "plain")


def test_a_lost_head_ends_the_run_in_good_order(cluster: Cluster, tmp_path: Path) -> None:
    path, folder = manifest(tmp_path, long=12, short=1), tmp_path / "out"
    with running(*words(path, folder, cluster), environ={"RAY_gcs_rpc_server_reconnect_timeout_s": "3"}) as run:
        caught_working(cluster.nodes[1], folder / ".work")
        cluster.nodes[0].kill()
        _, err = run.communicate(timeout=200)
        assert run.returncode == 3, err
    assert "the cluster is gone" in err
    assert run_json(folder)["stop_reason"] == "cluster_lost"
    assert {line["status"] for line in read_results(folder)} <= {"planned", "succeeded"}

    assert command("run", path, "--output", folder, environ={}).code == 0


def killed_over_its_first_row(folder: Path, *argv: str | Path) -> int:
    """The exit code of a run whose workers die whenever they have begun the first row's output."""
    over = threading.Event()

    def kill() -> None:
        while not over.is_set():
            for pid, name in writers(folder / ".work").items():
                if Path(name).name.startswith("1.made"):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)

    killing = threading.Thread(target=kill)
    killing.start()
    try:
        return command(*argv, environ={}).code
    finally:
        over.set()
        killing.join()


def test_a_row_that_kills_its_workers_fails_alone(cluster: Cluster, tmp_path: Path) -> None:
    path = manifest(tmp_path, long=2, short=1)
    for folder, argv in (
        (tmp_path / "ray", words(path, tmp_path / "ray", cluster)),
        (tmp_path / "out", ("run", path, "--output", tmp_path / "out")),
    ):
        code = killed_over_its_first_row(folder, *argv)
        lines = read_results(folder)

        assert code == 1
        assert [line["error_code"] for line in lines] == ["worker_died", "", ""]
        assert "3 workers died over it" in lines[0]["error"]


def test_a_machine_that_comes_in_the_middle_is_given_work(cluster: Cluster, tmp_path: Path) -> None:
    path, folder = manifest(tmp_path, long=12, short=0), tmp_path / "out"
    cluster.nodes[2].kill()
    with running(*words(path, folder, cluster)) as run:
        caught_working(cluster.nodes[1], folder / ".work")
        new = cluster.add()
        until(lambda: any(new.process.pid in ancestors(pid) for pid in writers(folder / ".work")), seconds=200)
        _, err = run.communicate(timeout=400)
        assert run.returncode == 0, err
