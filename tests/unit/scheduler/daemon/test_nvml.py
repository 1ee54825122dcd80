"""Reading GPUs through a module like pynvml: units, sums, and what is unknown."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from scheduler.daemon.nvml import NvmlError, NvmlMeter, Reading
from tests.unit.scheduler.daemon.fake_nvml import fake_nvml


def installed(monkeypatch: pytest.MonkeyPatch, *, counts: bool = True) -> list[str]:
    """Two GPUs of 300 and 500 W, ten seconds after their driver was loaded; the list has what is open of NVML."""
    watts = {"GPU-a": lambda: 300.0, "GPU-b": lambda: 500.0}
    opened: list[str] = []
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(watts, now_s=lambda: 10.0, counts=counts, opened=opened))
    return opened


@pytest.mark.parametrize("devices", [("0", "1"), ("GPU-b", "GPU-a"), ("0", "GPU-b")])
def test_all_gpus_of_a_meter_are_summed_in_joules_and_watts(
    monkeypatch: pytest.MonkeyPatch, devices: tuple[str, ...]
) -> None:
    installed(monkeypatch)
    assert NvmlMeter(devices).read() == Reading(energy_j=8000.0, power_w=800.0)


def test_a_missing_counter_is_unknown_and_never_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, counts=False)
    meter = NvmlMeter(("0",))
    assert meter.read() == Reading(energy_j=None, power_w=300.0)
    meter.close()


@pytest.mark.parametrize("device", ["7", "GPU-nobodys"])
def test_a_gpu_that_is_not_here_is_refused_with_a_remedy(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    opened = installed(monkeypatch)
    with pytest.raises(NvmlError, match="nvidia-smi -L"):
        NvmlMeter((device,))
    assert opened == []


def test_nvml_is_open_from_the_first_call_to_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = installed(monkeypatch)
    meter = NvmlMeter(("0",))
    assert opened == ["init"]
    meter.close()
    assert opened == []


def test_without_the_binding_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(NvmlError, match="pip install nvidia-ml-py"):
        NvmlMeter(("0",))


def test_the_abandoned_module_of_the_same_name_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", ModuleType("pynvml"))
    with pytest.raises(NvmlError, match="deprecated pynvml shadows"):
        NvmlMeter(("0",))
