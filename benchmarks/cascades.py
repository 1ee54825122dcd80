"""What a cascade is worth by how good its signal is: ask the weak model, ask the strong one where the signal says so.

    python -m benchmarks.cascades [--png FILE]

The routing data holds right or wrong and no sign of how sure a model was, so no real signal can be judged on it. What
can be said is what a signal of a given AUC would bring: how often an answer that is right is surer than one that is
wrong. Signals are normal among right and among wrong answers, one deviation wide, and know nothing of the strong model;
then all follows from four shares of the questions, with no chance in it. Beside them stands the one signal that there
is, the router's estimate of the weak model, which needs no answer and so is cheaper used before asking. Reads the
nineteen training subjects of `benchmarks.routing`; energy is modelled as there.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np

from benchmarks.routing import ENERGY_BAR_RATIO, MOST_LOSS_RATIO, Energies, energies
from benchmarks.routing_limits import Questions, auc_ratio, left_out, training_questions, weak_alone
from shaping.router_model import Vector
from simulations.router_curve import to_strong

AUCS_RATIO = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
DRAWN_AUCS_RATIO = (0.5, 0.6, 0.7, 0.8, 0.9)
_NORMAL = NormalDist()
_THRESHOLDS = tuple(step / 100 for step in range(-600, 1201))  # in deviations of the wrong answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Of all questions: what the weak and the strong model answer."""

    weak_ratio: float
    only_weak_ratio: float
    only_strong_ratio: float

    @property
    def strong_ratio(self) -> float:
        return self.weak_ratio - self.only_weak_ratio + self.only_strong_ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One threshold: how many calls go on, what is right, and the energy over that of always strong."""

    strong_share_ratio: float
    accuracy_ratio: float
    energy_ratio: float


def shares_of(questions: Questions) -> Shares:
    return Shares(
        weak_ratio=float(questions.weak.mean()),
        only_weak_ratio=float((questions.weak & ~questions.strong).mean()),
        only_strong_ratio=float((questions.strong & ~questions.weak).mean()),
    )


def cascade(shares: Shares, joules: Energies, auc_ratio: float) -> list[Point]:
    """Every threshold of a signal of this AUC, fewest strong calls first."""
    apart = 2**0.5 * _NORMAL.inv_cdf(auc_ratio)
    return [_at(shares, joules, _NORMAL.cdf(one - apart), _NORMAL.cdf(one)) for one in _THRESHOLDS]


def perfect(shares: Shares, joules: Energies) -> Point:
    """A signal that tells every wrong answer from every right one."""
    return _at(shares, joules, 0.0, 1.0)


def _at(shares: Shares, joules: Energies, right_on_ratio: float, wrong_on_ratio: float) -> Point:
    """So large parts of the weak model's right and wrong answers go on."""
    share = shares.weak_ratio * right_on_ratio + (1 - shares.weak_ratio) * wrong_on_ratio
    gained = shares.only_strong_ratio * wrong_on_ratio - shares.only_weak_ratio * right_on_ratio
    return Point(
        strong_share_ratio=share,
        accuracy_ratio=shares.weak_ratio + gained,
        energy_ratio=joules.weak_j / joules.strong_j + share,
    )


def by_scores(questions: Questions, joules: Energies, scores: Vector, *, asks_weak_first: bool) -> list[Point]:
    """The highest scores to the strong model, in steps of a hundredth; before or after the weak one was asked."""
    points = []
    for percent in range(101):
        route = to_strong(scores, percent / 100)
        accuracy = float(np.where(route, questions.strong, questions.weak).mean())
        energy = joules.weak_j / joules.strong_j + percent / 100
        points.append(
            Point(
                strong_share_ratio=percent / 100,
                accuracy_ratio=accuracy,
                energy_ratio=energy if asks_weak_first else joules.relative_ratio(percent / 100),
            )
        )
    return points


def least_energy_ratio(points: Sequence[Point], accuracy_ratio: float) -> float | None:
    return min((one.energy_ratio for one in points if one.accuracy_ratio >= accuracy_ratio), default=None)


def best_within(points: Sequence[Point], energy_ratio: float) -> float:
    return max(one.accuracy_ratio for one in points if one.energy_ratio <= energy_ratio)


def worth_auc_ratio(shares: Shares, joules: Energies, accuracy_ratio: float) -> float:
    """The smallest AUC, in steps of a hundredth, whose cascade is as accurate within the energy bar."""
    aucs = (percent / 100 for percent in range(50, 100))
    return next(one for one in aucs if best_within(cascade(shares, joules, one), ENERGY_BAR_RATIO) >= accuracy_ratio)


