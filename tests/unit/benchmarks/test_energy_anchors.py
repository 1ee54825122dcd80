"""The deviations that are fitted are those that the points were drawn with."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.energy_anchors import LeftOut, most_likely
from shaping.group_calibration import Vector

PLACES = np.log(np.array([8.0, 16.0, 32.0, 64.0, 128.0, 256.0]) / 45.0)


def drawn(random: np.random.Generator) -> LeftOut:
    """Two curves of six batches: 0.10 in common and 0.05 of each, slopes of 0.02, points of 0.01."""
    common, slope = random.normal(0.0, 0.10), random.normal(0.0, 0.02)
    own = [random.normal(0.0, 0.05) for _ in range(2)]
    lines: list[Vector] = [common + one + slope * PLACES + random.normal(0.0, 0.01, 6) for one in own]
    ln_ratio = np.concatenate(lines)
    return LeftOut(
        members=(),
        curves=(("a",),) * 6 + (("b",),) * 6,
        places=np.concatenate([PLACES, PLACES]),
        energy_ln_ratio=ln_ratio,
        time_ln_ratio=ln_ratio,
    )


@pytest.mark.slow
def test_deviations_are_found_again_in_groups_drawn_with_them() -> None:
    random = np.random.default_rng(1)
    groups = [drawn(random) for _ in range(60)]
    found = most_likely(groups, [one.energy_ln_ratio for one in groups])
    assert found.group_ln_ratio == pytest.approx(0.10, rel=0.25)
    assert found.curve_ln_ratio == pytest.approx(0.05, rel=0.25)
    assert found.group_slope_ln_ratio == pytest.approx(0.02, rel=0.25)
    assert found.point_ln_ratio == pytest.approx(0.01, rel=0.15)
    assert found.curve_slope_ln_ratio < 0.006
