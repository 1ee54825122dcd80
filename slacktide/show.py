"""`slacktide show` and `slacktide explain`: one job, and why it is where it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from slacktide.submit import DEFAULT_URL, URL_OPTION
from slacktide.terminal import JSON_OPTION, print_json

_NOT_BEGUN = ("waiting", "quarantined")


def show(
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="Id of the job, as `slacktide jobs` lists it.")],
    with_explanation: Annotated[
        bool, typer.Option("--explain", help="Also say what holds it, and on which forecasts.")
    ] = False,
    url: Annotated[str, URL_OPTION] = DEFAULT_URL,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Show one job: its state, its place in the plan and why. Times are UTC.

    Example: slacktide show nightly-finetune-2022-03-01T2000
    """
    from slacktide.daemon_client import DaemonClient, job_path
    from slacktide.job_text import job_lines

    client = DaemonClient(url)
    job = client.get(job_path(job_id))
    explained = client.get(job_path(job_id, "explain"))
    if as_json:
        print_json({**job, "explanation": explained} if with_explanation else {**job, "why": explained["why"]})
        return
    for line in job_lines(job, explained["why"]):
        print(line)
    for line in _reason_lines(explained) if with_explanation else ():
        print(line)


def explain(
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="Id of the job, as `slacktide jobs` lists it.")],
    url: Annotated[str, URL_OPTION] = DEFAULT_URL,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Say why a job is where it is: what that saves, which limit holds it, what is next best, on which forecasts.

    Example: slacktide explain nightly-finetune-2022-03-01T2000
    """
    from slacktide.daemon_client import DaemonClient, job_path

    explained = DaemonClient(url).get(job_path(job_id, "explain"))
    if as_json:
        print_json(explained)
        return
    print(f"{explained['job']} ({explained['state']}): {explained['why']}")
    for line in _reason_lines(explained):
        print(line)


def _reason_lines(explained: Mapping[str, Any]) -> Iterator[str]:
    """The sentences of the daemon, what is known of the grid last."""
    from slacktide.job_text import short_instant

    said = [] if explained["explanation"] is None else explained["explanation"]["says"]
    rows = [(one["about"], one["text"]) for one in said]
    if explained["state"] in _NOT_BEGUN:
        latest = f"start at {short_instant(explained['latest_start'])} to be in time in one piece"
        rows.insert(min(1, len(rows)), ("latest", latest))
    rows += [("forecast", f"nothing is known of {zone}") for zone, one in explained["forecasts"].items() if one is None]
    yield from (f"  {about:<10} {text}" for about, text in rows)
