"""`slacktide simulate`: a what-if on recorded or made-up grids and work, as a table, JSON, HTML or a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from slacktide.terminal import OwnFailure, UsageProblem, print_json, reason_of, say

if TYPE_CHECKING:
    from rich.console import Console

    from simulations.comparison import PolicyTable
    from simulations.compiled.choice import LoopKind
    from simulations.results import Results
    from simulations.runs import Inputs
    from simulations.savings_parts import SavingsParts
    from simulations.scenario import PolicyKind
    from simulations.scenario_file import LoadedScenario

SET_OPTION = typer.Option(
    "--set", metavar="PATH=VALUE", help="Set one value anew, such as jobs.slack_s=2d or region.0.gpus=128; repeatable."
)
# Shares of the work that the bar moves by: drawing it for each request would take longer than the request.
_BAR_STEP_RATIO = 0.005


def simulate(
    scenario: Annotated[
        str, typer.Argument(help="A scenario file (TOML), or the name of one that comes with the package.")
    ] = "",
    overrides: Annotated[list[str] | None, SET_OPTION] = None,
    list_scenarios: Annotated[
        bool, typer.Option("--list", help="List the scenarios that come with the package.")
    ] = False,
    json_file: Annotated[
        str, typer.Option("--json", metavar="FILE", help="Write the results as JSON; - is stdout.")
    ] = "",
    html_file: Annotated[str, typer.Option("--html", metavar="FILE", help="Write a self-contained report.")] = "",
    png_file: Annotated[
        str, typer.Option("--png", metavar="FILE", help="Write the headline picture (extra: plots).")
    ] = "",
    svg_folder: Annotated[
        str, typer.Option("--svg", metavar="FOLDER", help="Write every picture of the report as an SVG of its own.")
    ] = "",
    loop: Annotated[
        str, typer.Option(metavar="KIND", help="Requests in plain Python, compiled (extra: compiled), or auto.")
    ] = "auto",
    seeds: Annotated[
        int, typer.Option(min=1, help="With --compare: so many seeds, from the scenario's upwards, and an interval.")
    ] = 1,
    parts: Annotated[
        bool, typer.Option("--parts", help="Where the saving comes from; --html says so in any case. More runs.")
    ] = False,
    against: Annotated[
        str,
        typer.Option(
            "--compare",
            "--against",
            metavar="POLICIES",
            help="Other policies on the same work, such as threshold,wait_awhile; or all.",
        ),
    ] = "",
) -> None:
    """Run a what-if: the same work at once and under the policy, and what that saves.

    Example: slacktide simulate solar-week --compare all --json results.json --html report.html
    """
    if list_scenarios:
        _list()
        return
    if not scenario:
        raise UsageProblem("name a scenario", "slacktide simulate --list shows those that come with the package")
    for name in (json_file, html_file, png_file, svg_folder):
        _refuse_missing_folder(name)
    if png_file:
        _refuse_other_pictures(png_file)
        _refuse_without_plots()
    if seeds > 1 and not against:
        raise UsageProblem(
            "--seeds needs --compare", "add --compare all, or name policies; slacktide sweep varies more"
        )
    loaded, kind = _loaded(scenario, overrides or []), _loop_kind(loop)
    every = _inputs(loaded, kind, seeds)
    divides = parts or bool(html_file or svg_folder)
    found = _found(loaded.scenario.name, every, _kinds(against), seeds, with_parts=divides)
    _write(found, json_file, html_file, png_file)
    if svg_folder:
        _write_pictures(found, svg_folder)
    if json_file != "-":
        _show(found)


def _list() -> None:
    from simulations.scenario_file import packaged_scenarios, parse_scenario

    for name, text in packaged_scenarios().items():
        print(f"{name:<16} {parse_scenario(text, name).description}")


def _refuse_missing_folder(name: str) -> None:
    if name and name != "-" and not Path(name).expanduser().absolute().parent.is_dir():
        raise UsageProblem(f"{name}: its folder does not exist", "create it first, or write somewhere else")


def _refuse_other_pictures(name: str) -> None:
    if Path(name).suffix.lower() != ".png":
        raise UsageProblem(f"--png: {name} does not end in .png", "the picture is a PNG whatever its name")


def _refuse_without_plots() -> None:
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise UsageProblem(
            "--png needs matplotlib", "pip install 'slacktide[plots]', or use --html, which needs nothing"
        )


def _kinds(against: str) -> list[PolicyKind]:
    """The policies that are named; none where nothing is."""
    from simulations.comparison import ALL
    from simulations.scenario import PolicyKind

    names = [name.strip().replace("-", "_") for name in against.split(",") if name.strip()]
    if names == ["all"]:
        return list(ALL)
    unknown = [name for name in names if name not in tuple(PolicyKind)]
    if unknown:
        raise UsageProblem(f"--compare: {unknown[0]!r} is no policy", f"known are all, {', '.join(PolicyKind)}")
    return [PolicyKind(name) for name in names]


class _Found(NamedTuple):
    """What was asked for; None what was not."""

    results: Results
    policies: PolicyTable | None
    parts: SavingsParts | None


def _loop_kind(loop: str) -> LoopKind:
    from simulations.compiled.choice import LoopKind

    if loop not in tuple(LoopKind):
        raise UsageProblem(f"--loop: {loop!r} is none of {', '.join(LoopKind)}", "leave it out for auto")
    return LoopKind(loop)


def _loaded(name: str, overrides: list[str]) -> LoadedScenario:
    from simulations.overrides import parse_override
    from simulations.scenario_file import ScenarioError, load_scenario

    try:
        return load_scenario(name, [parse_override(text) for text in overrides])
    except ScenarioError as error:
        raise UsageProblem(str(error), error.hint) from error


def _inputs(loaded: LoadedScenario, loop: LoopKind, seeds: int) -> Iterator[Inputs]:
    """The scenario with each seed, read when it is its turn."""
    from simulations.inputs import gather_inputs
    from simulations.scenario_file import ScenarioError

    try:
        for seed in range(loaded.scenario.seed, loaded.scenario.seed + seeds):
            yield gather_inputs(replace(loaded, scenario=replace(loaded.scenario, seed=seed)), loop)
    except ScenarioError as error:
        raise UsageProblem(str(error), error.hint) from error


def _found(name: str, every: Iterator[Inputs], others: list[PolicyKind], seeds: int, *, with_parts: bool) -> _Found:
    from scheduler.daemon.garbage import look_seldom
    from simulations.comparison import compared
    from simulations.fleet import StalledError
    from simulations.results import results_of
    from simulations.runs import run_both
    from simulations.savings_parts import savings_parts

    look_seldom()  # objects of a simulation go by themselves; looking through them took a tenth of the time
    table = None
    try:
        with _progress(f"simulating {name}") as progress:
            if others:
                results, table = compared(every, others, progress, seeds)
            else:
                results = results_of(run_both(next(every), progress))
        if not with_parts:
            return _Found(results, table, None)
        with _progress("dividing the saving") as progress:
            return _Found(results, table, savings_parts(results, progress))
    except StalledError as error:
        raise OwnFailure(str(error), "a fault of the engine: please report it with the scenario") from error


@contextmanager
def _progress(title: str) -> Iterator[Callable[[float], None]]:
    """A bar on stderr where that is a terminal; nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=1.0)
        drawn_ratio = 0.0

        def draw(ratio: float) -> None:
            nonlocal drawn_ratio
            if ratio >= min(1.0, drawn_ratio + _BAR_STEP_RATIO):
                drawn_ratio = ratio
                bar.update(task, completed=ratio)

        yield draw


