"""A careless client for the stand-in's own tests: it does what it is told, over real sockets, and retries nothing."""

import base64
import io
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import av
import httpx

from tests.servers.clips import Clip
from tests.servers.segmind import KEY, SegmindStandIn

INPUTS = {"video_url": "https://example.com/a.mp4", "mode": "flex_1", "prompt": "yarn doll"}
HEAD = {"x-api-key": KEY}
HISTORY = "/inference-request/request-history"


class Client:
    """A careless client: it does what it is told and retries nothing."""

    def __init__(self, server: SegmindStandIn, key: str = KEY) -> None:
        self.server = server
        self.http = httpx.Client(headers={"x-api-key": key}, trust_env=False, timeout=5)

    def submit(self, version: str = "v2", **changes: Any) -> httpx.Response:
        return self.http.post(f"{self.server.url}/{version}/modify-video", json=INPUTS | changes)

    def done(self, **changes: Any) -> str:
        """The id of a submitted job, whose time is over."""
        request_id = self.submit(**changes).json()["request_id"]
        self.server.advance(1)
        return str(request_id)

    def status(self, request_id: str) -> httpx.Response:
        return self.http.get(f"{self.server.url}/v2/requests/{request_id}/status")

    def result(self, request_id: str) -> httpx.Response:
        return self.http.get(f"{self.server.url}/v2/requests/{request_id}")

    def upload(self, content: bytes, content_type: str = "video/mp4") -> httpx.Response:
        data_url = f"data:{content_type};base64,{base64.b64encode(content).decode()}"
        return self.http.post(f"{self.server.upload_url}/upload-asset", json={"data_urls": [data_url]})

    def history(self, **query: Any) -> httpx.Response:
        return self.http.get(f"{self.server.history_url}{HISTORY}", params=query)

    def file(self, request_id: str, **headers: str) -> httpx.Response:
        """The output, asked for without the key as it should be."""
        url = self.result(request_id).json()["output"]
        return httpx.get(url, headers=headers, trust_env=False, timeout=5)


@contextmanager
def running(**settings: Any) -> Iterator[tuple[SegmindStandIn, Client]]:
    with SegmindStandIn(**settings) as server:
        client = Client(server)
        with client.http:
            yield server, client


def raw_submit(server: SegmindStandIn, path: str = "/v2/modify-video") -> tuple[bytes, str]:
    """What comes back for a submit byte for byte, and how the connection ended: `fin` or `reset`."""
    body = json.dumps(INPUTS).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"x-api-key: {KEY}", "Content-Type: application/json"]
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "Connection: close", "", ""])
    return raw(server.url, head.encode() + body)


def raw(url: str, request: bytes) -> tuple[bytes, str]:
    place, got = urlsplit(url), b""
    with socket.create_connection((place.hostname, place.port), timeout=5) as sock:
        sock.sendall(request)
        try:
            while piece := sock.recv(65536):
                got += piece
        except ConnectionResetError:
            return got, "reset"
    return got, "fin"


def facts(video: bytes) -> Clip:
    with av.open(io.BytesIO(video), "r") as container:
        stream = container.streams.video[0]
        frames = len(list(container.decode(stream)))
        rate = int(stream.average_rate or 0)
        audio = bool(container.streams.audio)
        return Clip(width=stream.width, height=stream.height, frames=frames, fps=rate, audio=audio)
