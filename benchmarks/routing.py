"""Accuracy against energy of the router, beside random mixing, always weak, always strong and the oracle.

    python -m benchmarks.routing [--png FILE]

Trains on nineteen subjects of the routing data and is judged on ten others, set aside by the SHA-256 of their
names before any of them was looked at. The data says right or wrong only, so the energy of a call is modelled: the weak
model's own profile, and for the strong one, whose size is not published, the largest open model that there is.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shaping.profiles import deployment
from shaping.router_model import Vector
from shaping.router_training import Judged, folds_of, train
from shaping.saturation import Traffic, saturated
from simulations.reproductions.routing import Answered, oracle_accuracy_ratio, random_accuracy_ratio
from simulations.router_curve import Curve, curve
from slacktide.judged_rows import answered, judged_rows
from tests.real_data import data_folder

FILE = "reproductions/routing/mmlu_half_a.csv.gz"
SET_ASIDE = 10
SHARES_RATIO = tuple(twentieth / 20 for twentieth in range(1, 20))
MOST_LOSS_RATIO, ENERGY_BAR_RATIO = 0.01, 0.82
BATCH_SEQUENCES, TRAFFIC = 32, Traffic(prompt_tokens=350, output_tokens=400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Energies:
    """Joules of one call, modelled."""

    weak_j: float
    strong_j: float

    def relative_ratio(self, strong_share_ratio: float) -> float:
        """Energy of a mix over that of always calling the strong model."""
        return strong_share_ratio + (1 - strong_share_ratio) * self.weak_j / self.strong_j

    def share_ratio(self, relative_ratio: float) -> float:
        """The share of strong calls that this much energy allows."""
        return (relative_ratio - self.weak_j / self.strong_j) / (1 - self.weak_j / self.strong_j)


def energies() -> Energies:
    weak = deployment(gpu="h100-sxm", model="mixtral-8x7b-v0.1", gpus=2)
    strong = deployment(gpu="h100-sxm", model="llama-3.1-405b-fp8", gpus=8)
    weak_j, strong_j = (saturated(one, BATCH_SEQUENCES, TRAFFIC).j_per_request for one in (weak, strong))
    return Energies(weak_j=weak_j, strong_j=strong_j)


def set_aside(subjects: Sequence[str]) -> set[str]:
    """The subjects never trained on: the first by the SHA-256 of their names."""
    return set(sorted(set(subjects), key=lambda name: hashlib.sha256(name.encode()).hexdigest())[:SET_ASIDE])


def part(judged: Judged, subjects: set[str]) -> Judged:
    rows = [index for index, subject in enumerate(judged.subjects) if subject in subjects]
    return Judged(
        queries=[judged.queries[row] for row in rows],
        subjects=[judged.subjects[row] for row in rows],
        is_right={name: right[rows] for name, right in judged.is_right.items()},
    )


def main() -> int:
    arguments = argparse.ArgumentParser(description="Accuracy against energy of the router.")
    arguments.add_argument("--png", type=Path, help="draw the curve (extra: plots)")
    png: Path | None = arguments.parse_args().png
    judged = judged_rows(data_folder() / FILE)
    unseen = set_aside(judged.subjects)
    model = train(part(judged, set(judged.subjects) - unseen))
    test = part(judged, unseen)
    need = model.need_of(test.queries)
    found, joules = curve(answered(test), need, SHARES_RATIO), energies()
    print(f"trained on {model.queries} queries of {len(model.subjects)} subjects, penalty {model.penalty_factor:g}")
    print(f"judged on {found.queries} queries of {', '.join(sorted(unseen))}")
    print(f"weak {joules.weak_j:.0f} J, strong {joules.strong_j:.0f} J a call (modelled)\n")
    _print_curve(found, joules, answered(test))
    _print_subjects(test, need)
    _print_bars(found, joules, answered(test), need)
    _print_left_out(judged)
    if png is not None:
        _draw(found, joules, answered(test), png)
    return 0


def _print_curve(found: Curve, joules: Energies, both: Answered) -> None:
    print("| strong calls | energy | accuracy (95%) | random | oracle | gap recovered (95%) |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    print(f"| 0% | {joules.relative_ratio(0):.0%} | {found.weak_ratio:.4f} (always weak) | | | |")
    for point in found.points[1::2]:
        accuracy, gap = point.accuracy, point.recovered_gap
        assert gap is not None
        print(
            f"| {point.strong_share_ratio:.0%} | {joules.relative_ratio(point.strong_share_ratio):.0%} "
            f"| {accuracy.ratio:.4f} ({accuracy.low:.4f} to {accuracy.high:.4f}) | {point.random_accuracy_ratio:.4f} "
            f"| {oracle_accuracy_ratio(both, point.strong_share_ratio):.4f} "
            f"| {gap.ratio:.3f} ({gap.low:.3f} to {gap.high:.3f}) |"
        )
    print(f"| 100% | 100% | {found.strong_ratio:.4f} (always strong) | | | |\n")


def _print_subjects(test: Judged, need: Vector) -> None:
    print("| subject | queries | weak | strong | at 50% | random |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for subject in sorted(set(test.subjects)):
        rows = np.array([one == subject for one in test.subjects])
        both = answered(part(test, {subject}))
        point = curve(both, need[rows], (0.5,)).points[0]
        print(
            f"| {subject} | {len(both.weak)} | {both.weak_ratio:.3f} | {both.strong_ratio:.3f} "
            f"| {point.accuracy.ratio:.3f} | {point.random_accuracy_ratio:.3f} |"
        )


def _print_bars(found: Curve, joules: Energies, both: Answered, need: Vector) -> None:
    half = next(point for point in found.points if point.strong_share_ratio == 0.5)
    assert half.recovered_gap is not None
    print(
        f"\nat 50% strong calls: {half.recovered_gap.ratio:.3f} of the gap "
        f"({half.recovered_gap.low:.3f} to {half.recovered_gap.high:.3f}), random 0.500"
    )
    share = joules.share_ratio(ENERGY_BAR_RATIO)
    bar = curve(both, need, (share,)).points[0]
    loss, low, high = (
        100 * (found.strong_ratio - one) for one in (bar.accuracy.ratio, bar.accuracy.high, bar.accuracy.low)
    )
    print(
        f"at {ENERGY_BAR_RATIO:.0%} of always strong's energy ({share:.1%} strong calls): {loss:.2f} points lost "
        f"({low:.2f} to {high:.2f} by the accuracy's interval); random loses "
        f"{100 * (found.strong_ratio - random_accuracy_ratio(both, share)):.2f}"
    )
    within = [one for one in found.points if found.strong_ratio - one.accuracy.ratio <= MOST_LOSS_RATIO]
    if within:
        least = within[0].strong_share_ratio
        print(
            f"least energy within one point of always strong: {joules.relative_ratio(least):.0%} ({least:.0%} strong)"
        )


def _print_left_out(judged: Judged) -> None:
    """The same with every subject unseen once, in folds: more queries, so a narrower interval."""
    folds, need = folds_of(judged.subjects), np.zeros(len(judged.queries))
    subjects = np.array(judged.subjects)
    for fold in sorted(set(folds.tolist())):
        model = train(part(judged, set(subjects[folds != fold].tolist())))
        need[folds == fold] = model.need_of([judged.queries[row] for row in np.flatnonzero(folds == fold).tolist()])
    found = curve(answered(judged), need)
    print(f"\nall {found.queries} queries, each of a subject left out of the training:")
    for point in found.points:
        gap = point.recovered_gap
        assert gap is not None
        print(
            f"{point.strong_share_ratio:.0%} strong calls: {gap.ratio:.3f} of the gap ({gap.low:.3f} to {gap.high:.3f})"
        )


def _draw(found: Curve, joules: Energies, both: Answered, path: Path) -> None:
    import matplotlib.pyplot as plt

    shares = (0.0, *SHARES_RATIO, 1.0)
    energy = [joules.relative_ratio(share) for share in shares]
    routed = [found.weak_ratio, *(point.accuracy.ratio for point in found.points), found.strong_ratio]
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    axes.fill_between(
        energy[1:-1],
        [point.accuracy.low for point in found.points],
        [point.accuracy.high for point in found.points],
        alpha=0.2,
        label="95% interval",
    )
    axes.plot(energy, routed, marker="o", markersize=3, label="router, unseen subjects")
    axes.plot(energy, [random_accuracy_ratio(both, share) for share in shares], "--", label="random mixing")
    axes.plot(energy, [oracle_accuracy_ratio(both, share) for share in shares], ":", label="oracle")
    axes.scatter(energy[0], routed[0], color="black", zorder=3)
    axes.annotate("always weak", (energy[0], routed[0]), xytext=(8, -10), textcoords="offset points")
    axes.scatter(1.0, routed[-1], color="black", zorder=3)
    axes.annotate("always strong", (1.0, routed[-1]), xytext=(-80, -14), textcoords="offset points")
    axes.set_xlabel("energy per query over always strong (modelled)")
    axes.set_ylabel("accuracy")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    raise SystemExit(main())
