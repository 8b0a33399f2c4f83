"""The library, as a program uses it: in an event loop, in threads, in notebooks, and typed."""

import asyncio
import dataclasses
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import batchmod
from batchmod import (
    Action,
    Event,
    FolderInUse,
    ManifestError,
    MissingKey,
    SpendingNeedsAWord,
    Status,
    StoppedEarly,
    Summary,
    UsageError,
    load_manifest,
    plan,
    run,
    run_sync,
)
from tests.servers.segmind import SegmindStandIn
from tests.support import bare_environment, read_events, read_results, remote_rows, write_clip, write_manifest

_ROOT = Path(__file__).parents[2]
_PACE: Any = {"submits_per_minute": 6000, "polls_per_minute": 60000}
_PAID: Any = {"yes": True, **_PACE}


@pytest.fixture
def server() -> Iterator[SegmindStandIn]:
    with SegmindStandIn(queued_s=0, processing_s=0) as running:
        yield running


@pytest.fixture
def environ(server: SegmindStandIn, tmp_path: Path) -> dict[str, str]:
    return {**server.environment(), "BATCHMOD_HOME": str(tmp_path / "home")}


def shots(path: Path, environ: dict[str, str], *ids: str, **wishes: Any) -> batchmod.LoadedManifest:
    write_manifest(path, remote_rows(*ids))
    return load_manifest(path, environ=environ, provider="segmind", **wishes)


def test_a_manifest_is_loaded_planned_and_run(tmp_path: Path, environ: dict[str, str], server: SegmindStandIn) -> None:
    loaded = shots(tmp_path / "m.yaml", environ, "a", "b")
    outlook = plan(loaded)
    asked = len(server.ledger.requests)
    done = run_sync(loaded, **_PAID)

    assert asked == 0
    assert (loaded.name, loaded.folder, [row.id for row in loaded.rows]) == ("m", tmp_path / "outputs/m", ["a", "b"])
    assert (outlook.counts, outlook.ids(Action.SEND)) == ({Action.SEND: 2}, ("a", "b"))
    assert (done.ok, done.counts, done.made) == (True, {"succeeded": 2}, 2)
    assert done.spent_usd == pytest.approx(server.ledger.billed_usd)
    assert plan(loaded).counts == {Action.KEEP: 2}
    assert run_sync(loaded, **_PAID).made == 0
    assert server.ledger.accepted == 2


def test_a_path_does_for_a_manifest(tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.yaml", remote_rows("a"))

    assert plan(str(tmp_path / "m.yaml")).counts == {Action.SEND: 1}


def test_the_table_has_the_columns_of_results_csv(tmp_path: Path, environ: dict[str, str]) -> None:
    rows = [{**row, "shot": "012"} for row in remote_rows("a", "b")]
    write_manifest(tmp_path / "m.yaml", rows)
    done = run_sync(load_manifest(tmp_path / "m.yaml", environ=environ, provider="segmind"), **_PAID)
    table = done.to_frame()
    in_file = read_results(done.folder)

    assert isinstance(table, pd.DataFrame)
    assert list(table.columns) == list(in_file[0])
    assert table["id"].tolist() == ["a", "b"]
    assert table["shot"].tolist() == ["012", "012"]
    assert table["cost_usd"].sum() == pytest.approx(1.2)
    assert table["width"].tolist() == [64, 64]


def test_a_table_of_what_was_never_run_has_the_columns_and_no_lines(tmp_path: Path) -> None:
    made = Summary(folder=tmp_path, exit_code=0, counts={}, made=0, copied=0, spent_usd=0.0, seconds=0.0)

    assert made.to_frame().empty
    assert "status" in made.to_frame().columns
    assert list(made.rows) == []


def test_rows_are_typed(tmp_path: Path, environ: dict[str, str], server: SegmindStandIn) -> None:
    server.faults.add("error_400", match="b.mp4")
    done = run_sync(shots(tmp_path / "m.yaml", environ, "a", "b"), **_PAID)
    first, second = done.rows

    assert (first.id, first.status, first.version) == ("a", Status.SUCCEEDED, 1)
    assert first.cost_usd == pytest.approx(0.6)
    assert first.output == done.folder / "videos/a_v001.mp4"
    assert first.output.is_file()
    assert (second.status, second.output, second.error_code) == (Status.FAILED, None, "bad_request")
    assert (done.ok, done.exit_code) == (False, 1)


def test_what_is_answered_is_frozen(tmp_path: Path, environ: dict[str, str]) -> None:
    loaded = shots(tmp_path / "m.yaml", environ, "a")
    done = run_sync(loaded, **_PAID)

    for value in (loaded, plan(loaded), done, next(done.rows), plan(loaded).shares[0]):
        field = dataclasses.fields(value)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field, "another")


