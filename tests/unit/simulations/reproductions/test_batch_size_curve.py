"""The batch-size curve: other cells by hand, and the measured one within the band of its profile."""

from __future__ import annotations

import pytest

from shaping.deployment import ErrorClass
from shaping.uncertainty import class_factors
from simulations.reproductions.batch_size_curve import CURVE, is_of_curve
from simulations.reproductions.catalogue import REPRODUCTIONS
from simulations.reproductions.pack_files import read_rows
from simulations.reproductions.tables import CellError, Comparison, Row, comparisons
from tests.real_data import real_data
from tests.unit.simulations.reproductions.packs import a_pack, a_row, answers

TABLE = "llm_energy_measurements"


def a_point(**cells: object) -> Row:
    plain = {"model_id": "llama-3.1-8b", "gpu": "h100-sxm", "num_gpus": 1, "avg_batch_size": 64}
    return a_row(**(plain | {"avg_output_tokens": 400} | cells))


def the_curve() -> list[Comparison]:
    (table,) = REPRODUCTIONS["batch_size_curve"].tables
    rows = read_rows(real_data(f"energy/{TABLE}.csv.gz"))
    return list(comparisons(table, a_pack(), rows))


def of_column(found: list[Comparison], column: str) -> dict[float, Comparison]:
    return {float(str(one.cell["avg_batch_size"])): one for one in found if one.column == column}


def test_a_point_that_names_its_key_only_is_a_full_batch_of_chats() -> None:
    (ours,) = answers("batch_size_curve", TABLE, a_pack(), a_point())
    assert ours == {
        "energy_per_output_token_j": pytest.approx(0.112, rel=5e-3),
        "energy_per_request_j": pytest.approx(45.0, rel=5e-3),
        "output_throughput_tokens_per_s": pytest.approx(4856, rel=5e-3),
        "power_per_gpu_w": pytest.approx(545.7, rel=5e-3),
        "error_class": "default",
    }


def test_what_a_file_says_was_measured_changes_nothing() -> None:
    plain, published = a_point(), a_point(energy_per_output_token_j=9, power_per_gpu_w=9, quality_flags="x")
    assert answers("batch_size_curve", TABLE, a_pack(), plain) == answers(
        "batch_size_curve", TABLE, a_pack(), published
    )


@pytest.mark.parametrize(
    ("cells", "column"),
    [({"model_id": "nobody/knows"}, "model_id"), ({"avg_batch_size": "many"}, "avg_batch_size")],
)
def test_a_point_without_a_profile_or_a_number_is_named(cells: dict[str, str], column: str) -> None:
    with pytest.raises(CellError) as caught:
        answers("batch_size_curve", TABLE, a_pack(), a_point(**cells))
    assert caught.value.column == column


def test_only_one_task_of_one_model_makes_the_curve() -> None:
    assert is_of_curve(a_row(**CURVE))
    assert not is_of_curve(a_row(**(CURVE | {"task": "gpqa"})))


def test_every_measured_point_lies_within_the_band_of_the_profile() -> None:
    low_ratio, high_ratio = class_factors(ErrorClass.DEFAULT)
    found = [one for one in the_curve() if isinstance(one.ours, float)]
    assert len(found) == 11 * 4
    for one in found:
        ratio = float(str(one.published)) / float(str(one.ours))
        assert low_ratio <= ratio <= high_ratio


def test_a_request_is_as_much_cheaper_in_a_full_batch_as_measured() -> None:
    by_batch = of_column(the_curve(), "energy_per_request_j")
    smallest, cheapest = by_batch[7.9782], by_batch[510.869]
    published_ratio = float(str(smallest.published)) / float(str(cheapest.published))
    ours_ratio = float(str(smallest.ours)) / float(str(cheapest.ours))
    assert published_ratio == pytest.approx(6.35, abs=0.005)
    assert ours_ratio == pytest.approx(published_ratio, rel=0.15)
