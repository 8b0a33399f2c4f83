"""Each guard of the test suite bites."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests import guards

STRANGER = ("192.0.2.1", 443)  # a network for documentation: nobody is there


@pytest.mark.parametrize("how", ["connect", "connect_ex"])
def test_a_connection_to_another_machine_is_refused(how: str, strangers: list[Any]) -> None:
    with socket.socket() as plug, pytest.raises(guards.StrangerError):
        getattr(plug, how)(STRANGER)

    assert strangers == [STRANGER]
    strangers.clear()


def test_a_connection_by_name_is_refused(strangers: list[Any]) -> None:
    with socket.socket() as plug, pytest.raises(guards.StrangerError):
        plug.connect(("api.segmind.com", 443))

    strangers.clear()


def test_a_datagram_to_another_machine_is_refused(strangers: list[Any]) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as plug, pytest.raises(guards.StrangerError):
        plug.sendto(b"", STRANGER)

    strangers.clear()


def test_a_connection_that_asyncio_opens_is_refused(strangers: list[Any]) -> None:
    with pytest.raises(guards.StrangerError):
        asyncio.run(asyncio.open_connection(*STRANGER))

    assert strangers
    strangers.clear()


@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, ("10.0.0.1", 80)),
        (socket.AF_INET, ("0.0.0.0", 80)),
        (socket.AF_INET, ("localhost.example", 80)),
        (socket.AF_INET6, ("2001:db8::1", 80, 0, 0)),
        (socket.AF_INET6, ("::ffff:192.0.2.1", 80, 0, 0)),
    ],
)
def test_only_loopback_is_near(family: int, address: Any) -> None:
    assert not guards.is_near(family, address)


@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, ("127.0.0.1", 80)),
        (socket.AF_INET, ("127.1.2.3", 80)),
        (socket.AF_INET, ("localhost", 80)),
        (socket.AF_INET6, ("::1", 80, 0, 0)),
        (socket.AF_INET6, ("::ffff:127.0.0.1", 80, 0, 0)),
    ],
)
def test_this_machine_is_near(family: int, address: Any) -> None:
    assert guards.is_near(family, address)


def test_a_server_on_loopback_is_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as plug:
        peer, address = server.accept()
        peer.close()

        assert plug.getsockname() == address


def test_home_and_caches_are_the_tests_own(tmp_path: Path) -> None:
    home = Path(os.environ["HOME"])

    assert home.is_relative_to(tmp_path.parent)
    assert not list(home.iterdir())
    assert Path(os.environ["XDG_CACHE_HOME"]).is_relative_to(home)
    assert Path(os.environ["BATCHMOD_HOME"]).is_relative_to(home)


def test_the_current_folder_is_the_tests_own(tmp_path: Path) -> None:
    assert Path.cwd() == tmp_path
    assert not list(tmp_path.iterdir())


def test_keys_base_urls_and_proxies_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("SEGMIND_API_KEY", "SEGMIND_HISTORY_BASE_URL", "FAL_KEY", "BATCHMOD_VAR_X", "https_proxy", "HTTP_PROXY")
    for name in names:
        monkeypatch.setenv(name, "x")
    guards.forget_keys(monkeypatch)

    assert not [name for name in names if name in os.environ]


def test_no_test_begins_with_a_key() -> None:
    assert not [name for name in os.environ if name.endswith(("_API_KEY", "_BASE_URL"))]


INNER = """
import os, socket

def test_what_a_test_sees():
    assert "SEGMIND_API_KEY" not in os.environ
    assert os.environ["HOME"] != "/nowhere"
    assert os.environ["TZ"] == "UTC"

def test_that_gets_over_a_refused_connection():
    try:
        socket.socket().connect(("192.0.2.1", 443))
    except Exception:
        pass
"""


def test_the_guards_stand_around_every_test(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n", "utf-8")
    (tmp_path / "test_inner.py").write_text(INNER, "utf-8")
    outside = {"SEGMIND_API_KEY": "sk", "HOME": "/nowhere", "TZ": "Asia/Tokyo"}
    outside |= {"PYTHONPATH": str(root), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    told = subprocess.run(words, env={**os.environ, **outside}, capture_output=True, text=True, check=False).stdout

    assert "2 passed, 1 error" in told, told
    assert "ERROR test_inner.py::test_that_gets_over_a_refused_connection" in told


def test_the_time_zone_is_utc() -> None:
    assert time.tzname == ("UTC", "UTC")
    assert time.localtime(0).tm_hour == 0


def test_the_engine_keeps_its_machine_code_beyond_the_test(tmp_path: Path) -> None:
    folder = Path(os.environ["NUMBA_CACHE_DIR"])
    code = "from batchmod.engine import compiled; print(compiled.CACHED, compiled.numba.config.CACHE_DIR)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert not folder.is_relative_to(tmp_path.parent)
    assert said == ["True", str(folder)]
