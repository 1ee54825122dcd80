"""`slacktide import-trace`: other people's traces as the files that a scenario reads."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from functools import partial
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

import typer

from slacktide.terminal import JSON_OPTION, UsageProblem, counted, print_json, reason_of, say

if TYPE_CHECKING:
    from simulations.imports.formats import Imported
    from simulations.imports.rows import Row
    from simulations.imports.servegen import Client

_FORMAT_HELP = "azure, burstgpt, mooncake, vidur, philly, pai, swf or sacct; default: as the first line shows."
_DRAWN_HELP = "servegen: "
_REQUEST_COLUMNS, _JOB_COLUMNS = {"arrival_s", "prompt_tokens", "output_tokens"}, {"submit_s", "duration_s", "gpus"}
_PROCESSORS_HELP = "swf: so many processors are taken as one GPU."


def import_trace(
    file: Annotated[
        Path, typer.Argument(help="The trace as its origin publishes it; .gz is unpacked. ServeGen's is a folder.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="CSV or CSV.gz to write.")],
    form: Annotated[str, typer.Option("--format", help=_FORMAT_HELP)] = "",
    processors_per_gpu: Annotated[int, typer.Option(min=1, help=_PROCESSORS_HELP)] = 1,
    from_time: Annotated[str, typer.Option("--from", help=f"{_DRAWN_HELP}from so long after its start on.")] = "0s",
    span: Annotated[str, typer.Option("--for", help=f"{_DRAWN_HELP}so long.")] = "1d",
    kept_ratio: Annotated[float, typer.Option("--keep", help=f"{_DRAWN_HELP}the share of requests that stays.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help=f"{_DRAWN_HELP}of the draw; the same one draws the same.")] = 0,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Read requests or jobs from a public trace or another scheduler's log, and write what a scenario reads.

    Example: slacktide import-trace cluster_job_log --format philly --out jobs.csv

    Azure, BurstGPT, Mooncake, Vidur and ServeGen have requests; Philly, PAI, the standard workload format and Slurm's
    sacct jobs. ServeGen's are drawn from its rates and lengths. What cannot be run again is left out and counted, with
    the reason. docs/traces.md says how each column is read.
    """
    if file.is_dir():
        trace = _drawn(file, _duration_s("--from", from_time), _duration_s("--for", span), kept_ratio, seed)
    else:
        trace = _read(file, form, processors_per_gpu)
    if not trace.rows:
        raise UsageProblem(f"{file} has nothing that could be run again: {_left_out(trace)}", "is it the right file?")
    _write(trace, out)
    if as_json:
        print_json(_described(trace))
    else:
        _show(trace, out)


def _read(file: Path, form: str, processors_per_gpu: int) -> Imported:
    from simulations.imports.formats import FORMATS, imported
    from simulations.imports.rows import TraceFormatError

    try:
        with _opened(file, "r") as lines:
            first_line = next(lines, "")
            name = form or _shown_by(first_line, file)
            if name not in FORMATS:
                raise UsageProblem(f"there is no format {name!r}", f"known are {', '.join(FORMATS)}")
            rows = _reader(name, processors_per_gpu)(chain([first_line], lines))
            return imported(rows, has_calendar=FORMATS[name].has_calendar)
    except TraceFormatError as error:
        raise UsageProblem(f"{file}, {error}", f"it is read as {name}; --format names another") from None
    except UnicodeDecodeError:
        raise UsageProblem(f"{file} is no text", "unpack it first; only .gz is unpacked here") from None
    except (OSError, EOFError) as error:
        raise UsageProblem(f"{file} cannot be read: {_reason(error)}") from None


def _drawn(folder: Path, from_s: float, span_s: float, kept_ratio: float, seed: int) -> Imported:
    """Requests of ServeGen's clients, which are published as rates, gaps and lengths."""
    import numpy as np

    from simulations.imports.formats import imported
    from simulations.imports.servegen import drawn

    if not 0.0 < kept_ratio <= 1.0:
        raise UsageProblem(f"--keep is {kept_ratio:g}", "above 0, at most 1: 0.01 keeps one request in a hundred")
    clients = _clients(folder)
    generator = np.random.default_rng(seed)
    rows = drawn(clients, from_s=from_s, to_s=from_s + span_s, kept_ratio=kept_ratio, generator=generator)
    return imported(rows, has_calendar=False)


