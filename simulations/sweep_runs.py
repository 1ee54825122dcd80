"""Makes the runs of a sweep on all cores, and keeps each in a file as soon as it is done, so that none is made twice.

A run is a pure function of its scenario and the files that it names; its key is a digest of both and of the version.
A shell: processes, files and signals. Judges no result.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from simulations.inputs import gather_inputs
from simulations.overrides import Override, overridden, places_of
from simulations.results import results_of
from simulations.runs import run_both
from simulations.scenario import Scenario
from simulations.scenario_file import LoadedScenario, ReadScenario, plain_settings
from simulations.sweep import (
    Measure,
    Parameter,
    PointResult,
    Savings,
    front,
    means_of,
    measures_of,
    points_of,
    trades_of,
)

JOURNAL = "runs.jsonl"


class SweepError(Exception):
    """A sweep that cannot go on; what is done stays done."""

    def __init__(self, what: str, hint: str) -> None:
        self.what, self.hint = what, hint
        super().__init__(what, hint)  # both, so that it comes whole from another process

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """One point with one seed. `values` are those in force, in the units of the settings."""

    point: int
    labels: tuple[str, ...]
    values: tuple[Any, ...]
    seed: int
    key: str
    loaded: LoadedScenario


@dataclass(frozen=True, slots=True, kw_only=True)
class DoneRun:
    planned: PlannedRun
    measures: Mapping[str, Measure]


# Makes runs and gives each as soon as it is done.
Runner = Callable[[Sequence[PlannedRun]], Iterator[DoneRun]]


# -- planning --------------------------------------------------------------------------------------------------------


def plan_runs(
    read: ReadScenario, parameters: Sequence[Parameter], overrides: Sequence[Override], seeds: int
) -> list[PlannedRun]:
    """Every point with `seeds` seeds from the scenario's own upwards. Raises ScenarioError before anything runs."""
    digests: dict[Path, str] = {}
    planned = []
    for point, places in enumerate(points_of(parameters)):
        mine = [*overrides, *(one.override(place) for one, place in zip(parameters, places, strict=True))]
        labels = tuple(one.labels[place] for one, place in zip(parameters, places, strict=True))
        first_seed = read.validated(mine).scenario.seed
        for seed in range(first_seed, first_seed + seeds):
            loaded = read.validated([*mine, Override(path=("seed",), value=seed, source="--seeds")])
            settings = plain_settings(loaded.scenario)
            planned.append(
                PlannedRun(
                    point=point,
                    labels=labels,
                    values=tuple(_value_at(settings, read, one) for one in mine[len(overrides) :]),
                    seed=seed,
                    key=_key(settings, loaded, digests),
                    loaded=loaded,
                )
            )
    return planned


def _value_at(settings: Mapping[str, Any], read: ReadScenario, override: Override) -> Any:
    found: Any = settings
    for part in places_of(overridden(read.tables, [override]).plain, override)[0]:
        found = found[part]
    return found if isinstance(found, str | int | float | bool | None) else json.dumps(found)


