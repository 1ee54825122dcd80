"""RouteLLM: what a router between a weak and a strong model can reach, from who answered each question right.

Source: Ong et al., "RouteLLM", 2024, arXiv 2406.18665. Decides the reference lines that any router lies between: random
mixing and the oracle. Knows no router of its own, no cost and no latency: the data says right or wrong only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulations.reproductions.tables import CellError, Pack, PublishedTable, Reproduction, Row, Value, whole

Booleans = NDArray[np.bool_]

_ALL, _WITHOUT = "_all", "_without_excluded"
_LIMIT = re.compile(r"oracle_accuracy_at_(\d+(?:\.\d+)?)_pct_strong_calls")
_GAP = re.compile(r"oracle_strong_call_share_for_(\d+(?:\.\d+)?)_pct_of_gap")
_MIX = re.compile(r"random_mix_(\d+(?:\.\d+)?)pct_accuracy")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answered:
    """Which questions either model answered correctly, each of shape (n,)."""

    weak: Booleans
    strong: Booleans

    @property
    def weak_ratio(self) -> float:
        return float(self.weak.mean())

    @property
    def strong_ratio(self) -> float:
        return float(self.strong.mean())

    @property
    def strong_only_ratio(self) -> float:
        return float((self.strong & ~self.weak).mean())


def routed_accuracy_ratio(answered: Answered, to_strong: Booleans) -> float:
    """Mean correctness of the model that each question was sent to; `to_strong` has shape (n,)."""
    return float(np.where(to_strong, answered.strong, answered.weak).mean())


def random_accuracy_ratio(answered: Answered, share_ratio: float) -> float:
    """What a random share of strong calls reaches on average: the straight line between the two models."""
    return answered.weak_ratio + share_ratio * (answered.strong_ratio - answered.weak_ratio)


def oracle_accuracy_ratio(answered: Answered, share_ratio: float = 1.0) -> float:
    """Strong calls go where only the strong model is right, as far as the share allows."""
    return answered.weak_ratio + min(share_ratio, answered.strong_only_ratio)


def recovered_gap_ratio(answered: Answered, accuracy_ratio: float) -> float:
    """The performance gap recovered, PGR; above 1 where a router beats the strong model."""
    return (accuracy_ratio - answered.weak_ratio) / (answered.strong_ratio - answered.weak_ratio)


def oracle_share_for_gap_ratio(answered: Answered, gap_ratio: float) -> float:
    """The smallest share of strong calls with which the oracle recovers that part of the gap (CPT)."""
    return gap_ratio * (answered.strong_ratio - answered.weak_ratio)


def oracle_apgr_ratio(answered: Answered) -> float:
    """The oracle's PGR integrated over the share: it rises until every useful call is made, then stays."""
    best, knee = recovered_gap_ratio(answered, oracle_accuracy_ratio(answered)), answered.strong_only_ratio
    return best * (1 - knee / 2)


def _both(answered: Answered) -> float:
    return float((answered.weak & answered.strong).mean())


_QUANTITIES: Mapping[str, Callable[[Answered], float]] = {
    "queries": lambda answered: len(answered.weak),
    "weak_accuracy": lambda answered: answered.weak_ratio,
    "strong_accuracy": lambda answered: answered.strong_ratio,
    "both_correct": _both,
    "weak_only_correct": lambda answered: float((answered.weak & ~answered.strong).mean()),
    "strong_only_correct": lambda answered: answered.strong_only_ratio,
    "oracle_accuracy": oracle_accuracy_ratio,
    "oracle_apgr": oracle_apgr_ratio,
    "random_apgr": lambda _: 0.5,
}
_BY_PERCENT: Mapping[re.Pattern[str], Callable[[Answered, float], float]] = {
    _LIMIT: oracle_accuracy_ratio,
    _GAP: oracle_share_for_gap_ratio,
    _MIX: random_accuracy_ratio,
}


def quantity(answered: Answered, name: str) -> float:
    """One reference number by its published name. Raises CellError."""
    if name in _QUANTITIES:
        return _QUANTITIES[name](answered)
    for pattern, by_share in _BY_PERCENT.items():
        if found := pattern.fullmatch(name):
            return by_share(answered, float(found[1]) / 100)
    raise CellError(f"{name!r} is not a quantity known here", "quantity")


# -- the tables --------------------------------------------------------------------------------------------------------


def _set_cells(pack: Pack, cells: Sequence[Row]) -> list[dict[str, Value]]:
    sets = {name: _answered(_questions(pack, name)) for name in {row["set"] for row in cells}}
    return [{"value": quantity(sets[row["set"]], row["quantity"])} for row in cells]


def _questions(pack: Pack, name: str) -> list[Row]:
    """The questions of a set: `FILE_all`, or `FILE_without_excluded` for those the authors keep."""
    if name in pack.tables:
        return list(pack.table(name))
    for ending in (_WITHOUT, _ALL):
        if name.endswith(ending) and name.removesuffix(ending) in pack.tables:
            rows = pack.table(name.removesuffix(ending))
            return [row for row in rows if ending == _ALL or not whole(row, "excluded_by_authors")]
    raise CellError(f"{pack.place} has no file for {name!r}; a set is FILE{_ALL} or FILE{_WITHOUT}", "set")


def _subject_cells(pack: Pack, cells: Sequence[Row]) -> list[dict[str, Value]]:
    by_subject: dict[str, list[Row]] = {}
    for rows in pack.tables.values():
        for row in rows:
            if "weak_correct" in row and "subject" in row:
                by_subject.setdefault(row["subject"], []).append(row)
    return [_subject_cell(by_subject, row["subject"]) for row in cells]


def _subject_cell(by_subject: Mapping[str, Sequence[Row]], subject: str) -> dict[str, Value]:
    if subject not in by_subject:
        raise CellError(f"no question of {subject!r} in the folder", "subject")
    answered = _answered(by_subject[subject])
    return {
        "queries": len(answered.weak),
        "weak_accuracy": answered.weak_ratio,
        "strong_accuracy": answered.strong_ratio,
    }


def _answered(rows: Sequence[Row]) -> Answered:
    pairs = [(whole(row, "weak_correct"), whole(row, "strong_correct")) for row in rows]
    weak, strong = np.array(pairs, dtype=bool).reshape(-1, 2).T
    return Answered(weak=weak, strong=strong)


REPRODUCTION = Reproduction(
    name="routing",
    study="RouteLLM (2024): reference lines of routing between a weak and a strong model",
    tables=(
        PublishedTable(expected="expected", keys=("set", "quantity"), answer=_set_cells, tolerances={"value": "1e-6"}),
        PublishedTable(
            expected="expected_subjects",
            keys=("subject",),
            answer=_subject_cells,
            tolerances={"weak_accuracy": "1e-6", "strong_accuracy": "1e-6"},
        ),
    ),
)
