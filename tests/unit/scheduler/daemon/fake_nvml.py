"""A module as pynvml is, with GPUs that draw what a test says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType


class FakeNVMLError(Exception):
    """What NVML raises for anything it cannot do."""


def fake_nvml(
    power_w: Mapping[str, Callable[[], float]], *, now_s: Callable[[], float], counts: bool = True
) -> ModuleType:
    """GPUs by UUID, indexed in that order. Energy is power since the instant 0; `counts` False: no such counter."""
    nvml = ModuleType("pynvml")
    names = list(power_w)

    def by_index(index: int) -> str:
        if index >= len(names):
            raise FakeNVMLError("Invalid Argument")
        return names[index]

    def by_uuid(name: str) -> str:
        if name not in names:
            raise FakeNVMLError("Not Found")
        return name

    def energy_mj(name: str) -> int:
        if not counts:
            raise FakeNVMLError("Not Supported")
        return int(power_w[name]() * now_s() * 1000)

    members: dict[str, object] = {
        "NVMLError": FakeNVMLError,
        "_nvmlGetFunctionPointer": None,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetHandleByIndex": by_index,
        "nvmlDeviceGetHandleByUUID": by_uuid,
        "nvmlDeviceGetTotalEnergyConsumption": energy_mj,
        "nvmlDeviceGetPowerUsage": lambda name: int(power_w[name]() * 1000),
    }
    vars(nvml).update(members)
    return nvml
