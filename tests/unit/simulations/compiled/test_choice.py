"""Which loop a run takes, and that a whole scenario comes out the same through either."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shaping.policy import Holding
from simulations.compiled import choice
from simulations.compiled.choice import (
    WORTH_JOBS,
    WORTH_REQUESTS,
    LoopKind,
    NoCompilerError,
    chosen_board,
    chosen_run,
)
from simulations.compiled.loop import run
from simulations.compiled.pool import covers
from simulations.results import results_of
from simulations.results_json import plain_results
from simulations.runs import run_both
from simulations.scenario import PolicySettings, RequestSettings
from tests.serving_twins import a_policy, a_spec, drawn_traffic
from tests.unit.simulations.scenarios import a_job_trace, some_inputs


def without_compiler(name: str) -> None:
    return None


def test_few_requests_are_served_in_plain_python() -> None:
    assert chosen_run(LoopKind.AUTO, WORTH_REQUESTS - 1) is None


def test_without_a_compiler_all_are_served_in_plain_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "find_spec", without_compiler)
    assert chosen_run(LoopKind.AUTO, WORTH_REQUESTS) is None


def test_few_jobs_are_placed_in_plain_python_and_so_are_all_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen_board(LoopKind.AUTO, WORTH_JOBS - 1) is None
    assert chosen_board(LoopKind.PLAIN, WORTH_JOBS) is None
    monkeypatch.setattr(choice, "find_spec", without_compiler)
    assert chosen_board(LoopKind.COMPILED, WORTH_JOBS) is None


def test_compiled_code_that_was_asked_for_and_cannot_be_made_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(choice, "find_spec", without_compiler)
    with pytest.raises(NoCompilerError, match=r"slacktide\[compiled\]"):
        chosen_run(LoopKind.COMPILED, 1)


def test_lanes_by_length_are_left_to_plain_python() -> None:
    policy = a_policy(Holding.ADAPTIVE)
    assert covers(a_spec(), policy)
    assert not covers(a_spec(), replace(policy, has_length_lanes=True))
    assert not covers(a_spec(), replace(policy, first_token_budget_s=1.0))
    assert not covers(replace(a_spec(), prefix_block_tokens=16), policy)
    assert not covers(replace(a_spec(), step_tokens=512), policy)


@pytest.mark.slow
def test_a_scenario_with_jobs_and_deferred_requests_gives_the_same_document_through_either() -> None:
    inputs = some_inputs(
        requests=drawn_traffic(3, 150, 0.05).trace,
        jobs=a_job_trace((0.0, 1800.0, 1), (600.0, 7200.0, 2)),
        request_settings=RequestSettings(name="chat", workers=2, flex_ratio=0.5, flex_deadline_s=4 * 3600.0),
        policy=PolicySettings(shaping=Holding.ADAPTIVE, interactive_hold_s=5.0),
    )
    plain, fast = (run_both(one) for one in (inputs, replace(inputs, run_requests=run)))
    assert plain_results(results_of(fast)) == plain_results(results_of(plain))
