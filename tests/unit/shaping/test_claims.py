from __future__ import annotations

import pytest

from shaping.calculators.claims import Verdict, claims

BY_NAME = {claim.name: claim for claim in claims()}


@pytest.mark.parametrize(
    ("name", "quantity", "published"),
    [
        ("mixture of experts", "dense_kgco2e", 181_665),
        ("mixture of experts", "saving_ratio", 0.814),
        ("TinyBERT", "energy_ratio", 0.087),
        ("TinyBERT", "implied_gco2e_per_kwh", 464),
        ("TinyBERT", "implied_bert_gco2e_per_kwh", 468),
        ("DistilBERT, pruned BERT", "distilled_saving_ratio", 0.533),
        ("DistilBERT, pruned BERT", "pruned_saving_ratio", 0.321),
        ("QLoRA with FP4", "carbon_times_ratio", 5.9),
        ("QLoRA with FP4", "speed_times_ratio", 2.7),
        ("LoRA instead of pretraining 13B", "pretraining_kgco2e", 33_400),
        ("LoRA instead of pretraining 13B", "adapting_kgco2e", 1.3),
        ("LoRA instead of pretraining 13B", "times_ratio", 25_000),
        ("DistilBERT in support chat", "gco2e_per_token", 0.028),
        ("DistilBERT in support chat", "too_high_times_ratio", 140),
        ("platform table per token", "small_saving_ratio", 0.42),
        ("platform table per token", "large_saving_ratio", 0.29),
        ("Mistral Large 2", "gco2e_per_token", 0.00285),
        ("Mistral Large 2", "water_per_token_l", 0.00011),
        ("175B parameters", "emitted_kgco2e", 550_000),
    ],
)
def test_a_claim_is_recomputed(name: str, quantity: str, published: float) -> None:
    assert BY_NAME[name].recomputed_table[quantity] == pytest.approx(published, rel=0.03)


def test_the_contradictory_claims_are_named() -> None:
    found = {claim.name for claim in claims() if claim.verdict is Verdict.CONTRADICTS_ITSELF}

    assert found == {"QLoRA with FP4", "DistilBERT in support chat"}


def test_every_claim_has_a_name_of_its_own_and_a_reason() -> None:
    assert len(BY_NAME) == len(claims())
    assert all(claim.why and claim.inputs for claim in claims())
