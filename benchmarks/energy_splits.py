"""How far off the energy model is on groups that its fit never saw, over many ways of holding groups back.

    python -m benchmarks.energy_splits [--splits 30]

Every split holds back a fifth of the groups of each kind (dense or mixture) on each GPU, drawn anew, and fits on the
others all that can be fitted: power, efficiencies and host times from an A100's shares and the efficiency of single
layers, experts and recurrent layers beside them, vLLM 0.5.4 on top. Then the same with one family of models held back
at a time (all Qwen, all Llama, ...), wherever it was measured. Prints the errors of all points together that were held
back, and how the median and the 90th percentile vary from split to split. Nothing is chosen here: how tightly a fit
keeps to its start is `energy_fit`'s usual choice. Only how much an anchor on one curve tells of another is as shipped.

Rows where the GPU waited for the host, replicas behind one limit, images and video are left out, as in `energy_fit`.
Reads energy/llm_energy_measurements.csv.gz of ../shared/data (SLACKTIDE_DATA overrides); some minutes on one core.
"""

from __future__ import annotations

import argparse
import math
import random
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from benchmarks import energy_fit, energy_fit_older
from benchmarks.energy_fit import DENSE, EXPERTS, GPUS, LEFT_OUT, NOT_TEXT, STACK, cell, kind
from benchmarks.energy_fit_older import HYBRID, HYBRIDS, OLDER_STACK, Family, with_values
from benchmarks.energy_model import MEASUREMENTS
from benchmarks.log_fit import Values
from shaping.deployment import HostTimes
from shaping.evaluation import Scored, Spread, Subject, evaluate, spread
from shaping.profiles import gpu_profile
from shaping.profiles.published import subject
from slacktide.measured import measurements
from tests.real_data import data_folder

SPLITS = 30
ANCHORS = 2
HELD_BACK_RATIO = 0.2
# Names by which a model is known to be of a family; the first that its name contains counts.
MODEL_FAMILIES = {
    "Nemotron": ("nemotron",),
    "Llama": ("llama",),
    "Qwen": ("qwen",),
    "Gemma": ("gemma",),
    "Mistral": ("mistral", "mixtral"),
    "Phi": ("phi-",),
    "StarCoder": ("starcoder",),
    "gpt-oss": ("gpt-oss",),
    "DeepSeek": ("deepseek",),
}
_RECURRENT = f"{HYBRID}.prompt_work_ratio"
_OLDER_GPUS = ("h100-sxm", "a100-sxm-40gb")
_OLDER_HOST = {"hopper.step_s": 4e-3, "hopper.per_sequence_s": 200e-6}  # half of what was published, to be found

