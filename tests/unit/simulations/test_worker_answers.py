"""Content follows from the prompt alone and says that it is simulated."""

from __future__ import annotations

import base64
import math
import statistics
from typing import Any

import numpy as np
import pytest

from simulations.worker_answers import (
    answer_tokens,
    chat_text,
    chat_tokens,
    embedding,
    encoded_embedding,
    natural_length_tokens,
    text_tokens,
)


def test_pieces_of_an_answer_make_the_answer() -> None:
    whole = answer_tokens("prompt", 0, 50)
    assert whole.startswith("[simulated] ")
    assert whole == answer_tokens("prompt", 0, 1) + answer_tokens("prompt", 1, 30) + answer_tokens("prompt", 31, 19)
    assert whole != answer_tokens("another", 0, 50)
    assert len(whole.split()) == 50


def test_natural_lengths_resemble_the_conversation_trace() -> None:
    lengths = [natural_length_tokens(f"prompt {n}", seed=1) for n in range(2000)]
    assert statistics.median(lengths) == pytest.approx(129, rel=0.1)
    assert statistics.quantiles(lengths, n=100)[-1] == pytest.approx(601, rel=0.25)
    assert natural_length_tokens("prompt 1", seed=1) == lengths[1]
    assert natural_length_tokens("prompt 1", seed=2) != lengths[1]


def test_only_text_of_a_conversation_counts() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, {"type": "image_url"}]},
        {"role": "assistant", "content": None},
    ]
    assert chat_text(messages) == "Be brief.\nWhat is this?\n"
    assert chat_tokens(messages) == 6 + 3 * 4  # 24 characters in fours, and 4 for each message
    assert text_tokens("") == 1


def test_an_embedding_survives_its_encoding() -> None:
    vector = embedding("wind", 16)
    assert math.hypot(*vector) == pytest.approx(1.0, rel=1e-6)
    decoded = np.frombuffer(base64.b64decode(encoded_embedding(vector)), dtype="<f4")
    assert [float(value) for value in decoded] == vector
