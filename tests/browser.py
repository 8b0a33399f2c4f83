"""A headless Chromium, driven over its DevTools protocol (https://chromedevtools.github.io/devtools-protocol/)."""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, Final

import aiohttp

CHROMIUM: Final = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_PATIENCE_S: Final = 60.0
_WORK_S: Final = 240.0
"""For what the engine makes: on a machine that has not compiled it yet, that comes first."""


class Page:
    """One page, open in a browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.console: list[str] = []
        """What the page and the browser said: messages, refusals by policy, errors of scripts."""
        self.asked: list[str] = []
        """Every URL that the page asked for."""

    async def listen(self) -> None:
        """Take what the browser says, until it is closed."""
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
            else:
                self._hear(said["method"], said["params"])

    def _hear(self, method: str, params: dict[str, Any]) -> None:
        match method:
            case "Runtime.consoleAPICalled":
                self.console.append(" ".join(str(each.get("value", each)) for each in params["args"]))
            case "Runtime.exceptionThrown":
                self.console.append(json.dumps(params["exceptionDetails"]))
            case "Log.entryAdded":
                self.console.append(params["entry"]["text"])
            case "Network.requestWillBeSent":
                self.asked.append(params["request"]["url"])
            case _:
                pass

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A command of the protocol."""
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        answer = await asyncio.wait_for(self._answers[number], _PATIENCE_S)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    async def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        found = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def until(self, script: str, *, seconds: float = _WORK_S) -> None:
        """Wait until an expression is true."""
        async with asyncio.timeout(seconds):
            while not await self.run(script):  # noqa: ASYNC110 - the page is another process
                await asyncio.sleep(0.1)

    async def go(self, url: str) -> None:
        """Open a URL and wait until it is there."""
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def drop(self, selector: str, *files: Path) -> None:
        """Drag files from outside onto an element and let go."""
        x, y = await self._middle(selector)
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            await self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    async def drag(self, selector: str, *, to: float) -> None:
        """Press the mouse in an element's middle, and let go at this share of its width."""
        x, y = await self._middle(selector)
        box = await self.run(f"(b => [b.left, b.width])(document.querySelector('{selector}').getBoundingClientRect())")
        for kind, at in (
            ("mousePressed", x),
            ("mouseMoved", box[0] + to * box[1]),
            ("mouseReleased", box[0] + to * box[1]),
        ):
            await self.call("Input.dispatchMouseEvent", type=kind, x=at, y=y, button="left", buttons=1, clickCount=1)

    async def click(self, selector: str) -> None:
        """Click on an element."""
        x, y = await self._middle(selector)
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def type(self, selector: str, text: str) -> None:
        """Write into a field."""
        await self.run(f"document.querySelector('{selector}').focus()")
        await self.call("Input.insertText", text=text)

    async def picture(self, path: Path) -> bytes:
        """A screenshot, PNG, also written to `path`."""
        found = await self.call("Page.captureScreenshot", format="png")
        png = base64.b64decode(found["data"])
        path.write_bytes(png)  # noqa: ASYNC240 - a small file
        return png

    async def _middle(self, selector: str) -> tuple[float, float]:
        script = (
            f"(e => {{ e.scrollIntoView({{block: 'center'}}); const b = e.getBoundingClientRect(); "
            f"return [b.left + b.width / 2, b.top + b.height / 2]; }})(document.querySelector('{selector}'))"
        )
        x, y = await self.run(script)
        return x, y


@contextlib.asynccontextmanager
async def page(profile: Path, *, flags: Iterable[str] = ()) -> AsyncIterator[Page]:
    """A page of a browser of its own, gone with the block."""
    assert CHROMIUM is not None
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio",
        "--autoplay-policy=no-user-gesture-required", "--window-size=1100,1400", "--remote-debugging-port=0",
        "--remote-allow-origins=*", f"--user-data-dir={profile}", *flags, "about:blank",
    ]  # fmt: skip
    browser = await asyncio.create_subprocess_exec(
        *command, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, start_new_session=True
    )
    try:
        address = await asyncio.wait_for(_address(browser), _PATIENCE_S)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{address}/json/list") as answer:
                tabs = await answer.json()
            tab = next(each for each in tabs if each["type"] == "page")
            async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                opened = Page(socket)
                listening = asyncio.create_task(opened.listen())
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await opened.call(f"{domain}.enable")
                yield opened
                listening.cancel()
    finally:
        with contextlib.suppress(ProcessLookupError):
            _kill_all(browser.pid)
        await browser.wait()


def _kill_all(leader: int) -> None:

    os.killpg(leader, signal.SIGKILL)


async def _address(browser: asyncio.subprocess.Process) -> str:
    assert browser.stderr is not None
    said = b""
    async for line in browser.stderr:
        said += line
        if found := re.search(rb"DevTools listening on ws://([^/]+)/", line):
            return found[1].decode()
    raise AssertionError(said.decode(errors="replace"))