def _key(settings: Mapping[str, Any], loaded: LoadedScenario, digests: dict[Path, str]) -> str:
    version = importlib.metadata.version("slacktide")
    files = [_digest(loaded.path(name), digests) for name in files_of(loaded.scenario)]
    text = json.dumps([version, settings, files], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def files_of(scenario: Scenario) -> list[str]:
    """The names of all files that a run of the scenario reads."""
    work = [*(one.trace for one in scenario.requests), *(one.trace for one in scenario.jobs)]
    return [name for name in (scenario.grid.trace, scenario.forecast.trace, scenario.price.trace, *work) if name]


def _digest(path: Path, digests: dict[Path, str]) -> str:
    if path not in digests:
        # A file that is not there has a digest too; the run says what is wrong.
        digests[path] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return digests[path]


# -- the journal -----------------------------------------------------------------------------------------------------


class Journal:
    """One line of JSON for each finished run. A last line without an end was being written at a kill: it is cut off."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self.measures: dict[str, Mapping[str, Measure]] = {}
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                entry = json.loads(line)
                self.measures[entry["key"]] = entry["measures"]
            except (ValueError, KeyError, TypeError):
                raise SweepError(f"{name}, line {number}: is no finished run", "remove the line, or the file") from None
        file.truncate(len(whole))
        file.seek(len(whole))

    def append(self, done: DoneRun, names: Sequence[str]) -> None:
        """On disk when this returns."""
        run = done.planned
        entry = {
            "key": run.key,
            "seed": run.seed,
            "parameters": dict(zip(names, run.values, strict=True)),
            "measures": done.measures,
        }
        self._file.write(json.dumps(entry, allow_nan=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.measures[run.key] = done.measures


@contextmanager
def opened_journal(folder: Path) -> Iterator[Journal]:
    """The folder's journal, for one sweep at a time. Raises SweepError."""
    path = folder / JOURNAL
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SweepError(f"another sweep is writing {path}", "wait for it, or use another --out") from None
        file.seek(0)
        yield Journal(file, str(path))


# -- running ---------------------------------------------------------------------------------------------------------


def make_runs(
    planned: Sequence[PlannedRun],
    journal: Journal,
    names: Sequence[str],
    made: Runner,
    told: Callable[[int], None] = lambda count: None,
) -> list[DoneRun]:
    """All runs in order; those in the journal are not `made` again. `told` gets the number of runs there are so far."""
    open_runs = {run.key: run for run in planned if run.key not in journal.measures}
    told(_done_count(planned, journal))
    if open_runs:
        for done in made(list(open_runs.values())):
            journal.append(done, names)
            told(_done_count(planned, journal))
    return [DoneRun(planned=run, measures=journal.measures[run.key]) for run in planned]


def _done_count(planned: Sequence[PlannedRun], journal: Journal) -> int:
    return sum(run.key in journal.measures for run in planned)


def made_here(runs: Sequence[PlannedRun], processes: int) -> Iterator[DoneRun]:
    """The runs as they are done, in so many processes of this machine. Raises SweepError, and what a run raises."""
    # Spawned, not forked: a fork would copy the locks of numpy's threads.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(min(processes, len(runs)), mp_context=context, initializer=_start_process)
    try:
        with _deaf_children():
            futures: dict[Future[dict[str, Measure]], PlannedRun] = {
                executor.submit(measures_of_scenario, run.loaded): run for run in runs
            }
        for future in as_completed(futures):
            yield DoneRun(planned=futures[future], measures=future.result())
    except (KeyboardInterrupt, GeneratorExit):
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    except BrokenProcessPool:
        hint = "if memory ran out, use fewer --processes; the same command goes on where this stopped"
        raise SweepError("a process of the sweep died", hint) from None
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def measures_of_scenario(loaded: LoadedScenario) -> dict[str, Measure]:
    """One run, from its scenario to its numbers. Raises ScenarioError and StalledError."""
    return measures_of(results_of(run_both(gather_inputs(loaded))))


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Processes begun inside never hear Ctrl-C, not even while they load: their parent ends them, without a word."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _start_process() -> None:
    """A process of the pool ends with its parent, however that ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    from multiprocessing.connection import wait

    wait([sentinel])
    os._exit(1)


# -- together --------------------------------------------------------------------------------------------------------


def point_results(runs: Sequence[DoneRun]) -> list[PointResult]:
    """One for each point, in order, with the Pareto fronts of the whole sweep."""
    by_point: dict[int, list[DoneRun]] = {}
    for run in runs:
        by_point.setdefault(run.planned.point, []).append(run)
    points = [_point(of_point) for of_point in by_point.values()]
    gains = [point.savings.mean_ratio for point in points]
    on = {name: front(gains, [point.means[name] for point in points]) for name in trades_of(points)}
    return [
        PointResult(
            labels=point.labels,
            values=point.values,
            runs=point.runs,
            savings=point.savings,
            means=point.means,
            fronts=frozenset(name for name, flags in on.items() if flags[place]),
        )
        for place, point in enumerate(points)
    ]


def _point(runs: Sequence[DoneRun]) -> PointResult:
    measures = [run.measures for run in runs]
    return PointResult(
        labels=runs[0].planned.labels,
        values=runs[0].planned.values,
        runs=len(runs),
        savings=Savings.over([one["savings_ratio"] for one in measures]),
        means=means_of(measures),
    )
