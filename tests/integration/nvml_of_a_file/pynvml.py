"""Stands for NVML's binding in a process of its own: GPUs that draw, and count, what a file says.

FAKE_GPUS names a JSON file, a list of {"uuid": ..., "power_w": ..., "offset_j": ...}; `null` for a figure that the GPU
does not tell. The energy counter is the offset and the power since the machine was started, so that it goes on while
nobody reads it.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any


class NVMLError(Exception):
    """What NVML raises for anything it cannot do."""


_nvmlGetFunctionPointer = None  # noqa: N816  the mark of the maintained binding


def _gpus() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(Path(os.environ["FAKE_GPUS"]).read_text())
    return found


def _told(index: int, key: str) -> float:
    value = _gpus()[index].get(key)
    if value is None:
        raise NVMLError("Not Supported")
    return float(value)


def nvmlInit() -> None:  # noqa: N802
    _gpus()


def nvmlShutdown() -> None:  # noqa: N802
    return


def nvmlSystemGetDriverVersion() -> str:  # noqa: N802
    return "580.1"


def nvmlSystemGetNVMLVersion() -> str:  # noqa: N802
    return "13.580.1"


def nvmlDeviceGetCount() -> int:  # noqa: N802
    return len(_gpus())


def nvmlDeviceGetHandleByIndex(index: int) -> int:  # noqa: N802
    return index


def nvmlDeviceGetUUID(index: int) -> str:  # noqa: N802
    return str(_gpus()[index]["uuid"])


def nvmlDeviceGetName(_: int) -> bytes:  # noqa: N802  older bindings answer in bytes
    return b"NVIDIA made up"


def nvmlDeviceGetPowerUsage(index: int) -> int:  # noqa: N802
    return int(_told(index, "power_w") * 1000)


def nvmlDeviceGetTotalEnergyConsumption(index: int) -> int:  # noqa: N802
    counted_j = _told(index, "offset_j") + _told(index, "power_w") * time.monotonic()
    return int(counted_j * 1000)


def nvmlDeviceGetUtilizationRates(_: int) -> SimpleNamespace:  # noqa: N802
    return SimpleNamespace(gpu=87, memory=40)


def nvmlDeviceGetMigMode(_: int) -> list[int]:  # noqa: N802
    raise NVMLError("Not Supported")
