"""Limits of shifting by hand and by brute force: windows cut at the year's end, both kinds of migration."""

from __future__ import annotations

import numpy as np
import pytest

from simulations.reproductions import temporal_spatial_limits as limits
from simulations.reproductions.tables import CellError
from tests.unit.simulations.reproductions.packs import a_pack, a_row, answers

V = [5.0, 1.0, 4.0, 2.0, 3.0]


def test_a_short_year_by_hand() -> None:
    # Two hours, slack one, arrivals 0, 1, 2. Baseline 6, 5, 6; deferred 5, 5, 5; in pieces 1+4, 1+2, 2+3.
    found = limits.Year(np.array(V)).shift(1, 2, drops_last_arrival=True)
    assert found.baseline_g.tolist() == [6, 5, 6]
    assert found.deferred_g.tolist() == [5, 5, 5]
    assert found.interrupted_g.tolist() == [5, 3, 5]


def test_the_last_arrival_is_the_originals_to_drop() -> None:
    found = limits.Year(np.array(V)).shift(1, 2, drops_last_arrival=False)
    assert found.baseline_g.tolist() == [6, 5, 6, 5]
    assert found.deferred_g[-1] == 5


def test_a_cell_is_a_mean_per_job_hour() -> None:
    pack = a_pack({"X": V})
    (found,) = answers("temporal_spatial_limits", "expected_zone_slack24", pack, cell(1, 2))
    assert found["arrivals"] == 3
    assert found["defer_saving_g_per_kwh"] == pytest.approx(2 / 3 / 2)
    assert found["interrupt_extra_g_per_kwh"] == pytest.approx(2 / 3 / 2)


def cell(slack_hours: object, job_hours: int) -> dict[str, str]:
    return dict(a_row(zone="X", slack_hours=slack_hours, job_hours=job_hours))


@pytest.mark.parametrize("slack", ["5", "one_year"])
def test_a_slack_of_the_whole_year_keeps_the_last_arrival(slack: str) -> None:
    (found,) = answers("temporal_spatial_limits", "expected_zone_slack24", a_pack({"X": V}), cell(slack, 1))
    assert found["arrivals"] == 5
    assert found["defer_saving_g_per_kwh"] == pytest.approx((4 + 0 + 2 + 0 + 0) / 5)


@pytest.mark.parametrize("reach", [1, 2, 7, 40, 149, 151, 400])
@pytest.mark.parametrize("count", [1, 5, 33])
def test_sums_of_the_smallest_equal_brute_force(reach: int, count: int) -> None:
    array = np.random.default_rng(reach).integers(0, 9, 300).astype(float)
    reach = max(reach, count)
    wanted = [sum(sorted(array[start : start + reach])[:count]) for start in range(300 - count + 1)]
    starts = np.arange(300 - count + 1)
    found = limits.SmallestSums(array).of(starts, np.minimum(starts + reach, 300), count)
    assert found.tolist() == wanted


@pytest.mark.parametrize("reach", [1, 2, 3, 8, 13, 50, 90])
def test_lowest_ahead_equals_brute_force(reach: int) -> None:
    array = np.random.default_rng(reach).random(50)
    assert limits.lowest_ahead(array, reach).tolist() == [min(array[one : one + reach]) for one in range(50)]


def test_means_are_answered_for_the_zones_of_the_folder_only() -> None:
    pack = a_pack({"X": V, "Y": [1.0] * 5})
    (found,) = answers("temporal_spatial_limits", "expected_mean_slack24", pack, a_row(job_hours=1, slack_hours=1))
    assert found["defer_saving_2zones"] == pytest.approx((4 + 0 + 2 + 0) / 4 / 2)
    assert "defer_saving_60zones" not in found


def test_the_published_mean_lacks_the_zone_whose_output_is_empty() -> None:
    pack = a_pack({"SE-SE1": np.arange(300.0, 0.0, -1.0).tolist(), "Y": [1.0] * 300})
    (found,) = answers("temporal_spatial_limits", "expected_mean_slack24", pack, a_row(job_hours=168))
    assert found["defer_saving_2zones_published"] == pytest.approx(0.0, abs=1e-9)
    assert float(str(found["defer_saving_2zones"])) > 1.0


def test_migration_by_hand() -> None:
    pack = a_pack(
        {"X": [4, 2], "Y": [1, 3], "Z": [0, 0]},
        {"zones": [{"zone": zone, "continent": where} for zone, where in (("X", "A"), ("Y", "A"), ("Z", "B"))]},
    )
    one, everything = answers("temporal_spatial_limits", "expected_migration_60zones", pack, *map(group, ("A", "all")))
    assert one["destination"] == "Y"
    assert one["one_migration_saving_g_per_kwh"] == pytest.approx(0.5)
    assert one["infinite_migration_saving_g_per_kwh"] == pytest.approx((3 + 0 + 0 + 1) / 4)
    assert everything["destination"] == "Z"
    with pytest.raises(CellError, match="Atlantis"):
        answers("temporal_spatial_limits", "expected_migration_60zones", pack, group("Atlantis"))


def group(name: str) -> dict[str, str]:
    return {"group": name}


def test_a_zone_without_data_is_an_error_that_names_it() -> None:
    with pytest.raises(CellError, match="'X'"):
        answers("temporal_spatial_limits", "expected_zone_slack24", a_pack({"Y": V}), cell(1, 1))
