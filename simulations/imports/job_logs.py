"""Published logs of jobs on clusters: Philly, PAI, the standard workload format, Slurm's own accounting.

Each function reads the lines of one file. A job is submitted once and runs for as long as it ran there in all; that it
waited there, and how often it was tried, is the other scheduler's doing and left behind.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator

from simulations.imports.rows import Fields, LeftOut, Row, TraceFormatError, job_row, table

# The files of PAI's trace of 2020 have no header; the names are those that its documentation lists.
PAI_TASKS = (
    *("job_name", "task_name", "inst_num", "status", "start_time", "end_time"),
    *("plan_cpu", "plan_mem", "plan_gpu", "gpu_type"),
)
PAI_STATUSES = frozenset({"Terminated", "Failed", "Running", "Waiting"})
# plan_gpu counts hundredths of a GPU.
_PAI_PER_GPU = 100.0
SWF_FIELDS = 18
_SWF_SUBMIT, _SWF_RUN_TIME, _SWF_PROCESSORS = 1, 3, 4
_SLURM_ELAPSED = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)(?:\.\d+)?")
# Of any type, else those of each type: where Slurm counts typed GPUs only, there is no entry without a type.
_SLURM_GPUS = re.compile(r"(?:^|,)gres/gpu=(\d+)")
_SLURM_TYPED_GPUS = re.compile(r"(?:^|,)gres/gpu:[^=,]+=(\d+)")
_NO_TIME = frozenset({"", "None", "Unknown"})


def philly(lines: Iterable[str]) -> Iterator[Row]:
    """msr-fiddle/philly-traces, `cluster_job_log`: one JSON list of jobs with their attempts.

    The run time of a job is that of its attempts together, its GPUs those of the widest. Pacific time, read as UTC.
    """
    try:
        jobs = json.loads("".join(lines))
    except ValueError as error:
        raise TraceFormatError(f"is no JSON: {error}", getattr(error, "lineno", 1)) from None
    for number, job in enumerate(jobs, 1):
        yield _philly_job(Fields(number, job))


def _philly_job(job: Fields) -> Row:
    attempts = job.values.get("attempts")
    if not isinstance(attempts, list):
        raise TraceFormatError("is no list", job.line, "attempts")
    ran = [Fields(job.line, one) for one in attempts if not _NO_TIME & {str(one["start_time"]), str(one["end_time"])}]
    duration_s = sum(one.instant_s("end_time") - one.instant_s("start_time") for one in ran)
    gpus = max((_philly_gpus(one) for one in ran), default=0)
    return job_row(job.instant_s("submitted_time"), duration_s, gpus) if ran else LeftOut("never ran")


def _philly_gpus(attempt: Fields) -> int:
    detail = attempt.values.get("detail")
    if not isinstance(detail, list):
        raise TraceFormatError("is no list", attempt.line, "detail")
    return sum(len(machine["gpus"]) for machine in detail)


def pai(lines: Iterable[str]) -> Iterator[Row]:
    """alibaba/clusterdata, cluster-trace-gpu-v2020, `pai_task_table.csv`: every task is a job, submitted as it started.

    Its instances run together, and shares of a GPU are rounded up to whole ones for all of them.
    """
    for one in table(lines, header=PAI_TASKS):
        if one.text("status") != "Terminated" or not (one.text("start_time") and one.text("end_time")):
            yield LeftOut("not run to its end")
        elif not one.text("plan_gpu"):
            yield LeftOut("no GPU")
        else:
            start_s = one.number("start_time")
            gpus = math.ceil(one.number("plan_gpu") / _PAI_PER_GPU * one.number("inst_num"))
            yield job_row(start_s, one.number("end_time") - start_s, gpus)


def swf(lines: Iterable[str], processors_per_gpu: int = 1) -> Iterator[Row]:
    """The standard workload format of the Parallel Workloads Archive: 18 numbers a line, -1 where not known.

    It knows processors only: `processors_per_gpu` of them, or a part of so many, are taken as one GPU.
    """
    for number, line in enumerate(lines, 1):
        if line.startswith(";") or not line.strip():
            continue
        fields = line.split()
        if len(fields) != SWF_FIELDS:
            raise TraceFormatError(f"{len(fields)} fields, {SWF_FIELDS} were expected", number)
        one = Fields(number, {str(place): field for place, field in enumerate(fields)})
        processors = one.number(str(_SWF_PROCESSORS))
        gpus = math.ceil(processors / processors_per_gpu) if processors > 0 else 0
        yield job_row(one.number(str(_SWF_SUBMIT)), one.number(str(_SWF_RUN_TIME)), gpus)


def sacct(lines: Iterable[str]) -> Iterator[Row]:
    """Slurm's `sacct --allocations --parsable2 --format=JobID,Submit,Elapsed,AllocTRES,State`, in UTC."""
    for one in table(lines, delimiter="|"):
        gpus = _slurm_gpus(one.text("AllocTRES"))
        if "." in one.text("JobID"):
            yield LeftOut("a step of a job")
        elif one.text("State").startswith(("RUNNING", "PENDING")):
            yield LeftOut("not run to its end")
        elif not gpus:
            yield LeftOut("no GPU")
        else:
            yield job_row(one.instant_s("Submit"), _elapsed_s(one), gpus)


def _slurm_gpus(resources: str) -> int:
    of_any_type = _SLURM_GPUS.search(resources)
    return int(of_any_type[1]) if of_any_type else sum(map(int, _SLURM_TYPED_GPUS.findall(resources)))


def _elapsed_s(one: Fields) -> float:
    """[days-][hours:]minutes:seconds"""
    found = _SLURM_ELAPSED.fullmatch(one.text("Elapsed"))
    if found is None:
        raise TraceFormatError(f"{one.text('Elapsed')!r} is no [days-]hours:minutes:seconds", one.line, "Elapsed")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24.0 + hours) * 60.0 + minutes) * 60.0 + seconds
