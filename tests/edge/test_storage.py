"""Objects in a real S3 server: seen, fetched, put, signed, and every trouble in words."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchmod.errors import MissingExtra, StorageError
from batchmod.storage import Stores
from batchmod.storage.opening import opened
from tests.servers.buckets import Buckets, buckets

_MB = 1024**2


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Buckets]:
    with buckets() as made:
        for name, value in made.environ.items():
            monkeypatch.setenv(name, value)
        made.make("shop")
        yield made


@pytest.fixture
def stores(shop: Buckets) -> Iterator[Stores]:
    made = Stores()
    yield made
    made.close()


def test_an_object_is_seen_with_its_size_and_etag(shop: Buckets, stores: Stores) -> None:
    shop.put("shop", "a/b.mp4", b"12345")

    seen = stores.info("s3://shop/a/b.mp4")

    assert seen is not None
    assert (seen.url, seen.size) == ("s3://shop/a/b.mp4", 5)
    assert seen.etag == f'"{hashlib.md5(b"12345").hexdigest()}"'
    assert seen.modified is not None


@pytest.mark.parametrize("key", ["nobody.mp4", "a", "a/"])
def test_what_is_not_there_is_none_also_where_it_is_a_folder(shop: Buckets, stores: Stores, key: str) -> None:
    shop.put("shop", "a/b.mp4", b"12345")

    assert stores.info(f"s3://shop/{key}") is None


@pytest.mark.parametrize("key", ["with space.mp4", "a?b#c.mp4", "100%25.mp4", "größe+1.mp4", "a//b.mp4"])
def test_a_name_is_taken_letter_by_letter(shop: Buckets, stores: Stores, tmp_path: Path, key: str) -> None:
    shop.put("shop", key, b"these")

    stores.fetch(f"s3://shop/{key}", tmp_path / "got")

    assert (tmp_path / "got").read_bytes() == b"these"


def test_what_somebody_else_writes_is_seen_at_once(shop: Buckets, stores: Stores) -> None:
    shop.put("shop", "a/one", b"1")
    assert [each.url for each in stores.list("s3://shop/a")] == ["s3://shop/a/one"]

    shop.put("shop", "a/two", b"22")
    shop.put("shop", "a/one", b"111")

    assert [(each.url, each.size) for each in stores.list("s3://shop/a/")] == [
        ("s3://shop/a/one", 3),
        ("s3://shop/a/two", 2),
    ]


def test_a_folder_of_a_longer_name_is_not_listed(shop: Buckets, stores: Stores) -> None:
    shop.put("shop", "ab/one", b"1")

    assert list(stores.list("s3://shop/a")) == []


def test_a_large_object_goes_up_in_parts_and_comes_back(shop: Buckets, stores: Stores, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(os.urandom(40 * _MB))

    put = stores.put(tmp_path / "large", "s3://shop/large")
    stores.fetch("s3://shop/large", tmp_path / "back")

    assert put.size == 40 * _MB
    assert (tmp_path / "back").read_bytes() == (tmp_path / "large").read_bytes()
    assert len(shop.requests("PUT", "/shop/large")) == 3
    assert shop.unfinished("shop") == 0


def test_an_upload_that_fails_in_the_middle_leaves_nothing(shop: Buckets, stores: Stores, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(40 * _MB))
    shop.before["PUT /shop/large"] = lambda: shop.refused.update({"PUT /shop/large": (403, "AccessDenied")})

    with pytest.raises(StorageError) as caught:
        stores.put(tmp_path / "large", "s3://shop/large")

    assert caught.value.slug == "store_refused"
    assert shop.content("shop", "large") is None
    assert shop.unfinished("shop") == 0


def test_a_process_that_is_killed_while_it_uploads_leaves_no_object(shop: Buckets, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(40 * _MB))
    shop.delays["PUT /shop/large"] = 3.0
    came = threading.Event()
    shop.before["PUT /shop/large"] = came.set
    code = (
        "import sys; from pathlib import Path; from batchmod.storage import Stores;"
        "Stores().put(Path(sys.argv[1]), sys.argv[2])"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "large"), "s3://shop/large"])

    assert came.wait(30)
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert shop.content("shop", "large") is None


def test_a_second_one_does_not_overwrite_what_is_to_be_absent(shop: Buckets, stores: Stores, tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    stores.write(b"theirs", "s3://shop/lease", if_absent=True)

    with pytest.raises(StorageError) as small:
        stores.write(b"mine", "s3://shop/lease", if_absent=True)
    with pytest.raises(StorageError) as whole:
        stores.put(tmp_path / "mine", "s3://shop/lease", if_absent=True)

    assert (small.value.slug, whole.value.slug) == ("object_there", "object_there")
    assert stores.read("s3://shop/lease") == b"theirs"


def test_a_fetch_that_fails_leaves_what_was_there(shop: Buckets, stores: Stores, tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"old")

    with pytest.raises(StorageError) as caught:
        stores.fetch("s3://shop/nobody", tmp_path / "there")

    assert caught.value.slug == "object_missing"
    assert "s3://shop/nobody" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert (tmp_path / "there").read_bytes() == b"old"


def test_an_object_that_changes_while_it_is_fetched_is_no_mixture(
    shop: Buckets, stores: Stores, tmp_path: Path
) -> None:
    shop.put("shop", "clip", b"first")
    shop.before["GET /shop/clip"] = lambda: shop.put("shop", "clip", b"other")

    with pytest.raises(StorageError) as caught:
        stores.fetch("s3://shop/clip", tmp_path / "clip")

    assert caught.value.retry
    assert list(tmp_path.iterdir()) == []


def test_a_removed_object_is_gone_and_removing_it_again_is_no_error(shop: Buckets, stores: Stores) -> None:
    shop.put("shop", "a", b"1")

    stores.remove("s3://shop/a")
    stores.remove("s3://shop/a")

    assert shop.keys("shop") == []


def test_the_beginning_and_the_end_are_read_alone(shop: Buckets, stores: Stores) -> None:
    shop.put("shop", "clip", b"head" + bytes(100) + b"tail")
    shop.put("shop", "small", b"abc")

    pieces = stores.pieces("s3://shop/clip", size=4)
    small = stores.pieces("s3://shop/small", size=4)

    assert (pieces.head, pieces.tail, pieces.stored.size) == (b"head", b"tail", 108)
    assert (small.head, small.tail) == (b"abc", b"")


def test_a_signed_url_is_good_for_anybody_until_it_expires(shop: Buckets, stores: Stores) -> None:
    shop.put("shop", "a b.mp4", b"12345")

    signed = stores.presign("s3://shop/a b.mp4", 60)
    expired = stores.presign("s3://shop/a b.mp4", 1)
    assert signed is not None
    assert expired is not None
    with urllib.request.urlopen(signed) as answer:
        assert answer.read() == b"12345"
    threading.Event().wait(2.1)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(expired)


def test_without_credentials_nothing_is_signed(shop: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    assert Stores().presign("s3://shop/a") is None


def test_a_store_in_ones_own_network_gives_no_url_for_a_service_outside(shop: Buckets, stores: Stores) -> None:
    assert stores.presign_public("s3://shop/a") is None
    assert stores.presign_public("s3://shop/a", near=True) is not None


def test_credentials_that_are_missing_are_said_to_be(shop: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(StorageError) as caught:
        Stores().info("s3://shop/a")

    assert caught.value.slug == "no_store_credentials"
    assert "AWS_PROFILE" in str(caught.value)


def test_credentials_of_a_stranger_are_refused_without_being_shown(
    shop: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOFSOMEBODY")

    with pytest.raises(StorageError) as caught:
        Stores().info("s3://shop/a")

    assert caught.value.slug == "store_refused"
    assert "AKIDOFSOMEBODY" not in str(caught.value)


def test_a_bucket_that_is_missing_is_told_from_an_object_that_is(shop: Buckets, stores: Stores) -> None:
    with pytest.raises(StorageError) as caught:
        stores.info("s3://nobodys/a")

    assert caught.value.slug == "bucket_missing"
    assert "s3://nobodys" in str(caught.value)


def test_a_store_that_is_down_is_unreachable_and_worth_another_try(monkeypatch: pytest.MonkeyPatch) -> None:
    with buckets() as gone:
        pass
    for name, value in gone.environ.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(StorageError) as caught:
        Stores().info("s3://shop/a")

    assert caught.value.slug == "store_unreachable"
    assert caught.value.retry


def test_a_busy_store_is_asked_again(shop: Buckets, stores: Stores) -> None:
    shop.put("shop", "a", b"1")
    shop.refused["GET /shop/a"] = (503, "SlowDown")
    seen: list[int] = []

    def count() -> None:
        seen.append(1)
        if len(seen) == 2:
            shop.refused.clear()

    shop.before["GET /shop/a"] = count

    assert stores.read("s3://shop/a") == b"1"


@pytest.mark.parametrize(("scheme", "extra"), [("gs", "gs"), ("az", "azure")])
def test_a_store_whose_library_is_not_installed_says_what_to_install(scheme: str, extra: str) -> None:
    with pytest.raises(MissingExtra, match=rf"pip install 'batchmod\[{extra}\]'"):
        opened(scheme)
