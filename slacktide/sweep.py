"""`slacktide sweep`: one scenario with many values and seeds, on all cores or a cluster; resumable, with its front."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slacktide.simulate import SET_OPTION
from slacktide.terminal import JSON_OPTION, OwnFailure, UsageProblem, print_json, reason_of, say

if TYPE_CHECKING:
    from simulations.sweep import Parameter, PointResult
    from simulations.sweep_runs import DoneRun, PlannedRun, Runner

# Lines in a log, where there is no bar: at most so many.
_MOST_LINES = 100


def sweep(
    scenario: Annotated[str, typer.Argument(help="A scenario file, or the name of a packaged one.")],
    param: Annotated[
        list[str],
        typer.Option(
            metavar="PATH=VALUES",
            help="What varies: PATH=A,B,C or PATH=START:STOP:STEP, both ends included; repeatable, all combinations.",
        ),
    ],
    overrides: Annotated[list[str] | None, SET_OPTION] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each combination, from the scenario's seed upwards.")] = 1,
    out: Annotated[
        str, typer.Option(metavar="FOLDER", help="Where results and finished runs are kept; empty: sweep-SCENARIO.")
    ] = "",
    processes: Annotated[int, typer.Option(min=0, help="Runs at once; 0: one for each core.")] = 0,
    ray: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Make the runs on this Ray cluster: HOST:PORT, ray://... or auto.")
    ] = "",
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Run a scenario with many values: all combinations times seeds, signed savings with intervals, Pareto front.

    The same command goes on after an interruption, and makes only the runs that are missing.

    Example: slacktide sweep solar-week --param jobs.slack_s=6h,12h,24h --param policy.replan_s=1h,6h --seeds 5
    """
    if ray and processes:
        raise UsageProblem("--processes counts those of this machine", "leave it out with --ray")
    planned, parameters = _planned(scenario, param, overrides or [], seeds)
    folder = _folder(out or f"sweep-{Path(scenario).stem}")
    runs = _made(planned, parameters, folder, _runner(ray, processes or _cores()))
    from simulations.sweep_runs import point_results

    points, names = point_results(runs), [one.name for one in parameters]
    _write(folder, Path(scenario).stem, names, runs, points)
    if as_json:
        print_json(_summary(planned, names, points))
    else:
        _show(names, points)


def _planned(
    scenario: str, params: Sequence[str], overrides: Sequence[str], seeds: int
) -> tuple[list[PlannedRun], list[Parameter]]:
    from simulations.overrides import parse_override
    from simulations.scenario_file import ScenarioError, read_scenario
    from simulations.sweep import parse_parameter
    from simulations.sweep_runs import plan_runs

    try:
        parameters = [parse_parameter(text) for text in params]
        settings = [parse_override(text) for text in overrides]
        return plan_runs(read_scenario(scenario), parameters, settings, seeds), parameters
    except ScenarioError as error:
        raise UsageProblem(str(error), error.hint) from error


def _folder(name: str) -> Path:
    folder = Path(name).expanduser()
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageProblem(
            f"--out: {name} cannot be made: {reason_of(error)}", "name a folder in one that exists"
        ) from error
    return folder


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _runner(ray: str, processes: int) -> Runner:
    if ray:
        from simulations.sweep_ray import made_on_ray

        return lambda runs: made_on_ray(runs, ray)
    from simulations.sweep_runs import made_here

    return lambda runs: made_here(runs, processes)


def _made(planned: list[PlannedRun], parameters: list[Parameter], folder: Path, runner: Runner) -> list[DoneRun]:
    from simulations.fleet import StalledError
    from simulations.scenario_file import ScenarioError
    from simulations.sweep_runs import SweepError, make_runs, opened_journal

    names = [one.name for one in parameters]
    try:
        with opened_journal(folder) as journal, _progress(len(planned)) as told:
            return make_runs(planned, journal, names, runner, told)
    except KeyboardInterrupt:
        say("stopped; the same command goes on with the runs that are missing")
        raise
    except ScenarioError as error:
        raise UsageProblem(str(error), error.hint) from error
    except SweepError as error:
        raise OwnFailure(error.what, error.hint) from error
    except StalledError as error:
        raise OwnFailure(str(error), "a fault of the engine: please report it with the scenario") from error
    except OSError as error:
        raise OwnFailure(f"{folder} cannot be written: {reason_of(error)}") from error


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar with the time left where stderr is a terminal, else a line now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(total)
        return
    columns = (TextColumn("sweep"), BarColumn(), MofNCompleteColumn(), TextColumn("left"), TimeRemainingColumn())
    # Runs take long: the pace of the last half hour, not of the last half minute, tells the time left.
    with Progress(*columns, console=console, transient=True, speed_estimate_period=1800) as bar:
        task = bar.add_task("sweep", total=total)
        yield lambda count: bar.update(task, completed=count)


def _lines(total: int) -> Callable[[int], None]:
    from scheduler.quantities import format_duration

    began_s, before, said = time.monotonic(), 0, -1

    def tell(count: int) -> None:
        nonlocal before, said
        if said < 0:
            before = count
        if said < 0 or count == total or count - said >= total / _MOST_LINES:
            said = count
            passed_s, made = time.monotonic() - began_s, count - before
            left = f", about {format_duration(passed_s / made * (total - count))} left" if 0 < made < total else ""
            say(f"{count} of {total} runs done{left if count < total else ''}")

    return tell


def _write(
    folder: Path, title: str, names: Sequence[str], runs: Sequence[DoneRun], points: Sequence[PointResult]
) -> None:
    from importlib.util import find_spec

    from simulations.sweep_files import has_parquet, point_rows, run_rows, write_tables

    try:
        written = write_tables(folder, {"runs": run_rows(names, runs), "points": point_rows(names, points)})
        if find_spec("matplotlib") is not None:
            from simulations.sweep_plot import save_sweep_plot

            save_sweep_plot(title, names, points, folder / "front.png")
            written.append("front.png")
    except OSError as error:
        raise OwnFailure(f"{folder} cannot be written: {reason_of(error)}") from error
    say(f"wrote {', '.join(written)} into {folder}")
    missing = [*([] if has_parquet() else ["parquet"]), *([] if "front.png" in written else ["plots"])]
    if missing:
        say(f"  hint: pip install 'slacktide[{','.join(missing)}]' for Parquet or the picture")


def _summary(planned: Sequence[PlannedRun], names: Sequence[str], points: Sequence[PointResult]) -> dict[str, Any]:
    from simulations.sweep import CONFIDENCE, trades_of
    from simulations.sweep_files import point_rows

    return {
        "scenario": planned[0].loaded.scenario.name,
        "parameters": list(names),
        "seeds": points[0].runs,
        "runs": len(planned),
        "interval": CONFIDENCE if points[0].runs > 1 else None,
        "trades": list(trades_of(points)),
        "points": point_rows(names, points),
    }


def _show(names: Sequence[str], points: Sequence[PointResult]) -> None:
    from rich.console import Console
    from rich.table import Table

    from simulations.sweep import CONFIDENCE, trades_of
    from simulations.sweep_text import table_rows

    table = Table(
        *names, "saved", *(() if points[0].runs == 1 else ("from", "to")), *trades_of(points).values(), box=None
    )
    for column in table.columns:
        column.justify = "right"
    for row in table_rows(points):
        table.add_row(*row)
    console = Console()
    console.print(table)
    said = f"from, to: {CONFIDENCE}, {points[0].runs} runs each; " if points[0].runs > 1 else ""
    console.print(f"\n{said}*: on the Pareto front of savings against this column")
