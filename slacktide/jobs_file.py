"""FILE.csv: one job a line. Decides what its columns mean, and points at mistakes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from slacktide import job_cells
from slacktide.file_places import nearest_of, rows_of, wrong_at
from slacktide.terminal import UsageProblem, say

if TYPE_CHECKING:
    from scheduler.jobs import Job
    from scheduler.planning.one_job.elastic import Scaling
    from scheduler.planning.one_job.power_profile import Phase
    from scheduler.planning.whole_fleet.rules.transfers import Data

T = TypeVar("T")

_SHOWN_NAMES = 1000
_NEEDED = ("job_id", "earliest_start", "finish_by", "duration_s", "gpus", "power_w_per_gpu")
_OPTIONAL = (
    "interruptible",
    "regions",
    "gpu_types",
    "power_profile",
    "elastic",
    "min_run_s",
    "tenant",
    "priority",
    "after",
    "cold_start_s",
    "data_region",
    "data_gb",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsFile:
    """The jobs in the order of the file, and for each that waits for others which they are.

    `gpu_types` has those that may not run on every type of GPU, `phases` those whose power changes, `scalings` those
    that are elastic.
    """

    jobs: list[Job]
    after: Mapping[str, tuple[str, ...]]
    data: Mapping[str, Data]
    gpu_types: Mapping[str, tuple[str, ...]]
    phases: Mapping[str, tuple[Phase, ...]]
    scalings: Mapping[str, Scaling]
    lines: Mapping[str, Line]


def read_jobs(path: Path) -> list[Job]:
    """The jobs alone. Raises UsageProblem that names line and column."""
    return read_jobs_file(path).jobs


def read_jobs_file(path: Path) -> JobsFile:
    """Everything that the file says. Raises UsageProblem that names line and column."""
    lines = _lines(path)
    jobs: dict[str, Job] = {}
    for line in lines:
        job = line.job()
        if job.id in jobs:
            raise line.wrong("job_id", f"job {job.id} is there twice", "give each job an id of its own")
        jobs[job.id] = job
    after = {name: before for name, line in zip(jobs, lines, strict=True) if (before := line.after(jobs))}
    by_name = dict(zip(jobs, lines, strict=True))
    _refuse_cycle(after, by_name)
    data = {name: found for name, line in by_name.items() if (found := line.data()) is not None}
    gpu_types = {name: types for name, line in by_name.items() if (types := line.names("gpu_types"))}
    return JobsFile(
        jobs=list(jobs.values()),
        after=after,
        data=data,
        gpu_types=gpu_types,
        phases={name: phases for name, line in by_name.items() if (phases := line.phases())},
        scalings={name: scaling for name, line in by_name.items() if (scaling := line.scaling())},
        lines=by_name,
    )


def _refuse_cycle(after: Mapping[str, tuple[str, ...]], lines: Mapping[str, Line]) -> None:
    from scheduler.planning.whole_fleet.rules.precedence import cycle_in

    if circle := cycle_in(after):
        told = " after ".join(f"{name} (line {lines[name].number})" for name in circle)
        raise lines[circle[0]].wrong("after", f"jobs wait for each other: {told}", "break the circle")


def _lines(path: Path) -> list[Line]:
    header: list[str] | None = None
    found: list[Line] = []
    for number, cells in rows_of(path, "--jobs"):
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = _header(path, number, cells)
            continue
        found.append(Line.of(path, number, header, cells))
    if header is None:
        raise wrong_at(path, 1, 1, "is empty", f"begin with the line {','.join((*_NEEDED, *_OPTIONAL))}")
    return found


def _header(path: Path, number: int, cells: Sequence[str]) -> list[str]:
    header = [cell.strip() for cell in cells]
    for name in _NEEDED:
        if name not in header:
            raise wrong_at(path, number, 1, f"has no column {name}", _how_to_name(name, header))
    for index, name in enumerate(header):
        if not name:  # what a comma at the end of each line leaves
            continue
        if name in header[:index]:
            raise wrong_at(path, number, _column(cells, index), f"column {name} is there twice", "keep one of them")
        if name not in (*_NEEDED, *_OPTIONAL):
            hint = nearest_of(name, (*_NEEDED, *_OPTIONAL))
            say(f"note: {path}:{number}:{_column(cells, index)}: column {name} is not read ({hint})")
    return header


def _how_to_name(name: str, header: Sequence[str]) -> str:
    for cell in header:
        if cell.lower() == name:
            return f"write {name} in place of {cell}"
    if len(header) == 1 and (signs := [sign for sign in (";", "\t", "|") if sign in header[0]]):
        return f"put commas between the cells in place of {signs[0]!r}"
    return f"it needs {', '.join(_NEEDED)}"


def _column(cells: Sequence[str], index: int) -> int:
    """Where a cell begins, from 1; a quoted cell is written with its quotes."""
    return 1 + sum(len(_written(cell)) + 1 for cell in cells[:index])


def _written(cell: str) -> str:
    needs_quotes = any(sign in cell for sign in ',"\n\r')
    return '"' + cell.replace('"', '""') + '"' if needs_quotes else cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line by column names."""

    path: Path
    number: int
    header: Sequence[str]
    cells: Sequence[str]

    @classmethod
    def of(cls, path: Path, number: int, header: Sequence[str], cells: Sequence[str]) -> Line:
        if len(cells) != len(header):
            what = f"{len(cells)} cells under {len(header)} columns"
            raise wrong_at(path, number, _column(cells, min(len(cells), len(header))), what, "give each column a cell")
        return cls(path=path, number=number, header=header, cells=cells)

    def job(self) -> Job:
        from scheduler.jobs import Interruption, Job, JobKind
        from slacktide.bounded import bounded_instant_s

        earliest_s = self._read("earliest_start", bounded_instant_s)
        deadline_s = self._read("finish_by", bounded_instant_s)
        if not deadline_s > earliest_s:
            raise self.wrong("finish_by", "lies not after earliest_start", "leave time to run between them")
        gpus = self._read("gpus", job_cells.whole)
        pauses = bool(self._text("interruptible")) and self._read("interruptible", job_cells.yes_or_no)
        min_run_s = self._read("min_run_s", job_cells.pause_s) if self._text("min_run_s") else 0.0
        if min_run_s > 0 and not pauses:
            raise self.wrong("min_run_s", "is the shortest piece of a job that may pause", "set interruptible to 1")
        duration_s, power_w = self._size(gpus)
        return Job(
            id=self._job_id(),
            kind=JobKind.COMMAND,
            submitted_at_s=earliest_s,
            earliest_start_at_s=earliest_s,
            deadline_at_s=deadline_s,
            duration_s=duration_s,
            power_w=power_w,
            gpus=gpus,
            interruption=Interruption(min_run_s=min_run_s) if pauses else None,
            regions=self.names("regions"),
            tenant=self._text("tenant") or "default",
            priority=self._read("priority", job_cells.integer) if self._text("priority") else 0,
        )

    def _size(self, gpus: int) -> tuple[float, float]:
        """How long the job runs on its GPUs, and at what power in the mean."""
        if phases := self.phases():
            from scheduler.planning.one_job.power_profile import energy_kwh, run_s

            self._refuse_beside("power_profile", ("duration_s", "power_w_per_gpu", "elastic", "cold_start_s"))
            if self._text("interruptible") and self._read("interruptible", job_cells.yes_or_no):
                raise self.wrong("interruptible", "a job with a power_profile runs in one piece", "write 0")
            return run_s(phases), 1000.0 * energy_kwh(phases) / (run_s(phases) / 3600.0)
        duration_s = self._read("duration_s", job_cells.duration_s) + self._cold_start_s()
        if scaling := self.scaling():
            self._refuse_beside("elastic", ("cold_start_s", "min_run_s"))
            if gpus not in (speeds := dict(scaling.speeds)):
                counts = ", ".join(str(one) for one in speeds)
                raise self.wrong(
                    "gpus", f"{gpus} has no speed in elastic", f"write one of {counts}: run at once it has so many"
                )
            duration_s /= speeds[gpus]
        return duration_s, gpus * self._read("power_w_per_gpu", job_cells.power_w)

    def phases(self) -> tuple[Phase, ...]:
        """Of a job whose power changes along its run; empty for any other."""
        from slacktide.job_shapes import phases_of

        text = self._text("power_profile").replace(";", ",")
        return tuple(self._told("power_profile", lambda: phases_of(text))) if text else ()

    def scaling(self) -> Scaling | None:
        """Of an elastic job; a file of speeds is sought beside this one, then in the working folder."""
        from slacktide.job_shapes import scaling_of

        text = self._text("elastic").replace(";", ",")
        if not text:
            return None
        beside = self.path.parent / text
        return self._told("elastic", lambda: scaling_of(str(beside) if beside.is_file() else text))

    def _told(self, name: str, read: Callable[[], T]) -> T:
        """What an option of one job means, with its mistakes pointed at in this line."""
        try:
            return read()
        except UsageProblem as problem:
            raise self.wrong(name, problem.what.partition(": ")[2] or problem.what, problem.hint) from None

    def _refuse_beside(self, name: str, others: Sequence[str]) -> None:
        for other in others:
            if self._text(other).strip("0.") != "":
                raise self.wrong(other, f"goes not with {name}", f"leave it empty where {name} is given")

    def after(self, known: Collection[str]) -> tuple[str, ...]:
        """The jobs that it waits for, all of which must be there."""
        names = self.names("after")
        for name in names:
            if name not in known:
                raise self.wrong("after", f"there is no job {name}", nearest_of(name, tuple(known)[:_SHOWN_NAMES]))
        return names

    def wrong(self, name: str, what: str, hint: str) -> UsageProblem:
        column = _column(self.cells, self.header.index(name))
        return wrong_at(self.path, self.number, column, f"{name}: {what}", hint)

    def data(self) -> Data | None:
        """What the job reads; None where it says nothing of it."""
        from scheduler.planning.whole_fleet.rules.transfers import Data

        region = self._text("data_region")
        if bool(region) != bool(self._text("data_gb")):
            name = "data_region" if "data_region" in self.header else "data_gb"
            raise self.wrong(name, "data_region and data_gb go together", "give both, or neither")
        return Data(region=region, size_gb=self._read("data_gb", job_cells.not_negative)) if region else None

    def _cold_start_s(self) -> float:
        return self._read("cold_start_s", job_cells.pause_s) if self._text("cold_start_s") else 0.0

    def names(self, column: str) -> tuple[str, ...]:
        return tuple(one.strip() for one in self._text(column).split(";") if one.strip())

    def _job_id(self) -> str:
        if not (found := self._text("job_id")):
            raise self.wrong("job_id", "is empty", "give the job an id")
        if not found.isprintable():  # it is written to terminals and pages
            raise self.wrong("job_id", "holds a sign that cannot be printed", "use letters, digits and punctuation")
        return found

    def _text(self, name: str) -> str:
        return self.cells[self.header.index(name)].strip() if name in self.header else ""

    def _read(self, name: str, parse: Callable[[str], T]) -> T:
        from scheduler.quantities import QuantityError

        try:
            return parse(self._text(name))
        except QuantityError as problem:
            what, _, remedy = str(problem).partition(": ")
            raise self.wrong(name, what, remedy) from None
        except ValueError as problem:
            raise self.wrong(name, f"{self._text(name)!r} is not {problem}", f"write {problem}") from None
