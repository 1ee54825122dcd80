"""The published examples of the right-sizing calculators, number by number."""

from __future__ import annotations

import pytest

from shaping.calculators.hybrid import Grids, Place, Query, place, split
from shaping.calculators.money import Ownership, payback_years, rebound_ratio
from shaping.calculators.placement import Option, ranked
from shaping.calculators.substitutes import (
    Measured,
    best_substitute,
    gco2e_per_token,
    kwh_per_token,
    queries_ratio,
    substitution,
    tokens_energy_kwh,
    weights_bytes,
)
from shaping.calculators.training import ImpossibleRunError, TrainingRun, emissions_kgco2e, saving_ratio

H100 = {"peak_flops_per_s": 989e12, "mfu_ratio": 0.40, "power_w": 700.0}
DENSE = TrainingRun(active_params=70e9, tokens=2e12, **H100)
MIXTURE = TrainingRun(active_params=13e9, total_params=47e9, tokens=2e12, **H100)
# g/kWh and USD per GPU-hour of a textbook.
TEXTBOOK = {
    "aws:us-east-1": (380, 3.06),
    "aws:us-west-2": (120, 3.06),
    "aws:eu-north-1": (25, 3.40),
    "aws:ca-central-1": (30, 3.06),
    "aws:ap-south-1": (700, 2.74),
    "gcp:europe-north1": (30, 3.22),
    "gcp:us-central1": (450, 3.22),
    "azure:swedencentral": (20, 3.40),
}


def textbook() -> list[Option]:
    return [
        Option(
            name=name,
            gpu_hours=10_000,
            power_w=700,
            pue=1.1,
            intensity_gco2e_per_kwh=grams,
            gpu_hour_usd=usd,
        )
        for name, (grams, usd) in TEXTBOOK.items()
    ]


@pytest.mark.parametrize(
    ("run", "gpu_hours", "energy_kwh", "kilograms"),
    [(DENSE, 589_821, 454_162, 181_665), (MIXTURE, 109_538, 84_344, 33_738)],
)
def test_training_energy_from_compute(run: TrainingRun, gpu_hours: float, energy_kwh: float, kilograms: float) -> None:
    assert run.gpu_hours == pytest.approx(gpu_hours, abs=1)
    assert run.energy_kwh(1.1) == pytest.approx(energy_kwh, abs=1)
    assert emissions_kgco2e(run.energy_kwh(1.1), 400) == pytest.approx(kilograms, abs=1)


def test_the_mixture_saves_energy_and_still_holds_all_its_parameters() -> None:
    assert saving_ratio(DENSE.energy_kwh(1.1), MIXTURE.energy_kwh(1.1)) == pytest.approx(0.814, abs=5e-4)
    assert MIXTURE.memory_bytes == 47e9 * 16


def test_regions_best_first_under_a_limit_of_cost() -> None:
    found = ranked(textbook(), most_usd=50_000)

    assert [(one.option.name, round(one.emitted_kgco2e, 1), round(one.cost_usd or 0)) for one in found[:5]] == [
        ("azure:swedencentral", 154.0, 34_000),
        ("aws:eu-north-1", 192.5, 34_000),
        ("aws:ca-central-1", 231.0, 30_600),
        ("gcp:europe-north1", 231.0, 32_200),
        ("aws:us-west-2", 924.0, 30_600),
    ]


def test_a_tighter_limit_leaves_out_what_it_cannot_pay() -> None:
    names = [one.option.name.partition(":")[2] for one in ranked(textbook(), most_usd=33_000)]

    assert names == ["ca-central-1", "europe-north1", "us-west-2", "us-east-1", "us-central1", "ap-south-1"]


def test_a_place_without_a_price_cannot_keep_a_limit() -> None:
    unpriced = Option(name="x", gpu_hours=1, power_w=1, pue=1, intensity_gco2e_per_kwh=1)

    assert ranked([unpriced], most_usd=1e9) == []
    assert [one.cost_usd for one in ranked([unpriced])] == [None]


def test_water_is_on_site_and_in_the_electricity_and_unknown_without_either() -> None:
    # 1000 kWh at the meter are 909.1 kWh of IT: 0.5 L on site for each, and 2 L for each of the 1000.
    known = Option(
        name="x",
        gpu_hours=1000,
        power_w=1000 / 1.1,
        pue=1.1,
        intensity_gco2e_per_kwh=1,
        site_water_l_per_kwh=0.5,
        grid_water_l_per_kwh=2.0,
    )

    assert ranked([known])[0].water_l == pytest.approx(1000 / 1.1 * 0.5 + 2000)
    unknown = Option(name="x", gpu_hours=1, power_w=1, pue=1, intensity_gco2e_per_kwh=1, site_water_l_per_kwh=0.5)
    assert ranked([unknown])[0].water_l is None


