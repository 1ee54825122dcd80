"""The energy profile of a worker: the one that its settings name, brought to what was measured on it where they say so.

Reads files; decides only what their header makes them: points to calibrate to, or a log kept beside a meter.
"""

from __future__ import annotations

import functools
import gzip
from pathlib import Path

from scheduler.worker_settings import WorkerSettings
from shaping import profiles
from shaping.calibration import CalibrationError, Point, calibrate
from shaping.deployment import Deployment
from shaping.measurements import MeasurementError, read_points, read_traffic
from shaping.meter_log import points_from, read_meter_log
from shaping.saturation import Traffic

_REMEDY = "write it with: slacktide profiles calibrate --from-nvml-log LOG --write-points FILE"


class CalibrationFileError(ValueError):
    """A calibration of the settings that cannot be used. `worker` names whose, `remedy` what to do."""

    def __init__(self, worker: str, what: str) -> None:
        self.worker, self.what, self.remedy = worker, what, _REMEDY
        super().__init__(f"calibration of worker {worker}: {what}")


@functools.lru_cache(maxsize=256)
def worker_deployment(worker: WorkerSettings, model: str | None = None) -> Deployment:
    """What serves a model of the worker, by default its first, whose profile and calibration the settings name.

    A file is read once in the life of the daemon. Raises ProfileError, CalibrationFileError.
    """
    is_first = model is None or model == worker.models[0]
    named = worker.profile or worker.models[0] if is_first else model
    assert named is not None
    plain = profiles.deployment(gpu=worker.gpu, model=named, gpus=worker.gpus)
    return _calibrated(plain, worker) if worker.calibration and is_first else plain


def _calibrated(plain: Deployment, worker: WorkerSettings) -> Deployment:
    path = Path(worker.calibration).expanduser()
    lengths = Traffic(prompt_tokens=worker.calibration_prompt_tokens, output_tokens=worker.calibration_output_tokens)
    try:
        points, traffic = _points(_lines(path), str(path))
        return calibrate(plain, points, traffic or lengths)
    except OSError as error:
        raise CalibrationFileError(worker.url, f"{path}: {error.strerror or error}") from None
    except (MeasurementError, CalibrationError, EOFError, UnicodeDecodeError) as error:
        raise CalibrationFileError(worker.url, f"{path}: {error}") from None


def _lines(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        return file.readlines()


def _points(lines: list[str], place: str) -> tuple[list[Point], Traffic | None]:
    """The points of either kind of file, with the mean lengths of their requests where it says them."""
    if lines and "at_s" in lines[0].split(","):
        reading = points_from(read_meter_log(lines, place))
        return list(reading.points), reading.traffic
    return [point for _, point in read_points(lines, place)], read_traffic(lines, place)
