from __future__ import annotations

import pytest

from scheduler.batches import FINAL, TRANSITIONS, Batch, BatchStatus, IllegalBatchMoveError, LineCounts, moved


def a_batch(status: BatchStatus = BatchStatus.VALIDATING) -> Batch:
    return Batch(
        id="batch-1",
        endpoint="/v1/chat/completions",
        input_file_id="file-1",
        completion_window="24h",
        created_at_s=10.0,
        deadline_at_s=86_410.0,
        output_file_id="file-2",
        error_file_id="file-3",
        status=status,
    )


def test_a_batch_remembers_when_it_entered_each_state() -> None:
    running = moved(a_batch(), BatchStatus.IN_PROGRESS, 20.0)
    done = moved(moved(running, BatchStatus.FINALIZING, 30.0), BatchStatus.COMPLETED, 31.0)
    assert done.entered_at_s == {
        BatchStatus.IN_PROGRESS: 20.0,
        BatchStatus.FINALIZING: 30.0,
        BatchStatus.COMPLETED: 31.0,
    }
    assert done.is_final


def test_no_state_follows_but_those_of_the_table() -> None:
    for before in BatchStatus:
        for after in BatchStatus:
            if after in TRANSITIONS[before]:
                assert moved(a_batch(before), after, 1.0).status is after
            else:
                with pytest.raises(IllegalBatchMoveError, match=f"is {before} and cannot become {after}"):
                    moved(a_batch(before), after, 1.0)


def test_the_final_states_are_those_of_the_published_interface() -> None:
    assert {"completed", "failed", "expired", "cancelled"} == FINAL


def test_open_lines_are_those_without_an_end() -> None:
    assert LineCounts(total=10, completed=6, failed=1).open == 3
