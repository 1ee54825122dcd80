"""What one request is booked with."""

from __future__ import annotations

import pytest

from scheduler.daemon.energy_use import watt_hours, worker_energy_j
from shaping import profiles
from shaping.energy import Deployment
from shaping.request_energy import request_energy_j


def an_h100() -> Deployment:
    return profiles.deployment(gpu="h100-sxm", model="llama-3.1-8b")


@pytest.mark.parametrize(("batch", "energy_j"), [(1, 1361.0), (8, 191.0), (32, 65.8), (64, 45.0), (256, 29.3)])
def test_a_request_costs_its_share_of_the_batch(batch: int, energy_j: float) -> None:
    """The worked values of energy_model 2.4 take a context of 670, here it is 350 + 400/2: a few per cent less."""
    booked_j = request_energy_j(an_h100(), prompt_tokens=350, output_tokens=400, batch_sequences=batch)
    assert booked_j == pytest.approx(energy_j, rel=0.05)
    assert booked_j < energy_j


def test_an_embedding_costs_its_prefill() -> None:
    booked_j = request_energy_j(an_h100(), prompt_tokens=512, output_tokens=0, batch_sequences=1)
    assert booked_j == pytest.approx(12.5, rel=0.005)


def test_a_cached_prefix_costs_no_reading() -> None:
    def booked_j(cached_tokens: int, output_tokens: int) -> float:
        return request_energy_j(
            an_h100(),
            prompt_tokens=8000,
            output_tokens=output_tokens,
            batch_sequences=32,
            cached_tokens=cached_tokens,
        )

    read_j, spared_j, lone_j = booked_j(0, 400), booked_j(7000, 400), booked_j(0, 0)
    # What is spared is about what reading 7000 tokens alone takes: some 7/8 of the prompt's own energy.
    assert read_j - spared_j == pytest.approx(7 / 8 * lone_j, rel=0.25)
    assert booked_j(7000, 0) < lone_j / 4


@pytest.mark.parametrize(("header", "energy_j"), [("1.5", 1.5), ("0", 0.0), (None, None), ("nan", None), ("-1", None)])
def test_a_worker_is_believed_when_it_says_a_number(header: str | None, energy_j: float | None) -> None:
    assert worker_energy_j(header) == energy_j


def test_watt_hours_are_joules_over_3600() -> None:
    assert watt_hours(45.0) == "0.0125"