BERT = Measured(name="BERT", energy_kwh=7.197, emitted_kgco2e=3.366, accuracy_ratio=0.9615)
TINY = Measured(name="TinyBERT", energy_kwh=0.629, emitted_kgco2e=0.292, accuracy_ratio=0.9515)
DISTILLED = Measured(name="DistilBERT", energy_kwh=3.364, emitted_kgco2e=1.563, accuracy_ratio=0.9588)
PRUNED = Measured(name="pruned", energy_kwh=4.887, emitted_kgco2e=2.270, accuracy_ratio=0.9590)


@pytest.mark.parametrize(("after", "saving"), [(TINY, 0.913), (DISTILLED, 0.533), (PRUNED, 0.321)])
def test_published_substitutes(after: Measured, saving: float) -> None:
    assert substitution(BERT, after).energy_saving_ratio == pytest.approx(saving, abs=5e-4)


def test_published_pairs_imply_their_grid() -> None:
    assert BERT.gco2e_per_kwh == pytest.approx(468, abs=0.5)
    assert TINY.gco2e_per_kwh == pytest.approx(464, abs=0.5)


def test_the_best_substitute_is_the_smallest_within_the_loss() -> None:
    candidates = {one.name: one for one in (TINY, DISTILLED, PRUNED)}

    assert best_substitute(BERT, candidates, 0.01001) == ("TinyBERT", substitution(BERT, TINY))
    assert best_substitute(BERT, candidates, 0.003) == ("DistilBERT", substitution(BERT, DISTILLED))
    assert best_substitute(BERT, candidates, 0.001) is None


def test_energy_per_token_tables() -> None:
    assert tokens_energy_kwh(1.9e-5, 1000) == pytest.approx(0.019)
    assert saving_ratio(1.9e-5, 1.1e-5) == pytest.approx(0.42, abs=0.002)
    assert saving_ratio(2.4e-5, 1.7e-5) == pytest.approx(0.29, abs=0.002)
    assert gco2e_per_token(0.00007, 400) == pytest.approx(0.028)
    assert kwh_per_token(0.119) == pytest.approx(3.3e-8, rel=0.01)
    assert queries_ratio(175e9, 66e6) == pytest.approx(2652, rel=0.001)
    assert weights_bytes(70e9, 4) == 35e9


def test_a_simple_query_stays_on_the_device_unless_its_grid_is_dirtier() -> None:
    # 50 J at 400 g against 20 x 1.1 + 10 = 32 J: the device wins only where the cloud's grid is 1.5625 times dirtier.
    query = Query(is_simple=True, device_j=50, cloud_j=20, network_j=10)

    assert place(query, Grids(device_gco2e_per_kwh=400, cloud_gco2e_per_kwh=630, cloud_pue=1.1)) is Place.DEVICE
    assert place(query, Grids(device_gco2e_per_kwh=400, cloud_gco2e_per_kwh=620, cloud_pue=1.1)) is Place.CLOUD


def test_a_hard_query_goes_to_the_cloud_and_the_split_adds_up() -> None:
    grids = Grids(device_gco2e_per_kwh=100, cloud_gco2e_per_kwh=400, cloud_pue=1.5)
    simple = Query(is_simple=True, device_j=36, cloud_j=360, network_j=0)
    hard = Query(is_simple=False, device_j=36, cloud_j=360, network_j=60)
    found = split([simple, hard], grids)

    assert found.device_share_ratio == 0.5
    assert found.energy_j == pytest.approx(36 + 360 * 1.5 + 60)
    assert found.emitted_gco2e == pytest.approx((36 * 100 + 600 * 400) / 3.6e6)


def test_ownership_payback_and_rebound() -> None:
    owned = Ownership(
        capital_usd=40_000,
        lifetime_h=40_000,
        facility_kw=2.0,
        usd_per_kwh=0.1,
        kgco2e_per_kwh=0.4,
        usd_per_kgco2e=0.1,
    )

    assert owned.cost_usd(1000) == pytest.approx(1000 + 200 + 80)
    assert owned.per_1000_tokens_usd(1000) == pytest.approx(1.28 / 3600)
    assert payback_years(8766, 1.0) == pytest.approx(1.0)
    assert payback_years(8766, 0.0) is None
    assert rebound_ratio(0.3, 0.5) == pytest.approx(1.05)


@pytest.mark.parametrize(
    ("change", "field"),
    [({"mfu_ratio": 1.2}, "mfu_ratio"), ({"tokens": 0}, "tokens"), ({"total_params": 1.0}, "total_params")],
)
def test_a_run_that_cannot_be_names_the_field(change: dict[str, float], field: str) -> None:
    with pytest.raises(ImpossibleRunError, match=field):
        TrainingRun(**({"active_params": 13e9, "tokens": 2e12, **H100} | change))
