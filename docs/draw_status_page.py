"""Draws the pictures of the status page in docs/pictures: a browser looks at a demonstration.

    python docs/draw_status_page.py http://127.0.0.1:8321/

Needs the tests' browser (Chromium) and a demonstration that has run for some 50 of its 120 seconds.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import Page, ViewportSize

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.browser import a_tab

PICTURES = Path(__file__).resolve().parent / "pictures"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One picture. It is taken once `once` is there."""

    name: str
    view: str
    once: str
    width_px: int = 1180
    height_px: int = 1000
    is_dark: bool = False
    is_submitting: bool = False
    runs_for: str = "1h"


SHOTS = (
    Shot(name="status-page", view="now", once="#regions .bar", height_px=1040),
    Shot(
        name="status-page-submit",
        view="jobs",
        once="#submit-said .appraisal",
        height_px=1180,
        is_dark=True,
        is_submitting=True,
    ),
    Shot(
        name="status-page-refusal",
        view="jobs",
        once="#submit-said .helps",
        width_px=400,
        height_px=860,
        is_submitting=True,
        runs_for="30h",
    ),
    Shot(name="status-page-batching", view="batching", once="#batching .bars", width_px=400, height_px=860),
)


async def drawn(tab: Page, shot: Shot) -> bytes:
    """The picture as PNG."""
    await tab.set_viewport_size(ViewportSize(width=shot.width_px, height=shot.height_px))
    await tab.emulate_media(color_scheme="dark" if shot.is_dark else "light")
    await tab.evaluate(f"location.hash = '#/{shot.view}'")
    if shot.is_submitting:
        await tab.get_by_role("button", name="Submit a job").click()
        await tab.get_by_label("seconds").fill("30")
        await tab.get_by_label("Runs for").fill(shot.runs_for)
        await tab.get_by_role("button", name="Show what it would save").click()
    await tab.locator(shot.once).first.wait_for()
    return await tab.screenshot(animations="disabled")


async def main(address: str) -> None:
    async with a_tab(address) as tab:
        for shot in SHOTS:
            (PICTURES / f"{shot.name}.png").write_bytes(await drawn(tab, shot))
            if shot.is_submitting:
                await tab.keyboard.press("Escape")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
