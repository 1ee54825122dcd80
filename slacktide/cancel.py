"""`slacktide cancel`: a job that shall not run, or not run on."""

from __future__ import annotations

from typing import Annotated

import typer

from slacktide.submit import DEFAULT_URL, URL_OPTION
from slacktide.terminal import JSON_OPTION, print_json


def cancel(
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="Id of the job, as `slacktide jobs` lists it.")],
    url: Annotated[str, URL_OPTION] = DEFAULT_URL,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Cancel a job; one that runs gets SIGTERM, its grace, then SIGKILL.

    Example: slacktide cancel nightly-finetune-2022-03-01T2000
    """
    from slacktide.daemon_client import DaemonClient, job_path

    job = DaemonClient(url).post(job_path(job_id, "cancel"))
    if as_json:
        print_json(job)
    else:
        print(f"{job['id']} is {job['state']}")