Held = Collection[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Groups that are held back together."""

    name: str
    group_ids: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one line of the table is about."""

    gpu: str
    kind: str
    stacks: tuple[str, ...]

    def has(self, one: Subject) -> bool:
        return gpu_of(one) == self.gpu and kind(one) == self.kind and one.measured.stack in self.stacks


ROWS = (
    Row(gpu="h100-sxm", kind=DENSE, stacks=(STACK, OLDER_STACK)),
    Row(gpu="h100-sxm", kind=DENSE, stacks=(STACK,)),
    Row(gpu="h100-sxm", kind=DENSE, stacks=(OLDER_STACK,)),
    Row(gpu="h100-sxm", kind=EXPERTS, stacks=(STACK,)),
    Row(gpu="b200-sxm", kind=DENSE, stacks=(STACK,)),
    Row(gpu="b200-sxm", kind=EXPERTS, stacks=(STACK,)),
    Row(gpu="a100-sxm-40gb", kind=DENSE, stacks=(OLDER_STACK,)),
)


def gpu_of(one: Subject) -> str:
    return "" if one.deployment is None else one.deployment.gpu.name


def usable(subjects: Iterable[Subject]) -> list[Subject]:
    """Points of full servers that some line of the table is about; images and video among them train."""
    return [one for one in subjects if not one.measured.flags & LEFT_OUT and any(row.has(one) for row in ROWS)]


# -- what is held back -------------------------------------------------------------------------------------------------


def random_folds(points: Sequence[Subject], splits: int) -> Iterator[Fold]:
    """A fifth of the groups of each kind on each GPU, rounded up; a group that was measured on two stacks is one."""
    cells: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for one in points:
        if NOT_TEXT not in one.measured.flags:
            cells[gpu_of(one), kind(one)].setdefault(one.measured.group_id)
    for number in range(splits):
        draw = random.Random(number)
        chosen = [draw.sample(list(ids), math.ceil(HELD_BACK_RATIO * len(ids))) for ids in cells.values()]
        yield Fold(name=f"split {number}", group_ids=frozenset(group_id for ids in chosen for group_id in ids))


def family_folds(points: Iterable[Subject]) -> Iterator[Fold]:
    """All groups of one family of models at a time."""
    families: dict[str, set[str]] = defaultdict(set)
    for one in points:
        families[model_family(one.measured.model_id)].add(one.measured.group_id)
    for name, group_ids in families.items():
        yield Fold(name=name, group_ids=frozenset(group_ids))


def model_family(model_id: str) -> str:
    """The family of that name; a model of none is one of its own."""
    name = model_id.rsplit("/", 1)[-1].lower()
    found = (family for family, marks in MODEL_FAMILIES.items() if any(mark in name for mark in marks))
    return next(found, name)


# -- the fit -----------------------------------------------------------------------------------------------------------


def dense_family(gpu_name: str) -> Family:
    start = _owned(gpu_name, gpu_profile(gpu_name).architecture, energy_fit.dense_start(gpu_name))
    return Family(name=gpu_name, stack=STACK, kind=DENSE, gpus=(gpu_name,), start=start, most_log_error=0.1)


def experts_family(gpu_name: str) -> Family:
    start = _owned(gpu_name, gpu_profile(gpu_name).architecture, energy_fit.EXPERT_START)
    return Family(name=gpu_name, stack=STACK, kind=EXPERTS, gpus=(gpu_name,), start=start, most_log_error=0.1)


def older_family() -> Family:
    """What `energy_fit_older` fits of vLLM 0.5.4, and the host times on H100 that were published."""
    published = energy_fit_older.FAMILIES[0]
    return replace(published, start={**published.start, **_OLDER_HOST})


def _is_hybrid(one: Subject) -> bool:
    return one.deployment is not None and one.deployment.model.state_bytes > 0


def _owned(gpu_name: str, architecture: str, start: Values) -> dict[str, float]:
    times = HostTimes.__slots__
    return {f"{architecture if name in times else gpu_name}.{name}": value for name, value in start.items()}


class Refits:
    """Constants that were fitted without some groups; a fit that nobody of them could train is made once only."""

    def __init__(self, points: Sequence[Subject]) -> None:
        self._points = points
        self._known: dict[tuple[str, str, frozenset[str]], dict[str, float]] = {}

    def __call__(self, held: Held) -> list[Subject]:
        """The points of the groups held back, with constants from the others; what nobody asks for is not fitted."""
        return [with_values(one, self._constants(one, held)) for one in _of(self._points, held)]

    def _constants(self, one: Subject, held: Held) -> dict[str, float]:
        if one.measured.stack == OLDER_STACK:
            return self.older(held)
        if kind(one) == EXPERTS:
            return self.experts(gpu_of(one), held)
        return self.dense(gpu_of(one), held) | (self.recurrent(held) if _is_hybrid(one) else {})

    def dense(self, gpu_name: str, held: Held) -> dict[str, float]:
        """Of models without recurrent layers, whose prompts would pull at everything else."""
        training = [one for one in self._training((gpu_name,), DENSE, STACK, held) if not _is_hybrid(one)]
        return self._fit("dense", dense_family(gpu_name), {}, training)

    def recurrent(self, held: Held) -> dict[str, float]:
        """One number for the hybrids of all GPUs; none is known where none trains."""
        hybrids = [one for one in self._training(GPUS, DENSE, STACK, held) if _is_hybrid(one)]
        if not hybrids:
            return {_RECURRENT: 1.0}
        beside = {gpu: self.dense(gpu, held) for gpu in GPUS}
        return energy_fit_older.fit(HYBRIDS, [with_values(one, beside[gpu_of(one)]) for one in hybrids])

    def experts(self, gpu_name: str, held: Held) -> dict[str, float]:
        training = self._training((gpu_name,), EXPERTS, STACK, held)
        return self._fit("experts", experts_family(gpu_name), self.dense(gpu_name, held), training)

    def older(self, held: Held) -> dict[str, float]:
        """On top of the power of an H100 as it was fitted on the newer stack."""
        power = {name: one for name, one in self.dense(GPUS[0], held).items() if name.startswith(GPUS[0])}
        return self._fit("older", older_family(), power, self._training(_OLDER_GPUS, DENSE, OLDER_STACK, held))

    def _fit(
        self, stage: str, family: Family, beside: Mapping[str, float], training: Sequence[Subject]
    ) -> dict[str, float]:
        ids = frozenset(one.measured.group_id for one in training)
        key = (stage, f"{family.gpus} {sorted(beside.items())}", ids)
        if key not in self._known:
            found = energy_fit_older.fit(family, [with_values(one, beside) for one in training])
            self._known[key] = {**beside, **found}
        return self._known[key]

    def _training(self, gpus: Sequence[str], wanted: str, stack: str, held: Held) -> list[Subject]:
        rows = [Row(gpu=gpu, kind=wanted, stacks=(stack,)) for gpu in gpus]
        return [one for one in self._points if one.measured.group_id not in held and any(row.has(one) for row in rows)]


# -- what the fit makes of them ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Points held back in one fold, as predicted without anchors and with two a group."""

    fold: str
    plain: tuple[Scored, ...]
    anchored: tuple[Scored, ...]


Way = Callable[[Held], list[Subject]]  # what predicts the groups held back
Table = dict[Row, list["Outcome"]]


def outcomes(folds: Iterable[Fold], way: Way) -> Table:
    """By row, what each fold that holds back something of it came to."""
    found: Table = defaultdict(list)
    for fold in folds:
        away = [one for one in way(fold.group_ids) if NOT_TEXT not in one.measured.flags]
        for row in ROWS:
            members = [one for one in away if row.has(one)]
            if members:
                found[row].append(_outcome(fold.name, members))
    return found


def _outcome(name: str, members: Sequence[Subject]) -> Outcome:
    plain, anchored = (
        tuple(one for group in evaluate(members, anchors) for one in group.scored) for anchors in (0, ANCHORS)
    )
    return Outcome(fold=name, plain=plain, anchored=anchored)


# -- the table ---------------------------------------------------------------------------------------------------------


def energy_of(scored: Iterable[Scored]) -> Spread:
    return spread(one.energy_error_ratio for one in scored)


def rows_of(table: Table) -> Iterator[tuple[str, ...]]:
    """Pooled errors and, of the folds, the median with the 10th and the 90th percentile."""
    for row in ROWS:
        folds = table.get(row, [])
        if folds:
            size = f"{len(folds)} times, {sum(len(one.plain) for one in folds)} points"
            yield (
                f"{row.gpu}, {row.kind}",
                " and ".join(row.stacks),
                size,
                *_cells([one.plain for one in folds]),
                *_cells([one.anchored for one in folds]),
            )


def _cells(folds: Sequence[tuple[Scored, ...]]) -> tuple[str, str, str]:
    spreads = [energy_of(one) for one in folds]
    medians = [one.median_ratio for one in spreads if one.median_ratio is not None]
    nineties = [one.p90_ratio for one in spreads if one.p90_ratio is not None]
    return cell(energy_of(one for scored in folds for one in scored)), _varying(medians), _varying(nineties)


def _varying(values_ratio: Sequence[float]) -> str:
    if not values_ratio:
        return "-"
    low, middle, high = np.quantile(values_ratio, (0.1, 0.5, 0.9))
    return f"{middle:.1%} ({low:.1%}-{high:.1%})"


_VARYING = ("median, by split", "p90, by split")
_HEAD = ("models", "stack", "held back", "J/token", *_VARYING, "with two anchors", *_VARYING)


def _of(points: Iterable[Subject], held: Held) -> list[Subject]:
    return [one for one in points if one.measured.group_id in held]


def _print(title: str, table: Table) -> None:
    print(f"\n{title}\n")
    for row in (_HEAD, ("---",) * len(_HEAD), *rows_of(table)):
        print(f"| {' | '.join(row)} |", flush=True)


def _print_families(table: Table) -> None:
    print("\n| models | family held back | points | J/token | two anchors a group |\n|---|---|---|---|---|")
    for row in (ROWS[0], *ROWS[3:]):
        for one in table.get(row, []):
            cells = (cell(energy_of(one.plain)), cell(energy_of(one.anchored)))
            print(f"| {row.gpu}, {row.kind} | {one.fold} | {len(one.plain)} | {' | '.join(cells)} |")


def main() -> None:
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--splits", type=int, default=SPLITS, help="how many random splits")
    splits = asked.parse_args().splits
    points = usable(subject(one) for one in measurements(data_folder() / MEASUREMENTS))
    refits = Refits(points)
    folds = list(random_folds(points, splits))
    _print("random splits, fitted anew on the other groups", outcomes(folds, refits))
    _print("the same points, as shipped", outcomes(folds, partial(_of, points)))
    families = outcomes(family_folds(points), refits)
    _print("one family of models held back at a time", families)
    _print_families(families)


if __name__ == "__main__":
    main()
