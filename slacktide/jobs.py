"""`slacktide jobs`: what the daemon has, newest first."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from slacktide.submit import DEFAULT_URL, URL_OPTION
from slacktide.terminal import JSON_OPTION, print_json, say

_WIDTH_IN_A_PIPE = 160


def jobs(
    state: Annotated[list[str] | None, typer.Option(help="Only jobs in this state; repeat for several.")] = None,
    tenant: Annotated[str, typer.Option(help="Only jobs of this tenant.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many at most.")] = 100,
    before: Annotated[int, typer.Option(min=0, help="Go on with older jobs: `next_before` of the last answer.")] = 0,
    url: Annotated[str, URL_OPTION] = DEFAULT_URL,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """List jobs of the daemon: state, when and where they run, and what that is expected to save. Times are UTC.

    Example: slacktide jobs --state waiting --state running
    """
    from slacktide.daemon_client import DaemonClient

    chosen: dict[str, Any] = {"state": state, "tenant": tenant, "limit": limit, "before": before}
    answer = DaemonClient(url).get("jobs", **{name: value for name, value in chosen.items() if value})
    if as_json:
        print_json(answer)
        return
    _show(answer["data"])
    if not answer["data"]:
        say("no jobs" if not (state or tenant) else "no such jobs")
    if answer["next_before"] is not None:
        say(f"there may be older ones: --before {answer['next_before']}")


def _show(listed: Sequence[Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("job", no_wrap=True)
    for heading in ("state", "label", "region", "start", "end", "deadline"):
        table.add_column(heading, overflow="fold")
    table.add_column("saves", justify="right")
    for job in listed:
        table.add_row(*_row(job))
    if listed:
        width = None if sys.stdout.isatty() else _WIDTH_IN_A_PIPE
        Console(highlight=False, markup=False, width=width).print(table)


def _row(job: Mapping[str, Any]) -> tuple[str, ...]:
    from slacktide.job_text import saving, state_now, to_the_minute, window

    region, start, end = window(job)
    label = job["label"] or job["template"] or job["kind"]
    instants = (to_the_minute(instant) for instant in (start, end, job["deadline"]))
    return (job["id"], state_now(job), label, region, *instants, saving(job["plan"]))
