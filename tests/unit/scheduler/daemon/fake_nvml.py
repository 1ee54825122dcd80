"""A module as pynvml is, with GPUs that draw what a test says."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import ModuleType, SimpleNamespace


class FakeNVMLError(Exception):
    """What NVML raises for anything it cannot do."""


def fake_nvml(
    power_w: Mapping[str, Callable[[], float]],
    *,
    now_s: Callable[[], float],
    counts: bool = True,
    divided: Collection[str] = (),
    lost: Collection[str] = (),
    opened: list[str] | None = None,
) -> ModuleType:
    """GPUs by UUID, indexed in that order. Energy is power since the instant 0; `counts` False: no such counter.

    MIG is on for those `divided`; those `lost` answer nothing. What is in a set may change while it is asked. `opened`
    has an entry for each nvmlInit without its nvmlShutdown.
    """
    nvml = ModuleType("pynvml")
    inits = [] if opened is None else opened
    names = list(power_w)

    def by_index(index: int) -> str:
        if index >= len(names):
            raise FakeNVMLError("Invalid Argument")
        if names[index] in lost:
            raise FakeNVMLError("GPU is lost")
        return names[index]

    def by_uuid(name: str) -> str:
        if name not in names:
            raise FakeNVMLError("Not Found")
        return name

    def energy_mj(name: str) -> int:
        if not counts:
            raise FakeNVMLError("Not Supported")
        return int(power_w[name]() * now_s() * 1000)

    def mig_mode(name: str) -> list[int]:
        if not divided:
            raise FakeNVMLError("Not Supported")
        return [int(name in divided), 0]

    members: dict[str, object] = {
        "NVMLError": FakeNVMLError,
        "_nvmlGetFunctionPointer": None,
        "nvmlInit": lambda: inits.append("init"),
        "nvmlShutdown": inits.pop,
        "nvmlSystemGetDriverVersion": lambda: "580.1",
        "nvmlSystemGetNVMLVersion": lambda: b"13.580.1",
        "nvmlDeviceGetCount": lambda: len(names),
        "nvmlDeviceGetUUID": lambda name: name,
        "nvmlDeviceGetName": lambda _: b"NVIDIA made up",
        "nvmlDeviceGetUtilizationRates": lambda _: SimpleNamespace(gpu=80, memory=40),
        "nvmlDeviceGetMigMode": mig_mode,
        "nvmlDeviceGetHandleByIndex": by_index,
        "nvmlDeviceGetHandleByUUID": by_uuid,
        "nvmlDeviceGetTotalEnergyConsumption": energy_mj,
        "nvmlDeviceGetPowerUsage": lambda name: int(power_w[name]() * 1000),
    }
    vars(nvml).update(members)
    return nvml
