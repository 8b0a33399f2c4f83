"""Files of 100 MB on their way out and in, seen from outside: how much memory their process ever had."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.sockets import Peer, RawServer, keep_answering
from tests.support import bare_environment

SIZE = 100_000_000
MEGABYTE = 2**20
LIMIT = 16 * MEGABYTE
"""What a process may grow by: pieces on their way, and whatever else it had not loaded before."""

CLIENT = """
import asyncio, json, sys
from pathlib import Path
from batchmod.model import FileAsBytes, FileAsDataUrl, Request
from batchmod.transport import Transport

origin, clip, digest, how = sys.argv[1:]
FILE = FileAsBytes(path=clip, media_type="video/mp4", sha256=digest)
BODIES = {
    "form": {"form": {"purpose": "clip", "file": FILE}},
    "bytes": {"file": FILE},
    "data_url": {"json": {"video": FileAsDataUrl(path=clip, media_type="video/mp4", sha256=digest)}},
}

def most():
    "The most memory this process ever had, in bytes; getrusage tells its parent's too."
    status = Path("/proc/self/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))

async def main():
    transport = Transport()
    small = await transport.send(Request(method="POST", url=origin, json={}))
    before = most()
    if how == "download":
        got = await transport.download(f"{origin}/large", Path(clip).with_suffix(".part"), loopback_allowed=True)
        outcome = [got.ok, got.bytes, got.sha256]
    else:
        outcome = [(await transport.send(Request(method="POST", url=origin, **BODIES[how]))).status]
    await transport.aclose()
    print(json.dumps({"small": small.status, "outcome": outcome, "grown": most() - before}))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A file of 100 MB, most of it a hole, and its hash."""
    path = tmp_path_factory.mktemp("large") / "clip.mp4"
    with path.open("wb") as file:
        file.write(b"batchmod")
        file.truncate(SIZE)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    yield path, digest
    path.unlink()


def serve(peer: Peer) -> None:
    """Answer everything, and the one GET with a file like the clip."""
    while (seen := peer.read_request()) is not None and seen.complete:
        if not seen.line.startswith("GET"):
            peer.answer(200, b"{}")
            continue
        peer.send(f"HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\nContent-Type: video/mp4\r\n\r\nbatchmod".encode())
        for left in range(SIZE - 8, 0, -MEGABYTE):
            peer.send(bytes(min(left, MEGABYTE)))


def client(origin: str, clip: tuple[Path, str], how: str) -> dict[str, object]:
    """What a process of its own says of the exchange."""
    words = [sys.executable, "-c", CLIENT, origin, str(clip[0]), clip[1], how]
    environ = {**bare_environment(), "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=120, check=True)
    said: dict[str, object] = json.loads(done.stdout)
    return said


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a process had at most")
@pytest.mark.parametrize(("how", "size"), [("form", SIZE), ("bytes", SIZE), ("data_url", SIZE * 4 // 3)])
def test_a_clip_of_100_mb_goes_out_without_ever_standing_in_memory(how: str, size: int, clip: tuple[Path, str]) -> None:
    with RawServer(keep_answering) as server:
        said = client(server.url, clip, how)

    assert (said["small"], said["outcome"]) == (200, [200])
    assert server.seen[1].complete
    assert 0 <= server.seen[1].size - size < 1000
    if how == "bytes":
        assert server.seen[1].sha256 == clip[1]
    assert isinstance(said["grown"], int)
    assert said["grown"] < LIMIT


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a process had at most")
def test_an_output_of_100_mb_comes_in_without_ever_standing_in_memory(clip: tuple[Path, str]) -> None:
    with RawServer(serve) as server:
        said = client(server.url, clip, "download")

    assert said["outcome"] == [True, SIZE, clip[1]]
    assert isinstance(said["grown"], int)
    assert said["grown"] < LIMIT
