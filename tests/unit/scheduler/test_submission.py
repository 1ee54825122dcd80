from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest

from scheduler.jobs import InvalidJobError, Job
from scheduler.submission import BatchEstimate, Need, job_from, read_submission
from shaping.deployment import ErrorClass
from tests.builders import HOUR_S

NOW_S = 1_640_995_200.0


def estimate_of_an_hour(_: Sequence[Mapping[str, Any]]) -> Need:
    return Need(HOUR_S, 500.0, 0, ErrorClass.DEFAULT)


def nobody_knows(_: Sequence[Mapping[str, Any]]) -> None:
    return None


def submitted(*, estimate: BatchEstimate = estimate_of_an_hour, **fields: Any) -> Job:
    """One hour of the template `train` at a kilowatt, within a day."""
    defaults = {"template": "train", "duration": "1h", "power": "1kW", "within": "24h"}
    body = {name: value for name, value in {**defaults, **fields}.items() if value is not None}
    return job_from(
        read_submission(msgspec.json.encode(body)),
        job_id="job",
        now_s=NOW_S,
        templates={"train"},
        regions={"here"},
        estimate=estimate,
    )


def a_batch(**fields: Any) -> dict[str, Any]:
    return {"kind": "inference_batch", "requests": [{}], "template": None, "duration": None, "power": None, **fields}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("within", "99999999999999h"),
        ("within", "9" * 400 + "h"),
        ("duration", "99999999999999h"),
        ("earliest_start", "9999-12-31T20:00:00Z"),
        ("power", "9" * 300 + "MW"),
        ("power", "2000MW"),
        ("priority", 10**30),
        ("label", "red \x1b[31m"),
        ("label", "two\rlines"),
        ("tenant", "a\nb"),
    ],
)
def test_what_no_calendar_no_sum_and_no_log_can_hold_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidJobError) as refused:
        submitted(**dict[str, Any]({field: value}))

    assert refused.value.field == field


def test_a_deadline_beyond_all_calendars_is_refused() -> None:
    with pytest.raises(InvalidJobError, match="deadline: may be 3650 d ahead at most"):
        submitted(within=None, deadline="9999-12-31T23:59:00Z")


def test_a_pause_that_takes_ages_is_refused() -> None:
    with pytest.raises(InvalidJobError, match=r"interruptible\.checkpoint: may be 1 d at most"):
        submitted(interruptible={"checkpoint": "99999999999h"})


def test_a_batch_is_estimated_unless_it_says_otherwise() -> None:
    assert (submitted(**a_batch()).duration_s, submitted(**a_batch()).gpus) == (HOUR_S, 0)
    assert submitted(**a_batch(duration="2h")).duration_s == 2 * HOUR_S


def test_a_power_is_known_as_well_as_the_profile_that_it_is_from_and_a_stated_one_has_no_class() -> None:
    assert submitted(**a_batch()).power_error_class is ErrorClass.DEFAULT
    assert submitted(**a_batch(duration="2h")).power_error_class is ErrorClass.DEFAULT
    assert submitted(**a_batch(power="700W")).power_error_class is None
    assert submitted().power_error_class is None


def test_a_batch_for_a_model_that_nobody_can_estimate_has_to_say_how_long_it_takes() -> None:
    with pytest.raises(InvalidJobError, match="duration: is required"):
        submitted(estimate=nobody_knows, **a_batch())

    job = submitted(estimate=nobody_knows, **a_batch(duration="2h", power="700W"))
    assert (job.duration_s, job.power_w, job.gpus) == (2 * HOUR_S, 700.0, 0)
