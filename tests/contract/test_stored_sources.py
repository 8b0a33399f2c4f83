"""Clips in buckets: the service gets a signed URL or the file itself, nothing is paid for what is not there."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from batchmod import files, providers, work
from batchmod.model import Call, Done, Failed, Status, Step
from batchmod.providers.local import Local
from batchmod.storage import Stores
from tests import given
from tests.contract.test_every_provider import CLIP, rows, running
from tests.servers.buckets import Buckets, buckets
from tests.servers.clips import Clip, encoded, unique
from tests.servers.standin import StandIn
from tests.support import Shoot, bare_environment, call, files_holding, shoot, video_facts, write_manifest

SIGNED = "X-Amz-Signature"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", providers.HOSTED)
    if "uploader" in metafunc.fixturenames:
        metafunc.parametrize("uploader", [name for name in providers.HOSTED if providers.facts(name).uploads])


@pytest.fixture
def shop() -> Iterator[Buckets]:
    with buckets() as made:
        made.make("shop")
        made.put("shop", "day 1/a.mp4", encoded(CLIP))
        yield made


def _work(folder: Path, server: StandIn, name: str = "segmind", *, url: str = "s3://shop/day 1/a.mp4") -> Shoot:
    (row,) = rows(providers.facts(name), "a")
    return shoot(folder, server, [{**row, "video_url": url}], at=name)


def _environ(work: Shoot, shop: Buckets, **more: str) -> dict[str, str]:
    return {**work.environ, **shop.environ, **more}


def _urls(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value.startswith("http"):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _urls(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _urls(inner)


def test_a_service_gets_a_signed_url_that_gives_the_object(shop: Buckets, tmp_path: Path, name: str) -> None:
    with running(name) as server:
        work = _work(tmp_path, server, name)
        done = work.run(environ=_environ(work, shop))

        assert done.code == 0, done.err
        (job,) = server.ledger.jobs
        (sent,) = [url for url in _urls(job.inputs) if SIGNED in url]
        with urllib.request.urlopen(sent) as answer:
            assert answer.read() == encoded(CLIP)
        assert files_holding(SIGNED, tmp_path) == []
        assert SIGNED not in done.out + done.err
        assert work.results()["a"]["video_url"] == "s3://shop/day 1/a.mp4"
        again = work.run(environ=_environ(work, shop))
        assert (again.code, server.ledger.submits_seen) == (0, 1)


def test_where_the_store_cannot_sign_the_object_goes_up_as_a_file_does(
    shop: Buckets, tmp_path: Path, uploader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stores, "presign_public", lambda *_, **__: None)
    local = tmp_path / "local" / "a.mp4"
    local.parent.mkdir()
    local.write_bytes(encoded(CLIP))
    with running(uploader) as server, running(uploader) as other:
        work = _work(tmp_path / "stored", server, uploader)
        done = work.run(environ=_environ(work, shop))
        as_file = _work(tmp_path / "local", other, uploader, url="a.mp4")

        assert as_file.run().code == done.code == 0, done.err
        assert server.ledger.uploads == other.ledger.uploads
        assert [job.identity for job in server.ledger.jobs] == [job.identity for job in other.ledger.jobs]
        assert not list((work.folder / ".work").glob("*"))
        again = work.run(environ=_environ(work, shop))
        assert (again.code, server.ledger.submits_seen) == (0, 1)


def test_a_service_that_takes_urls_alone_is_asked_nothing_where_the_store_cannot_sign(
    shop: Buckets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stores, "presign_public", lambda *_, **__: None)
    with running("luma") as server:
        work = _work(tmp_path, server, "luma")
        done = work.run(environ=_environ(work, shop))

        assert (done.code, server.ledger.submits_seen) == (1, 0)
        assert "cannot be signed for a service that takes URLs alone" in done.err


def test_a_request_whose_answer_was_lost_is_found_by_its_object_however_it_was_signed(
    shop: Buckets, tmp_path: Path
) -> None:
    with running("segmind") as server:
        work = _work(tmp_path, server)
        server.faults.add("accept_then_reset", on="submit")
        done = work.run(environ=_environ(work, shop))

        assert (done.code, work.statuses()) == (0, {"a": "succeeded"}), done.err
        assert (server.ledger.submits_seen, server.ledger.billed) == (1, 1)
        assert files_holding(SIGNED, tmp_path) == []


def test_what_a_service_repeats_of_a_signed_url_is_kept_nowhere(shop: Buckets, tmp_path: Path) -> None:
    with running("segmind") as server:
        work = _work(tmp_path, server)
        server.faults.add("failed_422", text="could not read https://b.example.com/a?X-Amz-Signature=1234&b=2 there")
        done = work.run(environ=_environ(work, shop))

        assert done.code == 1
        assert files_holding(SIGNED, tmp_path) == []
        assert SIGNED not in done.out + done.err


@pytest.mark.parametrize(
    ("url", "more", "code", "slug"),
    [
        ("s3://shop/nobody.mp4", {}, 1, "object_missing"),
        ("s3://nobodys/a.mp4", {}, 1, "bucket_missing"),
        ("s3://shop/day 1/a.mp4", {"AWS_ACCESS_KEY_ID": "AKIDOFSOMEBODY"}, 1, "store_refused"),
        ("s3://shop/day 1/a.mp4", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, 3, "no_store_credentials"),
    ],
)
def test_nothing_is_sent_for_an_object_that_cannot_be_had(
    shop: Buckets, tmp_path: Path, url: str, more: Mapping[str, str], code: int, slug: str
) -> None:
    with running("segmind") as server:
        work = _work(tmp_path, server, url=url)
        environ = {name: value for name, value in _environ(work, shop, **more).items() if value}
        done = work.run(environ=environ)

        assert (done.code, server.ledger.submits_seen) == (code, 0), done.err
        assert slug in done.err + work.results()["a"]["error_code"]
        assert "AKID" not in done.out + done.err


def test_a_library_that_is_not_installed_is_said_before_anything_is_sent(shop: Buckets, tmp_path: Path) -> None:
    with running("segmind") as server:
        work = _work(tmp_path, server, url="gs://shop/a.mp4")
        done = work.run(environ=_environ(work, shop))

        assert (done.code, server.ledger.submits_seen) == (2, 0)
        assert "pip install 'batchmod[gs]'" in done.err


def test_check_says_all_that_is_wrong_with_objects_at_once(shop: Buckets, tmp_path: Path) -> None:
    shop.put("shop", "page.mp4", b"<html>log in</html>")
    good = {"mode": "flex_1", "prompt": "as wool"}
    rows_ = [
        {"id": "good", "video_url": "s3://shop/day 1/a.mp4", **good},
        {"id": "gone", "video_url": "s3://shop/nobody.mp4", **good},
        {"id": "page", "video_url": "s3://shop/page.mp4", **good},
        {"id": "frame", "video_url": "s3://shop/day 1/a.mp4", "first_frame_url": "s3://shop/nobody.png", **good},
    ]
    with running("segmind") as server:
        work = shoot(tmp_path, server, rows_)
        done = call("check", work.manifest, "--provider", "segmind", environ=_environ(work, shop))

    said = done.out + done.err
    assert "s3://shop/nobody.mp4: it is not there" in said
    assert "s3://shop/page.mp4: it is an HTML page, not a clip" in said
    assert "s3://shop/nobody.png: it is not there" in said
    assert "a.mp4:" not in said


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3://shop", "a bucket and a name"),
        ("s3://shop/a/", "a bucket and a name"),
        ("s3:///a.mp4", "a bucket and a name"),
        ("s3://shop/a.mp4?versionId=3", "not an older version"),
        ("s3://key:secret@shop/a.mp4", "must not hold a user or password"),
    ],
)
def test_an_objects_url_that_cannot_be_one_is_refused_unseen(tmp_path: Path, url: str, words: str) -> None:
    with running("segmind") as server:
        work = _work(tmp_path, server, url=url)
        done = call("check", work.manifest, "--no-media", environ=work.environ)

    assert done.code == 2
    assert words in done.out + done.err


def test_rows_from_a_sheet_are_named_by_their_objects(shop: Buckets, tmp_path: Path) -> None:
    sheet = tmp_path / "shots.csv"
    sheet.write_text("video_url,mode,prompt\ns3://shop/day 1/a.mp4,flex_1,wool\ns3://shop/b#2?.mp4,flex_1,wool\n")
    with running("segmind") as server:
        done = call("plan", sheet, "--provider", "segmind", "--json", environ=_environ(_work(tmp_path, server), shop))

    assert [item["id"] for item in json.loads(done.out)[0]["items"]] == ["a", "b-2"]


def test_an_object_that_is_another_clip_now_is_another_request(shop: Buckets, tmp_path: Path) -> None:
    with running("segmind") as server:
        (row,) = rows(providers.facts("segmind"), "a")
        work = shoot(tmp_path, server, [{**row, "video_url": "s3://shop/day 1/a.mp4"}], recheck_sources="etag")
        assert [work.run(environ=_environ(work, shop)).code for _ in range(2)] == [0, 0]
        shop.put("shop", "day 1/a.mp4", unique(encoded(CLIP), "another"))
        assert [work.run(environ=_environ(work, shop)).code for _ in range(2)] == [0, 0]

        assert server.ledger.submits_seen == 2
        assert work.outputs() == ["a_v001.mp4", "a_v002.mp4"]


def test_the_engine_fetches_the_object_and_keeps_nothing_of_it(shop: Buckets, tmp_path: Path) -> None:
    shop.put("shop", "small.mp4", encoded(Clip(width=64, height=48, frames=4)))
    manifest = write_manifest(
        tmp_path / "shots.yaml",
        [{"id": "a", "video_url": "s3://shop/small.mp4", "mode": "flex_1", "prompt": "a pencil drawing"}],
    )
    environ = {"BATCHMOD_HOME": str(tmp_path / "home"), **shop.environ}
    done = call("run", manifest, "--provider", "local", "--score-remote", "--wait-scores", environ=environ)

    folder = tmp_path / "outputs" / "shots"
    assert done.code == 0, done.err
    assert video_facts(folder / "videos" / "a_v001.mp4").frames == 4
    assert "could not be fetched" not in done.err
    assert [path.name for path in (folder / "thumbs").iterdir() if "source" in path.name] == ["a_v001.source.jpg"]
    assert not list((folder / ".work").glob("*"))


class Elsewhere:
    """Workers on another machine: they see no file of ours, and have an environment of their own."""

    width, is_elsewhere, shares_files = 1, True, False

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ, self.asked = environ, 0

    async def begin(self, folder: Path) -> None: ...

    async def submit(self, function: Callable[..., Any], *values: object, reads: Sequence[str] = ()) -> Any:
        assert not reads
        self.asked += 1
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environ.items():
                patch.setenv(name, value)
            return function(*values)

    def close(self) -> None: ...


async def _made(local: Local, url: str) -> Step:
    video = {"location": url, "local": False, "identity": f"url:{url}"}
    inputs = {"video": video, "first_frame": None, "mode": "adhere_1", "prompt": "a pencil drawing"}
    made = local.begin(given.work(given.job(facts=given.LOCAL), Status.PLANNED, inputs=inputs))
    assert isinstance(made, Call)
    step = local.next(made.state, await local.send(made))
    await local.close()
    return step


@pytest.mark.parametrize(("theirs", "asked"), [("AKIDOFTHETESTS", 1), ("AKIDOFNOBODY", 2)])
def test_a_machine_elsewhere_fetches_the_object_itself_or_gets_it_from_here(
    shop: Buckets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theirs: str, asked: int
) -> None:
    for name, value in shop.environ.items():
        monkeypatch.setenv(name, value)
    shop.put("shop", "small.mp4", encoded(Clip(width=64, height=48, frames=4)))
    workers = Elsewhere({"AWS_ACCESS_KEY_ID": theirs})
    local = Local(executor=workers, scratch=tmp_path)

    assert isinstance(asyncio.run(_made(local, "s3://shop/small.mp4")), Done)
    assert workers.asked == asked
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("through", "done"), [("s3://shop/out/.work", Done), ("s3://nobodys/.work", Failed), (None, Failed)]
)
def test_an_output_that_is_too_large_to_carry_comes_home_through_the_store(
    shop: Buckets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, through: str | None, done: type[Step]
) -> None:
    for name, value in shop.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(work, "MOST_CARRIED", 100)
    shop.put("shop", "small.mp4", encoded(Clip(width=64, height=48, frames=4)))
    local = Local(executor=Elsewhere({}), scratch=tmp_path, through=through)
    step = asyncio.run(_made(local, "s3://shop/small.mp4"))

    assert isinstance(step, done), step
    assert shop.keys("shop") == ["day 1/a.mp4", "small.mp4"]
    if isinstance(step, Done):
        assert video_facts(Path(step.location)).frames == 4
        assert files.sha256_of(Path(step.location)) == step.state.sha256
    else:
        assert isinstance(step, Failed)
        assert step.slug == "too_large_to_carry"


def test_frames_and_delivered_copies_take_their_clip_from_the_bucket(shop: Buckets, tmp_path: Path) -> None:
    shop.put("shop", "loud.mp4", encoded(Clip(width=64, height=48, frames=60, fps=30, audio=True)))
    with running("segmind") as server:
        work = _work(tmp_path, server, url="s3://shop/loud.mp4")
        environ = _environ(work, shop)
        frames = call("frames", work.manifest, environ=environ)
        assert frames.code == 0, frames.err
        assert [path.name for path in (tmp_path / "frames").iterdir()] == ["a.png"]
        assert work.run(environ=environ).code == 0
        copies = call("deliver", work.manifest, "sound=source", "duration=output", "fetch=yes", environ=environ)

    assert copies.code == 0, copies.err
    (copy,) = (work.folder / "delivered").rglob("*.mp4")
    assert video_facts(copy).audio


def test_ctrl_c_does_not_wait_for_a_store_that_says_nothing(shop: Buckets, tmp_path: Path) -> None:
    shop.delays["GET /shop/day 1/a.mp4"] = 25.0
    asked = threading.Event()
    shop.before["GET /shop/day 1/a.mp4"] = asked.set
    manifest = write_manifest(
        tmp_path / "shots.yaml", [{"id": "a", "video_url": "s3://shop/day 1/a.mp4", "prompt": "a pencil drawing"}]
    )
    environ = bare_environment() | {"BATCHMOD_HOME": str(tmp_path / "home"), **shop.environ}
    words = (sys.executable, "-m", "batchmod", "run", str(manifest), "--provider", "local", "--no-scores")
    with subprocess.Popen(words, env=environ, stderr=subprocess.PIPE, text=True) as run:
        assert asked.wait(30)
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=6)

    assert run.returncode == 130, err
    assert "Traceback" not in err


def test_what_a_lost_folder_paid_for_is_found_by_its_object_and_no_signature_is_kept(
    shop: Buckets, tmp_path: Path
) -> None:
    with running("segmind") as server:
        first = _work(tmp_path / "lost", server)
        assert first.run(environ=_environ(first, shop)).code == 0
        work = _work(tmp_path / "found", server)
        words = ("rescue", work.manifest, "--provider", "segmind", "--polls-per-minute", "60000")
        done = call(*words, environ=_environ(work, shop))

        assert done.code == 0, done.err
        assert work.statuses() == {"a": "succeeded"}
        assert files_holding(SIGNED, tmp_path) == []
        assert (work.run(environ=_environ(work, shop)).code, server.ledger.submits_seen) == (0, 1)
