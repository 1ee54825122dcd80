"""Arrival shaping: when requests are sent, what the client gives up, and the two plausible measurements."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shaping.profiles import deployment
from simulations.reproductions import arrival_shaping as shaping
from simulations.reproductions.arrival_shaping import PATIENT, Client, Regime, Sent
from simulations.reproductions.pack_files import read_pack
from simulations.reproductions.tables import CellError
from tests.real_data import real_data
from tests.unit.simulations.reproductions.packs import a_pack, a_row, answers

H100 = deployment(gpu="h100-sxm", model="llama-3.1-8b")
TOKENS = [
    {"quantity": "prompt_tokens", "mean": 400, "std": 100, "min": 50, "max": 900},
    {"quantity": "output_tokens", "mean": 50, "std": 20, "min": 5, "max": 200},
]


def sent(*sent_at_s: float, output_tokens: int = 20) -> Sent:
    count = len(sent_at_s)
    return Sent(
        sent_at_s=np.array(sent_at_s), prompt_tokens=np.full(count, 200), output_tokens=np.full(count, output_tokens)
    )


def test_a_fixed_gap_sends_like_a_clock() -> None:
    regime = Regime(gap_min_s=0.5, gap_max_s=0.5, requests=4)
    assert shaping.sends_at_s(regime, np.random.default_rng(0)).tolist() == [0, 0.5, 1.0, 1.5]


def test_a_random_gap_drawn_afresh_is_practically_poisson() -> None:
    sends = shaping.sends_at_s(Regime(gap_min_s=0.3, gap_max_s=0.5), np.random.default_rng(0))
    gaps = np.diff(sends)[2000:]
    assert gaps.mean() == pytest.approx(0.4, rel=0.02)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.1)  # as an exponential; a jittered clock would have 0.06


def test_the_expected_last_send_is_the_mean_of_many_runs() -> None:
    regime = Regime(gap_min_s=0.0, gap_max_s=1.0, requests=300)
    last_s = [shaping.sends_at_s(regime, np.random.default_rng(seed))[-1] for seed in range(400)]
    assert shaping.expected_last_send_s(regime) == pytest.approx(float(np.mean(last_s)), abs=0.6)
    assert shaping.expected_last_send_s(regime.fixed) == pytest.approx(299 * 0.5)


def test_energy_is_that_of_the_work_and_of_the_idle_time_between() -> None:
    alone = shaping.serve(sent(0.0), H100, PATIENT)
    apart = shaping.serve(sent(0.0, 100.0), H100, PATIENT)
    idle_j = H100.gpu.context_idle_w * (100.0 - alone.duration_s)
    assert apart.energy_j == pytest.approx(2 * alone.energy_j + idle_j)
    assert apart.latency_s.tolist() == pytest.approx([alone.duration_s] * 2)


def test_what_waits_too_long_for_a_connection_is_given_up_and_never_served() -> None:
    alone_s = shaping.serve(sent(0.0), H100, PATIENT).duration_s
    client = Client(connections=1, timeout_s=2.5 * alone_s)
    served = shaping.serve(sent(0.0, 0.0, 0.0, 0.0), H100, client)
    assert np.isfinite(served.latency_s).tolist() == [True, True, False, False]
    assert served.latency_s[1] == pytest.approx(2 * alone_s)
    assert served.duration_s == pytest.approx(3 * alone_s)  # the third was begun and is finished for nobody


def test_a_patient_client_gets_every_answer() -> None:
    served = shaping.serve(sent(*[0.0] * 40), H100, PATIENT)
    assert served.successes == 40
    assert served.duration_s == pytest.approx(float(np.max(served.latency_s)))


def test_lengths_have_the_moments_they_are_drawn_for() -> None:
    statistic = shaping.TokenStatistic(mean_tokens=1000, std_tokens=300, min_tokens=1, max_tokens=9000)
    drawn = statistic.draw(20_000, np.random.default_rng(0))
    assert drawn.mean() == pytest.approx(1000, rel=0.02)
    assert drawn.std() == pytest.approx(300, rel=0.03)


def test_a_regime_is_named_or_given_by_its_gaps() -> None:
    regimes = [{"regime": "slow", "gap_min_s": 2, "gap_max_s": 2, "requests": 5}]
    pack = a_pack(tables={"regimes": regimes, "token_statistics": TOKENS})
    (named,) = answers("arrival_shaping", "measured_llama31_8b", pack, a_row(regime="slow"))
    given = a_row(regime="mine", gap_min_s=2, gap_max_s=2, requests=5)
    assert answers("arrival_shaping", "measured_llama31_8b", pack, given) == [named]
    assert named["success_ratio"] == 1.0
    by_its_name = a_row(regime="fixed_2", requests=5)
    assert answers("arrival_shaping", "measured_llama31_8b", pack, by_its_name) == [named]
    with pytest.raises(CellError, match="fast"):
        answers("arrival_shaping", "measured_llama31_8b", pack, a_row(regime="fast"))


def test_a_burst_has_no_rate() -> None:
    (found,) = answers("arrival_shaping", "regimes", a_pack(), a_row(regime="b", gap_min_s=0, gap_max_s=0))
    assert found == {"mean_gap_s": 0.0, "mean_rate_per_s": None, "expected_last_send_s": 0.0}


@pytest.mark.slow
def test_the_two_plausible_runs_differ_by_the_measured_factor_within_thirty_percent() -> None:
    pack = read_pack(real_data("reproductions/arrival_shaping/README.md").parent)
    rows = [a_row(regime=name) for name in ("random_0.3_0.5", "random_0.05_0.3")]
    sparse, dense = answers("arrival_shaping", "measured_llama31_8b", pack, *rows)
    assert sparse["success_ratio"] == dense["success_ratio"] == 1.0
    ratio = float(str(sparse["gpu_wh_per_successful_request"])) / float(str(dense["gpu_wh_per_successful_request"]))
    assert math.isclose(ratio, 2.4, rel_tol=0.3)
