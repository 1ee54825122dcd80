"""What the text of a question can say about the need for a strong model, measured on the training subjects alone.

    python -m benchmarks.routing_limits [--text]

Each of the nineteen training subjects of `benchmarks.routing` is ranked by estimates that never saw it; the ten that
are set aside are not read. Beside the router stand other estimates on its features, with --text also trees and words
(scikit-learn; some minutes on one core), and one that no text allows: each subject's own gain, known exactly.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.routing import FILE, MOST_LOSS_RATIO, Energies, energies, part, set_aside
from shaping.router_model import STRONG, WEAK, Vector, feature_rows
from shaping.router_training import logistic
from simulations.router_curve import to_strong
from slacktide.judged_rows import judged_rows
from tests.real_data import data_folder

PENALTY, WORD_PENALTY_RATIO = 100.0, 0.3
TREES, LEAF_QUERIES = 400, 15
FOLDS, JUDGED_SUBJECTS, DRAWS, CURVE_DRAWS = 10, 10, 500, 4
SUBJECTS_TRAINED_ON = (3, 6, 12, 18)
_MOST_DEVIATIONS = 4.0
_PERCENTS = (2.5, 97.5)

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Questions:
    """Columns of shape (n,), features of shape (n, features)."""

    text: NDArray[np.str_]
    subject: NDArray[np.str_]
    features: Vector
    weak: NDArray[np.bool_]
    strong: NDArray[np.bool_]
    rows_of: Mapping[str, Rows]  # of each subject

    @property
    def gain(self) -> Vector:
        """1 where only the strong model is right, -1 where only the weak one is."""
        return self.strong.astype(np.float64) - self.weak


Estimate = Callable[[Questions, Rows, Rows], Vector]  # scores of the second rows, learnt from the first


def training_questions() -> Questions:
    judged = judged_rows(data_folder() / FILE)
    judged = part(judged, set(judged.subjects) - set_aside(judged.subjects))
    subjects = np.array(judged.subjects)
    return Questions(
        text=np.array(judged.queries),
        subject=subjects,
        features=feature_rows(judged.queries),
        weak=judged.is_right[WEAK],
        strong=judged.is_right[STRONG],
        rows_of={name: np.flatnonzero(subjects == name) for name in sorted(set(judged.subjects))},
    )


# -- estimates ---------------------------------------------------------------------------------------------------------


def router(questions: Questions, seen: Rows, unseen: Rows) -> Vector:
    """As `slacktide router` does it, at one penalty."""
    weak, strong = (_chance(questions, right, seen, unseen) for right in (questions.weak, questions.strong))
    return np.asarray(strong * (1.0 - weak))


def only_strong(questions: Questions, seen: Rows, unseen: Rows) -> Vector:
    """One regression on what is asked for: that only the strong model is right."""
    return _chance(questions, questions.strong & ~questions.weak, seen, unseen)


def weak_alone(questions: Questions, seen: Rows, unseen: Rows) -> Vector:
    return np.asarray(-_chance(questions, questions.weak, seen, unseen))


def uplift(questions: Questions, seen: Rows, unseen: Rows) -> Vector:
    """Least squares on the gain."""
    return _least_squares(questions, questions.gain, seen, unseen)


def uplift_within(questions: Questions, seen: Rows, unseen: Rows) -> Vector:
    """The same on what a question gains beyond the mean of its subject."""
    gain = questions.gain.copy()
    for rows in questions.rows_of.values():
        gain[rows] -= gain[rows].mean()
    return _least_squares(questions, gain, seen, unseen)


def trees(questions: Questions, seen: Rows, unseen: Rows) -> Vector:
    from sklearn.ensemble import ExtraTreesClassifier

    def chance(right: NDArray[np.bool_]) -> Vector:
        forest = ExtraTreesClassifier(TREES, min_samples_leaf=LEAF_QUERIES, max_features=0.4, random_state=0)
        forest.fit(questions.features[seen], right[seen])
        return np.asarray(forest.predict_proba(questions.features[unseen])[:, 1])

    return np.asarray(chance(questions.strong) * (1.0 - chance(questions.weak)))


def words(questions: Questions, seen: Rows, unseen: Rows) -> Vector:
    """Words, word pairs and the features in one regression per model."""
    from scipy.sparse import csr_matrix, hstack
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    counted = TfidfVectorizer(sublinear_tf=True, min_df=3, max_df=0.5, ngram_range=(1, 2))
    ours, theirs = _standardised(questions, seen, unseen)
    known = hstack([counted.fit_transform(questions.text[seen]), csr_matrix(0.1 * ours)]).tocsr()
    asked = hstack([counted.transform(questions.text[unseen]), csr_matrix(0.1 * theirs)]).tocsr()

    def chance(right: NDArray[np.bool_]) -> Vector:
        fitted = LogisticRegression(C=WORD_PENALTY_RATIO, max_iter=300).fit(known, right[seen])
        return np.asarray(fitted.predict_proba(asked)[:, 1])

    return np.asarray(chance(questions.strong) * (1.0 - chance(questions.weak)))


def own_gain(questions: Questions, _seen: Rows, unseen: Rows) -> Vector:
    """What no estimate can know: the mean gain of the subject itself."""
    return np.full(len(unseen), questions.gain[unseen].mean())


ESTIMATES: Mapping[str, Estimate] = {
    "the router": router,
    "only the strong is right": only_strong,
    "weak model alone": weak_alone,
    "gain, least squares": uplift,
    "gain beyond the subject's mean": uplift_within,
    "each subject's gain known": own_gain,
}
TEXT_ESTIMATES: Mapping[str, Estimate] = {"trees": trees, "words and features": words}


def _chance(questions: Questions, right: NDArray[np.bool_], seen: Rows, unseen: Rows) -> Vector:
    known, asked = _standardised(questions, seen, unseen)
    head = logistic(known, right[seen], PENALTY)
    return np.asarray(1.0 / (1.0 + np.exp(-(asked @ head.weights + head.bias_logit_ratio))))


def _least_squares(questions: Questions, gain: Vector, seen: Rows, unseen: Rows) -> Vector:
    known, asked = _standardised(questions, seen, unseen)
    ridge = known.T @ known + 3 * PENALTY * np.eye(known.shape[1])
    return np.asarray(asked @ np.linalg.solve(ridge, known.T @ (gain[seen] - gain[seen].mean())))


def _standardised(questions: Questions, seen: Rows, unseen: Rows) -> tuple[Vector, Vector]:
    known = questions.features[seen]
    means, scales = known.mean(axis=0), known.std(axis=0)
    scales = np.where(scales > 0, scales, 1.0)
    known, asked = ((rows - means) / scales for rows in (known, questions.features[unseen]))
    return np.clip(known, -_MOST_DEVIATIONS, _MOST_DEVIATIONS), np.clip(asked, -_MOST_DEVIATIONS, _MOST_DEVIATIONS)


# -- how good a ranking is ---------------------------------------------------------------------------------------------


def left_out(questions: Questions, estimate: Estimate, others: int | None = None, seed: int = 0) -> Vector:
    """Scores of every question by an estimate without its subject; from so many `others`, drawn, None for all."""
    generator, scores = np.random.default_rng(seed), np.zeros(len(questions.subject))
    by_subject = questions.rows_of
    for name, rows in by_subject.items():
        names = [other for other in by_subject if other != name]
        if others is not None:
            names = generator.choice(names, others, replace=False).tolist()
        scores[rows] = estimate(questions, np.concatenate([by_subject[other] for other in names]), rows)
    return scores


def seen_before(questions: Questions, estimate: Estimate) -> Vector:
    """The same with single questions left out, so that their subject is known."""
    count = len(questions.subject)
    fold, scores = np.random.default_rng(0).permutation(count) % FOLDS, np.zeros(count)
    for number in range(FOLDS):
        unseen = np.flatnonzero(fold == number)
        scores[unseen] = estimate(questions, np.flatnonzero(fold != number), unseen)
    return scores


def recovered_ratio(gain: Vector, scores: Vector, share_ratio: float = 0.5) -> float:
    return float(gain[to_strong(scores, share_ratio)].sum() / gain.sum())


def least_share_ratio(gain: Vector, scores: Vector) -> float:
    """The smallest share of strong calls within one point of always strong, in steps of a hundredth."""
    lost = (gain.sum() * (1 - recovered_ratio(gain, scores, share / 100)) / len(gain) for share in range(101))
    return next(share / 100 for share, loss in enumerate(lost) if loss <= MOST_LOSS_RATIO)


def aucs_ratio(questions: Questions, scores: Vector) -> dict[str, float]:
    """How often a question that only the strong model answers is ranked above another of its subject; 0.5 is chance."""
    return {name: auc_ratio(scores[rows], questions.gain[rows] == 1) for name, rows in questions.rows_of.items()}


def auc_ratio(scores: Vector, wanted: NDArray[np.bool_]) -> float:
    above, below = scores[wanted], scores[~wanted]
    return float(np.mean(above[:, None] > below) + 0.5 * np.mean(above[:, None] == below))


def drawn_subjects(questions: Questions, count: int | None = None) -> Iterator[list[str]]:
    """Subjects drawn again, as many as there are with repeats, or `count` of them without."""
    generator, names = np.random.default_rng(1), sorted(questions.rows_of)
    for _ in range(DRAWS):
        repeats = count is None
        yield generator.choice(names, len(names) if count is None else count, replace=repeats).tolist()


def _interval(values: Sequence[float]) -> str:
    low, high = np.percentile(values, _PERCENTS)
    return f"{low:.3f} to {high:.3f}"


def _recovered_of(questions: Questions, scores: Vector, names: Sequence[str]) -> float:
    by_subject = questions.rows_of
    rows = np.concatenate([by_subject[name] for name in names])
    return recovered_ratio(questions.gain[rows], scores[rows])


def _auc_of(questions: Questions, aucs_ratio: Mapping[str, float], names: Sequence[str]) -> float:
    sizes = [len(questions.rows_of[name]) for name in names]
    return float(np.average([aucs_ratio[name] for name in names], weights=sizes))


def _print_estimate(questions: Questions, name: str, scores: Vector, joules: Energies) -> None:
    drawn, aucs = list(drawn_subjects(questions)), aucs_ratio(questions, scores)
    recovered = _interval([_recovered_of(questions, scores, names) for names in drawn])
    within = _interval([_auc_of(questions, aucs, names) for names in drawn])
    print(
        f"| {name} | {recovered_ratio(questions.gain, scores):.3f} ({recovered}) "
        f"| {_auc_of(questions, aucs, list(aucs)):.3f} ({within}) "
        f"| {joules.relative_ratio(least_share_ratio(questions.gain, scores)):.0%} |",
        flush=True,
    )


def _print_width(questions: Questions, scores: Vector) -> None:
    few = [_recovered_of(questions, scores, names) for names in drawn_subjects(questions, JUDGED_SUBJECTS)]
    print(f"\nthe router on {JUDGED_SUBJECTS} of the subjects drawn at random: {_interval(few)} in 95% of draws")


def _print_learning(questions: Questions) -> None:
    print("\n| subjects trained on | gap recovered at 50%, mean of draws |\n| ---: | ---: |")
    for count in SUBJECTS_TRAINED_ON:
        draws = 1 if count == len(questions.rows_of) - 1 else CURVE_DRAWS
        found = [recovered_ratio(questions.gain, left_out(questions, router, count, seed)) for seed in range(draws)]
        print(f"| {count} | {np.mean(found):.3f} (deviation {np.std(found):.3f}) |", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description="What the text of a question can say.")
    arguments.add_argument("--text", action="store_true", help="trees and words as well (needs scikit-learn)")
    estimates = {**ESTIMATES, **(TEXT_ESTIMATES if arguments.parse_args().text else {})}
    questions, joules = training_questions(), energies()
    print(f"{len(questions.subject)} questions of {len(questions.rows_of)} subjects\n")
    print(
        "| ranked by | gap recovered at 50% (95%, subjects drawn again) | AUC within subjects | energy within a point |"
    )
    print("| --- | ---: | ---: | ---: |")
    for name, estimate in estimates.items():
        _print_estimate(questions, name, left_out(questions, estimate), joules)
    _print_estimate(questions, "the router, subjects seen in training", seen_before(questions, router), joules)
    _print_width(questions, left_out(questions, router))
    _print_learning(questions)


if __name__ == "__main__":
    main()