def test_every_problem_of_a_manifest_is_raised_at_once(tmp_path: Path) -> None:
    rows = remote_rows("a", "b")
    rows[0]["mode"], rows[1]["promt"] = "flex_9", rows[1].pop("prompt")
    write_manifest(tmp_path / "m.yaml", rows)
    with pytest.raises(ManifestError) as raised:
        load_manifest(tmp_path / "m.yaml")

    assert len(raised.value.problems) == 2
    assert all(problem.place.line for problem in raised.value.problems)


def test_what_would_be_paid_needs_a_word(tmp_path: Path, environ: dict[str, str], server: SegmindStandIn) -> None:
    loaded = shots(tmp_path / "m.yaml", environ, "a")
    with pytest.raises(SpendingNeedsAWord, match="yes=True"):
        run_sync(loaded)

    assert server.ledger.submits_seen == 0
    assert run_sync(loaded, max_cost_usd=5, **_PACE).ok


def test_a_missing_key_is_raised(tmp_path: Path, environ: dict[str, str]) -> None:
    del environ["SEGMIND_API_KEY"]
    with pytest.raises(MissingKey):
        run_sync(shots(tmp_path / "m.yaml", environ, "a"), yes=True)


def test_what_the_system_refuses_is_raised_as_the_end_of_a_run(tmp_path: Path, environ: dict[str, str]) -> None:
    loaded = shots(tmp_path / "m.yaml", environ, "a")
    loaded.folder.mkdir(parents=True)
    (loaded.folder / ".work").write_text("where the run wants a folder", "utf-8")
    with pytest.raises(StoppedEarly, match=r"\.work: File exists; run again to go on") as raised:
        run_sync(loaded, **_PAID)

    assert (raised.value.slug, raised.value.exit_code) == ("system", 3)


def test_a_manifest_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.yaml"):
        load_manifest(tmp_path / "nowhere.yaml")


