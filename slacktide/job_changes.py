"""`slacktide cancel`, `pause`, `resume` and `requeue`: changes to one job that the daemon makes and answers for."""

from __future__ import annotations

from typing import Annotated

import typer

from slacktide.submit import DEFAULT_URL, URL_OPTION
from slacktide.terminal import JSON_OPTION, print_json

_JOB = typer.Argument(metavar="JOB", help="Id of the job, as `slacktide jobs` lists it.")


def cancel(
    job_id: Annotated[str, _JOB],
    url: Annotated[str, URL_OPTION] = DEFAULT_URL,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Cancel a job; one that runs gets SIGTERM, its grace, then SIGKILL.

    Example: slacktide cancel nightly-finetune-2022-03-01T2000
    """
    _change(job_id, "cancel", url, as_json)


def pause(
    job_id: Annotated[str, _JOB],
    url: Annotated[str, URL_OPTION] = DEFAULT_URL,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Put a job on hold until `slacktide resume`: it is in no plan, keeps no GPUs, and its deadline goes on.

    One that runs writes its checkpoint first; a job in one piece that runs already cannot be paused.

    Example: slacktide pause nightly-finetune-2022-03-01T2000
    """
    _change(job_id, "pause", url, as_json)


def resume(
    job_id: Annotated[str, _JOB],
    url: Annotated[str, URL_OPTION] = DEFAULT_URL,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Let a job on hold go: it is planned again from now.

    Example: slacktide resume nightly-finetune-2022-03-01T2000
    """
    _change(job_id, "resume", url, as_json)


def requeue(
    job_id: Annotated[str, _JOB],
    url: Annotated[str, URL_OPTION] = DEFAULT_URL,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Let a job out of quarantine, once what made it fail again and again is mended.

    Example: slacktide requeue nightly-finetune-2022-03-01T2000
    """
    _change(job_id, "requeue", url, as_json)


def _change(job_id: str, verb: str, url: str, as_json: bool) -> None:
    from slacktide.daemon_client import DaemonClient, job_path
    from slacktide.job_text import state_now

    job = DaemonClient(url).post(job_path(job_id, verb))
    if as_json:
        print_json(job)
    else:
        print(f"{job['id']} is {state_now(job)}")
