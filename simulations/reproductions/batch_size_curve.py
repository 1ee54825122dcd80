"""The batch-size curve: what a token and a request cost by how many are served together.

Source: the ML.ENERGY Benchmark v3 (arXiv 2505.06371), Llama-3.1-8B on one H100 under vLLM 0.11.1, chat requests, the
batch always full. The energy model answers as it ships: nothing is fitted here, though the benchmark is where its H100
constants were once found. Decides which rows make the curve; other rows of the same table can be asked for as cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from shaping.evaluation import Subject, predict
from shaping.measurements import Measurement, MeasurementError, read_row
from shaping.saturation import Yield
from simulations.reproductions.tables import CellError, Pack, PublishedTable, Reproduction, Row, Value

CURVE = {
    "source": "mlenergy-v3",
    "group_id": "Llama-3.1-8B-Instruct|H100-SXM5-80GB",
    "task": "lm-arena-chat",
}
# What a row that names no more than its key was measured under.
_OTHERWISE = {
    "serving_stack": "vllm-0.11.1",
    "phase": "serving-steady-state",
    "task": CURVE["task"],
    "weight_precision": "bfloat16",
}
_KEYS = ("model_id", "gpu", "num_gpus", "avg_batch_size", "avg_output_tokens")
_VALUES = ("energy_per_output_token_j", "energy_per_request_j", "output_throughput_tokens_per_s", "power_per_gpu_w")

SubjectOf = Callable[[Measurement], Subject]


def is_of_curve(row: Row) -> bool:
    return all(row.get(name) == value for name, value in CURVE.items())


def _answers(subject_of: SubjectOf, pack: Pack, cells: Sequence[Row]) -> list[dict[str, Value]]:
    return [_values(_predicted(subject_of, pack.place, line, row)) for line, row in enumerate(cells, start=2)]


def _values(made: Yield) -> dict[str, Value]:
    return dict(
        zip(_VALUES, (made.j_per_token, made.j_per_request, made.tokens_per_s, made.power_w), strict=True),
        error_class=str(made.error_class),
    )


def _predicted(subject_of: SubjectOf, place: str, line: int, row: Row) -> Yield:
    """What the model says of one row. Raises CellError for one that no profile covers."""
    known = {name: text for name, text in row.items() if text and name not in _VALUES}
    named = {"group_id": f"{row['model_id']}|{row['gpu']}"}
    try:
        subject = subject_of(read_row(_OTHERWISE | named | known, place, line))
    except MeasurementError as error:
        raise CellError(error.what, error.name) from None
    made = predict(subject)
    if made is None:
        raise CellError(subject.reason, "model_id")
    return made


def reproduction(subject_of: SubjectOf) -> Reproduction:
    """The study; `subject_of` finds the profiles of a measurement."""
    return Reproduction(
        name="batch_size_curve",
        study="ML.ENERGY Benchmark v3 (2025): energy of a token and of a request by batch, Llama-3.1-8B on one H100",
        tables=(
            PublishedTable(
                expected="llm_energy_measurements",
                keys=_KEYS,
                answer=partial(_answers, subject_of),
                parameters=("serving_stack", "phase", "task", "weight_precision"),
                # A model is not the measurement: how far each value may be is a share of it, as tested.
                tolerances=dict.fromkeys(_VALUES, "inf"),
                is_published=is_of_curve,
            ),
        ),
        folder="energy",
    )
