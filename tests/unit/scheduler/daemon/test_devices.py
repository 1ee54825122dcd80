from __future__ import annotations

import pytest

from scheduler.daemon.devices import Devices, TooFewDevicesError


def test_each_gpu_goes_to_one_run_and_comes_back_with_its_end() -> None:
    devices = Devices({"here": ("0", "1", "2")})

    assert devices.take("a", "here", 2) == ("0", "1")
    assert devices.take("b", "here", 1) == ("2",)
    devices.give_back("a")
    assert devices.take("c", "here", 1) == ("0",)


def test_a_region_without_a_list_leaves_the_choice_to_the_run() -> None:
    assert Devices({"here": ()}).take("a", "here", 2) is None


def test_what_a_run_of_an_earlier_life_holds_is_not_given_away() -> None:
    devices = Devices({"here": ("0", "1")})
    devices.keep("old", ("0",))

    assert devices.take("new", "here", 1) == ("1",)


def test_a_list_that_has_less_than_the_engine_counts_says_so() -> None:
    devices = Devices({"here": ("0",)})
    devices.take("a", "here", 1)

    with pytest.raises(TooFewDevicesError, match="1 GPUs of region here are wanted and 0 are free"):
        devices.take("b", "here", 1)
