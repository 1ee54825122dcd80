"""Training energy from compute: parameters times tokens, over what a GPU really does in a second.

Decides nothing about where or when. Mixtures of experts compute with their active parameters only, and still hold all
of them in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

FLOPS_PER_PARAM_AND_TOKEN = 6.0  # forward and backward pass of a transformer
_S_PER_H = 3600.0
_W_PER_KW = 1000.0
_G_PER_KG = 1000.0
# Weights and gradients in 16 bit, master weights and two moments of Adam in 32 bit.
TRAINING_BYTES_PER_PARAM = 16.0


class ImpossibleRunError(ValueError):
    """Inputs that no training has; `field` names the first of them."""

    def __init__(self, field: str, what: str) -> None:
        self.field = field
        super().__init__(f"{field} {what}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """What is trained and on which GPU. `power_w` is of one GPU with whatever is counted with it.

    Raises ImpossibleRunError.
    """

    active_params: float
    tokens: float
    peak_flops_per_s: float
    mfu_ratio: float
    power_w: float
    total_params: float | None = None  # None: all are active

    def __post_init__(self) -> None:
        for field in ("active_params", "tokens", "peak_flops_per_s", "mfu_ratio", "power_w"):
            if not 0 < getattr(self, field) < float("inf"):
                raise ImpossibleRunError(field, "must be a number above zero")
        if self.mfu_ratio > 1:
            raise ImpossibleRunError("mfu_ratio", "cannot be above 1")
        if self.total_params is not None and self.total_params < self.active_params:
            raise ImpossibleRunError("total_params", "cannot be fewer than the active ones")

    @property
    def gpu_hours(self) -> float:
        """Source: calculators 1."""
        flops = FLOPS_PER_PARAM_AND_TOKEN * self.active_params * self.tokens
        return flops / (self.peak_flops_per_s * self.mfu_ratio) / _S_PER_H

    @property
    def memory_bytes(self) -> float:
        """Weights, gradients and optimiser state of all parameters, the inactive ones included."""
        return (self.total_params or self.active_params) * TRAINING_BYTES_PER_PARAM

    def energy_kwh(self, pue: float) -> float:
        """Energy at the meter of the facility."""
        return facility_energy_kwh(self.gpu_hours, self.power_w, pue)


def facility_energy_kwh(gpu_hours: float, power_w: float, pue: float) -> float:
    """Energy of so many GPU-hours, the facility's share included."""
    return gpu_hours * power_w / _W_PER_KW * pue


def emissions_kgco2e(energy_kwh: float, intensity_gco2e_per_kwh: float) -> float:
    """Operational emissions, location-based."""
    return energy_kwh * intensity_gco2e_per_kwh / _G_PER_KG


def saving_ratio(before_kwh: float, after_kwh: float) -> float:
    """What is saved, as a part of what it was; negative where it became more."""
    if before_kwh <= 0:
        raise ValueError("nothing can be saved of nothing")
    return 1.0 - after_kwh / before_kwh


def implied_gco2e_per_kwh(emitted_kgco2e: float, energy_kwh: float) -> float:
    """The intensity that a pair of published figures was computed with."""
    return emitted_kgco2e * _G_PER_KG / energy_kwh
