"""A GPU that is not there, for trying the agent on a machine without one. What it draws is made up, and is said to be.

Decides how it draws: up and down once a minute, as under a load that comes and goes. Asks no NVML.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scheduler.daemon.nvml_gpus import GpuSample

_PERIOD_S = 60.0
_IDLE_W = 100.0
_SWING_W = 300.0  # from idle to the top


class SimulatedGpus:
    """One board, whose counter is the integral of its power."""

    driver = version = "simulated"
    is_simulated = True

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s, self._began_at_s = monotonic_s, monotonic_s()

    def read(self) -> list[GpuSample]:
        turns = 2.0 * math.pi / _PERIOD_S
        run_s = self._monotonic_s() - self._began_at_s
        load_ratio = 0.5 * (1.0 - math.cos(turns * run_s))
        loaded_s = 0.5 * (run_s - math.sin(turns * run_s) / turns)
        return [
            GpuSample(
                index=0,
                uuid="SIMULATED-0",
                name="simulated GPU",
                counter_j=_IDLE_W * run_s + _SWING_W * loaded_s,
                power_w=_IDLE_W + _SWING_W * load_ratio,
                utilisation_ratio=load_ratio,
                is_divided=False,
            )
        ]

    def close(self) -> None:
        return
