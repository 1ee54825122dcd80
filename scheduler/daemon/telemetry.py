"""Reads what the GPUs of local workers draw: for the ledger, and for a log to calibrate profiles with.

Decides how often, and when a file ends; what belongs to which request is metered_shares.py's. Reads no GPU by itself: a
meter does, on a thread. Without a meter there is no log, and energy stays modelled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from io import FileIO
from pathlib import Path
from typing import Protocol

from scheduler.config import TelemetrySettings
from scheduler.daemon.env import Env
from scheduler.daemon.metering import Metering, MeterSight
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.nvml import LOOK_AT_POWER, TELLS_NOTHING, NvmlError, NvmlMeter, Reading
from scheduler.daemon.worker_profiles import worker_deployment
from scheduler.daemon.workers import Worker
from shaping.deployment import Deployment, ProfileError
from shaping.meter_log import COLUMNS

log = logging.getLogger(__name__)

_HERE = "NVML here"
_WITH_A_DISK = "free space for server.state_dir, and start the daemon again"
_HEADER = (",".join(COLUMNS) + "\n").encode()


class Meter(Protocol):
    """Reads some GPUs; both calls may block."""

    def read(self) -> Reading: ...

    def close(self) -> None: ...


OpenMeter = Callable[[Sequence[str]], Meter]


class MeterLog:
    """Lines of one worker in `NAME-NNNNNN.csv` of a folder; a full file is followed by the next, old ones go."""

    def __init__(self, folder: Path, name: str, settings: TelemetrySettings) -> None:
        self._folder, self._name, self._settings = folder, name, settings
        folder.mkdir(parents=True, exist_ok=True)
        self._file: FileIO | None = None

    def append(self, at_s: float, worker: Worker, reading: Reading) -> None:
        """Raises OSError where the disk takes no more."""
        file = self._file or self._next_file()
        served = worker.served
        cells = (
            f"{at_s:.3f}",
            worker.in_flight,
            served.prompt_tokens,
            served.output_tokens,
            served.requests,
            _cell(reading.energy_j),
            _cell(reading.power_w),
        )
        file.write((",".join(map(str, cells)) + "\n").encode())
        if file.tell() > self._settings.max_file_bytes:
            self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _next_file(self) -> FileIO:
        number = max((_number(path) for path in self._paths()), default=0) + 1
        self._file = (self._folder / f"{self._name}-{number:06d}.csv").open("ab", buffering=0)
        self._file.write(_HEADER)
        for path in sorted(self._paths(), key=_number)[: -self._settings.files_kept]:
            path.unlink(missing_ok=True)
        return self._file

    def _paths(self) -> list[Path]:
        return [path for path in self._folder.glob(f"{self._name}-*.csv") if _number(path)]


class Telemetry:
    """One task for each worker whose GPUs are named in the settings as being in this machine."""

    def __init__(
        self,
        env: Env,
        settings: TelemetrySettings,
        folder: Path,
        workers: Iterable[Worker],
        open_meter: OpenMeter = NvmlMeter,
        metrics: Metrics | None = None,
    ) -> None:
        self._metrics = metrics or Metrics()
        self._env, self._settings, self._folder, self._open_meter = env, settings, folder, open_meter
        numbered = [(f"worker-{number}", one) for number, one in enumerate(workers, 1)]
        self._metered = [(name, one) for name, one in numbered if one.settings.devices and not one.settings.agent]

    async def run(self) -> None:
        """Until cancelled; returns at once where nothing is to be metered."""
        async with asyncio.TaskGroup() as group:
            for name, worker in self._metered:
                group.create_task(self._keep(name, worker), name=f"meter {worker.name}")

    async def _keep(self, name: str, worker: Worker) -> None:
        try:
            meter = await self._env.in_thread(self._open_meter, worker.settings.devices)
        except NvmlError as error:
            worker.meter = self._unread(error.what, error.remedy)
            log.warning(
                "GPUs cannot be metered",
                extra={"action": "meter_unavailable", "worker": worker.name, "why": error.what, "fix": error.remedy},
            )
            return
        lines = MeterLog(self._folder, name, self._settings)
        metering = worker.metering = metering_of([worker]) if self._settings.book_metered else None
        log.info("GPUs are metered", extra={"action": "meter_started", "worker": worker.name})
        # Real seconds that never jump: a GPU follows neither a corrected clock nor one that runs ahead.
        started_at_s = self._env.now_s() - self._env.monotonic_s()
        ended: MeterSight | None = None
        try:
            while True:
                reading = await self._env.in_thread(meter.read)
                if metering is not None:
                    metering.read(self._env.monotonic_s(), reading.energy_j, reading.power_w)
                worker.meter = self._sight(reading, worker.meter)
                self._metrics.metered(
                    worker.name, is_metered=worker.is_metered, power_w=reading.power_w, utilisation_ratio=None
                )
                lines.append(started_at_s + self._env.monotonic_s(), worker, reading)
                await self._env.sleep_s(self._settings.sample_s * self._env.speed)
        except OSError as error:  # the log explains and calibrates; a full disk must not stop the daemon for it
            log.warning(
                "meter log ended", extra={"action": "meter_log_ended", "worker": worker.name, "why": str(error)}
            )
            ended = self._unread(f"its log cannot be written: {error}", _WITH_A_DISK)
            self._metrics.metered(worker.name, is_metered=False, power_w=None, utilisation_ratio=None)
        finally:
            worker.metering, worker.meter = None, ended
            if metering is not None:
                metering.close()
            lines.close()
            meter.close()

    def _unread(self, what: str, remedy: str) -> MeterSight:
        return MeterSight(source=_HERE, what=what, remedy=remedy, since_at_s=self._env.now_s())

    def _sight(self, reading: Reading, before: MeterSight | None) -> MeterSight:
        if reading.energy_j is not None or reading.power_w is not None:
            return MeterSight(source=_HERE, power_w=reading.power_w)
        if before is not None and before.what:
            return before
        return self._unread(TELLS_NOTHING, LOOK_AT_POWER)


def metering_of(workers: Sequence[Worker]) -> Metering:
    """One for all workers on the same GPUs. Unlike profiles weigh tokens unlike: then time alone says who used what."""
    deployments = [_deployment(worker) for worker in workers]
    return Metering(deployments[0] if all(one == deployments[0] for one in deployments) else None)


def _deployment(worker: Worker) -> Deployment | None:
    try:
        return worker_deployment(worker.settings)
    except ProfileError:  # said at the start; time alone says who used what
        return None


def _cell(reading_j: float | None) -> str:
    return "" if reading_j is None else f"{reading_j:.3f}"


def _number(path: Path) -> int:
    digits = path.stem.rpartition("-")[2]
    return int(digits) if digits.isdigit() else 0