def _plain(found: _Found) -> dict[str, Any]:
    from simulations.comparison import plain_table
    from simulations.results_json import plain_results
    from simulations.savings_parts import plain_parts

    plain = plain_results(found.results)
    if found.policies is not None:
        plain["policies"] = plain_table(found.policies)
    if found.parts is not None:
        plain["avoided_by_part_gco2e"] = plain_parts(found.parts)
    return plain


def _write(found: _Found, json_file: str, html_file: str, png_file: str) -> None:
    if json_file == "-":
        print_json(_plain(found))
    elif json_file:
        import json

        _save(json_file, json.dumps(_plain(found), indent=2, allow_nan=False, ensure_ascii=False) + "\n")
    if html_file:
        from simulations.report import html_report

        _save(html_file, html_report(found.results, found.policies, found.parts))
    if png_file:
        from simulations.plot import save_headline_plot

        with _saving(png_file) as path:
            save_headline_plot(found.results, path)


def _write_pictures(found: _Found, folder: str) -> None:
    from simulations.pictures import svg_files
    from simulations.report import pictures

    with _saving(folder) as path:
        path.mkdir(exist_ok=True)
        for name, text in svg_files(pictures(found.results, found.policies, found.parts)).items():
            (path / name).write_text(text, encoding="utf-8")


def _save(name: str, text: str) -> None:
    with _saving(name) as path:
        path.write_text(text, encoding="utf-8")


@contextmanager
def _saving(name: str) -> Iterator[Path]:
    try:
        yield Path(name).expanduser()
    except OSError as error:
        raise OwnFailure(f"{name} cannot be written: {reason_of(error)}") from error
    say(f"wrote {name}")


def _show(found: _Found) -> None:
    from rich.console import Console

    from simulations.comparison import caption, columns, text_rows
    from simulations.savings_parts import part_rows
    from simulations.summary import class_rows, headline, side_rows

    console, results = Console(), found.results
    console.print(f"\n[bold]{headline(results)}[/bold]\n")
    _print_table(console, ("", "run at once", "policy"), side_rows(results))
    console.print()
    _print_table(console, ("saved by class", "items", "kWh", "run at once", "policy", "saved"), class_rows(results))
    if found.parts is not None:
        console.print()
        _print_table(console, ("where the saving comes from", "", "of at once"), part_rows(found.parts))
    if found.policies is not None:
        console.print()
        _print_table(console, columns(found.policies), text_rows(found.policies))
        if words := caption(found.policies):
            console.print(f"\n{words}")


def _print_table(console: Console, names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.table import Table

    table = Table(*names, box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*row)
    console.print(table)
