"""Every published cell on the real inputs, to the tolerance of its study; measurements of another server have none."""

from __future__ import annotations

import pytest

from simulations.reproductions.catalogue import REPRODUCTIONS
from tests.unit.simulations.reproductions.packs import real_comparisons, too_far


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("lets_wait_awhile", 24 + 18),
        ("gaia", 21),
        ("temporal_spatial_limits", 1680 + 14 + 15),
        ("arrival_shaping", 21 + 28),
        ("routing", 36 + 87),
    ],
)
def test_every_published_cell_is_matched(name: str, values: int) -> None:
    compared = real_comparisons(name)
    assert sum(len(found) for _, found in compared) == values
    for table, found in compared:
        assert not too_far(table, found)


def test_every_study_says_how_close_it_must_be() -> None:
    assert all(table.tolerances for study in REPRODUCTIONS.values() for table in study.tables)
