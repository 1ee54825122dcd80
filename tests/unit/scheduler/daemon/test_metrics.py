"""The daemon's metrics."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from intensity_feeds.forecast_errors import HorizonError
from scheduler.daemon.metrics import Metrics


def test_two_daemons_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.feed_outcome("uk_carbon", "ok")
    assert one.registry.get_sample_value("slacktide_feed_outcomes_total", {"feed": "uk_carbon", "outcome": "ok"}) == 1
    assert (
        other.registry.get_sample_value("slacktide_feed_outcomes_total", {"feed": "uk_carbon", "outcome": "ok"}) is None
    )


def test_a_zone_has_one_rung_at_a_time() -> None:
    metrics = Metrics()
    metrics.forecast_age("DE", "live", 10.0)
    metrics.forecast_age("DE", "cached", 400.0)
    text = metrics.exposition().decode()
    assert 'slacktide_forecast_age_seconds{rung="cached",zone="DE"} 400.0' in text
    assert 'rung="live"' not in text


def test_errors_of_forecasts_are_shown_by_horizon_and_a_missing_ratio_is_not() -> None:
    metrics = Metrics()
    error = HorizonError(from_h=0, to_h=6, hours=12, bias_gco2e_per_kwh=-3.0, mae_gco2e_per_kwh=8.0, mape_ratio=None)
    metrics.forecast_errors("uk_carbon", "GB", (error,))
    text = metrics.exposition().decode()
    assert 'slacktide_forecast_error_mae_gco2e_per_kwh{feed="uk_carbon",horizon="0-6h",zone="GB"} 8.0' in text
    assert 'slacktide_forecast_error_bias_gco2e_per_kwh{feed="uk_carbon",horizon="0-6h",zone="GB"} -3.0' in text
    assert 'slacktide_forecast_error_hours{feed="uk_carbon",horizon="0-6h",zone="GB"} 12.0' in text
    assert "slacktide_forecast_error_mape_ratio{" not in text


def test_requests_are_counted_by_status_with_their_times() -> None:
    metrics = Metrics()
    requests = metrics.for_requests("/v1/completions", "m", "flex")
    requests.answered(200, took_s=0.004, held_s=0.0)
    requests.answered(200, took_s=0.3, held_s=60.0)
    assert metrics.for_requests("/v1/completions", "m", "flex") is requests
    labels = {"endpoint": "/v1/completions", "model": "m", "latency_class": "flex"}
    assert metrics.registry.get_sample_value("slacktide_requests_total", {**labels, "status": "200"}) == 2
    assert metrics.registry.get_sample_value("slacktide_request_seconds_bucket", {**labels, "le": "0.005"}) == 1
    assert metrics.registry.get_sample_value("slacktide_held_seconds_sum", labels) == 60
    assert metrics.registry.get_sample_value("slacktide_held_seconds_count", labels) == 2


@pytest.mark.parametrize(
    ("lasted_s", "bucket"), [(0.001, "0.001"), (0.0011, "0.0025"), (300.0, "300.0"), (301.0, "+Inf")]
)
def test_a_duration_counts_under_the_first_bound_that_it_does_not_exceed(lasted_s: float, bucket: str) -> None:
    metrics = Metrics()
    metrics.for_requests("e", "m", "flex").answered(200, took_s=lasted_s, held_s=0.0)
    (family,) = [one for one in metrics.registry.collect() if one.name == "slacktide_request_seconds"]
    counted = [sample.labels["le"] for sample in family.samples if "le" in sample.labels and sample.value == 1]
    assert counted[0] == bucket


def test_energy_and_emissions_have_both_sides() -> None:
    metrics = Metrics()
    metrics.energy("job", "modelled", 1.5)
    metrics.emissions(300.0, 400.0)
    metrics.jobs("waiting", 3)
    text = metrics.exposition().decode()
    assert 'slacktide_energy_kwh_total{basis="modelled",subject="job"} 1.5' in text
    assert 'slacktide_emissions_gco2e_total{side="at_once"} 400.0' in text
    assert 'slacktide_jobs{state="waiting"} 3.0' in text


def test_every_metric_is_documented() -> None:
    page = (Path(__file__).parents[4] / "docs/reference/metrics.md").read_text("utf-8")
    documented = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    declared = [family.name + ("_total" if family.type == "counter" else "") for family in Metrics().registry.collect()]
    assert sorted(documented) == sorted(declared)


def test_a_worker_that_is_gone_leaves_nothing_behind() -> None:
    metrics = Metrics()
    metrics.worker_up.labels("old").set(1)
    metrics.worker_reported.labels("old", "waiting").set(1)
    for worker in ("old", "other"):
        metrics.worker_failures.labels(worker, "timeout").inc()
    metrics.worker_gone("old")
    named = {
        one.labels["worker"] for found in metrics.registry.collect() for one in found.samples if "worker" in one.labels
    }
    assert named == {"other"}
