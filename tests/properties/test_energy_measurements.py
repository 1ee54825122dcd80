"""The energy model beside measured serving points, with the constants it ships."""

from __future__ import annotations

import pytest

from benchmarks.energy_model import MEASUREMENTS, by_family, median_and_p90, read_rows
from tests.real_data import real_data

# (stack, GPU, kind) -> median and 90th percentile of the relative error of J/token that must hold.
BOUNDS = {
    ("vllm-0.11.1", "h100-sxm", "dense, hybrid"): (0.10, 0.25),
    ("vllm-0.11.1", "h100-sxm", "mixture of experts"): (0.12, 0.30),
    ("vllm-0.11.1", "b200-sxm", "dense, hybrid"): (0.12, 0.40),
    ("vllm-0.11.1", "b200-sxm", "mixture of experts"): (0.24, 0.36),
    ("vllm-0.5.4", "h100-sxm", "dense, hybrid"): (0.10, 0.25),
    ("vllm-0.5.4", "a100-sxm-40gb", "dense, hybrid"): (0.10, 0.25),
}


@pytest.mark.slow
@pytest.mark.parametrize("family", BOUNDS)
def test_energy_of_a_token_is_predicted_within_the_stated_error(family: tuple[str, str, str]) -> None:
    families, _ = by_family(read_rows(real_data(MEASUREMENTS)))
    median_ratio, p90_ratio = median_and_p90(point.energy_error_ratio for point in families[family])
    most_median_ratio, most_p90_ratio = BOUNDS[family]
    assert median_ratio <= most_median_ratio
    assert p90_ratio <= most_p90_ratio


@pytest.mark.slow
def test_every_row_is_predicted_or_left_out_for_a_reason() -> None:
    rows = list(read_rows(real_data(MEASUREMENTS)))
    families, left_out = by_family(rows)
    assert sum(map(len, families.values())) + left_out.total() == len(rows)
