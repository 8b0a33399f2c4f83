"""`on_succeeded`: started for each output at least once, only where it is allowed, and never in the run's way."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import events
from tests.servers.segmind import SegmindStandIn
from tests.serving import children_of, is_alive
from tests.support import PACE, Shoot, bare_environment, call, read_events, remote_rows, shoot

RECORDER = """#!{python}
import json, os, sys
with open({told!r}, "a") as told:
    told.write(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]) + "\\n")
print("published", sys.argv[1])
sys.exit({code})
"""


@pytest.fixture
def server() -> Iterator[SegmindStandIn]:
    with SegmindStandIn(queued_s=0, processing_s=0) as running:
        yield running


def _program(folder: Path, *, code: int | str = 0, text: str = RECORDER) -> Path:
    """A program that writes down how it was started."""
    path = folder / "tools" / "publish"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text.format(python=sys.executable, told=str(folder / "told"), code=code))
    path.chmod(0o755)
    return path


def _told(folder: Path) -> list[tuple[list[str], str, dict[str, str]]]:
    path = folder / "told"
    return [tuple(json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def _work(folder: Path, server: SegmindStandIn, *ids: str, **top: Any) -> Shoot:
    rows = [{**row, "shot": f"shot {row['id']}"} for row in remote_rows(*ids)]
    command = ["tools/publish", "{output}", "{id}", "{shot}", "v{version}", "{{plain}}"]
    return shoot(folder, server, rows, **{"on_succeeded": command, "hooks": {"tries": 1}, **top})


def _outputs(folder: Path) -> list[str]:
    return sorted(Path(argv[0]).name for argv, _, _ in _told(folder))


def test_each_output_is_handed_to_the_program_once(server: SegmindStandIn, tmp_path: Path) -> None:
    _program(tmp_path)
    work = _work(tmp_path, server, "a", "b")
    environ = {**work.environ, "FAL_KEY": "secret-1", "BATCHMOD_VAR_X": "secret-2", "KITSU_PASSWORD": "theirs"}
    environ |= {"STUDIO_KEY": "secret-3"}  # that of another manifest of the same command
    words = ("--allow-hooks", "--key-env", "STUDIO_KEY")
    codes = [work.run(*words, environ=environ).code for _ in range(2)]
    told = sorted(_told(tmp_path))

    assert codes == [0, 0]
    assert [argv for argv, _, _ in told] == [
        [str(work.folder / f"videos/{row_id}_v001.mp4"), row_id, f"shot {row_id}", "v1", "{plain}"] for row_id in "ab"
    ]
    assert {cwd for _, cwd, _ in told} == {str(work.folder)}
    for argv, _, variables in told:
        assert variables["BATCHMOD_OUTPUT"] == argv[0]
        assert variables["BATCHMOD_ID"] == argv[1]
        assert variables["BATCHMOD_REQUEST_ID"]
        assert variables["KITSU_PASSWORD"] == "theirs"
        assert (
            not {"SEGMIND_API_KEY", "FAL_KEY", "BATCHMOD_VAR_X", "BATCHMOD_SERVE_KEY", "STUDIO_KEY"} & variables.keys()
        )
        assert server.key not in str(variables)
    events.check_all((work.folder / "events.jsonl").read_text())
    assert "published" in (work.folder / "hooks" / "a_v001_mp4.log").read_text()
    assert sorted(e["output"] for e in read_events(work.folder) if e["event"] == "hook_succeeded") == [
        "videos/a_v001.mp4",
        "videos/b_v001.mp4",
    ]


def test_a_copy_for_another_id_is_an_output_too(server: SegmindStandIn, tmp_path: Path) -> None:
    _program(tmp_path)
    work = _work(tmp_path, server, "a")
    work.run("--allow-hooks")
    work.rows(
        [remote_rows("a")[0], {**remote_rows("a")[0], "id": "b"}],
        on_succeeded=["tools/publish", "{output}", "{id}", "", "v{version}", "{{plain}}"],
        hooks={"tries": 1},
    )
    work.run("--allow-hooks")
    work.run("--allow-hooks")

    assert server.ledger.submits_seen == 1
    # the arguments are others, hence the program is a new one: what was there before is not its business
    assert _outputs(tmp_path) == ["a_v001.mp4", "b_v001.mp4"]


def test_nothing_is_started_that_nobody_has_allowed(server: SegmindStandIn, tmp_path: Path) -> None:
    program = _program(tmp_path)
    work = _work(tmp_path, server, "a")
    done = work.run()
    plan = work.run("--dry-run")

    assert (done.code, _told(tmp_path)) == (0, [])
    for said in (done.err, plan.err):
        assert f"{program} is not started: nobody has allowed it; say --allow-hooks" in said
        assert str(work.home / "config.yaml") in said


@pytest.mark.parametrize(("manifests", "starts"), [(None, True), ("{folder}/*.yaml", True), ("/elsewhere/*", False)])
def test_the_users_configuration_allows_a_program(
    server: SegmindStandIn, tmp_path: Path, manifests: str | None, *, starts: bool
) -> None:
    program = _program(tmp_path)
    work = _work(tmp_path, server, "a")
    globs = f", manifests: ['{manifests.format(folder=tmp_path)}']" if manifests else ""
    work.home.mkdir()
    (work.home / "config.yaml").write_text(f"allow: {{programs: [{{program: {program}{globs}}}]}}\n")

    assert (work.run().code, bool(_told(tmp_path))) == (0, starts)


def test_a_manifest_that_lies_nowhere_is_none_of_those_in_a_folder(
    server: SegmindStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = _program(tmp_path)
    work = _work(tmp_path, server, "a")
    work.home.mkdir()
    allowed = f"allow: {{programs: [{{program: {program}, manifests: ['{tmp_path}/*']}}]}}\n"
    (work.home / "config.yaml").write_text(allowed)
    monkeypatch.chdir(tmp_path)
    with work.manifest.open("rb") as given:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(given))
        piped = call("plan", "-", "--output", work.folder, environ=work.environ)

    assert "is not started" not in call("plan", work.manifest, environ=work.environ).err
    assert f"{program} is not started: nobody has allowed it" in piped.err


def test_a_broken_configuration_is_said_before_anything_is_sent(server: SegmindStandIn, tmp_path: Path) -> None:
    work = _work(tmp_path, server, "a")
    work.home.mkdir()
    (work.home / "config.yaml").write_text("allow: {program: x}\n")
    done = work.run("--allow-hooks")

    assert (done.code, server.ledger.submits_seen) == (2, 0)
    assert f"{work.home / 'config.yaml'}:1:9" in done.err
    assert "did you mean 'programs'?" in done.err


def test_a_rehearsal_is_nobodys_business(server: SegmindStandIn, tmp_path: Path) -> None:
    _program(tmp_path)
    work = _work(tmp_path, server, "a")
    work.run("--allow-hooks", "--rehearse")

    assert _told(tmp_path) == []


def test_a_program_that_fails_fails_no_run_and_is_started_by_the_next_one(
    server: SegmindStandIn, tmp_path: Path
) -> None:
    _program(tmp_path, code=3)
    work = _work(tmp_path, server, "a", "b")
    first = work.run("--allow-hooks")

    assert (first.code, set(work.statuses().values())) == (0, {"succeeded"})
    assert "tools/publish failed for" in first.err
    events.check_all((work.folder / "events.jsonl").read_text())
    assert {e["message"] for e in read_events(work.folder) if e["event"] == "hook_failed"} == {"it ended with 3"}

    _program(tmp_path)
    second = work.run("--allow-hooks")

    assert (second.code, server.ledger.submits_seen) == (0, 2)
    assert "failed for" not in second.err
    assert len(_told(tmp_path)) == 4

    work.run("--allow-hooks")

    assert len(_told(tmp_path)) == 4


def test_it_is_tried_again_within_a_run(server: SegmindStandIn, tmp_path: Path) -> None:
    told = str(tmp_path / "told")
    _program(tmp_path, code=f"0 if len(open({told!r}).readlines()) > 1 else 1")
    work = _work(tmp_path, server, "a", hooks={"tries": 2})
    done = work.run("--allow-hooks")

    assert (done.code, len(_told(tmp_path))) == (0, 2)
    assert "failed for" not in done.err


@pytest.mark.slow
def test_after_ten_runs_it_is_given_up(server: SegmindStandIn, tmp_path: Path) -> None:
    work = _work(tmp_path, server, "a", on_succeeded=["no-such-program", "{output}"])
    said = [work.run("--allow-hooks").err for _ in range(12)]

    assert ["failed for" in each for each in said] == [True] * 10 + [False] * 2
    assert ["starts it again" in each for each in said] == [True] * 9 + [False] * 3
    assert "no run starts it any more" in said[9]
    assert "no-such-program cannot be started" in (work.folder / "hooks.jsonl").read_text()


def test_a_program_that_hangs_is_ended_with_all_it_has_started(server: SegmindStandIn, tmp_path: Path) -> None:
    hang = "#!/bin/sh\nsleep 600 &\necho $! > {told}\nwait\n"
    _program(tmp_path, text=hang)
    work = _work(tmp_path, server, "a", hooks={"tries": 1, "timeout_s": 0.3})
    done = work.run("--allow-hooks")

    assert done.code == 0
    assert "it had not ended after 0.3 s" in (work.folder / "hooks.jsonl").read_text()
    assert not is_alive(int((tmp_path / "told").read_text()))


@pytest.mark.slow
def test_what_it_says_is_kept_up_to_a_megabyte(server: SegmindStandIn, tmp_path: Path) -> None:
    _program(tmp_path, text="#!{python}\nprint('x' * 3_000_000)\n")
    work = _work(tmp_path, server, "a")

    assert work.run("--allow-hooks").code == 0
    assert 1_000_000 < (work.folder / "hooks" / "a_v001_mp4.log").stat().st_size < 1_100_000


def test_a_value_that_looks_like_an_option_starts_nothing(server: SegmindStandIn, tmp_path: Path) -> None:
    _program(tmp_path)
    rows = [{**remote_rows("a")[0], "shot": "--delete-everything"}]
    work = shoot(tmp_path, server, rows, on_succeeded=["tools/publish", "{shot}"], hooks={"tries": 1})

    assert (work.run("--allow-hooks").code, _told(tmp_path)) == (0, [])
    assert "could be taken for an option" in (work.folder / "hooks.jsonl").read_text()


def test_outputs_from_before_it_are_left_alone(server: SegmindStandIn, tmp_path: Path) -> None:
    _program(tmp_path)
    work = _work(tmp_path, server, "old")
    work.run()
    work.rows(remote_rows("old", "new"), on_succeeded=["tools/publish", "{output}"], hooks={"tries": 1})
    work.run("--allow-hooks")

    assert _outputs(tmp_path) == ["new_v001.mp4"]


def test_a_killed_run_leaves_what_it_owes_to_the_next(server: SegmindStandIn, tmp_path: Path) -> None:
    _program(tmp_path, text="#!/bin/sh\necho x >> {told}\nexec sleep 600\n")
    work = _work(tmp_path, server, "a", "b", "c", hooks={"tries": 1, "at_once": 1, "timeout_s": 900})
    words = ["run", str(work.manifest), "--provider", "segmind", "--yes", "--allow-hooks", *PACE]
    process = subprocess.Popen(
        [sys.executable, "-m", "batchmod", *words],
        env={**bare_environment(), **work.environ},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    while len(work.outputs()) < 3 or not (tmp_path / "told").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    time.sleep(0.3)
    hanging = children_of(process.pid)
    process.kill()
    process.wait()
    for pid in hanging:
        os.kill(pid, signal.SIGKILL)
    (tmp_path / "told").unlink()
    _program(tmp_path)
    again = work.run("--allow-hooks")

    assert (again.code, server.ledger.submits_seen) == (0, 3)
    assert _outputs(tmp_path) == ["a_v001.mp4", "b_v001.mp4", "c_v001.mp4"]


@pytest.mark.slow
def test_a_stop_waits_for_no_program_that_has_not_begun(server: SegmindStandIn, tmp_path: Path) -> None:
    _program(tmp_path, text="#!/bin/sh\necho x >> {told}\nexec sleep 600\n")
    work = _work(tmp_path, server, "a", "b", hooks={"tries": 1, "at_once": 1, "timeout_s": 900})
    words = ["run", str(work.manifest), "--provider", "segmind", "--yes", "--allow-hooks", "--drain-seconds", "0.5"]
    process = subprocess.Popen(
        [sys.executable, "-m", "batchmod", *words, *PACE],
        env={**bare_environment(), **work.environ},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    while len(work.outputs()) < 2 or not (tmp_path / "told").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=30) == 143
    (tmp_path / "told").unlink()
    _program(tmp_path)
    work.run("--allow-hooks")

    assert _outputs(tmp_path) == ["a_v001.mp4", "b_v001.mp4"]


def test_programs_delay_no_request(server: SegmindStandIn, tmp_path: Path) -> None:
    gate = "#!/bin/sh\ni=0\nwhile [ ! -e {told} ] && [ $i -lt 200 ]; do sleep 0.05; i=$((i+1)); done\n"
    _program(tmp_path, text=gate)
    ids = [f"r{number}" for number in range(6)]
    work = _work(tmp_path, server, *ids, hooks={"tries": 1, "at_once": 1})
    words = ["run", str(work.manifest), "--provider", "segmind", "--yes", "--allow-hooks", *PACE]
    process = subprocess.Popen(
        [sys.executable, "-m", "batchmod", *words],
        env={**bare_environment(), **work.environ},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    while len(work.outputs()) < len(ids):  # the first program waits for all of this
        assert time.monotonic() < until
        time.sleep(0.05)
    assert '"done"' not in (work.folder / "hooks.jsonl").read_text()
    (tmp_path / "told").touch()

    assert process.wait(timeout=60) == 0
    assert (work.folder / "hooks.jsonl").read_text().count('"done"') == len(ids)
