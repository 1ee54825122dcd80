"""A headless Chromium that is told what to do over its own debugging protocol: as much of it as the tests need."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

PATIENCE_S = 60.0
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def a_browser() -> str:
    """Chromium, or the test is skipped with the reason."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome-headless-shell")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(names)} is installed")
    return found


class Tab:
    """One open page."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._calls = socket, 0

    async def says(self, script: str) -> Any:
        """What the script comes to in the page; None while the page is being loaded."""
        answer = await self.answers("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "error" in answer:
            return None
        assert "exceptionDetails" not in answer["result"], answer
        return answer["result"]["result"].get("value")

    async def answers(self, method: str, **told: Any) -> Any:
        """What the browser answers to a method of its protocol."""
        self._calls += 1
        await self._socket.send_json({"id": self._calls, "method": method, "params": told})
        async with asyncio.timeout(PATIENCE_S):
            while (answer := json.loads(await self._socket.receive_str())).get("id") != self._calls:
                pass
        return answer

    async def until(self, script: str) -> Any:
        """Once the script comes to something true, that."""
        async with asyncio.timeout(PATIENCE_S):
            while not (found := await self.says(script)):  # noqa: ASYNC110  what a page does tells nobody
                await asyncio.sleep(0.05)
        return found

    async def shows(self, width_px: int, height_px: int, *, is_dark: bool = False) -> None:
        """Be that wide and high, in that scheme of colours."""
        size = {"width": width_px, "height": height_px, "deviceScaleFactor": 1, "mobile": False}
        await self.answers("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        await self.answers("Emulation.setEmulatedMedia", features=[scheme])

    async def picture(self) -> bytes:
        """What is to be seen, as PNG."""
        answer = await self.answers("Page.captureScreenshot", format="png")
        return base64.b64decode(answer["result"]["data"])


@asynccontextmanager
async def a_tab(address: str, profile: Path) -> AsyncIterator[Tab]:
    """A browser of its own that has opened the address."""
    command = [a_browser(), *FLAGS, "--remote-debugging-port=0", f"--user-data-dir={profile}", address]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    try:
        port = await _port_of(profile / "DevToolsActivePort")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as listed:
                page = next(one for one in await listed.json() if one["type"] == "page")
            async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                yield Tab(socket)
    finally:
        process.kill()
        await process.wait()


async def _port_of(path: Path) -> int:
    async with asyncio.timeout(PATIENCE_S):
        while not (written := await asyncio.to_thread(_text_of, path)):  # noqa: ASYNC110  another process writes it
            await asyncio.sleep(0.05)
    return int(written.splitlines()[0])


def _text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""
