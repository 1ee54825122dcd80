"""A smaller, quantised or distilled model in place of a larger one: what is saved, and what it costs in accuracy.

Also energy per token as platforms publish it. Decides nothing about whether a figure is believable: it gives the ratios
that let one judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shaping.calculators.training import implied_gco2e_per_kwh, saving_ratio

_J_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A model as somebody measured it on one task."""

    name: str
    energy_kwh: float
    emitted_kgco2e: float
    accuracy_ratio: float

    @property
    def gco2e_per_kwh(self) -> float:
        """The intensity that its two figures imply."""
        return implied_gco2e_per_kwh(self.emitted_kgco2e, self.energy_kwh)


@dataclass(frozen=True, slots=True, kw_only=True)
class Substitution:
    """What it means to take the second model instead of the first."""

    energy_saving_ratio: float
    emissions_saving_ratio: float
    accuracy_loss_ratio: float


def substitution(before: Measured, after: Measured) -> Substitution:
    return Substitution(
        energy_saving_ratio=saving_ratio(before.energy_kwh, after.energy_kwh),
        emissions_saving_ratio=saving_ratio(before.emitted_kgco2e, after.emitted_kgco2e),
        accuracy_loss_ratio=before.accuracy_ratio - after.accuracy_ratio,
    )


def best_substitute(
    before: Measured, candidates: Mapping[str, Measured], most_loss_ratio: float
) -> tuple[str, Substitution] | None:
    """The candidate that takes least energy and loses no more accuracy than allowed; None where there is none."""
    allowed = {
        name: found
        for name, after in candidates.items()
        if (found := substitution(before, after)).accuracy_loss_ratio <= most_loss_ratio
        and found.energy_saving_ratio > 0
    }
    if not allowed:
        return None
    return min(allowed.items(), key=lambda one: (-one[1].energy_saving_ratio, one[0]))


def weights_bytes(params: float, weight_bits: float) -> float:
    """Memory of a model's weights."""
    return params * weight_bits / 8


# -- energy per token --------------------------------------------------------------------------------------------------


def tokens_energy_kwh(coefficient_kwh_per_token: float, tokens: float) -> float:
    """Energy by somebody's published coefficient; it is the user's, and so is its truth."""
    return coefficient_kwh_per_token * tokens


def kwh_per_token(j_per_token: float) -> float:
    return j_per_token / _J_PER_KWH


def gco2e_per_token(coefficient_kwh_per_token: float, intensity_gco2e_per_kwh: float) -> float:
    return coefficient_kwh_per_token * intensity_gco2e_per_kwh


def queries_ratio(
    large_params: float, small_params: float, tokens_ratio: float = 1.0, occupancy_ratio: float = 1.0
) -> float:
    """How many times less a small model takes than a large one, by order of magnitude.

    `tokens_ratio` is tokens of the large one over those of the small one, `occupancy_ratio` how much emptier its
    batches are.
    """
    return large_params / small_params * tokens_ratio * occupancy_ratio
