"""A scenario file is read strictly: every mistake is named with its line and what was probably meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulations.scenario import ForecastKind
from simulations.scenario_file import ScenarioError, load_scenario, packaged_scenarios, parse_scenario

GOOD = """\
name = "small"
start = "2022-03-01T00:00Z"

[grid]
archetypes = { SUNNY = "solar" }

[[region]]
name = "plains"
zone = "SUNNY"
gpus = 4

[[jobs]]
name = "training"
slack_s = "36h"
power_per_gpu_w = "0.7kW"
"""

POOL = """
[[requests]]
[[model_pool]]
name = "auto"
candidates = ["small", "requests"]
accuracy_ratios = [0.7, 0.8]
"""
FLEX_SMALL = '[[requests]]\nname = "small"\nflex_ratio = 0.5\n[[requests]]\nname = "large"\n'
TWO_MODELS = """
[[model_pool]]
name = "auto"
candidates = ["small", "large"]
accuracy_ratios = [0.7, 0.8]
"""
OUTAGE = '[[forecast.outage]]\nto = "2022-03-02T00:00Z"\nfrom = "2022-03-01T00:00Z"\n'


def test_durations_and_powers_carry_their_units() -> None:
    scenario = parse_scenario(GOOD, "small.toml")
    assert scenario.start == 1646092800.0
    assert scenario.jobs[0].slack_s == 36 * 3600
    assert scenario.jobs[0].power_per_gpu_w == 700.0
    assert scenario.forecast.kind is ForecastKind.PERFECT


@pytest.mark.parametrize(
    ("good", "bad", "line", "words", "hint"),
    [
        ('slack_s = "36h"', 'slak_s = "36h"', 14, "unknown key 'jobs.slak_s'", "did you mean 'slack_s'?"),
        ("[[jobs]]", "[[job]]", 12, "unknown key 'job'", "did you mean 'jobs'?"),
        ('name = "small"\n', "", None, "'name' is missing", "every scenario needs it"),
        ("gpus = 4", "gpus = -4", 10, "region.gpus: Input should be greater than or equal to 0", ""),
        ('"36h"', '"36x"', 14, "jobs.slack_s: '36x': 'x' is no unit of time", ""),
        ("00:00Z", "00:00", 2, "start: .* has no time zone", ""),
    ],
)
def test_a_mistake_is_named_with_its_line(good: str, bad: str, line: int | None, words: str, hint: str) -> None:
    with pytest.raises(ScenarioError, match=words) as caught:
        parse_scenario(GOOD.replace(good, bad), "small.toml")
    assert (caught.value.line, caught.value.hint) == (line, hint)


@pytest.mark.parametrize(
    ("good", "bad", "words"),
    [
        ("[grid]\n", '[grid]\ntrace = "x.csv"\n', "name either a trace file or archetypes"),
        ('[[jobs]]\nname = "training"\nslack_s = "36h"\npower_per_gpu_w = "0.7kW"\n', "", "no work: add"),
        ("[[jobs]]", '[[jobs]]\nregions = ["moon"]', "names region 'moon', which is not one of plains"),
        ("[[jobs]]", "[[requests]]\nworkers = 5\n[[jobs]]", "has 4 GPUs, but its request pools take 5"),
        ("[[jobs]]", f"{POOL}[[jobs]]", "names requests 'small'; there are requests"),
        ("[[jobs]]", f"{TWO_MODELS}baseline = 'huge'\n[[jobs]]", "'huge' is none of candidates: small, large"),
        ("[[jobs]]", f"{FLEX_SMALL}{TWO_MODELS}[[jobs]]", "flex_ratio of 'large' differs from that of 'small'"),
        ("[[jobs]]", f"{POOL.replace('0.7, 0.8', '0.7')}[[jobs]]", "accuracy_ratios: write one for each"),
        ("[[jobs]]", f"{POOL.replace('0.7', '1.0')}[[jobs]]", "nobody is always right"),
        ("[[jobs]]", '[[budget]]\ntenant = "me"\ngco2e = 1\n[[jobs]]', "the jobs of a scenario have no tenants"),
        ("[[jobs]]", '[[budget]]\ntenant = "*"\nusd = 1\n[[jobs]]', "dollars count and .* has no price"),
        ("[grid]\n", '[grid]\ncolumn = "gco2e_per_kwh"\n', "column names one of a trace"),
        ("[[jobs]]", '[forecast]\nkind = "recorded"\n[[jobs]]', "recorded forecasts need their trace"),
        ("[[jobs]]", '[forecast]\ncolumn = "price"\n[[jobs]]', "'price' holds no intensities"),
        ("[[jobs]]", f'[forecast]\nkind = "none"\n{OUTAGE}[[jobs]]', "a dead feed has no outages"),
        ("[[jobs]]", f"{OUTAGE.replace('-02', '-01', 1)}[[jobs]]", "to lies not after from"),
        ("[[jobs]]", '[[jobs]]\nname = "training"\n[[jobs]]', "two entries share the workload name 'training'"),
    ],
)
def test_a_scenario_that_contradicts_itself_is_refused(good: str, bad: str, words: str) -> None:
    with pytest.raises(ScenarioError, match=words):
        parse_scenario(GOOD.replace(good, bad), "small.toml")


def test_relative_paths_start_from_the_folder_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(GOOD)
    assert load_scenario(str(tmp_path / "small.toml")).path("data/grid.csv") == tmp_path / "data" / "grid.csv"


def test_a_name_that_is_nearly_right_is_suggested() -> None:
    with pytest.raises(ScenarioError) as caught:
        load_scenario("solarweek")
    assert caught.value.hint == "did you mean solar-week?"


@pytest.mark.parametrize("name", packaged_scenarios())
def test_packaged_scenarios_are_valid_described_and_need_no_file(name: str) -> None:
    scenario = load_scenario(name).scenario
    assert scenario.name == name
    assert scenario.description
    assert not scenario.grid.trace
    assert not any(work.trace for work in scenario.requests)
    assert not any(work.trace for work in scenario.jobs)
