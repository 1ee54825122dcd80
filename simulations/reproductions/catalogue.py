"""Which studies can be reproduced, by name. Decides nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from simulations.reproductions import gaia, lets_wait_awhile, routing, temporal_spatial_limits
from simulations.reproductions.tables import Reproduction

REPRODUCTIONS: Mapping[str, Reproduction] = {
    one.name: one
    for one in (
        lets_wait_awhile.REPRODUCTION,
        gaia.REPRODUCTION,
        temporal_spatial_limits.REPRODUCTION,
        routing.REPRODUCTION,
    )
}
