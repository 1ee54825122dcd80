"""Whatever is simulated, the parts of a saving add up to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intensity_feeds.feed import Rung
from intensity_feeds.series import IntensitySeries
from simulations.grid import Grid
from simulations.outages import Forecaster
from simulations.results import results_of
from simulations.runs import Inputs, run_both
from simulations.savings_parts import Part, savings_parts
from simulations.scenario import (
    ForecastKind,
    ForecastSettings,
    JobSettings,
    ModelChoiceSettings,
    PolicyKind,
    PolicySettings,
    RegionSettings,
    RequestSettings,
)
from simulations.workloads import RequestTrace
from tests.unit.simulations.scenarios import HOUR_S, a_job_trace, a_request_trace, routed_inputs, some_inputs

HOURS = 48


def told(generator: np.random.Generator) -> Forecaster:
    """A forecast that has nothing to do with what comes."""
    values = generator.uniform(50, 500, 2 * HOURS)

    def forecast(series: IntensitySeries, now_s: float) -> IntensitySeries | None:
        whole = IntensitySeries.regular(series.zone, 0.0, HOUR_S, values)
        return whole.between(now_s, whole.end_at_s) if now_s < whole.end_at_s else None

    return forecast


def drawn_inputs(
    seed: int, kind: PolicyKind, has_gap: bool, interruptible_ratio: float, flex_ratio: float, has_models: bool
) -> Inputs:
    """A few jobs over two regions and a few requests, on grids drawn at random; maybe two models to choose from."""
    generator = np.random.default_rng(seed)
    jobs = [(float(generator.uniform(0, 20 * HOUR_S)), float(generator.uniform(600, 6 * HOUR_S)), 1) for _ in range(5)]
    requests = drawn_requests(generator)
    inputs = some_inputs(
        jobs=a_job_trace(*sorted(jobs)),
        requests=requests,
        job_settings=JobSettings(name="training", slack_s=12 * HOUR_S, interruptible_ratio=interruptible_ratio),
        request_settings=RequestSettings(
            name="chat", flex_ratio=flex_ratio, flex_deadline_s=6 * HOUR_S, workers=2, sleeps=bool(seed % 2)
        ),
        policy=PolicySettings(kind=kind),
        gpus=16 if has_models else 4,
    )
    values = {zone: generator.uniform(50, 500, HOURS) for zone in ("Z", "Y")}
    if has_gap:
        values["Z"][15:18] = np.nan
    realised = {zone: IntensitySeries.regular(zone, 0.0, HOUR_S, known) for zone, known in values.items()}
    scenario = replace(
        inputs.scenario,
        region=(*inputs.scenario.region, RegionSettings(name="there", zone="Y", gpus=2, pue=1.4)),
        forecast=ForecastSettings(kind=ForecastKind.SEASONAL if seed % 3 else ForecastKind.PERFECT),
    )
    forecaster = told(generator) if seed % 3 else inputs.grid.forecaster
    found = replace(inputs, scenario=scenario, grid=Grid(realised=realised, forecaster=forecaster, rung=Rung.LIVE))
    if not has_models:
        return found
    choice = ModelChoiceSettings(
        name="auto",
        candidates=("small", "large"),
        accuracy_ratios=(0.7, 0.8),
        baseline=("", "small", "large")[seed % 3],
        floor_ratio=0.72,
    )
    return routed_inputs(requests, drawn_requests(generator), scenario.requests[0], found, choice)


def drawn_requests(generator: np.random.Generator) -> RequestTrace:
    return a_request_trace(*((float(at_s), 200, 20) for at_s in np.sort(generator.uniform(0, 10 * HOUR_S, 6))))


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(PolicyKind),
    has_gap=st.booleans(),
    interruptible_ratio=st.sampled_from((0.0, 0.5, 1.0)),
    flex_ratio=st.sampled_from((0.0, 0.6)),
    has_models=st.booleans(),
)
def test_the_parts_add_up_to_the_saving(
    seed: int, kind: PolicyKind, has_gap: bool, interruptible_ratio: float, flex_ratio: float, has_models: bool
) -> None:
    inputs = drawn_inputs(seed, kind, has_gap, interruptible_ratio, flex_ratio, has_models)
    results = results_of(run_both(inputs))
    parts = savings_parts(results)
    assert parts.avoided_gco2e == pytest.approx(results.avoided_gco2e)
    assert sum(parts.by_part_gco2e.values()) == pytest.approx(
        results.avoided_gco2e, rel=1e-9, abs=1e-9 * results.baseline.emissions_gco2e
    )
    if not has_gap and kind is PolicyKind.STATIC_REGION:
        whole = {part for part, grams in parts.by_part_gco2e.items() if abs(grams) > 1e-6}
        assert whole <= {Part.REGION, Part.TIME}  # a full region makes some wait
