"""Which groups are held back together, and that a fit is made without them."""

from __future__ import annotations

import pytest

from benchmarks import energy_fit_older
from benchmarks.energy_splits import Refits, family_folds, model_family, random_folds, rows_of, usable
from shaping.evaluation import Subject
from shaping.measurements import read_measurements
from shaping.profiles.published import subject
from tests.unit.shaping.measured_rows import a_table

MODELS = ("Llama-3.1-8B-Instruct", "Llama-3.1-70B-Instruct", "Qwen3-8B", "Qwen3-32B", "gemma-3-12b-it", "Qwen3-14B")
ORGANISATIONS = {"Llama": "meta-llama", "Qwen3": "Qwen", "gemma": "google"}


def points(gpu: str = "H100-SXM5-80GB", **cells: str) -> list[Subject]:
    """Two batches of each of six dense models on eight GPUs."""
    rows = [
        {
            "model_id": f"{ORGANISATIONS[model.split('-')[0]]}/{model}",
            "group_id": f"{model}|{gpu}",
            "gpu": gpu,
            "num_gpus": "8",
            "avg_batch_size": batch,
            **cells,
        }
        for model in MODELS
        for batch in ("8", "64")
    ]
    return usable(subject(one) for one in read_measurements(a_table(*rows), "points.csv"))


def test_a_split_holds_back_a_fifth_of_the_groups_of_each_gpu() -> None:
    both = [*points(), *points("B200-SXM-180GB")]
    folds = list(random_folds(both, 3))
    assert folds == list(random_folds(both, 3))
    for fold in folds:
        assert sorted(one.split("|")[1] for one in fold.group_ids) == ["B200-SXM-180GB"] * 2 + ["H100-SXM5-80GB"] * 2
    assert len({fold.group_ids for fold in folds}) > 1


def test_groups_of_images_alone_are_not_held_back() -> None:
    assert all(not fold.group_ids for fold in random_folds(points(quality_flags="multimodal_prompt"), 2))


def test_a_family_is_held_back_wherever_it_was_measured() -> None:
    held = {fold.name: fold.group_ids for fold in family_folds([*points(), *points("B200-SXM-180GB")])}
    assert set(held) == {"Llama", "Qwen", "Gemma"}
    assert len(held["Qwen"]) == 6


@pytest.mark.parametrize(
    ("model_id", "family"),
    [
        ("nvidia/Llama-3.1-Nemotron-70B", "Nemotron"),
        ("google/codegemma-7b", "Gemma"),
        ("mistralai/Mixtral-8x7B", "Mistral"),
        ("x/unheard-of", "unheard-of"),
    ],
)
def test_models_are_known_by_their_names(model_id: str, family: str) -> None:
    assert model_family(model_id) == family


def test_a_fit_does_not_see_what_is_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[str]] = []

    def noted(_: energy_fit_older.Family, training: list[Subject]) -> dict[str, float]:
        seen.append({one.measured.group_id for one in training})
        return {"hopper.step_s": 0.5}

    monkeypatch.setattr(energy_fit_older, "fit", noted)
    (fold,) = random_folds(points(), 1)
    away = Refits(points())(fold.group_ids)
    assert {one.measured.group_id for one in away} == fold.group_ids
    assert seen == [{f"{model}|H100-SXM5-80GB" for model in MODELS} - fold.group_ids]
    assert all(one.deployment is not None and one.deployment.rates.host_step_s == 0.5 for one in away)


def test_nothing_held_back_leaves_an_empty_table() -> None:
    assert list(rows_of({})) == []
