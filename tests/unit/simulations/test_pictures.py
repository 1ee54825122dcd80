"""Where the work ran, and pictures that stand alone: complete, well formed, with nothing fetched."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from intensity_feeds.series import IntensitySeries
from simulations.charts import Figure
from simulations.pictures import standalone, svg_files
from simulations.region_bars import region_uses
from simulations.report import html_report, pictures
from simulations.results import Results, results_of
from simulations.runs import run_both
from simulations.scenario import RegionSettings
from simulations.svg import document
from tests.unit.simulations.scenarios import HOUR_S, a_job_trace, a_request_trace, some_inputs


@pytest.fixture(scope="module")
def two_places() -> Results:
    """An hour of 1.4 kW that may go from a region with 400 g/kWh and PUE 2 to one with 100 and PUE 1; chat at home."""
    inputs = some_inputs(
        jobs=a_job_trace((0.0, HOUR_S, 2)),
        requests=a_request_trace(*[(30.0 * index, 300, 80) for index in range(20)]),
        values=[400.0] * 72,
        pue=2.0,
    )
    there = RegionSettings(name="there", zone="Y", gpus=4, pue=1.0)
    scenario = replace(inputs.scenario, region=(*inputs.scenario.region, there))
    realised = {**inputs.grid.realised, "Y": IntensitySeries.regular("Y", 0.0, HOUR_S, [100.0] * 72)}
    return results_of(run_both(replace(inputs, scenario=scenario, grid=replace(inputs.grid, realised=realised))))


def test_each_region_is_charged_what_ran_there(two_places: Results) -> None:
    inputs = two_places.runs.inputs
    at_once, policy = (
        region_uses(side, inputs.scenario.region, inputs.grid.realised)
        for side in (two_places.runs.baseline, two_places.runs.policy)
    )
    assert at_once["there"].facility_kwh == 0.0
    assert policy["there"].facility_kwh == pytest.approx(1.4)
    assert policy["there"].emissions_gco2e == pytest.approx(140.0)


def test_regions_together_are_the_whole(two_places: Results) -> None:
    inputs = two_places.runs.inputs
    for side, result in (
        (two_places.runs.baseline, two_places.baseline),
        (two_places.runs.policy, two_places.policy),
    ):
        uses = region_uses(side, inputs.scenario.region, inputs.grid.realised).values()
        assert sum(one.facility_kwh for one in uses) == pytest.approx(result.facility_kwh)
        assert sum(one.emissions_gco2e for one in uses) == pytest.approx(result.emissions_gco2e)


def test_the_report_shows_regions_only_where_there_are_several(two_places: Results) -> None:
    alone = results_of(run_both(some_inputs(jobs=a_job_trace((0.0, HOUR_S, 1)))))
    assert "Where the work ran" in html_report(two_places)
    assert "Where the work ran" not in html_report(alone)


def test_every_picture_of_the_page_becomes_a_file_that_stands_alone(two_places: Results) -> None:
    files = svg_files(pictures(two_places))
    assert list(files)[:2] == ["01-when-the-work-ran.svg", "02-where-the-work-ran.svg"]
    for text in files.values():
        tree = ElementTree.fromstring(text)
        assert [child.tag.rpartition("}")[2] for child in tree[:3]] == ["title", "desc", "style"]
        assert "--policy:" in text


def test_a_picture_that_stands_alone_has_its_heading_and_its_legend() -> None:
    one = Figure(title="A <b>", caption="", picture=document(100, "t", "d", []), legend=[("jobs & co", "red")])
    words = [text.text for text in ElementTree.fromstring(standalone(one)).iter("{http://www.w3.org/2000/svg}text")]
    assert words == ["A <b>", "jobs & co"]


def test_a_long_legend_goes_on_in_another_row() -> None:
    long = [("a" * 60, "red")] * 4
    heights_px = [
        float(ElementTree.fromstring(standalone(one)).attrib["height"])
        for one in (
            Figure(title="A", caption="", picture=document(100, "t", "d", []), legend=legend)
            for legend in (long[:1], long)
        )
    ]
    assert heights_px[1] > heights_px[0]
