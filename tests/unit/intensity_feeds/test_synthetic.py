"""Made-up grids: repeatable, plausible and labelled."""

from __future__ import annotations

import numpy as np
import pytest

from intensity_feeds.answers import MOST_GCO2E_PER_KWH
from intensity_feeds.feed import NoDataError
from intensity_feeds.series import Quality
from intensity_feeds.synthetic import ARCHETYPES, SyntheticFeed, archetype
from tests.unit.intensity_feeds.builders import DAY_S, HOUR_S, MIDNIGHT_S


@pytest.mark.parametrize("name", ARCHETYPES)
def test_a_made_up_year_is_plausible_and_labelled(name: str) -> None:
    year = archetype(name, "X", MIDNIGHT_S, 365, seed=1)
    assert (year.gco2e_per_kwh >= 0).all()
    assert (year.gco2e_per_kwh <= MOST_GCO2E_PER_KWH).all()
    assert year.quality is Quality.SYNTHETIC
    assert f"synthetic {name}" in year.source


def test_the_same_seed_gives_the_same_hour_in_every_call_and_another_seed_does_not() -> None:
    whole = archetype("wind", "X", MIDNIGHT_S, 10, seed=1)
    part = archetype("wind", "X", MIDNIGHT_S + 3 * DAY_S, 2, seed=1)
    assert part.gco2e_per_kwh.tolist() == whole.between(part.start_at_s, part.end_at_s).gco2e_per_kwh.tolist()
    assert not np.array_equal(archetype("wind", "X", MIDNIGHT_S, 10, seed=2).gco2e_per_kwh, whole.gco2e_per_kwh)


def test_the_archetypes_differ_as_their_names_promise() -> None:
    mean = {name: float(archetype(name, "X", MIDNIGHT_S, 60, 1).gco2e_per_kwh.mean()) for name in ARCHETYPES}
    assert mean["hydro"] < 50 < mean["solar"] < mean["coal"]
    solar = archetype("solar", "X", MIDNIGHT_S, 60, 1).gco2e_per_kwh.reshape(60, 24).mean(axis=0)
    assert 11 <= int(solar.argmin()) <= 15


def test_an_unknown_archetype_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="choose one of solar, wind, hydro, coal"):
        archetype("nuclear", "X", MIDNIGHT_S, 1, 0)
    with pytest.raises(ValueError, match="nuclear"):
        SyntheticFeed({"X": "nuclear"})


def test_what_a_made_up_grid_forecasts_is_what_comes() -> None:
    feed = SyntheticFeed({"X": "solar"}, seed=3)
    now_s = MIDNIGHT_S + 5.4 * HOUR_S
    forecast = feed.forecast("X", now_s)
    assert forecast.covers(now_s, now_s + 2 * DAY_S)
    past = feed.history("X", now_s, now_s + DAY_S)
    assert (past.start_at_s, past.end_at_s) == (now_s, now_s + DAY_S)
    assert past.gco2e_per_kwh.tolist() == forecast.between(now_s, now_s + DAY_S).gco2e_per_kwh.tolist()
    assert forecast.quality is Quality.SYNTHETIC
    with pytest.raises(NoDataError):
        feed.forecast("Y", now_s)
