"""What an agent's report says, as Prometheus scrapes it. Decides nothing, and never writes 0 for unknown.

The figures of simulated GPUs have names of their own: no sum over metered ones can contain them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from scheduler.gpu_report import GpuReading, Report

_OF_A_GPU = ("gpu", "uuid")


class ReportCollector(Collector):
    """The latest report, as often as it is scraped."""

    def __init__(self, report: Callable[[], Report]) -> None:
        self._report = report

    def collect(self) -> Iterator[Metric]:
        report = self._report()
        yield from _of_agent(report)
        yield from _of_gpus("slacktide_simulated_gpu" if report.is_simulated else "slacktide_gpu", report.gpus)


def exposition(report: Callable[[], Report]) -> bytes:
    """The text that Prometheus scrapes."""
    registry = CollectorRegistry()
    registry.register(ReportCollector(report))
    return generate_latest(registry)


def _of_agent(report: Report) -> Iterator[Metric]:
    info = GaugeMetricFamily(
        "slacktide_agent_info", "Always 1; versions are labels.", labels=("version", "driver", "nvml")
    )
    info.add_metric((report.agent, report.driver, report.nvml), 1.0)
    yield info
    meters = float(not report.problem)
    yield GaugeMetricFamily("slacktide_agent_metering", "1 while GPUs are read; 0 without NVML.", value=meters)
    yield GaugeMetricFamily("slacktide_agent_reading_age_seconds", "Age of the latest reading.", value=report.age_s)
    yield CounterMetricFamily("slacktide_agent_readings", "Readings in this life of the agent.", value=report.sequence)


def _of_gpus(prefix: str, gpus: Sequence[GpuReading]) -> Iterator[Metric]:
    energy = CounterMetricFamily(f"{prefix}_energy_joules", "Joules since the sum began.", labels=(*_OF_A_GPU, "from"))
    power = GaugeMetricFamily(f"{prefix}_power_watts", "Power now.", labels=_OF_A_GPU)
    used = GaugeMetricFamily(f"{prefix}_utilisation_ratio", "Share of time that it had work.", labels=_OF_A_GPU)
    divided = GaugeMetricFamily(f"{prefix}_divided", "1 where MIG is on: it is not metered.", labels=_OF_A_GPU)
    for gpu in gpus:
        names = (str(gpu.index), gpu.uuid)
        if gpu.energy_j is not None and gpu.energy_from is not None:
            energy.add_metric((*names, gpu.energy_from.value), gpu.energy_j)
        if gpu.power_w is not None:
            power.add_metric(names, gpu.power_w)
        if gpu.utilisation_ratio is not None:
            used.add_metric(names, gpu.utilisation_ratio)
        divided.add_metric(names, float(gpu.is_divided))
    yield from (energy, power, used, divided)
