"""`output: https://…`: a web server's folder as a store; files appear there whole, and nothing is paid twice."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchmod.errors import StorageError
from batchmod.storage import WebDav
from tests.servers.segmind import SegmindStandIn
from tests.servers.webdav import PASSWORD, USER, Shelf, shelf
from tests.support import Ran, Shoot, call, files_holding, remote_rows, shoot


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Shelf]:
    with shelf(tmp_path / "shelf") as made:
        yield made


@pytest.fixture
def server() -> Iterator[SegmindStandIn]:
    with SegmindStandIn(queued_s=0, processing_s=0) as made:
        yield made


@pytest.fixture
def dav(there: Shelf) -> Iterator[WebDav]:
    made = WebDav(user=USER, password=PASSWORD)
    yield made
    made.close()


def machine(folder: Path, server: SegmindStandIn, there: Shelf, *ids: str) -> Shoot:
    return shoot(folder, server, remote_rows(*ids), output=f"{there.url}/2026/autumn")


def run(work: Shoot, there: Shelf, *more: str) -> Ran:
    return work.run(*more, environ=work.environ | there.environ)


def test_a_run_puts_its_folder_up_and_another_machine_goes_on(
    tmp_path: Path, there: Shelf, server: SegmindStandIn
) -> None:
    one = machine(tmp_path / "one", server, there, "a", "b")
    first = run(one, there)
    up = tmp_path / "shelf" / "2026" / "autumn"
    assert (first.code, server.ledger.billed) == (0, 2), first.err
    assert (up / "videos" / "a_v001.mp4").read_bytes() == (one.folder / "videos" / "a_v001.mp4").read_bytes()
    assert (up / "results.csv").read_bytes() == (one.folder / "results.csv").read_bytes()
    assert not [name for name in there.names() if "/." in name], "nothing half"

    shutil.rmtree(tmp_path / "one")
    two = machine(tmp_path / "two", server, there, "a", "b", "c")
    there.asked.clear()
    done = run(two, there)
    assert (done.code, server.ledger.billed) == (0, 3), done.err
    assert two.outputs() == ["c_v001.mp4"]
    assert not [path for verb, path in there.asked if verb == "GET" and path.endswith(".mp4")]


def test_what_is_up_is_not_sent_again(tmp_path: Path, there: Shelf, server: SegmindStandIn) -> None:
    work = machine(tmp_path / "one", server, there, "a", "b")
    run(work, there)
    there.asked.clear()
    again = run(work, there)

    assert again.code == 0
    assert not [path for verb, path in there.asked if verb in ("PUT", "MOVE") and "videos" in path]


def test_a_wrong_password_is_found_before_anything_is_sent_and_stands_nowhere(
    tmp_path: Path, there: Shelf, server: SegmindStandIn
) -> None:
    work = machine(tmp_path / "one", server, there, "a")
    wrong = {**there.environ, "BATCHMOD_STORE_PASSWORD": "not-it-9876543210"}
    done = work.run(environ=work.environ | wrong)
    right = run(work, there)

    assert (done.code, right.code, server.ledger.submits_seen) == (2, 0, 1), done.err
    assert "BATCHMOD_STORE_PASSWORD" in done.err
    for secret in (PASSWORD, "not-it-9876543210"):
        assert secret not in done.out + done.err + right.out + right.err
        assert not files_holding(secret, tmp_path)


def test_a_server_that_refuses_files_costs_none(tmp_path: Path, there: Shelf, server: SegmindStandIn) -> None:
    work = machine(tmp_path / "one", server, there, "a")
    there.fault = lambda verb, path: 507 if verb == "PUT" and "/videos/" in path else None
    done = run(work, there)
    there.fault = lambda _verb, _path: None
    again = run(work, there)

    assert (done.code, again.code, server.ledger.submits_seen) == (3, 0, 1), done.err
    assert "2026/autumn/videos/a_v001.mp4" in there.names()


def test_a_plain_address_is_for_this_machine_only(tmp_path: Path, server: SegmindStandIn) -> None:
    work = shoot(tmp_path / "x", server, remote_rows("a"), output="http://mirror.example.com/autumn")
    done = call("check", work.manifest, environ=work.environ)

    assert done.code == 2
    assert "plain http" in done.err


def test_a_file_is_put_read_listed_and_removed(there: Shelf, dav: WebDav, tmp_path: Path) -> None:
    root = f"{there.url}/deep/er"
    (tmp_path / "f").write_bytes(b"content")
    put = dav.put(tmp_path / "f", f"{root}/größe und mehr.mp4")
    dav.write(b"{}", f"{root}/sub/card.json")
    dav.fetch(put.url, tmp_path / "back")

    assert (put.size, (tmp_path / "back").read_bytes()) == (7, b"content")
    assert sorted(each.url for each in dav.list(root)) == [f"{root}/größe und mehr.mp4", f"{root}/sub/card.json"]
    assert json.loads(dav.read(f"{root}/sub/card.json")) == {}
    assert put.modified
    dav.remove(put.url)
    dav.remove(put.url)
    assert dav.info(put.url) is None
    assert list(dav.list(f"{there.url}/nowhere")) == []


def test_what_is_to_be_absent_is_not_overwritten(there: Shelf, dav: WebDav) -> None:
    url = f"{there.url}/lease/000001.json"
    dav.write(b"first", url, if_absent=True)

    with pytest.raises(StorageError, match="there already"):
        dav.write(b"second", url, if_absent=True)
    assert dav.read(url) == b"first"
    assert there.names() == ["lease/000001.json"]


def test_a_file_is_not_there_before_it_is_whole(there: Shelf, dav: WebDav, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(1 << 20))
    there.fault = lambda verb, _path: 500 if verb == "MOVE" else None

    with pytest.raises(StorageError):
        dav.put(tmp_path / "f", f"{there.url}/videos/a.mp4")
    assert there.names() == []


def test_a_server_that_is_down_is_unreachable(there: Shelf, dav: WebDav) -> None:
    with pytest.raises(StorageError) as error:
        dav.read("http://127.0.0.1:9/x")

    assert (error.value.slug, error.value.retry) == ("store_unreachable", True)