# -- what is printed ---------------------------------------------------------------------------------------------------


def rows(shares: Shares, joules: Energies, named: Sequence[tuple[str, Sequence[Point]]]) -> Iterator[str]:
    yield (
        f"| signal | accuracy at {ENERGY_BAR_RATIO:.0%} of always strong's energy "
        "| energy within one point | energy at no loss | its strong calls |"
    )
    yield "| --- | ---: | ---: | ---: | ---: |"
    for name, points in named:
        equal = [one for one in points if one.accuracy_ratio >= shares.strong_ratio]
        share = f"{min(one.strong_share_ratio for one in equal):.0%}" if equal else ""
        within = least_energy_ratio(points, shares.strong_ratio - MOST_LOSS_RATIO)
        yield (
            f"| {name} | {best_within(points, ENERGY_BAR_RATIO):.4f} | {_percent(within)} "
            f"| {_percent(least_energy_ratio(points, shares.strong_ratio))} | {share} |"
        )


def _percent(ratio: float | None) -> str:
    return "never" if ratio is None else f"{ratio:.0%}"


def draw(path: Path, shares: Shares, joules: Energies, router: Sequence[Point]) -> None:
    """Accuracy against energy. Needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    colours = pyplot.get_cmap("viridis")(np.linspace(0.15, 0.85, len(DRAWN_AUCS_RATIO)))
    for auc, colour in zip(DRAWN_AUCS_RATIO, colours, strict=True):
        points = cascade(shares, joules, auc)
        energy, accuracy = [one.energy_ratio for one in points], [one.accuracy_ratio for one in points]
        axes.plot(energy, accuracy, color=colour, label=f"cascade, AUC {auc:g}")
    best = perfect(shares, joules)
    axes.plot(best.energy_ratio, best.accuracy_ratio, "*", color="#d1802c", markersize=11, label="cascade, perfect")
    energy, accuracy = [one.energy_ratio for one in router], [one.accuracy_ratio for one in router]
    axes.plot(energy, accuracy, color="0.25", linestyle="--", label="router, before asking")
    axes.axhline(shares.strong_ratio, color="0.6", linewidth=0.8)
    axes.axvline(ENERGY_BAR_RATIO, color="0.6", linewidth=0.8)
    axes.set(xlabel="energy over always strong", ylabel="accuracy", title="A cascade is worth what its signal is worth")
    axes.grid(visible=True, alpha=0.25)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    figure.savefig(path, dpi=110)


def main() -> None:
    arguments = argparse.ArgumentParser(description="What a cascade is worth by how good its signal is.")
    arguments.add_argument("--png", type=Path, help="draw the curves (extra: plots)")
    png: Path | None = arguments.parse_args().png
    questions, joules = training_questions(), energies()
    shares, scores = shares_of(questions), left_out(questions, weak_alone)
    before = by_scores(questions, joules, scores, asks_weak_first=False)
    after = by_scores(questions, joules, scores, asks_weak_first=True)
    print(f"{len(questions.subject)} questions; weak {shares.weak_ratio:.4f}, strong {shares.strong_ratio:.4f}")
    print(f"only the strong is right {shares.only_strong_ratio:.4f}, only the weak {shares.only_weak_ratio:.4f}")
    print(f"the router's estimate as a signal: AUC {auc_ratio(scores, ~questions.weak):.3f}", end=", ")
    print(f"worth one of {worth_auc_ratio(shares, joules, best_within(after, ENERGY_BAR_RATIO)):.2f}\n")
    named: list[tuple[str, Sequence[Point]]] = [
        ("the router's estimate, before asking", before),
        ("the same as a cascade's signal", after),
        *((f"AUC {one:g}", cascade(shares, joules, one)) for one in AUCS_RATIO),
        ("perfect", [perfect(shares, joules)]),
    ]
    for line in rows(shares, joules, named):
        print(line)
    for loss in (MOST_LOSS_RATIO, 0.0):
        needed = worth_auc_ratio(shares, joules, shares.strong_ratio - loss)
        print(f"\nAUC needed for {ENERGY_BAR_RATIO:.0%} of the energy at a loss of {loss:.0%}: {needed:.2f}")
    if png is not None:
        draw(png, shares, joules, before)


if __name__ == "__main__":
    main()
