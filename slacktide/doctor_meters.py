"""What `slacktide doctor` finds out about the meters of workers: which are metered, and why the others are not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from slacktide.doctor import Diagnosis, Verdict

if TYPE_CHECKING:
    from scheduler.config import Settings
    from scheduler.gpu_report import Unmetered
    from scheduler.worker_settings import WorkerSettings


def meters(settings: Settings) -> Iterator[Diagnosis]:
    """Each worker in the order of the settings. Nothing of it keeps the daemon from running."""
    from scheduler.gpu_report import not_booked

    for worker in settings.worker:
        found = _of(worker)
        if found.verdict is Verdict.OK and not settings.telemetry.book_metered:
            found = _modelled(worker, not_booked(), Verdict.NOTE)
        yield found


def _of(worker: WorkerSettings) -> Diagnosis:
    from scheduler.gpu_report import not_named

    if not worker.devices:
        return _modelled(worker, not_named(), Verdict.NOTE)
    if worker.agent:
        what = f"{worker.url} is metered by agent {worker.agent}, which `slacktide doctor --online` asks"
        return Diagnosis(subject="meters", verdict=Verdict.OK, what=what)
    return _here(worker)


def _here(worker: WorkerSettings) -> Diagnosis:
    """By the NVML of this machine, which has to know its boards."""
    from scheduler.daemon.nvml import LOOK_AT_POWER, TELLS_NOTHING, NvmlError, NvmlMeter
    from scheduler.gpu_report import Unmetered

    try:
        meter = NvmlMeter(worker.devices)
    except NvmlError as error:
        return _modelled(worker, Unmetered(what=error.what, remedy=error.remedy), Verdict.WARNING)
    reading = meter.read()
    meter.close()
    if reading.energy_j is None and reading.power_w is None:
        return _modelled(worker, Unmetered(what=TELLS_NOTHING, remedy=LOOK_AT_POWER), Verdict.WARNING)
    what = f"{worker.url} is metered here: {', '.join(worker.devices)}"
    return Diagnosis(subject="meters", verdict=Verdict.OK, what=what)


def _modelled(worker: WorkerSettings, why: Unmetered, verdict: Verdict) -> Diagnosis:
    return Diagnosis(
        subject="meters", verdict=verdict, what=f"the energy of {worker.url} is modelled: {why.what}", fix=why.remedy
    )
