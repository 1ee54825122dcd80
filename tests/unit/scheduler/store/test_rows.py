from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.jobs import Interruption, Job, JobKind, Purpose
from scheduler.store.contract import UnstorableError
from scheduler.store.rows import record_of, row_of_job, text_of
from scheduler.store.standing import Standing
from tests.stores import a_job

_instants = st.floats(min_value=0.0, max_value=4e9, allow_nan=False)
_texts = st.text(max_size=20)


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(
    job=st.builds(
        Job,
        id=_texts,
        kind=st.sampled_from(JobKind),
        submitted_at_s=_instants,
        earliest_start_at_s=_instants,
        deadline_at_s=st.floats(min_value=4.1e9, max_value=5e9),
        duration_s=st.floats(min_value=0.001, max_value=1e7),
        power_w=st.floats(min_value=0.0, max_value=1e7),
        gpus=st.integers(0, 4096),
        interruption=st.none() | st.builds(Interruption, checkpoint_s=_instants, restore_s=_instants),
        regions=st.lists(_texts, max_size=3).map(tuple),
        purpose=st.sampled_from(Purpose),
        arguments=st.lists(st.tuples(_texts, _texts), max_size=3).map(tuple),
    )
)
def test_a_job_reads_back_exactly(job: Job) -> None:
    row = {"sequence": 1, **row_of_job(job, {}, None, Standing(changed_at_s=1.0))}
    assert record_of(row).job == job


def test_a_job_of_an_older_program_reads_with_the_defaults_of_today() -> None:
    row = {"sequence": 1, **row_of_job(a_job("a"), {}, None, Standing(changed_at_s=1.0))}
    assert ',"priority":0' in row["job"]
    row["job"] = row["job"].replace(',"priority":0', "")
    assert record_of(row).job == a_job("a")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_json_would_turn_into_null_is_refused(number: float) -> None:
    with pytest.raises(UnstorableError):
        text_of({"deep": [{"down": number}]})
