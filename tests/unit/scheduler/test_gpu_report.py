"""What of an agent's report is a worker's, and why it is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from scheduler.gpu_counters import EnergyFrom
from scheduler.gpu_report import (
    GpuReading,
    Metered,
    Report,
    ReportError,
    Unmetered,
    of_devices,
    read_answer,
    read_report,
    token_of,
    written,
)


def a_gpu(index: int = 0, **fields: Any) -> GpuReading:
    defaults: dict[str, Any] = {
        "index": index,
        "uuid": f"GPU-{'abcdefgh'[index]}",
        "name": "NVIDIA H100",
        "counter_id": f"life/{index}/0",
        "energy_j": 100.0,
        "energy_from": EnergyFrom.COUNTER,
        "power_w": 400.0,
        "utilisation_ratio": 0.5,
        "is_divided": False,
    }
    return GpuReading(**{**defaults, **fields})


def a_report(*gpus: GpuReading, **fields: Any) -> Report:
    defaults: dict[str, Any] = {
        "format": 1,
        "agent": "0.1.0",
        "life_id": "life",
        "sequence": 7,
        "age_s": 0.1,
        "driver": "580",
        "nvml": "13",
        "problem": "",
        "remedy": "",
        "gpus": gpus,
    }
    return Report(**{**defaults, **fields})


TWO = a_report(a_gpu(0), a_gpu(1, energy_j=50.0, power_w=300.0, utilisation_ratio=0.7))


@pytest.mark.parametrize("devices", [("0", "1"), ("GPU-a", "1"), ("GPU-b", "GPU-a")])
def test_the_gpus_of_a_worker_count_together_by_index_or_uuid(devices: tuple[str, ...]) -> None:
    found = of_devices(TWO, devices)
    assert isinstance(found, Metered)
    assert (found.energy_j, found.power_w) == (150.0, 700.0)
    assert found.utilisation_ratio == pytest.approx(0.6)
    assert found.uuids == {"GPU-a", "GPU-b"}


def test_one_gpu_named_twice_counts_once() -> None:
    found = of_devices(TWO, ("0", "GPU-a"))
    assert isinstance(found, Metered)
    assert found.energy_j == 100.0


def test_another_sum_of_one_gpu_is_another_sum_of_the_worker() -> None:
    again = a_report(a_gpu(0), a_gpu(1, counter_id="life/1/1"))
    before, after = of_devices(TWO, ("0", "1")), of_devices(again, ("0", "1"))
    assert isinstance(before, Metered)
    assert isinstance(after, Metered)
    assert before.counter_id != after.counter_id


@pytest.mark.parametrize(
    ("report", "what"),
    [
        (a_report(problem="NVML: no library", remedy="install it"), "no library"),
        (a_report(a_gpu(0)), "no GPU '1'"),
        (a_report(), "it has none"),
        (a_report(a_gpu(0), a_gpu(1, is_divided=True)), "divided by MIG"),
        (a_report(a_gpu(0), a_gpu(1, energy_j=None, problem="GPU is lost")), "GPU is lost"),
        (a_report(a_gpu(0), a_gpu(1, energy_j=None)), "neither counter nor power"),
    ],
)
def test_a_worker_is_not_metered_as_soon_as_one_gpu_does_not_tell(report: Report, what: str) -> None:
    found = of_devices(report, ("0", "1"))
    assert isinstance(found, Unmetered)
    assert what in found.what
    assert found.remedy


def test_a_figure_that_one_gpu_does_not_tell_is_none() -> None:
    found = of_devices(a_report(a_gpu(0), a_gpu(1, power_w=None, utilisation_ratio=None)), ("0", "1"))
    assert isinstance(found, Metered)
    assert (found.power_w, found.utilisation_ratio) == (None, None)


def test_what_is_written_is_read() -> None:
    assert read_report(written(TWO)) == TWO


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{}",
        b"[]",
        written(TWO).replace(b'"age_s":0.1', b'"age_s":-1'),
        written(TWO).replace(b'"age_s":0.1', b'"age_s":NaN'),
        written(TWO).replace(b'"age_s":0.1', b'"age_s":1e999'),
        written(TWO).replace(b'"energy_j":100.0', b'"energy_j":-100.0'),
        written(TWO).replace(b'"energy_j":100.0', b'"energy_j":"100"'),
        written(replace(TWO, format=2)),
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_what_is_no_report_is_refused(body: bytes) -> None:
    with pytest.raises(ReportError):
        read_report(body)


@pytest.mark.parametrize(
    ("status", "body", "what"),
    [
        (401, b"", "refuses our token"),
        (404, b"", "answers 404"),
        (302, b"", "answers 302"),
        (200, b"<html>", "is no report"),
        (200, b"", "is no report"),
        (200, None, "too large, over 256 kB"),
        (200, written(replace(TWO, age_s=12.0)), "has not read its GPUs for over 10 s"),
    ],
)
def test_an_answer_that_cannot_be_used_is_said_to_be_and_how_to_mend_it(
    status: int, body: bytes | None, what: str
) -> None:
    found = read_answer("gpu1", status, body, stale_s=10.0)
    assert isinstance(found, Unmetered)
    assert found.what.startswith("agent gpu1")
    assert what in found.what
    assert found.remedy


def test_an_agent_that_meters_nothing_may_look_again_as_seldom_as_it_likes() -> None:
    report = a_report(problem="NVML: no library", remedy="install it", age_s=29.0)
    assert read_answer("gpu1", 200, written(report), stale_s=10.0) == report


def test_a_token_is_taken_from_its_variable_and_nothing_else_goes_into_a_header() -> None:
    assert token_of("", {}) == ""
    assert token_of("T", {"T": " secret-enough\n"}) == "secret-enough"
    for held in ("", " ", "two\nlines", "\u00fc", "a\x00b"):
        found = token_of("T", {"T": held})
        assert isinstance(found, Unmetered)
        assert "T" in found.what
        assert not held.strip() or held not in found.what
