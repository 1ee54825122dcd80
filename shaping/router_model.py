"""A router's estimate: for each model, the chance that it answers a query well.

One logistic regression per model ("head") on the features of the query. Decides no route: which chance is worth which
energy is routing.py's. A model is data, read from and written to one JSON object; nothing is executed on reading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shaping.query_features import FEATURE_NAMES, FEATURES_VERSION, features

FORMAT_VERSION = 1
WEAK, STRONG = "weak", "strong"
# Beyond four deviations of what was trained on, a feature says no more: an odd query must not decide alone.
_MOST_DEVIATIONS = 4.0

Vector = NDArray[np.float64]


class RouterModelError(ValueError):
    """A file that is no router model of this version. `key` is where it departs."""

    def __init__(self, what: str, key: str = "") -> None:
        self.what, self.key = what, key
        super().__init__(f"{key}: {what}" if key else what)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Head:
    """One model's logistic regression on standardised features; `weights` has shape (features,)."""

    bias_logit_ratio: float
    weights: Vector


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RouterModel:
    """Heads by name, and the scale of the features they were trained on, each of shape (features,)."""

    heads: Mapping[str, Head]
    means: Vector
    scales: Vector
    penalty_factor: float
    queries: int
    subjects: tuple[str, ...]

    def chances(self, query: str) -> dict[str, float]:
        """Each head's chance to answer well, 0 to 1."""
        row = self.standardised(np.array(features(query)))
        return {name: float(_sigmoid(head.weights @ row + head.bias_logit_ratio)) for name, head in self.heads.items()}

    def chances_of(self, queries: Sequence[str]) -> dict[str, Vector]:
        """The same for many, each of shape (queries,)."""
        rows = self.standardised(feature_rows(queries))
        return {name: _sigmoid(rows @ head.weights + head.bias_logit_ratio) for name, head in self.heads.items()}

    def standardised(self, rows: Vector) -> Vector:
        scaled: Vector = (rows - self.means) / self.scales
        return np.clip(scaled, -_MOST_DEVIATIONS, _MOST_DEVIATIONS)

    def need_of(self, queries: Sequence[str], weak: str = WEAK, strong: str = STRONG) -> Vector:
        """How much each query needs the strong model: the chance that only it answers well, shape (queries,).

        Taken as independent given the features. The difference of the two chances is smaller where both are unsure,
        and ranked unseen subjects worse.
        """
        found = self.chances_of(queries)
        need: Vector = found[strong] * (1.0 - found[weak])
        return need


def feature_rows(queries: Sequence[str]) -> Vector:
    """Features as they are, shape (queries, features)."""
    return np.array([features(query) for query in queries], dtype=np.float64).reshape(-1, len(FEATURE_NAMES))


def _sigmoid(logit_ratio: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-np.clip(logit_ratio, -35.0, 35.0)))


# -- as data -----------------------------------------------------------------------------------------------------------


def to_document(model: RouterModel) -> dict[str, Any]:
    """What a model file holds."""
    return {
        "format": "slacktide-router",
        "version": FORMAT_VERSION,
        "features_version": FEATURES_VERSION,
        "features": list(FEATURE_NAMES),
        "means": model.means.tolist(),
        "scales": model.scales.tolist(),
        "heads": {
            name: {"bias": head.bias_logit_ratio, "weights": head.weights.tolist()}
            for name, head in model.heads.items()
        },
        "penalty": model.penalty_factor,
        "queries": model.queries,
        "subjects": list(model.subjects),
    }


def from_document(document: object) -> RouterModel:
    """The model of a parsed file. Raises RouterModelError."""
    if not isinstance(document, dict) or document.get("format") != "slacktide-router":
        raise RouterModelError("is no router model; `slacktide router train` writes one")
    _check_version(document)
    heads = document.get("heads")
    if not isinstance(heads, dict) or not heads:
        raise RouterModelError("must hold at least one head", "heads")
    scales = _numbers(document.get("scales"), "scales")
    if not np.all(scales > 0):
        raise RouterModelError("must be above zero", "scales")
    return RouterModel(
        heads={str(name): _head(head, f"heads.{name}") for name, head in heads.items()},
        means=_numbers(document.get("means"), "means"),
        scales=scales,
        penalty_factor=_number(document.get("penalty"), "penalty"),
        queries=int(_number(document.get("queries"), "queries")),
        subjects=tuple(map(str, document.get("subjects", ()))),
    )


def _check_version(document: Mapping[str, Any]) -> None:
    for key, ours in (("version", FORMAT_VERSION), ("features_version", FEATURES_VERSION)):
        if document.get(key) != ours:
            raise RouterModelError(f"is {document.get(key)!r}, this program reads {ours}: train it anew", key)
    if document.get("features") != list(FEATURE_NAMES):
        raise RouterModelError("are not the features of this program: train it anew", "features")


def _head(head: object, key: str) -> Head:
    if not isinstance(head, dict):
        raise RouterModelError("must be a table of bias and weights", key)
    return Head(
        bias_logit_ratio=_number(head.get("bias"), f"{key}.bias"),
        weights=_numbers(head.get("weights"), f"{key}.weights"),
    )


def _number(value: object, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise RouterModelError("must be a finite number", key)
    return float(value)


def _numbers(value: object, key: str) -> Vector:
    if not isinstance(value, list) or len(value) != len(FEATURE_NAMES):
        raise RouterModelError(f"must be a list of {len(FEATURE_NAMES)} numbers", key)
    return np.array([_number(one, key) for one in value], dtype=np.float64)
