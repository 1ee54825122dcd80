"""`slacktide replay`: what a daemon did, written down as a scenario that can be changed and run."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slacktide.terminal import OwnFailure, UsageProblem, counted, reason_of, say

if TYPE_CHECKING:
    from scheduler.config import Settings
    from scheduler.jobs import Job
    from scheduler.ledger import EnergyUse

_PAGE = 500


def replay(
    config: Annotated[Path, typer.Option("--config", "-c", help="Settings of the daemon whose past it is.")],
    trace: Annotated[Path, typer.Option(help="What the grids emitted: timestamp, zone, gco2e_per_kwh.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write the scenario to; made if need be.")],
    since: Annotated[
        str,
        typer.Option(help="Submitted from then on, ISO 8601; default: what came first in the 30 days before --until."),
    ] = "",
    until: Annotated[str, typer.Option(help="Submitted before then; default: now.")] = "",
    database: Annotated[
        str, typer.Option("--from", help="Database to read in place of the settings', such as a copy of it.")
    ] = "",
) -> None:
    """Write a daemon's jobs and requests as a scenario: what would last month have been with twice the slack?

    Example: slacktide replay -c slacktide.toml --trace grid.csv --out last-month

    Then: slacktide simulate last-month/scenario.toml --set jobs.recorded_slack_ratio=2. Reads the database beside a
    daemon that runs, and changes nothing. What failed, was cancelled or has not ended is left out and counted.
    """
    from simulations.replay import past_jobs, past_traffic, scenario_tables

    if not trace.is_file():
        raise UsageProblem(f"there is no trace {trace}", "--trace names a file of timestamp, zone, gco2e_per_kwh")
    settings = _settings(config)
    since_s, until_s = _span(since, until)
    done, left_out, uses = _past(_database(settings, database), since_s, until_s)
    if not since:
        since_s = _first_hour_s(done, uses, since_s)
    jobs = past_jobs(done, uses, since_s)
    traffic = {f"requests-{place}.csv": one for place, one in enumerate(past_traffic(uses, since_s, until_s))}
    if not jobs and not traffic:
        raise UsageProblem("nothing ended well in that time", "an earlier --since?")
    _refuse_unknown_grids(trace, settings, since_s)
    tables = scenario_tables(settings, since_s, str(trace.resolve()), jobs, traffic)
    try:
        out.mkdir(parents=True, exist_ok=True)
        if jobs:
            _write_rows(out / "jobs.csv", jobs)
        for name, one in traffic.items():
            _write_rows(out / name, one.requests)
        (out / "scenario.toml").write_text(_toml(tables), encoding="utf-8")
    except OSError as error:
        raise UsageProblem(f"{out} cannot be written: {reason_of(error)}") from None
    requests = sum(len(one.requests) for one in traffic.values())
    say(
        f"{counted(len(jobs), 'job')} and {counted(requests, 'request')}; "
        f"left out: {counted(left_out, 'job')} that did not end well"
    )
    print(f"slacktide simulate {out / 'scenario.toml'} --set jobs.recorded_slack_ratio=2")


def _settings(config: Path) -> Settings:
    from scheduler.config_text import SettingsError, read_settings

    try:
        return read_settings(config.read_text(encoding="utf-8"), str(config), os.environ).settings
    except OSError as error:
        raise UsageProblem(f"{config} cannot be read: {reason_of(error)}") from None
    except SettingsError as error:
        raise UsageProblem(str(error), "slacktide config check says more") from None


def _database(settings: Settings, named: str) -> str:
    if named:
        return named if "://" in named else f"sqlite:///{named}"
    return settings.server.database_url or f"sqlite:///{Path(settings.server.state_dir).expanduser() / 'queue.db'}"


def _span(since: str, until: str) -> tuple[float, float]:
    import time

    from scheduler.quantities import QuantityError, parse_instant_s

    try:
        until_s = parse_instant_s(until) if until else time.time()  # noqa: TID251  the present of whoever asks
        since_s = parse_instant_s(since) if since else until_s - 30 * 86400.0
    except QuantityError as error:
        raise UsageProblem(str(error), "ISO 8601, such as 2026-10-01T00:00Z") from None
    if since_s >= until_s:
        raise UsageProblem("--since is not before --until")
    return since_s, until_s


def _first_hour_s(done: Iterable[Job], uses: Iterable[EnergyUse], since_s: float) -> float:
    """The full hour in which the first of them came: before it a trace of the grid need not reach back."""
    came_at_s = [job.submitted_at_s for job in done]
    came_at_s += [use.at_once_at_s for use in uses if use.subject == "request" and use.at_once_at_s >= since_s]
    return max(since_s, min(came_at_s) // 3600.0 * 3600.0) if came_at_s else since_s


def _refuse_unknown_grids(trace: Path, settings: Settings, since_s: float) -> None:
    """Here and not when the scenario is run, which may be on another day and by somebody else."""
    from intensity_feeds.trace import TraceError, read_trace
    from scheduler.quantities import format_instant

    try:
        known = read_trace(trace, {one.zone for one in settings.region})
    except TraceError as error:
        raise UsageProblem(str(error), "--trace names a file of timestamp, zone, gco2e_per_kwh") from None
    for zone, series in known.items():
        if not series.start_at_s <= since_s < series.end_at_s:
            span = f"{format_instant(series.start_at_s)} to {format_instant(series.end_at_s)}"
            raise UsageProblem(
                f"{trace} knows {zone} from {span} only, not at {format_instant(since_s)}",
                "a --trace that reaches further, or another --since",
            )


def _past(database: str, since_s: float, until_s: float) -> tuple[list[Job], int, Sequence[EnergyUse]]:
    """The jobs that ended well, how many did not, and all uses. A job's pieces may end long after its submission."""
    import math

    from sqlalchemy.exc import SQLAlchemyError

    from scheduler.jobs import JobState
    from scheduler.store.contract import JobFilter, StoreError
    from scheduler.store.sql import SqlReader

    path = database.removeprefix("sqlite:///")
    if path != database and not Path(path).is_file():
        raise UsageProblem(f"there is no database {path}", "--from FILE names another")
    reader = SqlReader(database)
    try:
        records, before = [], None
        while page := reader.jobs(JobFilter(), limit=_PAGE, before=before):
            records += [one for one in page if since_s <= one.job.submitted_at_s < until_s]
            before = page[-1].sequence
        uses = reader.uses(since_s, math.inf)
    except (SQLAlchemyError, StoreError) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise OwnFailure(
            f"{database.removeprefix('sqlite:///')} cannot be read: {reason}",
            "a daemon's queue.db copied by itself lacks what its -wal file holds: slacktide backup copies all of it",
        ) from None
    finally:
        reader.close()
    done = [one.job for one in records if one.standing.state is JobState.SUCCEEDED]
    return (
        done,
        len(records) - len(done),
        [use for use in uses if use.subject != "request" or use.at_once_at_s < until_s],
    )


def _write_rows(path: Path, rows: Iterable[Any]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for number, row in enumerate(rows):
            names = [one.name for one in fields(row)]
            if number == 0:
                writer.writerow(names)
            writer.writerow([f"{getattr(row, name):.12g}" for name in names])


def _toml(tables: Mapping[str, Any]) -> str:
    """The few shapes that a scenario has: values, tables, and lists of tables."""
    import json

    def values(table: Mapping[str, Any]) -> str:
        return "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())

    text = values({key: value for key, value in tables.items() if isinstance(value, str)})
    for key, value in tables.items():
        if isinstance(value, Mapping):
            text += f"\n[{key}]\n{values(value)}"
        elif isinstance(value, list):
            text += "".join(f"\n[[{key}]]\n{values(one)}" for one in value)
    return text