def _clients(folder: Path) -> list[Client]:
    from simulations.imports.rows import TraceFormatError
    from simulations.imports.servegen import read_client

    traces = sorted(folder.glob("chunk-*-trace.csv"))
    if not traces:
        raise UsageProblem(f"{folder} has no chunk-*-trace.csv", "name a model's folder, such as data/language/m-large")
    found = []
    for trace in traces:
        dataset = trace.with_name(trace.name.replace("-trace.csv", "-dataset.json"))
        try:
            client = read_client(trace.read_text().splitlines(), dataset.read_text())
        except TraceFormatError as error:
            raise UsageProblem(f"{trace}, {error}", "is it as ServeGen publishes it?") from None
        except (OSError, UnicodeDecodeError) as error:
            reason = _reason(error) if isinstance(error, OSError) else "it is no text"
            raise UsageProblem(f"{trace} and its dataset cannot be read: {reason}") from None
        if client is not None:
            found.append(client)
    return found


def _duration_s(option: str, text: str) -> float:
    from scheduler.quantities import QuantityError, parse_duration_s

    try:
        return parse_duration_s(text)
    except QuantityError as error:
        raise UsageProblem(f"{option}: {error}") from None


def _shown_by(first_line: str, file: Path) -> str:
    from simulations.imports.formats import FORMATS, format_of

    if (name := format_of(first_line)) is not None:
        return name
    header = set(first_line.strip().split(","))
    for section, columns in (("requests", _REQUEST_COLUMNS), ("jobs", _JOB_COLUMNS)):
        if columns <= header:
            raise UsageProblem(
                f"{file} is what a scenario reads already", f'nothing to import: [[{section}]] trace = "{file}"'
            )
    raise UsageProblem(f"the first line of {file} shows no format", f"--format, one of {', '.join(FORMATS)}")


def _reader(name: str, processors_per_gpu: int) -> Callable[[Iterable[str]], Iterator[Row]]:
    from simulations.imports.formats import FORMATS
    from simulations.imports.job_logs import swf

    return partial(swf, processors_per_gpu=processors_per_gpu) if name == "swf" else FORMATS[name].read


def _write(trace: Imported, out: Path) -> None:
    columns = [one.name for one in fields(trace.rows[0])]
    try:
        with _opened(out, "w") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows([f"{getattr(row, column):.12g}" for column in columns] for row in trace.rows)
    except OSError as error:
        raise UsageProblem(f"{out} cannot be written: {_reason(error)}") from None


def _opened(path: Path, mode: Literal["r", "w"]) -> TextIO:
    if path.suffix == ".gz":
        return TextIOWrapper(gzip.GzipFile(path, mode), encoding="utf-8", newline="")
    return path.open(mode, encoding="utf-8", newline="")


def _reason(error: OSError | EOFError) -> str:
    return reason_of(error) if isinstance(error, OSError) else str(error)


# -- saying ----------------------------------------------------------------------------------------------------------


def _described(trace: Imported) -> dict[str, object]:
    from scheduler.quantities import format_instant

    begins = None if trace.begins_at_s is None else format_instant(trace.begins_at_s)
    return {
        "columns": [one.name for one in fields(trace.rows[0])],
        "rows": len(trace.rows),
        "span_s": trace.span_s,
        "begins": begins,
        "left_out": dict(trace.left_out),
    }


def _show(trace: Imported, out: Path) -> None:
    from scheduler.quantities import format_duration, format_instant
    from simulations.imports.rows import JobRow

    noun = "job" if isinstance(trace.rows[0], JobRow) else "request"
    rows = counted(len(trace.rows), noun).replace(",", "")  # as in the file that is named, and for scripts
    say(f"{rows} in {format_duration(trace.span_s)}; left out: {_left_out(trace)}")
    print(f'[[{noun}s]]\ntrace = "{out}"')
    if trace.begins_at_s is not None:
        say(f'It began on {format_instant(trace.begins_at_s)}: start = "{format_instant(trace.begins_at_s)}"')


def _left_out(trace: Imported) -> str:
    return ", ".join(f"{count} ({reason})" for reason, count in sorted(trace.left_out.items())) or "none"