def test_a_stop_is_in_the_summary(tmp_path: Path, environ: dict[str, str]) -> None:
    done = run_sync(shots(tmp_path / "m.yaml", environ, "a", "b"), max_cost_usd=4, max_in_flight=1, **_PACE)

    assert (done.ok, done.stop_reason, done.exit_code) == (False, "budget", 3)
    assert done.counts == {"succeeded": 1, "planned": 1}


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"max_in_flight": 0}, "max_in_flight must be 1 or more"),
        ({"max_in_flight": 1.5}, "max_in_flight must be a whole number"),
        ({"max_cost_usd": "5"}, "max_cost_usd must be a number, not '5'"),
        ({"submits_per_minute": 0}, "must be more than 0"),
        ({"pay_again": 7}, "pay_again must be a text or several"),
        ({"yes": True, "until": "22:00"}, "until must be a datetime or Unix seconds"),
        ({"yes": True, "verify": "no"}, "verify must be one of decode, container"),
        ({"yes": True, "if_locked": "fail"}, "if_locked must be one of refuse, wait, skip"),
    ],
)
def test_a_wish_that_cannot_be_is_refused(wishes: Any, words: str, tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.yaml", remote_rows("a"))
    with pytest.raises(UsageError, match=words):
        (run_sync if "yes" in wishes else plan)(tmp_path / "m.yaml", **wishes)


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"where": "a=b"}, "where must be a mapping"),
        ({"first": "3"}, "first must be a whole number"),
        ({"input_format": "pdf"}, "input_format must be one of yaml, csv"),
        ({"delimiter": "ab"}, "delimiter must be comma, semicolon, tab, pipe, or one character"),
    ],
)
def test_a_way_of_reading_that_cannot_be_is_refused(wishes: Any, words: str, tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.yaml", remote_rows("a"))
    with pytest.raises(UsageError, match=words):
        load_manifest(tmp_path / "m.yaml", **wishes)


def test_a_delimiter_may_be_said_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("id|video_url\na|https://example.com/a.mp4\n")

    assert [row.id for row in load_manifest(tmp_path / "m.csv", delimiter="pipe").rows] == ["a"]


def test_a_wish_that_there_is_not_is_a_type_error(tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.yaml", remote_rows("a"))
    with pytest.raises(TypeError, match="there is no option 'max_costs_usd' here"):
        plan(tmp_path / "m.yaml", max_costs_usd=5)  # type: ignore[call-arg]


def test_one_pattern_is_one_pattern(tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.yaml", remote_rows("ab", "a", "b"))

    assert plan(load_manifest(tmp_path / "m.yaml", only="a*")).ids(Action.SEND) == ("ab", "a")
    assert plan(load_manifest(tmp_path / "m.yaml", only=["a", "b"])).ids(Action.SEND) == ("a", "b")


def test_two_runs_go_on_in_one_loop_into_two_folders(
    tmp_path: Path, environ: dict[str, str], server: SegmindStandIn
) -> None:
    server.configure(processing_s=0.5)
    seen: dict[str, list[float]] = {"one": [], "two": []}

    async def both() -> list[Summary]:
        made = [shots(tmp_path / f"{name}.yaml", environ, f"{name}-a", f"{name}-b") for name in seen]
        assert [plan(each).counts for each in made] == [{Action.SEND: 2}] * 2
        return await asyncio.gather(*(run(each, observe=watch(seen[each.name]), **_PAID) for each in made))

    def watch(heard: list[float]) -> Callable[[Event], None]:
        return lambda _: heard.append(time.monotonic())

    first, second = asyncio.run(both())

    assert (first.ok, second.ok, server.ledger.accepted) == (True, True, 4)
    assert (first.folder.name, second.folder.name) == ("one", "two")
    assert seen["one"][0] < seen["two"][-1]
    assert seen["two"][0] < seen["one"][-1]  # at once, not one after the other


def test_the_same_folder_twice_at_once_is_refused(
    tmp_path: Path, environ: dict[str, str], server: SegmindStandIn
) -> None:
    server.configure(processing_s=0.5)
    loaded = shots(tmp_path / "m.yaml", environ, "a")

    async def both() -> list[Summary | BaseException]:
        return list(await asyncio.gather(run(loaded, **_PAID), run(loaded, **_PAID), return_exceptions=True))

    made = asyncio.run(both())

    assert [type(each) for each in made] == [Summary, FolderInUse]
    assert server.ledger.accepted == 1


def test_run_sync_works_where_a_loop_runs_already(tmp_path: Path, environ: dict[str, str]) -> None:
    async def notebook() -> Summary:
        return run_sync(shots(tmp_path / "m.yaml", environ, "a"), **_PAID)

    assert asyncio.run(notebook()).ok


def test_a_thread_other_than_the_main_one_may_run(tmp_path: Path, environ: dict[str, str]) -> None:
    made: list[Summary] = []
    loaded = shots(tmp_path / "m.yaml", environ, "a")
    other = shots(tmp_path / "n.yaml", environ, "b")

    def work() -> None:
        made.append(asyncio.run(run(loaded, **_PAID)))
        made.append(run_sync(other, **_PAID))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert [each.ok for each in made] == [True, True]


def test_a_cancelled_task_drains_like_a_first_ctrl_c(
    tmp_path: Path, environ: dict[str, str], server: SegmindStandIn
) -> None:
    server.faults.add("accept_then_delay", seconds=1.0)
    loaded = shots(tmp_path / "m.yaml", environ, "a", "b", "c")

    async def cancelled() -> None:
        task = asyncio.create_task(run(loaded, **_PAID))
        await asyncio.to_thread(server.ledger.wait_until, lambda ledger: ledger.submits_seen == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    asyncio.run(cancelled())
    (work,) = [event for event in read_events(loaded.folder) if event["event"] == "submitted"]
    about = json.loads((loaded.folder / "run.json").read_text("utf-8"))

    assert work["request_id"] == server.ledger.jobs[0].request_id  # what was in the air was written down
    assert server.ledger.submits_seen == 1
    assert about["stop_reason"] == "task_cancelled"
    assert [line["status"] for line in read_results(loaded.folder)] == ["submitted", "planned", "planned"]
    done = run_sync(loaded, **_PAID)
    assert (done.ok, server.ledger.accepted, server.ledger.paid_twice()) == (True, 3, {})


def test_cancelled_once_more_it_stops_at_once_and_the_next_run_looks_it_up(
    tmp_path: Path, environ: dict[str, str], server: SegmindStandIn
) -> None:
    server.faults.add("accept_then_delay", seconds=30.0)
    loaded = shots(tmp_path / "m.yaml", environ, "a")

    async def cancelled() -> float:
        task = asyncio.create_task(run(loaded, **_PAID))
        await asyncio.to_thread(server.ledger.wait_until, lambda ledger: ledger.accepted == 1)
        began = time.monotonic()
        task.cancel()
        await asyncio.sleep(0.2)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - began

    assert asyncio.run(cancelled()) < 10
    assert (run_sync(loaded, history_grace_s=0.3, **_PAID).ok, server.ledger.accepted) == (True, 1)


def test_a_timeout_drains_too(tmp_path: Path, environ: dict[str, str], server: SegmindStandIn) -> None:
    server.configure(processing_s=600)
    loaded = shots(tmp_path / "m.yaml", environ, "a")

    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await run(loaded, **_PAID)

    asyncio.run(impatient())

    assert server.ledger.accepted == 1
    assert plan(loaded).counts == {Action.RESUME: 1}


def test_no_signal_handler_is_touched_and_nothing_is_printed(
    tmp_path: Path, environ: dict[str, str], server: SegmindStandIn, capfd: pytest.CaptureFixture[str]
) -> None:
    server.faults.add("error_400", match="b.mp4")
    during: set[object] = set()
    before = [signal.getsignal(number) for number in signal.valid_signals()]

    def watch(_: Event) -> None:
        during.add(tuple(signal.getsignal(number) for number in signal.valid_signals()))

    loaded = shots(tmp_path / "m.yaml", environ, "a", "b")
    plan(loaded)
    run_sync(loaded, observe=watch, **_PAID)
    loop = asyncio.new_event_loop()  # asyncio.run itself listens to Ctrl-C while it runs
    loop.run_until_complete(run(loaded, observe=watch, **_PAID))
    loop.close()

    assert during == {tuple(before)}
    assert [signal.getsignal(number) for number in signal.valid_signals()] == before
    assert capfd.readouterr() == ("", "")


INTERRUPTED = """
import signal
from batchmod import load_manifest, run_sync
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever starts the tests in the background ignores it
try:
    run_sync(load_manifest('m.yaml', provider='segmind'), yes=True)
except KeyboardInterrupt:
    print('interrupted')
"""


def test_ctrl_c_drains_run_sync_and_is_raised_then(
    tmp_path: Path, environ: dict[str, str], server: SegmindStandIn
) -> None:
    write_manifest(tmp_path / "m.yaml", remote_rows("a", "b"))
    server.faults.add("accept_then_delay", seconds=1.5)
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED], cwd=tmp_path, env=bare_environment() | environ, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    server.ledger.wait_until(lambda ledger: ledger.submits_seen == 1, timeout_s=30)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)

    assert (out, err, process.returncode) == ("interrupted\n", "", 0)
    assert [line["status"] for line in read_results(tmp_path / "outputs/m")] == ["submitted", "planned"]


def test_the_observer_hears_every_event(tmp_path: Path, environ: dict[str, str]) -> None:
    heard: list[Event] = []
    done = run_sync(shots(tmp_path / "m.yaml", environ, "a"), observe=heard.append, **_PAID)
    kinds = [event.kind for event in heard]

    assert kinds[:2] == ["run_started", "planned"]
    assert kinds[-1] == "run_ended"
    assert [k for k in kinds if k not in ("polled", "progress")] == [e["event"] for e in read_events(done.folder)]


def test_an_observer_that_fails_stops_the_run_and_its_error_comes_out(
    tmp_path: Path, environ: dict[str, str], server: SegmindStandIn
) -> None:
    loaded = shots(tmp_path / "m.yaml", environ, "a", "b", "c")

    def fail(event: Event) -> None:
        if event.kind == "intended":
            raise ZeroDivisionError("the caller's own")

    with pytest.raises(ZeroDivisionError, match="the caller's own") as raised:
        run_sync(loaded, observe=fail, max_in_flight=1, **_PAID)

    assert "can be gone on with" in raised.value.__notes__[0]
    assert server.ledger.accepted == 1  # what was in the air was not left half sent
    assert plan(loaded).counts.get(Action.ASK, 0) == 0
    assert run_sync(loaded, **_PAID).ok
    assert (server.ledger.accepted, server.ledger.paid_twice()) == (3, {})


def test_importing_it_imports_nothing_heavy(tmp_path: Path) -> None:
    def modules(code: str) -> set[str]:
        done = subprocess.run(
            [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
            capture_output=True, text=True, check=True, cwd=tmp_path,
        )  # fmt: skip
        return set(done.stdout.split())

    assert not {"asyncio", "sqlite3", "jsonschema", "yaml", "batchmod.errors"} & modules("import batchmod")
    heavy = {"pandas", "httpx", "aiohttp", "cv2", "numba", "tqdm", "batchmod.cli"}
    assert not heavy & modules("from batchmod import load_manifest, plan, run, run_sync")


def test_every_public_name_is_there_and_typed() -> None:
    stub = (Path(batchmod.__file__).with_name("__init__.pyi")).read_text("utf-8")
    listed = stub[stub.index("__all__") :]

    for name in batchmod.__all__:
        assert getattr(batchmod, name) is not None
        assert f'"{name}"' in listed
    assert listed.count('"') == 2 * len(batchmod.__all__)
    assert set(batchmod.__all__) <= set(dir(batchmod))
    assert Path(batchmod.__file__).with_name("py.typed").exists()
    with pytest.raises(AttributeError, match="has no attribute 'lode_manifest'"):
        batchmod.lode_manifest  # type: ignore[attr-defined]  # noqa: B018


USERS = """
import asyncio
from pathlib import Path
from batchmod import Event, ManifestError, Outlook, Summary, load_manifest, plan, run, run_sync

def watch(event: Event) -> None:
    reveal_type(event.facts)

async def main(path: Path) -> float:
    shots = load_manifest(path, provider="segmind", only="a*", where={"Status": "ready"})
    outlook: Outlook = plan(shots, max_cost_usd=5)
    done: Summary = await run(shots, observe=watch, yes=True)
    reveal_type(done.to_frame())
    for row in done.rows:
        reveal_type(row.output)
    return outlook.cost.high + done.spent_usd + run_sync("m.yaml").seconds

try:
    asyncio.run(main(Path("m.yaml")))
except ManifestError as error:
    reveal_type(error.problems)
"""
WRONG = """
from batchmod import load_manifest, plan, run_sync
plan(load_manifest("m.yaml", provder="segmind"))
run_sync("m.yaml", yes="of course")
"""


def test_a_users_script_is_checked_by_mypy_in_its_strictest_mode(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(USERS, "utf-8")
    (tmp_path / "wrong.py").write_text(WRONG, "utf-8")
    words = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--config-file="]
    words += ["--cache-dir", str(tmp_path / "cache"), "--follow-imports", "silent", "good.py", "wrong.py"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    notes = [line.partition("Revealed type is ")[2].strip('"') for line in lines if "Revealed" in line]

    assert [line for line in lines if "good.py" in line and "error:" in line] == [], done.stdout + done.stderr
    assert [note.replace("builtins.", "") for note in notes] == [
        "typing.Mapping[str, Any]",
        "pandas.core.frame.DataFrame",
        "pathlib.Path | None",
        "tuple[batchmod.errors.Problem, ...]",
    ]
    errors = [line for line in lines if "wrong.py" in line and "error:" in line]
    assert len(errors) == 2, errors


def test_a_script_without_a_guard_runs_the_engine(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4")
    write_manifest(tmp_path / "m.yaml", [{"id": "a", "video_url": "a.mp4", "prompt": "pencil drawing"}])
    script = tmp_path / "script.py"
    script.write_text("from batchmod import run_sync\nprint(run_sync('m.yaml').counts)\n", "utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=bare_environment(), capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.stderr, done.returncode) == ("{'succeeded': 1}\n", "", 0)
