"""`slacktide demo`: a minute that shows the whole path. What happens in it stands in demo_day.py."""

from __future__ import annotations

import signal
from typing import Annotated, NoReturn

import typer

from slacktide.terminal import JSON_OPTION, UsageProblem

# A day of the grid passes in the time given; a shorter one has no time to wait.
_SHORTEST_S = 10.0
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def demo(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the daemon; 0 lets the system choose.")] = 0,
    lasts: Annotated[str, typer.Option("--for", help="How long to run; one day of the grid passes in it.")] = "60s",
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the status page.")] = False,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """See it work in a minute: daemon, simulated worker, replayed grid and a small workload. No GPU, key or network.

    Example: slacktide demo --for 60s --no-browser
    """
    import asyncio
    import logging
    import tempfile
    from pathlib import Path

    from scheduler.quantities import QuantityError, parse_duration_s
    from slacktide.demo_day import DemoDay

    try:
        lasts_s = parse_duration_s(lasts)
    except QuantityError as error:
        raise UsageProblem(f"--for: {error}") from None
    if lasts_s < _SHORTEST_S:
        raise UsageProblem(f"--for: a demo shorter than {_SHORTEST_S:.0f}s has no time to wait", "try --for 30s")
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    # From the folder's first instant to its last a signal ends the demo instead of the process.
    for number in _ENDING:
        signal.signal(number, _leave)
    with tempfile.TemporaryDirectory(prefix="slacktide-demo-", ignore_cleanup_errors=True) as folder:
        day = DemoDay(Path(folder), port, lasts_s, opens_browser=not no_browser, as_json=as_json)
        ended_by = asyncio.run(day.run(_ENDING))
    if ended_by is not None:
        raise typer.Exit(128 + ended_by)


def _leave(number: int, _frame: object) -> NoReturn:
    """Outside the loop, while it is set up and after it is gone."""
    raise typer.Exit(128 + number)
