from __future__ import annotations

import pytest

from intensity_feeds.zones import region
from scheduler.estimates import Estimate, FactOrigin, PriceOrigin, UnestimableError, Work, alternatives, estimate
from shaping.profiles import gpu_profile

DENSE = Work(active_params=70e9, total_params=70e9, tokens=2e12, mfu_ratio=0.40)
H100, B200 = gpu_profile("h100-sxm"), gpu_profile("b200-sxm")
FINLAND, IOWA, STOCKHOLM = (region(name) for name in ("europe-north1", "us-central1", "eu-north-1"))


def test_the_textbooks_run_is_the_textbooks_energy_at_the_regions_own_pue() -> None:
    found = estimate(DENSE, H100, FINLAND)

    assert found.placed.option.gpu_hours == pytest.approx(589_821, abs=1)
    assert found.placed.energy_kwh == pytest.approx(454_162 / 1.1 * 1.09, rel=1e-5)
    assert found.placed.emitted_kgco2e == pytest.approx(454_162 / 1.1 * 1.09 * 0.08234, rel=1e-3)
    assert (found.pue_origin, found.water_origin) == (FactOrigin.REGION, FactOrigin.FLEET)


def test_a_price_is_for_the_asked_gpu_only() -> None:
    asked = estimate(DENSE, H100, FINLAND, gpu_hour_usd=2.0)
    found = alternatives(
        DENSE, asked, gpus=[H100, B200], regions=[FINLAND, IOWA, STOCKHOLM], gpu_hour_usd=2.0, most_usd=None
    )

    assert asked.placed.cost_usd == pytest.approx(2 * 589_821, abs=2)
    assert [(one.region, one.gpu, one.placed.cost_usd is None) for one in found] == [
        ("aws:eu-north-1", "h100-sxm", False),
        ("gcp:europe-north1", "b200-sxm", True),
        ("gcp:europe-north1", "h100-sxm", False),
        ("gcp:us-central1", "h100-sxm", False),
    ]


def test_without_a_price_an_h100_has_the_examples_where_there_is_one() -> None:
    found = estimate(DENSE, H100, FINLAND)
    assert found.placed.cost_usd == pytest.approx(3.22 * 589_821, rel=1e-5)
    assert found.price_origin is PriceOrigin.EXAMPLE
    assert estimate(DENSE, H100, FINLAND, gpu_hour_usd=2.0).price_origin is PriceOrigin.GIVEN
    for gpu, place in ((B200, FINLAND), (H100, region("europe-west9"))):
        elsewhere = estimate(DENSE, gpu, place)
        assert (elsewhere.placed.cost_usd, elsewhere.price_origin) == (None, PriceOrigin.UNKNOWN)


def test_a_limit_leaves_out_what_has_no_price() -> None:
    asked = estimate(DENSE, H100, FINLAND, gpu_hour_usd=2.0)

    def within(most_usd: float) -> list[Estimate]:
        return alternatives(DENSE, asked, gpus=[H100, B200], regions=[FINLAND], gpu_hour_usd=2.0, most_usd=most_usd)

    assert [one.gpu for one in within(2e6)] == ["h100-sxm"]
    assert within(1e6) == []


def test_the_band_of_emissions_is_wider_than_that_of_energy() -> None:
    found = estimate(DENSE, H100, FINLAND)
    low, high = found.energy_band_kwh
    # exp(1.28 x sqrt(0.35^2 + 0.03^2))
    assert high / found.placed.energy_kwh == pytest.approx(1.568, rel=0.001)
    assert low * high == pytest.approx(found.placed.energy_kwh**2)
    assert found.emissions_band_kgco2e.high / found.placed.emitted_kgco2e > high / found.placed.energy_kwh


def test_a_region_whose_grid_nobody_published_cannot_be_estimated() -> None:
    with pytest.raises(UnestimableError, match="yearly average"):
        estimate(DENSE, H100, region("ap-southeast-5"))
