"""Which studies can be reproduced, by name, and on which hardware. A shell: it reads the package's profiles."""

from __future__ import annotations

from collections.abc import Mapping

from shaping.profiles import deployment
from shaping.profiles.published import subject
from simulations.reproductions import (
    arrival_shaping,
    batch_size_curve,
    gaia,
    lets_wait_awhile,
    routing,
    serving_logs,
    temporal_spatial_limits,
)
from simulations.reproductions.tables import Reproduction

REPRODUCTIONS: Mapping[str, Reproduction] = {
    one.name: one
    for one in (
        lets_wait_awhile.REPRODUCTION,
        gaia.REPRODUCTION,
        temporal_spatial_limits.REPRODUCTION,
        arrival_shaping.reproduction(deployment(gpu="h100-sxm", model="llama-3.1-8b")),
        batch_size_curve.reproduction(subject),
        routing.REPRODUCTION,
        serving_logs.REPRODUCTION,
    )
}
