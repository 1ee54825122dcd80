"""Uses sorted into heaps, and what each heap comes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from intensity_feeds.series import IntensitySeries
from scheduler.ledger import EnergyBasis, EnergyUse, Subject
from scheduler.savings_by import By, Heap, Sorting

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
# 1970-01-30T00:00Z: two days before a month ends.
START_S = 29 * DAY_S
# The first hour of a day is dirty, the others are clean.
GRID = {"DE": IntensitySeries.regular("DE", START_S, HOUR_S, ([400.0] + [100.0] * 23) * 4)}


def a_use(day: int, **more: Any) -> EnergyUse:
    """1 kWh in the third hour of a day, which would have run in the first."""
    started_at_s = START_S + day * DAY_S + 2 * HOUR_S
    told: dict[str, Any] = {
        "subject": Subject.REQUEST,
        "subject_id": "r",
        "category": "flex",
        "tenant": "red",
        "region": "here",
        "zone": "DE",
        "started_at_s": started_at_s,
        "ended_at_s": started_at_s + HOUR_S,
        "energy_kwh": 1.0,
        "basis": EnergyBasis.MODELLED,
        "pue": 1.0,
        "at_once_at_s": started_at_s - 2 * HOUR_S,
        "at_once_zone": "DE",
        "at_once_pue": 1.0,
        "model": "m",
        "prompt_tokens": 10,
        "output_tokens": 5,
    }
    return EnergyUse(**{**told, **more})


def settled_by(by: By, uses: Iterable[EnergyUse], intensity: Mapping[str, IntensitySeries]) -> dict[str, Heap]:
    """In pages of one use: where a page ends must not matter."""
    sorting = Sorting(by, intensity)
    for use in uses:
        sorting.add([use])
    return sorting.heaps()


def test_days_and_months_are_those_of_the_start_in_utc() -> None:
    uses = [a_use(2), a_use(0), a_use(0)]
    by_day = settled_by(By.DAY, uses, GRID)
    assert {name: heap.account.avoided_gco2e for name, heap in by_day.items()} == {
        "1970-01-30": pytest.approx(600.0),
        "1970-02-01": pytest.approx(300.0),
    }
    assert list(settled_by(By.MONTH, uses, GRID)) == ["1970-01", "1970-02"]


@pytest.mark.parametrize(
    ("by", "names"), [(By.TENANT, ["blue", "red"]), (By.MODEL, ["", "m"]), (By.KIND, ["flex", "training"])]
)
def test_uses_are_sorted_by_what_they_say_of_themselves(by: By, names: list[str]) -> None:
    job = a_use(0, subject=Subject.JOB, tenant="blue", model="", category="training", output_tokens=0, prompt_tokens=0)
    assert list(settled_by(by, [a_use(0), job], GRID)) == names


def test_tokens_and_their_energy_are_those_of_requests() -> None:
    job = a_use(0, subject=Subject.JOB, energy_kwh=9.0)
    (heap,) = settled_by(By.TENANT, [a_use(0), a_use(0), job], GRID).values()
    assert (heap.requests, heap.prompt_tokens, heap.output_tokens, heap.request_kwh) == (2, 20, 10, 2.0)
    assert heap.account.uses == 3


def test_the_heaps_of_a_day_come_to_the_whole() -> None:
    uses = [a_use(day, tenant=tenant) for day in range(3) for tenant in ("red", "blue")]
    for by in By:
        heaps = settled_by(by, uses, GRID)
        assert sum(heap.account.avoided_gco2e for heap in heaps.values()) == pytest.approx(6 * 300.0)
