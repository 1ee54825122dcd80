"""`slacktide run`: one command in the cleanest time before its deadline, without a daemon. Composes and prints."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from slacktide.intensity import FeedName
from slacktide.terminal import OwnFailure, UsageProblem, print_json, say

if TYPE_CHECKING:
    from intensity_feeds.feed import Answer
    from scheduler.jobs import Job
    from scheduler.ledger import Account
    from slacktide.child import Child
    from slacktide.lone_grid import LoneGrid
    from slacktide.lone_job import LoneJob

T = TypeVar("T")


def run(
    command: Annotated[list[str], typer.Argument(help="The command and its arguments, after two dashes.")],
    within: Annotated[str, typer.Option(help="Latest finish, counted from now: 12h.")],
    duration: Annotated[str, typer.Option(help="How long it runs: 90m, 3h.")],
    zone: Annotated[str, typer.Option(help="Grid zone of this machine: GB, DE, CAISO_NORTH.")],
    power: Annotated[str, typer.Option(help="IT power while it runs, of all GPUs and their host share.")] = "700W",
    gpus: Annotated[int, typer.Option(min=0, help="GPUs that it uses, as it is told by nothing else.")] = 1,
    trace: Annotated[Path | None, typer.Option(help="Take the grid from this file, ask no service.")] = None,
    feed: Annotated[FeedName | None, typer.Option(help="Service to ask; GB needs no key.")] = None,
    base_url: Annotated[str, typer.Option(help="Address of the service, for an emulator or a proxy.")] = "",
    config: Annotated[Path | None, typer.Option("--config", "-c", help="Use the feeds of a daemon's settings.")] = None,
    interruptible: Annotated[
        bool, typer.Option("--interruptible", help="May be paused: SIGTERM, later the same command again.")
    ] = False,
    checkpoint: Annotated[str, typer.Option(help="Time to write a checkpoint at a pause.")] = "0s",
    restore: Annotated[str, typer.Option(help="Time to load it again.")] = "0s",
    min_run: Annotated[str, typer.Option(help="Shortest piece worth running, without its overheads.")] = "0s",
    grace: Annotated[str, typer.Option(help="Time between SIGTERM and SIGKILL at a pause.")] = "30s",
    replan: Annotated[str, typer.Option(help="How often to ask for a newer forecast.")] = "15m",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say when it would run.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="The plan as JSON on stdout with --dry-run, else the account on stderr.")
    ] = False,
) -> None:
    """Run a command in the cleanest hours before its deadline, and say what that saved. Needs no daemon.

    Example: slacktide run --within 12h --duration 3h --zone GB -- python train.py

    Waits, starts the command on this terminal, passes signals on and ends with its exit code. A feed that fails costs
    savings and no deadline; where nothing is known of the grid the command runs at once. Keys come from the
    environment: ELECTRICITYMAPS_TOKEN, or WATTTIME_USER and WATTTIME_PASSWORD.
    """
    from slacktide.child import threads_kept_deaf

    with threads_kept_deaf():
        from scheduler.quantities import parse_duration_s
        from slacktide.lone_grid import LoneGrid
        from slacktide.lone_job import LoneJob

    if shutil.which(command[0]) is None:
        raise UsageProblem(f"there is no command {command[0]!r}", "it would be missed only when it is to start")
    job = _job((within, duration, power), gpus, (checkpoint, restore, min_run) if interruptible else None)
    with ExitStack() as until_end:
        grid = LoneGrid(zone, _feeds(zone, trace, feed, base_url, config), job.deadline_at_s, until_end)
        lone = LoneJob(
            job=job,
            region=_here(zone, gpus),
            outside=_ThisMachine(command, grid),
            poll_s=max(1.0, _read("--replan", parse_duration_s, replan)),
            grace_s=_read("--grace", parse_duration_s, grace),
        )
        _refuse_infeasible(lone)
        lone.ask()
        if dry_run:
            _show_plan(lone, as_json=as_json)
            return
        exit_code = lone.run()
        account = grid.account(lone.uses, lone.expected, _now_s())
        _show_account(lone, account, exit_code, as_json=as_json)
    raise typer.Exit(exit_code)


# -- reading what was asked ------------------------------------------------------------------------------------------


def _job(asked: tuple[str, str, str], gpus: int, pauses: tuple[str, str, str] | None) -> Job:
    from scheduler.jobs import Interruption, InvalidJobError, Job, JobKind
    from scheduler.quantities import parse_duration_s, parse_power_w

    now_s, interruption = _now_s(), None
    if pauses is not None:
        interruption = Interruption(
            checkpoint_s=_read("--checkpoint", parse_duration_s, pauses[0]),
            restore_s=_read("--restore", parse_duration_s, pauses[1]),
            min_run_s=_read("--min-run", parse_duration_s, pauses[2]),
        )
    try:
        return Job(
            id=f"run-{now_s:.0f}-{os.getpid()}",
            kind=JobKind.COMMAND,
            submitted_at_s=now_s,
            earliest_start_at_s=now_s,
            deadline_at_s=now_s + _read("--within", parse_duration_s, asked[0]),
            duration_s=_read("--duration", parse_duration_s, asked[1]),
            power_w=_read("--power", parse_power_w, asked[2]),
            gpus=gpus,
            interruption=interruption,
        )
    except InvalidJobError as problem:
        options = {"deadline_at_s": "--within", "duration_s": "--duration", "power_w": "--power"}
        raise UsageProblem(f"{options.get(problem.field, problem.field)}: {problem.what}") from None


def _read(option: str, parse: Callable[[str], T], text: str) -> T:
    from scheduler.quantities import QuantityError

    try:
        return parse(text)
    except QuantityError as problem:
        raise UsageProblem(f"{option}: {problem}") from None


def _here(zone: str, gpus: int) -> Any:
    from scheduler.planning.plan import Region

    return Region(name="here", zone=zone, gpus=max(1, gpus))


def _feeds(zone: str, trace: Path | None, feed: FeedName | None, base_url: str, config: Path | None) -> list[Any]:
    from scheduler.region_settings import FeedKind, FeedSettings
    from slacktide.lone_grid import feed_named, feeds_of_settings, usual_feeds

    if sum(one is not None for one in (trace, feed, config)) > 1:
        raise UsageProblem("--trace, --feed and --config each name the grid", "keep one of them")
    if base_url and feed is None:
        raise UsageProblem("--base-url is the address of a --feed", "name the --feed as well")
    if trace is not None:
        return [FeedSettings(kind=FeedKind.TRACE, zones=(zone,), file=str(trace))]
    if feed is not None:
        return [feed_named(feed, zone, base_url)]
    return usual_feeds(zone) if config is None else feeds_of_settings(config, zone)


def _refuse_infeasible(lone: LoneJob) -> None:
    """Before any feed is asked: one that hangs must not make a deadline infeasible."""
    import math

    from scheduler.planning.plan import Refusal
    from scheduler.quantities import format_duration, format_instant

    refused = lone.appraised()
    if isinstance(refused, Refusal) and refused.earliest_finish_at_s is not None:
        finish = format_instant(math.ceil(refused.earliest_finish_at_s))
        needed = format_duration(lone.job.duration_s).replace(" ", "")
        hint = f"the earliest feasible finish is {finish}: --within {needed} or more"
        raise UsageProblem(f"the command cannot finish in time: it runs {needed}", hint)


# -- the outside -----------------------------------------------------------------------------------------------------


def _now_s() -> float:
    return time.time()  # noqa: TID251  a command line of its own, without an Env


class _ThisMachine:
    """See Outside."""

    def __init__(self, command: Sequence[str], grid: LoneGrid) -> None:
        self._command, self._grid = command, grid

    def now_s(self) -> float:
        return _now_s()

    def sleep(self, duration_s: float) -> None:
        time.sleep(duration_s)

    def start(self, told: Mapping[str, str]) -> Child:
        from slacktide.child import Child

        sys.stdout.flush()
        try:
            return Child(self._command, told)
        except OSError as error:
            raise OwnFailure(f"cannot start {self._command[0]}: {error.strerror}") from None

    def intensity(self, now_s: float) -> Answer | None:
        return self._grid.answer(now_s)

    def say(self, message: str) -> None:
        say(f"slacktide: {message}")


# -- saying ----------------------------------------------------------------------------------------------------------


def _show_plan(lone: LoneJob, *, as_json: bool) -> None:
    from scheduler.daemon.descriptions import describe_placement
    from scheduler.placement_text import explain
    from scheduler.planning.plan import Refusal

    placement = lone.appraised()
    if isinstance(placement, Refusal):
        raise UsageProblem(f"no time is left: {placement.what}", "the feeds took it; --within a little more")
    rung = lone.answer.rung if lone.answer else None
    if as_json:
        plan = describe_placement(placement, lone.job.power_error_class)
        print_json({**plan, "zone": lone.region.zone, "rung": rung})
    else:
        print(explain(placement, None))


def _show_account(lone: LoneJob, account: Account, exit_code: int, *, as_json: bool) -> None:
    import json

    from scheduler.daemon.descriptions import describe_account
    from scheduler.quantities import format_instant

    if as_json:
        pieces = [
            {"start": format_instant(use.started_at_s), "end": format_instant(use.ended_at_s)} for use in lone.uses
        ]
        told = {"job": lone.job.id, "exit_code": exit_code, "segments": pieces, **describe_account(account)}
        say(json.dumps(told, allow_nan=False))
    else:
        say(f"slacktide: {_verdict(account, exit_code)}")


def _verdict(account: Account, exit_code: int) -> str:
    ended = "done" if exit_code == 0 else f"the command ended with {exit_code}"
    used = f"{account.energy_kwh:.3g} kWh by its stated power"
    saved_ratio = account.savings_ratio
    if saved_ratio is None:
        return f"{ended}; {used}, and nothing is known of what it emitted or saved"
    if abs(saved_ratio) < 0.0005:
        return f"{ended}; {used}, {account.emissions_gco2e:.3g} gCO2e, as at once"
    compared = "less" if saved_ratio > 0 else "more"
    return f"{ended}; {used}, {account.emissions_gco2e:.3g} gCO2e, {abs(saved_ratio):.1%} {compared} than at once"
