"""Every example is a scenario that can be run where the recorded data are."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.gallery_exhibits import EXHIBITS, Exhibit
from simulations.inputs import gather_inputs
from simulations.overrides import parse_override
from simulations.results import results_of
from simulations.runs import run_both
from simulations.scenario_file import load_scenario
from tests.real_data import real_data

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SCENARIOS = [path for path in sorted(EXAMPLES.glob("*.toml")) if not path.stem.endswith("-fleet")]  # those are planned


@pytest.mark.slow
@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_an_example_names_only_what_there_is(path: Path) -> None:
    real_data("carbon/avg_2022_hourly_34zones.csv.gz")

    assert gather_inputs(load_scenario(str(path))).scenario.name == path.stem


@pytest.mark.parametrize("exhibit", EXHIBITS, ids=lambda exhibit: exhibit.name)
def test_each_variation_of_the_gallery_sets_values_that_there_are(exhibit: Exhibit) -> None:
    path = str(EXAMPLES / f"{exhibit.name}.toml")
    plain = load_scenario(path).scenario
    changed = [
        load_scenario(path, [parse_override(one) for one in variation.changes]).scenario
        for variation in exhibit.variations
        if variation.changes
    ]
    assert plain not in changed


@pytest.mark.slow
def test_the_nightly_training_saves_without_being_late_and_a_dead_feed_costs_savings_only() -> None:
    real_data("carbon/avg_2022_hourly_34zones.csv.gz")
    path = str(EXAMPLES / "nightly-training.toml")

    saved, blind = (
        results_of(run_both(gather_inputs(load_scenario(path, [parse_override(f"forecast.kind={kind}")]))))
        for kind in ("seasonal", "none")
    )

    assert (saved.policy.deadline_misses, blind.policy.deadline_misses) == (0, 0)
    assert saved.savings_ratio is not None
    assert saved.savings_ratio > 0.05
    assert blind.savings_ratio == pytest.approx(0.0, abs=1e-9)
