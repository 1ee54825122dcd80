"""When a sleep pays for waking, by what the settings say of the workers."""

from __future__ import annotations

import pytest

from scheduler.daemon.sleep_patience import patience_of
from scheduler.shaping_settings import ConsolidationSettings
from scheduler.worker_settings import WorkerSettings


def a_worker(gpu: str = "h100-sxm", stop_command: tuple[str, ...] = ("stop",)) -> WorkerSettings:
    return WorkerSettings(
        url="http://127.0.0.1:8000",
        models=("llama-3.1-8b",),
        region="london",
        gpu=gpu,
        start_command=("start",) if stop_command else (),
        stop_command=stop_command,
    )


def test_what_the_settings_say_holds() -> None:
    assert patience_of(ConsolidationSettings(patience_s=5.0), [a_worker()], 30.0) == 5.0


def test_a_worker_that_is_stopped_sleeps_once_that_pays_for_loading() -> None:
    # 30 s at 71.8 W over 121.7 - 71.8 W saved.
    assert patience_of(ConsolidationSettings(), [a_worker()], 30.0) == pytest.approx(30 * 71.8 / 49.9)


def test_the_longest_counts_where_workers_are_unlike() -> None:
    alone = [patience_of(ConsolidationSettings(), [a_worker(gpu)], 30.0) for gpu in ("h100-sxm", "b200-sxm")]
    both = patience_of(ConsolidationSettings(), [a_worker("h100-sxm"), a_worker("b200-sxm")], 30.0)
    assert alone[0] != alone[1]
    assert both == max(alone)


def test_a_process_that_stays_has_no_such_time() -> None:
    assert patience_of(ConsolidationSettings(), [a_worker(), a_worker(stop_command=())], 30.0) == 60.0
