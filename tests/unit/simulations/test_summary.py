"""Numbers are told with the digits that let two of them be told apart."""

from __future__ import annotations

import pytest

from simulations.summary import energy


@pytest.mark.parametrize(
    ("energy_kwh", "told"),
    [
        (0.0, "0.0 kWh"),
        (0.00203, "2.03 Wh"),
        (0.4085, "0.41 kWh"),
        (42.44, "42.4 kWh"),
        (4689.94, "4,689.9 kWh"),
        (12_345.6, "12.35 MWh"),
    ],
)
def test_little_energy_is_told_with_more_digits(energy_kwh: float, told: str) -> None:
    assert energy(energy_kwh) == told
