"""Energy and power of GPUs in this machine, as NVML has them. Decides nothing, and never answers 0 for unknown.

Two reads of the energy counter and one subtraction are preferred to power: no privilege, nothing missed between them.
Reading needs no root. Source: energy_model 4.1.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_MODULE = "pynvml"
# Only the maintained distribution has it; an abandoned one of the same module name shadows it.
_OF_THE_MAINTAINED = "_nvmlGetFunctionPointer"
TELLS_NOTHING = "a GPU tells neither energy nor power"
LOOK_AT_POWER = "look at `nvidia-smi -q -d POWER`; a guest may not be shown the board's meter"
_J_PER_MJ = 1e-3  # NVML counts millijoules and milliwatts
_W_PER_MW = 1e-3


class NvmlError(Exception):
    """NVML cannot be asked here, or does not know a GPU; what and how to mend it."""

    def __init__(self, what: str, remedy: str) -> None:
        self.what, self.remedy = what, remedy
        super().__init__(f"{what}; {remedy}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Of all GPUs of a meter together; None where one of them does not tell."""

    energy_j: float | None  # counter since the driver was loaded
    power_w: float | None


class NvmlMeter:
    """Some GPUs by index in PCI order, or by UUID. All calls block for some milliseconds."""

    def __init__(self, devices: Sequence[str]) -> None:
        """Raises NvmlError."""
        self._nvml = nvml_library()
        try:
            with begun(self._nvml):
                self._handles = [self._handle(name) for name in devices]
        except self._nvml.NVMLError as error:
            raise NvmlError(
                f"NVML: {error}", "check the driver and the worker's `devices` with `nvidia-smi -L`"
            ) from None

    def read(self) -> Reading:
        return Reading(
            energy_j=self._sum(self._nvml.nvmlDeviceGetTotalEnergyConsumption, _J_PER_MJ),
            power_w=self._sum(self._nvml.nvmlDeviceGetPowerUsage, _W_PER_MW),
        )

    def close(self) -> None:
        shut_down(self._nvml)

    def _handle(self, name: str) -> Any:
        if name.isdigit():
            return self._nvml.nvmlDeviceGetHandleByIndex(int(name))
        return self._nvml.nvmlDeviceGetHandleByUUID(name)

    def _sum(self, ask: Callable[[Any], int], factor: float) -> float | None:
        """In our unit; None as soon as one GPU does not tell: a part would read as the whole."""
        try:
            return sum(ask(handle) for handle in self._handles) * factor
        except self._nvml.NVMLError:
            return None


def nvml_library() -> Any:
    """NVML's binding. Raises NvmlError where it is not installed, or another stands in its place."""
    try:
        nvml = importlib.import_module(_MODULE)
    except ImportError:
        raise NvmlError("no NVML binding is installed", "pip install nvidia-ml-py") from None
    if not hasattr(nvml, _OF_THE_MAINTAINED):
        raise NvmlError(
            "the deprecated pynvml shadows nvidia-ml-py",
            "pip uninstall pynvml && pip install --force-reinstall nvidia-ml-py",
        )
    return nvml


@contextmanager
def begun(nvml: Any) -> Iterator[None]:
    """NVML with its first calls inside: it stays open after them, and is shut down where one of them fails.

    NVML counts who opened it: without that, each try to open it again would leave one more behind.
    """
    nvml.nvmlInit()
    try:
        yield
    except BaseException:
        shut_down(nvml)
        raise


def shut_down(nvml: Any) -> None:
    try:
        nvml.nvmlShutdown()
    except nvml.NVMLError:  # nothing depends on it any more
        return
