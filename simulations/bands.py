"""How sure the joules and grams of a simulation are: 80% bands by the error class of each pool's profile.

Decides that pools err together, which is the widest a band can be, and that what a scenario states (the power of a
job, the grid) has no error of ours. Knows no profile beyond its class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from shaping.deployment import Deployment
from shaping.uncertainty import Band, class_factors
from simulations.accounts import Accounts, Floats


def item_factors(accounts: Accounts, deployments: Sequence[Deployment]) -> tuple[Floats, Floats]:
    """What the energy of each item is multiplied by at either end: jobs, then of each pool requests and idling."""
    jobs = np.ones(len(accounts.jobs.energy_kwh))
    lows, highs = [jobs], [jobs]
    for pool, deployment in zip(accounts.pools, deployments, strict=True):
        low, high = class_factors(deployment.error_class)
        items = np.ones(len(pool.requests.energy_kwh) + len(pool.idle.energy_kwh))
        lows.append(low * items)
        highs.append(high * items)
    return np.concatenate(lows), np.concatenate(highs)


def band_of(amounts_factor: Floats, factors: tuple[Floats, Floats]) -> Band:
    """The band of a sum of items, in their unit."""
    low, high = factors
    return Band(float((amounts_factor * low).sum()), float((amounts_factor * high).sum()))


def plain_pools(deployments: Sequence[Deployment]) -> list[dict[str, Any]]:
    """Which profile each pool's energy is from, and how well it is known."""
    return [
        {
            "model": one.model.name,
            "gpu": one.gpu.name,
            "gpus_per_worker": one.gpus,
            "error_class": str(one.error_class),
            "band_factors": class_factors(one.error_class)._asdict(),
        }
        for one in deployments
    ]


def in_words(deployments: Sequence[Deployment]) -> str:
    """For a report: each class and its band."""
    classes = dict.fromkeys(one.error_class for one in deployments)
    if not classes:
        return ""
    said = ", ".join(
        f"{one} ({low - 1:+.0%} to {high - 1:+.0%})" for one in classes for low, high in [class_factors(one)]
    )
    return f"Error class of the profiles, with the 80% band: {said}."
