"""A headless Chromium that Playwright drives: the system's own, none is downloaded.

A page that breaks its content security policy, asks another server or lets an error out fails the test it is part of.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import ConsoleMessage, Page, Request, ViewportSize, async_playwright, expect

VIEW = ViewportSize(width=1180, height=900)
PATIENCE_MS = 60_000.0
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome-headless-shell")
_FLAGS = ("--disable-gpu", "--disable-quic", "--hide-scrollbars")

expect.set_options(timeout=PATIENCE_MS)


def a_browser() -> str:
    """Chromium, or the test is skipped with the reason."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(_NAMES)} is installed")
    return found


@asynccontextmanager
async def a_tab(address: str, *, zone: str = "UTC", is_attacked: bool = False) -> AsyncIterator[Page]:
    """A browser of its own, in a time zone, that has opened the address. An attack breaks the policy on purpose."""
    path = a_browser()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=_FLAGS, chromium_sandbox=False)
        try:
            page = await browser.new_page(viewport=VIEW, timezone_id=zone)
            page.set_default_timeout(PATIENCE_MS)
            wrongs = _wrongs_of(page, address)
            await page.goto(address)
            yield page
            assert is_attacked or wrongs == []
        finally:
            await browser.close()


def _wrongs_of(page: Page, address: str) -> list[str]:
    """What the page does that it must not; grows while it is open."""
    wrongs: list[str] = []
    origin = "/".join(address.split("/")[:3]) + "/"

    def hear(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            wrongs.append(message.text)

    def see(request: Request) -> None:
        if not request.url.startswith(origin):
            wrongs.append(f"asks {request.url}")

    page.on("console", hear)
    page.on("request", see)
    page.on("pageerror", lambda error: wrongs.append(str(error)))
    return wrongs
