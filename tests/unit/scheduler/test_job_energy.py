from __future__ import annotations

from scheduler.job_energy import piece_use
from scheduler.ledger import realised_then_expected
from tests.builders import HOUR_S, a_job, a_region, a_series


def test_a_piece_uses_the_stated_power_beside_the_same_piece_at_once_in_the_first_region() -> None:
    job = a_job(power_w=2000.0, earliest_start_at_s=100.0)
    there, home = a_region(name="there", zone="FR", pue=1.1), a_region(pue=1.3)

    use = piece_use(job, 600.0, there, home, 5 * HOUR_S, 5.5 * HOUR_S)

    assert use.energy_kwh == 1.0
    assert (use.zone, use.pue) == ("FR", 1.1)
    assert (use.at_once_zone, use.at_once_pue, use.at_once_at_s) == ("DE", 1.3, 700.0)


def test_what_was_realised_counts_as_far_as_it_is_known_and_the_forecast_after_that() -> None:
    history, forecast = a_series([100.0, 200.0]), a_series([999.0, 300.0, 400.0], start_at_s=HOUR_S)

    known = realised_then_expected(history, forecast)

    assert known is not None
    assert known.gco2e_per_kwh.tolist() == [100.0, 200.0, 300.0, 400.0]
    assert realised_then_expected(None, forecast) is forecast
    assert realised_then_expected(history, None) is history
