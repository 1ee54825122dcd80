"""ServeGen's clients as requests: what was measured comes out again, whatever is drawn."""

from __future__ import annotations

import json

import numpy as np
import pytest

from simulations.imports.rows import RequestRow, TraceFormatError
from simulations.imports.servegen import WINDOW_S, Client, drawn, read_client

DATASET = json.dumps(
    {
        "0": {"input_tokens": "{100: 0.5, 300: 0.5}", "output_tokens": "{0: 0.2, 10: 0.8}"},
        "600": {"input_tokens": "{7: 1.0}", "output_tokens": "{9: 2.0}"},
    }
)
TRACE = ["0,2.0,1.0,Gamma,1.0,0.5", "600,0.5,3.0,Weibull,0.4,0.6", "1200,0,0,,0,0"]


def a_client(trace: list[str] | None = None) -> Client:
    client = read_client(TRACE if trace is None else trace, DATASET)
    assert client is not None
    return client


def requests(client: Client, *, from_s: float = 0.0, to_s: float = 1800.0, kept_ratio: float = 1.0) -> list[RequestRow]:
    generator = np.random.default_rng(1)
    return list(drawn([client], from_s=from_s, to_s=to_s, kept_ratio=kept_ratio, generator=generator))


def test_each_window_has_its_rate_and_its_lengths() -> None:
    found = requests(a_client())
    first = [one for one in found if one.arrival_s < WINDOW_S]
    second = [one for one in found if one.arrival_s >= WINDOW_S]
    assert len(first) == pytest.approx(1200, rel=0.1)
    assert len(second) == pytest.approx(300, rel=0.2)
    assert {one.prompt_tokens for one in first} == {100, 300}
    assert {(one.prompt_tokens, one.output_tokens) for one in second} == {(7, 9)}
    assert max(one.arrival_s for one in found) < 2 * WINDOW_S


def test_an_answer_has_a_token_at_least() -> None:
    assert {one.output_tokens for one in requests(a_client(), to_s=WINDOW_S)} == {10}


def test_gaps_are_as_bursty_as_the_shape_says() -> None:
    gaps_s = np.diff([one.arrival_s for one in requests(a_client(["0,20,9,Weibull,0.4,0.1"]), to_s=WINDOW_S)])
    assert gaps_s.std() / gaps_s.mean() == pytest.approx(3.14, rel=0.25)  # of Weibull's distribution of shape 0.4


def test_a_share_is_kept_of_the_windows_asked_for() -> None:
    whole, some = requests(a_client(), to_s=WINDOW_S), requests(a_client(), to_s=WINDOW_S, kept_ratio=0.1)
    assert len(some) == pytest.approx(0.1 * len(whole), rel=0.3)
    assert all(one.arrival_s >= WINDOW_S for one in requests(a_client(), from_s=WINDOW_S))


def test_the_same_seed_draws_the_same() -> None:
    assert requests(a_client()) == requests(a_client())


def test_a_client_of_whom_nothing_came_is_none() -> None:
    assert read_client(["0,0,,0,0,0"], DATASET) is None
    assert read_client(TRACE, "{}") is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0,1,1", "line 1: 3 fields"),
        ("0,1,1,Pareto,1,1", "'Pareto' is neither Gamma nor Weibull"),
        ("0,fast,1,Gamma,1,1", "could not convert string to float: 'fast'"),
        ("0,1,1,Gamma,nan,1", "rate and shape must be above 0"),
    ],
)
def test_a_wrong_line_is_named(line: str, said: str) -> None:
    with pytest.raises(TraceFormatError, match=said):
        read_client([line], DATASET)


@pytest.mark.parametrize(
    "dataset",
    ["[]", "no json", '{"0": {"input_tokens": "{1: 1}"}}', '{"0": {"input_tokens": 3, "output_tokens": "{"}}'],
)
def test_a_dataset_of_another_form_is_told(dataset: str) -> None:
    with pytest.raises(TraceFormatError, match="no table of histograms"):
        read_client(TRACE, dataset)


def test_a_span_that_begins_and_ends_within_windows_has_its_own_requests_only() -> None:
    found = [one.arrival_s for one in requests(a_client(), from_s=300.0, to_s=900.0)]
    assert 300.0 <= min(found) < 310.0
    assert 800.0 <= max(found) < 900.0
