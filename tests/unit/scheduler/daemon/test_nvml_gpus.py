"""Every GPU through a module like pynvml, one by one."""

from __future__ import annotations

import sys

import pytest

from scheduler.daemon.nvml import NvmlError
from scheduler.daemon.nvml_gpus import GpuSample, NvmlGpus
from tests.unit.scheduler.daemon.fake_nvml import FakeNVMLError, fake_nvml


def installed(monkeypatch: pytest.MonkeyPatch, *, counts: bool = True, divided: tuple[str, ...] = ()) -> set[str]:
    """Two GPUs of 300 and 500 W, ten seconds after their driver was loaded; those in the set are lost."""
    lost: set[str] = set()
    watts = {"GPU-a": lambda: 300.0, "GPU-b": lambda: 500.0}
    module = fake_nvml(watts, now_s=lambda: 10.0, counts=counts, divided=divided, lost=lost)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return lost


def test_each_gpu_is_read_in_joules_watts_and_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    gpus = NvmlGpus()
    first, second = gpus.read()
    assert (gpus.driver, gpus.version) == ("580.1", "13.580.1")
    assert first == GpuSample(
        index=0,
        uuid="GPU-a",
        name="NVIDIA made up",
        counter_j=3000.0,
        power_w=300.0,
        utilisation_ratio=0.8,
        is_divided=False,
    )
    assert (second.uuid, second.counter_j) == ("GPU-b", 5000.0)
    gpus.close()


def test_a_missing_counter_is_unknown_and_never_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, counts=False)
    first, _ = NvmlGpus().read()
    assert (first.counter_j, first.power_w, first.problem) == (None, 300.0, "Not Supported")


def test_a_board_divided_by_mig_is_told_from_one_that_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, divided=("GPU-b",))
    assert [one.is_divided for one in NvmlGpus().read()] == [False, True]


def test_a_lost_gpu_is_said_to_be_and_the_others_are_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = installed(monkeypatch)
    gpus = NvmlGpus()
    lost.add("GPU-a")
    first, second = gpus.read()
    assert (first.counter_j, first.power_w, first.problem) == (None, None, "GPU is lost")
    assert second.counter_j == 5000.0


def test_a_driver_that_went_away_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    gpus = NvmlGpus()
    monkeypatch.setattr(sys.modules["pynvml"], "nvmlDeviceGetCount", lambda: 1)
    with pytest.raises(NvmlError, match="1 GPUs and had 2"):
        gpus.read()


@pytest.mark.parametrize("asked", ["nvmlSystemGetDriverVersion", "nvmlSystemGetNVMLVersion", "nvmlDeviceGetCount"])
def test_nvml_does_not_stay_open_where_a_call_after_its_init_fails(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    opened: list[str] = []
    module = fake_nvml({"GPU-a": lambda: 300.0}, now_s=lambda: 10.0, opened=opened)
    monkeypatch.setitem(sys.modules, "pynvml", module)

    def failing() -> int:
        assert opened == ["init"]
        raise FakeNVMLError("Driver/library version mismatch")

    monkeypatch.setattr(module, asked, failing)
    with pytest.raises(NvmlError, match="version mismatch"):
        NvmlGpus()
    assert opened == []


def test_the_real_binding_without_a_driver_is_an_error_with_a_remedy() -> None:
    pynvml = pytest.importorskip("pynvml")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        with pytest.raises(NvmlError, match="install NVIDIA's driver"):
            NvmlGpus()
    else:
        pytest.skip("NVML answers here")
