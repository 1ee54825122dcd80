"""Opens tables of measured points and finds the profiles that are to predict them. Decides no number."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from shaping.calibration import Point
from shaping.deployment import Deployment, Precision, ProfileError
from shaping.evaluation import Subject
from shaping.measurements import Measurement, read_measurements, read_points
from shaping.profiles import gpu_profile, model_profile, stack_profile, task_traffic
from shaping.saturation import Traffic
from slacktide.terminal import UsageProblem

PRECISIONS = {
    "bfloat16": Precision.BITS_16,
    "float16": Precision.BITS_16,
    "fp8": Precision.FP8,
    "int8": Precision.INT8,
    "mxfp4": Precision.BITS_4,
}
STACKS = {"vllm-0.11.1": "vllm-0.11", "vllm-0.2-era": "vllm-0.2"}


def measurements(path: Path) -> list[Measurement]:
    """The rows of a table, gzipped if its name ends so. Raises UsageProblem with file, line and column."""
    with _opened(path) as lines:
        return read_measurements(lines, str(path))


def points(path: Path) -> list[tuple[int, Point]]:
    """Points to calibrate to with their lines, likewise."""
    with _opened(path) as lines:
        return read_points(lines, str(path))


def subject(measured: Measurement) -> Subject:
    """A measurement with the deployment and the traffic that predict it, or with the reason why there are none."""
    try:
        return Subject(measured=measured, deployment=_deployment(measured), traffic=_traffic(measured))
    except ProfileError as error:
        return Subject(measured=measured, reason=error.what)


def _deployment(measured: Measurement) -> Deployment:
    gpu = gpu_profile(measured.gpu)
    if measured.precision not in PRECISIONS:
        raise ProfileError(f"no weights are known to be stored as {measured.precision!r}")
    return Deployment(
        gpu=replace(gpu, limit_w=gpu.limit_w * measured.power_cap_ratio),
        model=model_profile(measured.model_id),
        stack=stack_profile(STACKS.get(measured.stack, measured.stack)),
        gpus=measured.gpus,
        precision=PRECISIONS[measured.precision],
        expert_parallel=measured.is_expert_parallel,
    )


def _traffic(measured: Measurement) -> Traffic:
    if measured.prompt_tokens is not None:
        return Traffic(prompt_tokens=measured.prompt_tokens, output_tokens=measured.output_tokens)
    return task_traffic(measured.task, measured.output_tokens)


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    from shaping.measurements import MeasurementError

    try:
        with (
            gzip.open(path, "rt", encoding="utf-8", newline="")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8", newline="") as lines
        ):
            yield lines
    except MeasurementError as error:
        raise UsageProblem(str(error), "mend that cell, or leave the row out") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UsageProblem(f"{path}:1:1: cannot be unpacked ({error})", "fetch the file again") from None
    except UnicodeDecodeError as error:
        raise UsageProblem(f"{path}:1:1: is no UTF-8 text (byte {error.start})", "save it as UTF-8") from None
    except OSError as error:
        raise UsageProblem(f"{path}: cannot be read: {error.strerror}", "name a CSV or CSV.gz file") from None
