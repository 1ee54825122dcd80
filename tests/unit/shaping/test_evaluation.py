"""Predictions beside measurements: what is scored, what calibrates, what is listed instead."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from shaping.deployment import ErrorClass
from shaping.evaluation import Group, energy_spread, error_class, evaluate, speed_spread, spread
from shaping.measurements import read_each, read_measurements
from shaping.profiles import deployment
from shaping.profiles.published import subject
from shaping.saturation import Traffic, saturated
from tests.unit.shaping.measured_rows import a_table

H100_8B = deployment(gpu="h100-sxm", model="llama-3.1-8b")


def groups_of(*rows: Mapping[str, str], anchors: int = 0) -> list[Group]:
    return evaluate([subject(one) for one in read_measurements(a_table(*rows), "t.csv")], anchors)


def a_row(batch: int, energy_factor: float = 1.0, speed_factor: float = 1.0, **cells: str) -> dict[str, str]:
    """A row that the default profile predicts exactly, times the factors."""
    made = saturated(H100_8B, batch, Traffic(prompt_tokens=350, output_tokens=400))
    return {
        "avg_batch_size": str(batch),
        "energy_per_output_token_j": repr(made.j_per_token * energy_factor),
        "output_throughput_tokens_per_s": repr(made.tokens_per_s * speed_factor),
        **cells,
    }


def test_errors_are_relative_to_the_measurement() -> None:
    (group,) = groups_of(a_row(8, energy_factor=2.0), a_row(64, speed_factor=0.5))
    assert [one.energy_error_ratio for one in group.scored] == pytest.approx([0.5, 0.0])
    assert [one.speed_error_ratio for one in group.scored] == pytest.approx([0.0, 1.0])
    assert error_class(group) is ErrorClass.DEFAULT


def test_the_smallest_and_the_largest_batch_calibrate_and_the_others_are_scored() -> None:
    # One factor over the whole curve is learnt from its ends.
    rows = [a_row(batch, 1.3, 0.8) for batch in (64, 8, 256, 128)]
    (group,) = groups_of(*rows, anchors=2)
    assert group.anchor_lines == (3, 4)
    assert [one.measured.batch_sequences for one in group.scored] == [64, 128]
    assert energy_spread([group]).p90_ratio == pytest.approx(0.0, abs=1e-9)
    assert speed_spread([group]).p90_ratio == pytest.approx(0.0, abs=1e-9)
    assert error_class(group) is ErrorClass.CALIBRATED


def test_two_tasks_of_a_group_are_not_taken_for_one_curve() -> None:
    # Chat takes a third more energy, code a quarter less, at every batch; each has one anchor. The line through both
    # says 3/4 at 256 and 4/3 at 8, so (4/3)^0.6 at 16, where it is off by 58%.
    chat = [a_row(batch, 4 / 3) for batch in (8, 64, 128)]
    code = [a_row(batch, 3 / 4, task="code-completion") for batch in (16, 64, 256)]
    (group,) = groups_of(*chat, *code, anchors=2)
    assert group.anchor_lines == (2, 7)
    errors = [one.energy_error_ratio or 0.0 for one in group.scored]
    assert len(errors) == 4
    assert max(errors) < 0.58 / 2


def test_a_group_on_two_stacks_is_calibrated_on_each() -> None:
    newer = [a_row(batch, 1.3) for batch in (8, 64, 256)]
    older = [a_row(batch, 1.0, serving_stack="vllm-0.5.4") for batch in (4, 16, 512)]
    (group,) = groups_of(*newer, *older, anchors=2)
    assert group.anchor_lines == (2, 4, 5, 7)
    assert [one.measured.line for one in group.scored] == [3, 6]


def test_what_cannot_be_predicted_is_listed_with_its_reason() -> None:
    groups = groups_of({"model_id": "x/unheard-of"}, {"group_id": "n|g"}, {"group_id": "n|g", "gpu": "abacus"})
    assert [one.group_id for one in groups] == ["m|g", "n|g"]
    assert groups[0].scored == ()
    assert groups[0].reason == "no model profile is called 'x/unheard-of'"
    assert len(groups[1].scored) == 1
    assert groups[1].left_out == ((4, "no GPU profile is called 'abacus'"),)
    assert groups[1].reason == ""


def test_rows_that_cannot_be_read_are_listed_beside_those_of_their_group() -> None:
    rows: list[dict[str, str]] = [{}, {"avg_output_tokens": ""}, {"group_id": "n|g", "num_gpus": "some"}]
    read, unread = read_each(a_table(*rows), "t.csv")
    both, none = evaluate([subject(one) for one in read], 0, unread)
    assert len(both.scored) == 1
    assert both.left_out == ((3, "avg_output_tokens: is empty; a number is needed here"),)
    assert (none.group_id, none.scored, none.reason) == ("n|g", (), "num_gpus: 'some' is not a number")


@pytest.mark.parametrize(("word", "same_as"), [("FP8", "fp8"), ("awq", "int4"), ("", "bfloat16"), ("bf16", "float16")])
def test_precisions_go_by_several_names(word: str, same_as: str) -> None:
    (one,), (other,) = groups_of({"weight_precision": word}), groups_of({"weight_precision": same_as})
    assert one.scored[0].predicted == other.scored[0].predicted


def test_one_point_measured_again_and_again_calibrates_by_a_factor() -> None:
    # Two of the four equal rows are the anchors; the line through them is level.
    (group,) = groups_of(*[a_row(64, 1.2)] * 4, anchors=2)
    assert len(group.scored) == 2
    assert energy_spread([group]).p90_ratio == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"serving_stack": "typewriter"}, "no serving stack profile"),
        ({"weight_precision": "ternary"}, "'ternary'"),
        ({"task": "riddles", "avg_prompt_tokens": ""}, "no task profile"),
        ({"gpu": "L4", "num_gpus": "2"}, "no GPU interconnect"),
        ({"model_id": "meta-llama/Llama-3.1-405B-Instruct"}, "does not fit on 1 x h100-sxm"),
    ],
)
def test_each_thing_unknown_is_a_reason(cells: dict[str, str], reason: str) -> None:
    (group,) = groups_of(cells)
    assert reason in group.reason


def test_too_few_points_to_calibrate_are_listed() -> None:
    (alone,) = groups_of(a_row(8), anchors=2)
    (pair,) = groups_of(a_row(8), a_row(64), anchors=2)
    assert alone.reason == "1 of its points have both energy and speed, 2 are needed to calibrate"
    assert pair.reason == "all of its 2 points calibrate, none is left to score"
    assert pair.left_out == ((2, pair.reason), (3, pair.reason))


def test_a_point_without_energy_is_predicted_but_has_no_energy_error() -> None:
    (group,) = groups_of(a_row(8, energy_per_output_token_j=""))
    assert len(group.scored) == 1
    assert energy_spread([group]) == (None, None, 0)
    assert speed_spread([group]).points == 1


def test_a_capped_gpu_draws_no_more_than_its_cap() -> None:
    (group,) = groups_of(a_row(256, power_cap_fraction="0.5"))
    assert group.scored[0].predicted.power_w == pytest.approx(350.0)


def test_quantiles_lie_between_neighbours() -> None:
    # Of 0, 10, ..., 100: the median is 50, the 90th percentile 90; of 1 and 2 they are 1.5 and 1.9.
    assert spread(float(number) for number in range(0, 101, 10)) == (50.0, 90.0, 11)
    assert spread([2.0, 1.0])[:2] == pytest.approx((1.5, 1.9))
    assert spread([None]) == (None, None, 0)
