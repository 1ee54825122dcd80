"""What Prometheus scrapes from an agent: nothing for what is not known, other names for what is made up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from scheduler.daemon.gpu_metrics import exposition
from scheduler.gpu_report import Report
from tests.unit.scheduler.test_gpu_report import a_gpu, a_report


def scraped(report: Report) -> dict[tuple[str, str], float]:
    """Values by sample name and GPU."""
    text = exposition(lambda: report).decode()
    return {
        (sample.name, sample.labels.get("gpu", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_each_gpu_is_scraped_with_what_it_tells() -> None:
    told = scraped(a_report(a_gpu(0), a_gpu(1, energy_j=50.0, is_divided=True)))
    assert told[("slacktide_gpu_energy_joules_total", "0")] == 100.0
    assert told[("slacktide_gpu_power_watts", "1")] == 400.0
    assert told[("slacktide_gpu_utilisation_ratio", "0")] == 0.5
    assert (told[("slacktide_gpu_divided", "0")], told[("slacktide_gpu_divided", "1")]) == (0.0, 1.0)
    assert told[("slacktide_agent_metering", "")] == 1.0
    assert told[("slacktide_agent_readings_total", "")] == 7.0


def test_what_is_unknown_is_absent_and_never_zero() -> None:
    told = scraped(a_report(a_gpu(0, energy_j=None, energy_from=None, power_w=None, utilisation_ratio=None)))
    assert {name for name, gpu in told if gpu} == {"slacktide_gpu_divided"}


def test_without_nvml_the_agent_is_up_and_meters_nothing() -> None:
    told = scraped(a_report(problem="NVML: no library", remedy="install it"))
    assert told[("slacktide_agent_metering", "")] == 0.0
    assert not [name for name, gpu in told if gpu]


def test_no_sum_over_metered_gpus_contains_a_simulated_one() -> None:
    told = scraped(a_report(a_gpu(0), problem="simulated", remedy="do not", is_simulated=True))
    assert told[("slacktide_simulated_gpu_power_watts", "0")] == 400.0
    assert not [name for name, _ in told if name.startswith("slacktide_gpu_")]


def test_every_metric_of_an_agent_is_documented() -> None:
    page = (Path(__file__).parents[4] / "docs/metering.md").read_text("utf-8")
    real = a_report(a_gpu(0))
    names = {name for report in (real, replace(real, is_simulated=True)) for name, _ in scraped(report)}
    plain = {name.replace("slacktide_simulated_gpu_", "slacktide_gpu_") for name in names}
    assert not [name for name in sorted(plain) if f"`{name}`" not in page]
