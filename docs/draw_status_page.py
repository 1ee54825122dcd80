"""Draws the pictures of the status page in docs/pictures: a browser looks at a demonstration.

    python docs/draw_status_page.py http://127.0.0.1:8321/

Needs the tests' browser (Chromium) and a demonstration that has run for some 50 of its 120 seconds.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.browser import Tab, a_tab

PICTURES = Path(__file__).resolve().parent / "pictures"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One picture. It is taken once `once` is there, after a click on `click`."""

    name: str
    view: str
    once: str
    click: str = ""
    width_px: int = 1180
    height_px: int = 1000
    is_dark: bool = False


SHOTS = (
    Shot(name="status-page", view="now", once="document.querySelector('#regions .bar')", height_px=1040),
    Shot(
        name="status-page-submit",
        view="jobs",
        once="document.querySelector('#submit-said .appraisal')",
        click="#submit-ask",
        height_px=820,
        is_dark=True,
    ),
    Shot(
        name="status-page-batching",
        view="batching",
        once="document.querySelector('#batching .bars')",
        width_px=400,
        height_px=860,
    ),
)


async def drawn(tab: Tab, shot: Shot) -> bytes:
    """The picture as PNG."""
    await tab.shows(shot.width_px, shot.height_px, is_dark=shot.is_dark)
    await tab.says(f"location.hash = '#/{shot.view}'")
    if shot.click:
        await tab.until("document.querySelector('#submit-open')?.hidden === false")
        await tab.says("document.querySelector('#submit-open').click()")
        await tab.says("document.querySelector('[name=\"arguments.seconds\"]').value = '30'")
        await tab.says(f"document.querySelector('{shot.click}').click()")
    await tab.until(f"{shot.once} !== null")
    # Two frames: what is in the document is on the screen then.
    await tab.says("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))).then(() => true)")
    await tab.says("Promise.all(document.getAnimations().map((one) => one.finished)).then(() => true)")
    return await tab.picture()


async def main(address: str) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        async with a_tab(address, Path(profile)) as tab:
            for shot in SHOTS:
                (PICTURES / f"{shot.name}.png").write_bytes(await drawn(tab, shot))
                await tab.says("document.querySelector('dialog[open]')?.close()")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
