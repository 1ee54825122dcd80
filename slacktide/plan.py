"""`slacktide plan`: the options of one job and of a file of jobs, and who plans them.

One job at constant power: plan_one.py. One that changes: plan_varying.py. A file of jobs: plan_file.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from slacktide.plan_options import Asked
from slacktide.terminal import JSON_OPTION, UsageProblem

_Trace = Annotated[Path | None, typer.Option(help="Grid: CSV, CSV.gz or Parquet with timestamp, zone, gco2e_per_kwh.")]
_Zone = Annotated[
    list[str] | None, typer.Option(help="Zone the job may run in; repeat for several, first is the default.")
]
_At = Annotated[str | None, typer.Option(help="Earliest start, ISO 8601 with a zone: 2022-03-01T12:00Z.")]
_Duration = Annotated[str | None, typer.Option(help="How long it runs: 90m, 4h, 1d12h.")]
_Within = Annotated[str | None, typer.Option(help="Latest finish, counted from --at.")]
_Power = Annotated[str | None, typer.Option(help="IT power while it runs, of all GPUs and their hosts: 700W, 10kW.")]
_Interruptible = Annotated[bool, typer.Option("--interruptible", help="May be paused, and go on elsewhere.")]
_StepCost = Annotated[float, typer.Option(min=0.0, max=1e12, help="Extra gCO2e charged for each interruption.")]
_Checkpoint = Annotated[str, typer.Option(help="Time at full power to write a checkpoint at each pause.")]
_Restore = Annotated[str, typer.Option(help="Time at full power to load it again.")]
_MinRun = Annotated[str, typer.Option(help="Shortest piece worth running, without its overheads.")]
_Pue = Annotated[
    list[float] | None,
    typer.Option(min=1.0, max=100.0, help="Facility over IT energy: one for all zones, or one per --zone."),
]
_Speed = Annotated[
    list[float] | None,
    typer.Option(
        min=0.01, max=100.0, help="Work per time beside the GPU of --duration and --power: one, or one per --zone."
    ),
]
_PowerRatio = Annotated[
    list[float] | None,
    typer.Option(min=0.01, max=100.0, help="IT power beside that GPU: one for all zones, or one per --zone."),
]
_PowerProfile = Annotated[
    str | None,
    typer.Option(help="Instead of --duration and --power, for each phase in turn: 10m:3kW,2h:10kW,20m:5kW."),
]
_Elastic = Annotated[
    str | None,
    typer.Option(
        help="May run on more or fewer GPUs: GPUs:speed pairs as 1:1,2:1.8,4:3, or a CSV file with gpus,speed. "
        "--duration is at speed 1, --power of one GPU."
    ),
]
_Jobs = Annotated[Path | None, typer.Option(help="Plan a whole CSV file of jobs instead of one job; needs --fleet.")]
_Fleet = Annotated[
    Path | None, typer.Option(help="With --jobs: TOML file with [carbon] trace and one [[region]] each.")
]
_Explain = Annotated[
    list[str] | None, typer.Option(metavar="JOB", help="With --jobs: say why this job is where it is; repeat it.")
]
_Html = Annotated[Path | None, typer.Option(help="With --jobs: draw the plan as a page of its own.")]


def plan(
    trace: _Trace = None,
    zone: _Zone = None,
    at: _At = None,
    duration: _Duration = None,
    within: _Within = None,
    power: _Power = None,
    interruptible: _Interruptible = False,
    step_cost: _StepCost = 0.0,
    checkpoint: _Checkpoint = "0s",
    restore: _Restore = "0s",
    min_run: _MinRun = "0s",
    pue: _Pue = None,
    speed: _Speed = None,
    power_ratio: _PowerRatio = None,
    power_profile: _PowerProfile = None,
    elastic: _Elastic = None,
    jobs: _Jobs = None,
    fleet: _Fleet = None,
    explain: _Explain = None,
    html: _Html = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Find the cleanest time and zone for one job, and say what it saves against starting at once.

    Example: slacktide plan --trace grid.csv --zone DE --at 2022-03-01T12:00Z --duration 4h --within 24h --power 10kW

    Exact: the start may lie between two data points. Windows that the trace does not cover whole are not compared.

    A job whose power changes: --power-profile. A job that can use more GPUs: --elastic, which may rest at no cost.

    Many jobs at once, with a bound on how far that is from the best: slacktide plan --jobs FILE.csv --fleet FLEET.toml
    """
    if jobs is not None or fleet is not None:
        _plan_file(jobs, fleet, explain or (), html, as_json)
        return
    if explain or html:
        raise UsageProblem("--explain and --html belong to a file of jobs", "give --jobs and --fleet")
    asked = Asked(
        trace=trace,
        zones=tuple(zone or ()),
        at=at,
        duration=duration,
        within=within,
        power=power,
        pue=tuple(pue or ()),
        speed=tuple(speed or ()),
        power_ratio=tuple(power_ratio or ()),
        interruptible=interruptible,
        pauses=(checkpoint, restore, min_run),
        step_cost_gco2e=step_cost,
    )
    if power_profile is not None or elastic is not None:
        from slacktide.plan_varying import plan_varying

        plan_varying(asked, power_profile, elastic, as_json=as_json)
    else:
        from slacktide.plan_one import plan_one

        plan_one(asked, as_json=as_json)


def _plan_file(
    jobs: Path | None, fleet: Path | None, explained: Sequence[str], html: Path | None, as_json: bool
) -> None:
    from slacktide.plan_file import plan_file

    if jobs is None or fleet is None:
        there, absent = ("--fleet", "--jobs") if jobs is None else ("--jobs", "--fleet")
        raise UsageProblem(f"{there} needs {absent}", "slacktide plan --jobs jobs.csv --fleet fleet.toml")
    plan_file(jobs, fleet, explained=explained, html=html, as_json=as_json)
