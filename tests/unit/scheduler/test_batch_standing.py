"""Why a batch waits or goes, as it is told."""

from __future__ import annotations

from typing import Any

import pytest

from scheduler.batch_standing import BatchPhase, LineFlow, done_ratio, phase_of, why
from scheduler.batches import Batch, BatchStatus, LineCounts

WAITING = LineFlow(waits_until_s=36_000.0, latest_start_at_s=50_000.0, need_s=100.0)


def a_batch(**changed: Any) -> Batch:
    told: dict[str, Any] = {
        "id": "batch-1",
        "endpoint": "/v1/chat/completions",
        "input_file_id": "file-1",
        "completion_window": "24h",
        "created_at_s": 0.0,
        "deadline_at_s": 86_400.0,
        "output_file_id": "file-2",
        "error_file_id": "file-3",
        "status": BatchStatus.IN_PROGRESS,
    }
    return Batch(**(told | changed))


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        (BatchStatus.VALIDATING, BatchPhase.CHECKING),
        (BatchStatus.IN_PROGRESS, BatchPhase.WAITING),
        (BatchStatus.FINALIZING, BatchPhase.CLOSING),
        (BatchStatus.CANCELLING, BatchPhase.CLOSING),
        (BatchStatus.EXPIRED, BatchPhase.ENDED),
    ],
)
def test_every_status_has_a_phase_and_a_reason(status: BatchStatus, phase: BatchPhase) -> None:
    batch = a_batch(status=status)
    assert phase_of(batch, WAITING) is phase
    assert why(batch, WAITING, 0.0)


def test_one_that_waits_says_until_when_and_at_which_intensity() -> None:
    told = why(a_batch(), WAITING, 0.0, now_gco2e_per_kwh=480.2, then_gco2e_per_kwh=210.0)
    assert told == (
        "waits until 1970-01-01T10:00:00Z, when the grid is expected at 210 gCO2e/kWh; it is at 480 gCO2e/kWh now"
    )


def test_an_intensity_that_nobody_knows_is_not_told() -> None:
    told = why(a_batch(), WAITING, 0.0, now_gco2e_per_kwh=480.0)
    assert told == "waits until 1970-01-01T10:00:00Z, in the cleanest hours that are left"


def test_one_that_goes_says_whether_it_must() -> None:
    assert why(a_batch(), LineFlow(latest_start_at_s=10.0), 5.0).endswith("cleaner to wait for")
    assert why(a_batch(), LineFlow(latest_start_at_s=10.0), 10.0).endswith("only just enough")


def test_the_share_that_is_done_counts_failed_lines_and_is_unknown_before_the_count() -> None:
    assert done_ratio(LineCounts(total=8, completed=5, failed=1)) == 0.75
    assert done_ratio(LineCounts()) is None
