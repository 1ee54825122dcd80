"""Every GPU of this machine as NVML has it, one by one. Decides nothing; what a GPU does not tell is None.

One that is lost or refuses a question is said to, beside the others, which are read on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scheduler.daemon.nvml import NvmlError, begun, nvml_library, shut_down

_J_PER_MJ = 1e-3  # NVML counts millijoules and milliwatts
_W_PER_MW = 1e-3
_NO_DRIVER = "install NVIDIA's driver there, or, in a container, give it the GPUs and the driver's utility capability"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSample:
    """One board at one instant."""

    index: int
    uuid: str
    name: str
    counter_j: float | None  # since the driver was loaded
    power_w: float | None
    utilisation_ratio: float | None
    is_divided: bool  # by MIG
    problem: str = ""


class NvmlGpus:
    """NVML, opened once. All calls block for some milliseconds."""

    is_simulated = False

    def __init__(self) -> None:
        """Raises NvmlError."""
        self._nvml = nvml_library()
        try:
            with begun(self._nvml):
                self.driver = _text(self._nvml.nvmlSystemGetDriverVersion())
                self.version = _text(self._nvml.nvmlSystemGetNVMLVersion())
                self._count = int(self._nvml.nvmlDeviceGetCount())
        except self._nvml.NVMLError as error:
            raise NvmlError(f"NVML: {error}", _NO_DRIVER) from None

    def read(self) -> list[GpuSample]:
        """In the order of their indices. Raises NvmlError where the driver has gone, or the GPUs are others."""
        try:
            count = int(self._nvml.nvmlDeviceGetCount())
        except self._nvml.NVMLError as error:
            raise NvmlError(f"NVML: {error}", "see `nvidia-smi`: the driver answers no longer") from None
        if count != self._count:
            raise NvmlError(f"NVML has {count} GPUs and had {self._count}", "see `nvidia-smi -L`")
        return [self._sample(index) for index in range(count)]

    def close(self) -> None:
        shut_down(self._nvml)

    def _sample(self, index: int) -> GpuSample:
        nvml = self._nvml
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            uuid, name = _text(nvml.nvmlDeviceGetUUID(handle)), _text(nvml.nvmlDeviceGetName(handle))
        except nvml.NVMLError as error:
            return GpuSample(
                index=index,
                uuid="",
                name="",
                counter_j=None,
                power_w=None,
                utilisation_ratio=None,
                is_divided=False,
                problem=str(error),
            )
        problems: list[str] = []

        def asked(question: Callable[[Any], Any]) -> Any:
            try:
                return question(handle)
            except nvml.NVMLError as error:
                problems.append(str(error))
                return None

        counter_mj, power_mw = asked(nvml.nvmlDeviceGetTotalEnergyConsumption), asked(nvml.nvmlDeviceGetPowerUsage)
        told = tuple(dict.fromkeys(problems))
        rates, mig = asked(nvml.nvmlDeviceGetUtilizationRates), asked(nvml.nvmlDeviceGetMigMode)
        return GpuSample(
            index=index,
            uuid=uuid,
            name=name,
            counter_j=None if counter_mj is None else counter_mj * _J_PER_MJ,
            power_w=None if power_mw is None else power_mw * _W_PER_MW,
            utilisation_ratio=None if rates is None else min(1.0, rates.gpu / 100),
            is_divided=mig is not None and mig[0] != 0,  # (now, after the next reset); unknown to boards without MIG
            problem="; ".join(told),
        )


def _text(value: str | bytes) -> str:
    """Older bindings answer in bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
