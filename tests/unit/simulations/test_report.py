"""The report opens without a network, is well formed, and says what it shows."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest

from simulations.charts import figures, shade
from simulations.report import html_report
from simulations.results import Results, results_of
from simulations.runs import run_both
from simulations.scenario import RequestSettings
from simulations.timeline import timeline_of
from tests.unit.simulations.scenarios import HOUR_S, a_job_trace, a_request_trace, routed_inputs, some_inputs


@pytest.fixture(scope="module")
def results() -> Results:
    inputs = some_inputs(
        jobs=a_job_trace((0.0, 2 * HOUR_S, 1), (900.0, HOUR_S, 2)),
        requests=a_request_trace(*[(30.0 * index, 300, 80) for index in range(50)]),
        request_settings=RequestSettings(name='chat <"&>', flex_ratio=0.5),
    )
    return results_of(run_both(inputs))


def test_nothing_is_fetched_from_anywhere(results: Results) -> None:
    page = html_report(results)
    addresses = set(re.findall(r"https?://[^\s\"'<]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(script|link|img|iframe)\b|@import|url\(", page)


def test_every_picture_is_well_formed_and_described_in_words(results: Results) -> None:
    pictures = re.findall(r"<svg.*?</svg>", html_report(results), flags=re.DOTALL)
    assert len(pictures) == 7
    for picture in pictures:
        tree = ElementTree.fromstring(picture)
        children = [child.tag.rpartition("}")[2] for child in tree[:2]]
        assert children == ["title", "desc"]
        assert "nan" not in picture


def test_names_from_the_scenario_are_escaped(results: Results) -> None:
    page = html_report(results)
    assert "chat &lt;" in page
    assert 'chat <"' not in page


def test_light_dark_and_paper_are_provided_for(results: Results) -> None:
    page = html_report(results)
    assert "prefers-color-scheme:dark" in page
    assert "@media print" in page


def test_the_numbers_come_before_the_pictures(results: Results) -> None:
    page = html_report(results)
    assert page.index("of emissions saved") < page.index("<svg")
    assert "deadlines missed that running at once would have met" in page


def test_a_page_without_requests_or_without_jobs_is_drawn_too() -> None:
    only_jobs = results_of(run_both(some_inputs(jobs=a_job_trace((0.0, HOUR_S, 1)))))
    only_requests = results_of(run_both(some_inputs(requests=a_request_trace((0.0, 10, 1)))))
    assert "What moved" in html_report(only_jobs)
    assert "What moved" not in html_report(only_requests)


def test_what_routing_costs_is_among_the_first_numbers_and_its_baseline_is_named() -> None:
    inputs = routed_inputs(a_request_trace((0.0, 200, 20)), a_request_trace((60.0, 200, 20)))
    page = html_report(results_of(run_both(inputs)))
    quality = "<b>70.0%</b><span>of answers are expected to be good, 80.0% at once</span>"
    assert page.index("of emissions saved") < page.index(quality) < page.index("<svg")
    assert "Without a router, all requests of auto go to large" in page


def test_a_grid_that_never_changes_is_drawn_in_one_colour_however_its_means_are_rounded() -> None:
    hour = results_of(run_both(some_inputs(requests=a_request_trace((0.0, 10, 1)))))
    timeline = timeline_of(hour)
    steps = len(timeline.edges_at_s) - 1
    rounded = np.where(np.arange(steps) % 2, 500.0, np.nextafter(500.0, 501.0))
    flat = replace(timeline, intensity_gco2e_per_kwh=dict.fromkeys(timeline.intensity_gco2e_per_kwh, rounded))

    pictures = {one.title: one.picture for one in figures(hour, flat)}

    assert set(re.findall(r"fill:rgb\([0-9,]+\)", pictures["When the work ran"])) == {f"fill:{shade(0.5)}"}
    assert "How clean the energy was" not in pictures


def test_a_page_about_one_day_names_it_once() -> None:
    page = html_report(results_of(run_both(some_inputs(requests=a_request_trace((0.0, 10, 1))))))
    assert re.search(r"Simulated on \d+ \w+ \d{4}\.", page)


def test_only_what_there_is_is_said_of_the_energy() -> None:
    page = html_report(results_of(run_both(some_inputs(jobs=a_job_trace((0.0, HOUR_S, 1))))))
    assert "Jobs by the power that the scenario gives" in page
    assert "idling is included" not in page


def test_a_wide_picture_scrolls_on_its_own_and_a_heading_stays_with_its_table(results: Results) -> None:
    page = html_report(results)
    assert page.count('<div class="wide"><svg') == page.count("<svg")
    assert "section,tr{break-inside:avoid}" in page
